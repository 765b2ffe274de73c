"""The files of one VM: written whole, read without following links, removed by name."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from geats_host.errors import HostError

SUM_LINE = "# geats-sha256: "
NO_PLAIN_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)  # there, or at all
USUAL, LARGEST = 1 << 15, 1 << 20  # bytes; a definition has a few thousand


@contextmanager
def host_errors(doing: str) -> Iterator[None]:
    """Raise trouble of the operating system as trouble with the host, and say with what."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise HostError(f"{doing}: {error.strerror or error}{where}") from error


def unreadable(folder: Path, error: OSError) -> str:
    """Why the files of one VM in *folder* say nothing now: the disk fails."""
    return f"{error.filename or folder}: {error.strerror or error}"


def sealed(text: str) -> str:
    """*text*, and a last line by which a change made by hand is seen."""
    from hashlib import sha256  # looking at a host needs none

    return f"{text}{SUM_LINE}{sha256(text.encode()).hexdigest()}\n"


def unsealed(text: str) -> str | None:
    """The text that was sealed; None if it was changed since."""
    body = text[: text.rfind(SUM_LINE)] if SUM_LINE in text else ""
    return body if sealed(body) == text else None


def write_atomically(folder: Path, file: str, content: str | bytes) -> None:
    """Write *file* whole: after a crash it is the old one or the new one, never a part."""
    with _opened(folder) as at:
        temporary = f".{file}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o640, dir_fd=at)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content.encode() if isinstance(content, str) else content)
            opened.flush()
            os.fchmod(opened.fileno(), 0o640)
            os.fsync(opened.fileno())
        os.rename(temporary, file, src_dir_fd=at, dst_dir_fd=at)
        os.fsync(at)


def sync(folder: Path) -> None:
    """Let what was made and removed in *folder* outlast a power cut."""
    with _opened(folder) as at:
        os.fsync(at)


def read(folder: Path, file: str) -> str | None:
    """What *file* contains; None if there is no such file, or it is not a plain one.

    What is not UTF-8 in it is read as U+FFFD. One that is too large to be of geats is none either.
    Raises ``OSError`` if the disk fails.
    """
    try:
        descriptor = os.open(
            folder / file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
    except OSError as error:
        if error.errno in NO_PLAIN_FILE:
            return None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as opened:
        held = opened.read(USUAL)  # to make room for the largest takes longer than to read most
        if len(held) == USUAL:
            held += opened.read(LARGEST + 1 - USUAL)
    return held.decode(errors="replace") if len(held) <= LARGEST else None


def rotate(folder: Path, file: str, old: str, most: int) -> None:
    """Empty *file* if it has more than *most* bytes, and keep the last of them in *old*.

    Whoever has it open to append goes on in it. What is no plain file is left as it is.
    """
    try:
        descriptor = os.open(
            folder / file, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
    except OSError:
        return
    with os.fdopen(descriptor, "r+b") as opened:
        seen = os.fstat(opened.fileno())
        if stat.S_ISREG(seen.st_mode) and seen.st_size > most:
            opened.seek(-most, os.SEEK_END)
            write_atomically(folder, old, opened.read(most).decode(errors="replace"))
            opened.truncate(0)


def remove_files(folder: Path, files: Sequence[str]) -> None:
    """Remove those *files* that are there; links are removed, not followed."""
    with _opened(folder) as at:
        for file in set(os.listdir(at)).intersection(files):
            os.unlink(file, dir_fd=at)


def remove_folder(folder: Path, files: Sequence[str], stays: str, inner: str = "") -> None:
    """Remove *folder* with its *files*; if it contains anything else, nothing happens.

    If it contains what *stays*, the folder stays with it. The folder *inner* in it goes too, if it
    contains plain files only.
    """
    strange = strange_files(folder, files, stays, inner)
    if strange:
        raise HostError(strange)
    if inner and os.path.lexists(folder / inner):
        remove_files(folder / inner, os.listdir(folder / inner))
        (folder / inner).rmdir()
    remove_files(folder, files)
    if not os.path.lexists(folder / stays):
        folder.rmdir()


def strange_files(folder: Path, files: Sequence[str], stays: str, inner: str = "") -> str:
    """Which entries of *folder* ``remove_folder`` would refuse; empty if none."""
    with _opened(folder) as at:
        strange = set(os.listdir(at)).difference(files, [stays])
    if inner in strange and _has_plain_files_only(folder / inner):
        strange.remove(inner)
    if not strange:
        return ""
    found = ", ".join(sorted(strange))
    return f"{folder} contains what geats did not make: {found}: move that elsewhere first"


def make_folder(folder: Path, mode: int) -> None:
    """Make *folder*, with that *mode* and owned by root, also if it exists already."""
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    with _opened(folder) as at:
        seen = os.fstat(at)
        if seen.st_uid != os.geteuid():
            os.fchown(at, os.geteuid(), os.getegid())
        if stat.S_IMODE(seen.st_mode) != mode:
            os.fchmod(at, mode)


def _has_plain_files_only(folder: Path) -> bool:
    if folder.is_symlink() or not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        return all(each.is_file(follow_symlinks=False) for each in entries)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
