"""Tar archives: whether one is sound, what is in it, and unpacking it over a directory."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from geats_host.errors import HostError
from geats_host.linux.namespaces import writing_only_to
from geats_host.linux.run import run
from geats_host.streams import meters
from geats_host.templates.digests import Identity, identity_of, sha256_of

TIMEOUT_S = 3600
END_OF_ARCHIVE = bytes(1024)

MAGIC = {
    b"\x1f\x8b": "--gzip",
    b"\xfd7zXZ\x00": "--xz",
    b"\x28\xb5\x2f\xfd": "--zstd",
}
USTAR, USTAR_OFFSET = b"ustar", 257

SHORT_WRITE = "Wrote only"  # all that tar says of a disk that fills up within a file

READ = ("tar", "--force-local", "--warning=no-timestamp", "--warning=no-unknown-keyword")
LIST = ("--list", "--verbose", "--numeric-owner", "--quoting-style=c")
LISTED = re.compile(
    r'(.)\S+ \S+ +(\d+)(?:,\d+)? \d+-\d+-\d+ \d+:\d+(?::\S+)? "((?:[^"\\]|\\.)*)".*'
)
ESCAPED = re.compile(rb"\\([0-7]{3}|.)")
ESCAPES = {
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
}
UNPACK = (
    *READ,
    "--extract",
    "--numeric-owner",
    "--same-owner",
    "--preserve-permissions",
    "--xattrs",
    "--xattrs-include=*",
    "--acls",
    "--delay-directory-restore",
    "--anchored",
)
THROUGH_LINKS = "--keep-directory-symlink"  # a folder of the archive may be a link to one by now


class Member(NamedTuple):
    """An entry of an archive: ``kind`` is ls(1)'s letter, ``h`` for a hard link."""

    kind: str
    name: bytes
    size_bytes: int


def problems_of_archive(path: str, sha256: str | None = None) -> tuple[str, ...]:
    """All that is wrong with an archive, which is read whole.

    What was found is remembered for as long as the file is not touched.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        return (f"cannot be read: {error.strerror}: {path!r}",)
    if not stat.S_ISREG(found.st_mode):
        return (f"must be a regular file, got {path!r}",)
    return _problems(path, sha256, identity_of(found))


def problems_of_checksum(path: str, sha256: str | None) -> tuple[str, ...]:
    """What is wrong with the file if its digest is not the wanted one."""
    if sha256 is None:
        return ()
    got = sha256_of(path)
    return () if got == sha256 else (f"must have the sha256 {sha256}, got {got}: {path!r}",)


def members(path: str) -> Iterator[Member]:
    """Every entry of an archive, as tar itself understands it."""
    argv = ["env", "LC_ALL=C", *READ, *(_decompressor(path) or ()), *LIST, f"--file={path}"]
    for line in run(argv, timeout_s=TIMEOUT_S).splitlines():
        listed = LISTED.fullmatch(line)
        if listed is None:
            raise HostError(f"{path}: tar lists an entry that cannot be understood: {line!r}")
        name = ESCAPED.sub(_unescaped, listed[3].encode("ascii", "replace"))
        yield Member(listed[1], name, int(listed[2]))


def text_of_member(path: str, name: str) -> str:
    """The content of the first entry of that name, which the caller knows to be small."""
    argv = [*READ, *(_decompressor(path) or ()), "--extract", "--to-stdout", "--occurrence=1"]
    return run([*argv, f"--file={path}", "--", name], timeout_s=TIMEOUT_S)


def extract_file(path: str, name: str, folder: Path, at_most: int) -> None:
    """Put the first entry of that name, a file of so many bytes at most, into an empty folder."""
    limits = ["prlimit", f"--fsize={at_most}", "--"]
    options = ["--extract", "--occurrence=1", "--no-same-owner", f"--directory={folder}"]
    argv = [*limits, *READ, *(_decompressor(path) or ()), *options, f"--file={path}", "--", name]
    run(argv, timeout_s=TIMEOUT_S, ends_with_us=True)


def unpack(
    archive: str, target: Path, *, below: str = "", options: Sequence[str] = (THROUGH_LINKS,)
) -> None:
    """Unpack an archive over *target*, and write nowhere else; only what is *below* a name of it.

    Device nodes at the top's ``dev`` are left out. Another one is a ``HostError``, as is an entry
    that leads out of *target*, and a full disk; *target* then contains a part of the archive.
    """
    try:
        decompress = _decompressor(archive)
    except OSError as error:
        raise HostError(f"{archive}: {error.strerror}") from None
    argv = [*UNPACK, *options, *(decompress or ()), f"--directory={target}", "--file=-"]
    if below:
        strip = len([part for part in below.split("/") if part])
        argv += [f"--strip-components={strip}", f"--exclude={below}/dev/*", "--", below]
    else:
        argv += ["--exclude=./dev/*", "--exclude=dev/*", "--exclude=/dev/*"]
    unpacking = partial(run, argv, timeout_s=TIMEOUT_S, ends_with_us=True)
    try:
        with _opened(archive) as file, meters.looking(file.tell):
            writing_only_to(target, partial(unpacking, stdin=file))
    except HostError as error:
        full = ": No space left on device" if SHORT_WRITE in str(error) else ""
        raise HostError(f"{archive} cannot be unpacked to {target}: {error}{full}") from None


def _opened(archive: str) -> FileIO:
    try:
        return FileIO(archive)
    except OSError as error:
        raise HostError(f"{archive}: {error.strerror}") from None


@lru_cache(maxsize=64)
def _problems(path: str, sha256: str | None, _: Identity) -> tuple[str, ...]:
    try:
        return (*problems_of_checksum(path, sha256), *_problems_of_content(path))
    except OSError as error:
        return (f"cannot be read: {error.strerror}: {path!r}",)


def _problems_of_content(path: str) -> Iterator[str]:
    decompress = _decompressor(path)
    if decompress is None:
        yield f"must be a tar archive, plain or packed by gzip, xz or zstd, got {path!r}"
        return
    if not decompress and not _has_end(path):
        yield f"is truncated: the end of the archive is missing: {path!r}"
    try:
        run([*READ, *decompress, "--list", f"--file={path}"], timeout_s=TIMEOUT_S)
    except HostError as error:
        yield f"is not a sound archive: {path!r}: {error}"


def _decompressor(path: str) -> tuple[str, ...] | None:
    """tar's option for how the archive is packed, by its first bytes; None if it is none."""
    with open(path, "rb") as file:
        start = file.read(USTAR_OFFSET + len(USTAR))
    for magic, option in MAGIC.items():
        if start.startswith(magic):
            return (option,)
    return () if start.endswith(USTAR) and len(start) > USTAR_OFFSET else None


def _has_end(path: str) -> bool:
    """tar itself takes the end of the file for the end of the archive."""
    with open(path, "rb") as file:
        file.seek(-min(os.fstat(file.fileno()).st_size, len(END_OF_ARCHIVE)), os.SEEK_END)
        return file.read() == END_OF_ARCHIVE


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    return bytes([int(code, 8) & 0xFF]) if code.isdigit() else ESCAPES.get(code, code)
