"""A volume that stays where something else made it: in its directory, a link leads to its tree.

Only root can make such a link, as guests reach no directory of a volume but their own tree. Marks
are written before the link, and a tree is removed under another name of the link: so a volume that
an interruption left half adopted, or half removed, has no tree, and counts as allocated.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from geats_host.errors import HostError
from geats_host.guest_trees.folders import check_no_mounts, check_unused, exists, open_directory
from geats_host.lazy import later

if TYPE_CHECKING:
    from geats_host.guest_trees import subvolumes
else:
    subvolumes = later("geats_host.guest_trees.subvolumes")

LINK = "adopted"
REMOVING = "adopted.removing"
ROOTFS = "rootfs"  # in a directory of the container, which is empty if that has another name now


def tree_at(place: Path) -> Path | None:
    """Where the tree of the volume is whose directory is *place*; None if it is in it."""
    try:
        return Path(os.readlink(place / LINK))
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_there(at: int) -> bool:
    """Whether the volume with the open directory *at* is an adopted tree, and that is there."""
    tree = _target(at, LINK)
    return tree is not None and tree.is_dir() and not tree.is_symlink()


@contextmanager
def opened(at: int) -> Iterator[int]:
    """The adopted tree, open."""
    tree = _target(at, LINK) or Path()
    with open_directory(tree.parent) as parent, open_directory(tree.name, parent) as found:
        yield found


def link(at: int, tree: Path) -> None:
    """Make *tree* that of the volume; refused if it has another."""
    known = _target(at, LINK)
    if known not in (None, tree):
        raise HostError(f"{tree}: the volume is at {known} already")
    if known is None:
        os.symlink(tree, LINK, dir_fd=at)
        os.fsync(at)


def check_not_lost(at: int) -> None:
    """Raise ``HostError`` if there should be an adopted tree, and is none."""
    tree = _target(at, LINK)
    if tree is not None and not is_there(at):
        raise HostError(
            f"{tree}: does not exist, but is the adopted root filesystem: mount it, or deprovision"
        )


def check_removable(at: int) -> None:
    """Raise ``HostError`` if an adopted tree is in use, or anything is mounted in it."""
    tree = _target(at, LINK)
    if tree is not None and is_there(at):
        check_no_mounts(tree)
        check_unused(tree)


def remove(at: int) -> None:
    """Remove the adopted tree, if there is one; and what an interruption left of one."""
    if exists(LINK, at):
        os.rename(LINK, REMOVING, src_dir_fd=at, dst_dir_fd=at)
        os.fsync(at)
    tree = _target(at, REMOVING)
    if tree is None:
        return
    with suppress(FileNotFoundError), open_directory(tree.parent) as parent:
        check_no_mounts(tree)
        subvolumes.remove(tree.name, parent)
        os.fsync(parent)
    if tree.name == ROOTFS:
        with suppress(OSError):  # there is more in it, which is not the volume's
            tree.parent.rmdir()
    os.unlink(REMOVING, dir_fd=at)


def _target(at: int, name: str) -> Path | None:
    try:
        return Path(os.readlink(name, dir_fd=at))
    except FileNotFoundError:
        return None
