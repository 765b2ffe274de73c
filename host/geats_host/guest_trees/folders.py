"""Directories below a pool, by name in an open one, and never through a symbolic link."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geats_core.reading.fields import Reader, positive_int
from geats_host.errors import HostError
from geats_host.linux.mounts import command_of, mounts_below, other_places_of
from geats_host.linux.private_directories import TRAVERSE as TRAVERSE
from geats_host.linux.subordinate_ids import subordinate_ids

GUEST_ONLY = 0o710  # the same for the guests' group only: programs in a guest may be setuid root
REAL_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def guest_group(read: Reader) -> int:
    """The option of that name: the only group that may pass into a VM's volumes.

    By default that of root in unprivileged guests, the first of root's range in /etc/subgid.
    """
    ids = subordinate_ids()
    return read.take("guest_group", positive_int, ids[0] if ids else 0)


def check_no_mounts(place: Path) -> None:
    """Raise ``HostError`` if anything is mounted on *place* or below it."""
    found = mounts_below(place, itself=True)
    if found:
        raise HostError(f"{place}: is not emptied because {found[0]} is mounted")


def check_unused(tree: Path, itself: str = "") -> None:
    """Raise ``HostError`` if *tree* is mounted besides *itself*, as by a container that runs."""
    for process, point in other_places_of(tree):
        if point != itself:
            where = f"is mounted on {point} where {command_of(process)} sees it"
            raise HostError(f"{tree}: is in use: it {where}")


def make_directory(name: str, parent: int, *, mode: int = TRAVERSE) -> None:
    """Make it, durably and with that mode whatever the umask, unless there is one."""
    try:
        os.mkdir(name, mode, dir_fd=parent)
    except FileExistsError:
        check_directory(name, parent)
        return
    with open_directory(name, parent) as made:
        os.fchmod(made, mode)
    os.fsync(parent)


def check_directory(name: str, parent: int) -> None:
    """Raise ``OSError`` unless it is a real directory."""
    with open_directory(name, parent):
        pass


def is_directory(name: str, parent: int) -> bool:
    """Whether it is there, and a real directory."""
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def exists(name: str, parent: int) -> bool:
    """Whether there is anything of that name, a link that leads nowhere as well."""
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def open_directory(name: str | Path, parent: int | None = None) -> Iterator[int]:
    """A directory, for as long as it is needed; a symbolic link is none, except in POOL's path."""
    flags = REAL_DIRECTORY if parent is not None else REAL_DIRECTORY & ~os.O_NOFOLLOW
    descriptor = os.open(name, flags, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def host_errors(place: Path) -> Iterator[None]:
    """Every ``OSError`` as a ``HostError`` about *place*."""
    try:
        yield
    except NotADirectoryError:
        raise HostError(f"{place}: is not made of real directories (a symbolic link?)") from None
    except OSError as error:
        name = "" if error.filename is None else f" ({error.filename})"
        raise HostError(f"{place}: {error.strerror}{name}") from None
