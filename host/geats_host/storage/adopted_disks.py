"""A disk file that stays where something else made it: the pool has a second name for it.

The file in the directory of the volume is a hard link to it, so all that a pool does to its own
files, it does to this one; a link beside it leads to the name that it was found by, which the VM
goes on to use. So the pool must be on the filesystem of the file. Where a pool puts another file in
place of the old one, as when it goes back to a snapshot, both names become names of that.
"""

import os
from contextlib import suppress
from pathlib import Path

from geats_host.errors import HostError
from geats_host.guest_trees.folders import exists

LINK, REMOVING = "adopted.disk", "adopted.disk.removing"
NEW = ".geats-new"  # beside the name that it was found by, for a moment


def disk_at(place: Path) -> Path | None:
    """The name by which the disk of the volume was found whose directory is *place*; or None."""
    try:
        return Path(os.readlink(place / LINK))
    except (FileNotFoundError, NotADirectoryError):
        return None


def link(at: int, name: str, disk: Path) -> None:
    """Let *disk* be the file *name* of the volume with the open directory *at*.

    What is cut before the last moment has no disk, and so holds nothing.
    """
    if not exists(name, at):
        forget(at)
        os.symlink(disk, LINK, dir_fd=at)
        os.link(disk, name, dst_dir_fd=at, follow_symlinks=False)
    os.fsync(at)
    if _found_at(at, LINK) != disk or is_apart(at, name):
        raise HostError(f"{disk}: the volume has another disk already")


def forget(at: int) -> None:
    """Forget by which name a disk was found: the volume is to have one of its own."""
    with suppress(FileNotFoundError):
        os.unlink(LINK, dir_fd=at)


def is_apart(at: int, name: str) -> bool:
    """Whether the disk was adopted, and its two names are not names of one file any more."""
    disk = _found_at(at, LINK)
    if disk is None:
        return False
    try:
        there = os.stat(disk, follow_symlinks=False)
    except OSError:
        return True
    return not os.path.samestat(there, os.stat(name, dir_fd=at, follow_symlinks=False))


def follow(at: int, name: str) -> None:
    """Let the name that it was found by be one of the file that has just taken its place."""
    disk = _found_at(at, LINK)
    if disk is not None and is_apart(at, name):
        new = disk.with_name(f"{disk.name}{NEW}")
        with suppress(FileNotFoundError):
            os.unlink(new)
        os.link(name, new, src_dir_fd=at, follow_symlinks=False)
        os.rename(new, disk)


def remove(at: int, name: str) -> None:
    """Remove the name that it was found by, unless that is one of another file by now."""
    if exists(LINK, at):
        if is_apart(at, name):
            forget(at)
            return
        os.rename(LINK, REMOVING, src_dir_fd=at, dst_dir_fd=at)
        os.fsync(at)
    disk = _found_at(at, REMOVING)
    if disk is not None:
        with suppress(FileNotFoundError):
            os.unlink(disk)
        os.unlink(REMOVING, dir_fd=at)


def _found_at(at: int, link_name: str) -> Path | None:
    try:
        return Path(os.readlink(link_name, dir_fd=at))
    except FileNotFoundError:
        return None
