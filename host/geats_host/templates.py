"""Templates: whether the archives are sound, and unpacking them so that nothing else is written."""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from geats_core.checked import Problem
from geats_core.config import Template
from geats_host.errors import HostError, Refused
from geats_host.guest_files import is_guest_file, write_guest_files
from geats_host.mounts import mounts_below, sync_filesystem, writing_only_to
from geats_host.run import run

TIMEOUT_S = 3600
MACHINE_ID = "etc/machine-id"  # names one machine, so a copy starts without: machine-id(5)
END_OF_ARCHIVE = bytes(1024)

MAGIC = {
    b"\x1f\x8b": "--gzip",
    b"\xfd7zXZ\x00": "--xz",
    b"\x28\xb5\x2f\xfd": "--zstd",
}
USTAR, USTAR_OFFSET = b"ustar", 257

SHORT_WRITE = "Wrote only"  # all that tar says of a disk that fills up within a file

# What unpacks for a process that is killed must not go on beside the next one that unpacks there.
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
READ = ("tar", "--force-local", "--warning=no-timestamp", "--warning=no-unknown-keyword")
UNPACK = (
    *ENDS_WITH_US,
    *READ,
    "--extract",
    "--numeric-owner",
    "--same-owner",
    "--preserve-permissions",
    "--xattrs",
    "--xattrs-include=*",
    "--acls",
    "--delay-directory-restore",
    "--keep-directory-symlink",
    "--anchored",
    "--exclude=./dev/*",
    "--exclude=dev/*",
    "--exclude=/dev/*",
)


def verify(template: Template) -> None:
    """Raise ``Refused`` with all that is wrong with the archives of *template*; reads them whole.

    What was found is remembered for as long as a file is not touched.
    """
    problems = [
        Problem(f"templates.{template.name}.{key}", message)
        for key, path, sha256 in (
            ("path", template.path, template.sha256),
            ("overlay", template.overlay, template.overlay_sha256),
        )
        if path is not None
        for message in _problems(path, sha256)
    ]
    if problems:
        raise Refused(*problems)


def install(template: Template, target: Path) -> None:
    """Replace all that is in the directory *target* by what *template* holds, durably.

    The overlay is unpacked over the tarball, through links to directories as long as they stay in
    *target*. Anything else, a device node outside ``/dev`` too, is a ``HostError``, as is a full
    disk; *target* then holds a part of it. Device nodes in ``/dev`` are left to the driver.
    """
    with _host_errors(target):
        _empty(target)
    archives = [template.path] if template.overlay is None else [template.path, template.overlay]
    for archive in archives:
        _unpack(archive, target)
    with _host_errors(target):
        _finish(target)


def _problems(path: str, sha256: str | None) -> tuple[str, ...]:
    try:
        found = os.stat(path)
    except OSError as error:
        return (f"cannot be read: {error.strerror}: {path!r}",)
    if not stat.S_ISREG(found.st_mode):
        return (f"must be a regular file, got {path!r}",)
    identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return _problems_of_file(path, sha256, identity)


@lru_cache(maxsize=64)
def _problems_of_file(path: str, sha256: str | None, identity: tuple[int, ...]) -> tuple[str, ...]:
    """*identity* changes with the file, so that what is cached is never stale."""
    try:
        return (*_problems_of_checksum(path, sha256), *_problems_of_archive(path))
    except OSError as error:
        return (f"cannot be read: {error.strerror}: {path!r}",)


def _problems_of_checksum(path: str, sha256: str | None) -> Iterator[str]:
    if sha256 is None:
        return
    with open(path, "rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != sha256:
        yield f"must have the sha256 {sha256}, got {got}: {path!r}"


def _problems_of_archive(path: str) -> Iterator[str]:
    decompress = _decompressor(path)
    if decompress is None:
        yield f"must be a tar archive, plain or packed by gzip, xz or zstd, got {path!r}"
        return
    if not decompress and not _has_end(path):
        yield f"is cut short: there is no end of the archive: {path!r}"
    try:
        run([*READ, *decompress, "--list", f"--file={path}"], timeout_s=TIMEOUT_S)
    except HostError as error:
        yield f"is not a sound archive: {path!r}: {error}"


def _decompressor(path: str) -> tuple[str, ...] | None:
    """tar's option for how the archive is packed, by its first bytes; None where it is none."""
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


def _empty(target: Path) -> None:
    below = mounts_below(target, itself=False)
    if below:
        raise HostError(f"{target}: is not emptied, since {below[0]} is mounted")
    with _open_directory(target) as directory:
        with os.scandir(directory) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_directory in found:
            if is_directory:
                shutil.rmtree(name, dir_fd=directory)
            else:
                os.unlink(name, dir_fd=directory)


def _unpack(archive: str, target: Path) -> None:
    try:
        decompress = _decompressor(archive)
    except OSError as error:
        raise HostError(f"{archive}: {error.strerror}") from None
    argv = [*UNPACK, *(decompress or ()), f"--directory={target}", f"--file={archive}"]
    try:
        writing_only_to(target, lambda: run(argv, timeout_s=TIMEOUT_S))
    except HostError as error:
        full = ": No space left on device" if SHORT_WRITE in str(error) else ""
        raise HostError(f"{archive} cannot be unpacked to {target}: {error}{full}") from None


def _finish(target: Path) -> None:
    if is_guest_file(target, MACHINE_ID):
        write_guest_files(target, {MACHINE_ID: ""}, mode=0o444)
    with _open_directory(target) as directory:
        os.fchown(directory, 0, 0)
        os.fchmod(directory, 0o755)  # whatever the archive's own "." says
        sync_filesystem(directory)


@contextmanager
def _open_directory(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _host_errors(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HostError(f"{place}: {error.strerror}") from None
