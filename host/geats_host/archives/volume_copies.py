"""The content of a volume, copied to one of another pool of the same host, and compared with it."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from geats_core.planning.offers import Offer
from geats_host.archives.disk_archives import Disk, disk_bytes, raw_disk
from geats_host.archives.vm_archives import Content
from geats_host.archives.volume_archives import Tree, pack, unpack
from geats_host.errors import HostError, trouble
from geats_host.guest_trees.tree_copies import copy
from geats_host.guest_trees.tree_digests import WITH_IDS, digest
from geats_host.guest_trees.trees import bytes_of_files
from geats_host.linux import qemu_img
from geats_host.linux.descriptors import open_directory
from geats_host.linux.disks import chunks, write_disk
from geats_host.linux.mounts import mounts_below
from geats_host.streams import meters
from geats_host.templates.layers import empty

COMPARING = "comparing"  # what is done with bytes that are read only


def copy_volume(source: Content, target: Content) -> None:
    """Let *target* contain what *source* does, durably. Raises ``HostError`` if it does not then.

    What it contained before is lost. Nobody else writes to either of them meanwhile.
    """
    match source, target:
        case None, None:
            return
        case Tree() as old, Tree() as new:
            _copy_tree(old, new)
            same = _tree_sum(old, new) == _tree_sum(new, old)
        case Disk() as old, Disk() as new:
            same = _copy_disk(old, new)
        case _:
            raise HostError("the two volumes are of different kinds")
    if not same:
        raise HostError(f"{new.path}: is not the same as {old.path}, of which it was copied")


def _copy_tree(old: Tree, new: Tree) -> None:
    below = mounts_below(old.path, itself=False)
    if below:
        raise HostError(f"{old.path}: is not copied because {below[0]} is mounted")
    if old.shifted_by != new.shifted_by:
        _repack(old, new)
        return
    empty(new.path)
    with _opened(old.path) as from_, _opened(new.path) as to:
        copy(from_, to, meters.counter(bytes_of_files(from_)))


def _repack(old: Tree, new: Tree) -> None:
    """Through an archive, whose ids are those that the guest sees."""
    ours, theirs = os.pipe()
    with open(ours, "rb") as read, ThreadPoolExecutor(1) as writer:
        packed = writer.submit(_packed, old, theirs)
        try:
            unpack(meters.counted(read), None, new, every_file=True)
        finally:
            read.close()  # so that who writes does not wait for it
        packed.result()


def _packed(tree: Tree, pipe: int) -> None:
    with open(pipe, "wb") as out:
        pack(tree, out, every_file=True)


def _tree_sum(tree: Tree, other: Tree) -> str:
    ignored = WITH_IDS if tree.shifted_by != other.shifted_by else frozenset()
    with _opened(tree.path) as opened:
        moved = meters.counter(bytes_of_files(opened, by_name=True), COMPARING)
        return digest(opened, tree.shifted_by, ignored, moved)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        with open_directory(path) as descriptor:
            yield descriptor
    except OSError as error:
        raise trouble(error, path) from None


def _copy_disk(old: Disk, new: Disk) -> bool:
    """Copy it; whether the new one begins with all of the old one then."""
    size_bytes = disk_bytes(old)
    if disk_bytes(new) < size_bytes:
        raise HostError(f"{new.path}: has less than the {size_bytes} bytes of {old.path}")
    with raw_disk(old) as raw:
        if new.offers is Offer.QCOW2:
            with meters.looking(partial(qemu_img.space_bytes, new.path), qemu_img.space_bytes(raw)):
                qemu_img.fill(raw, new.path, is_new=False)
        else:
            write_disk(raw, new.path, meters.counter(size_bytes))
        with raw_disk(new) as copied:
            return _disk_sum(raw, size_bytes) == _disk_sum(copied, size_bytes)


def _disk_sum(raw: Path, size_bytes: int) -> str:
    sum_, left, moved = hashlib.sha256(), size_bytes, meters.counter(size_bytes, COMPARING)
    for chunk in chunks(raw):
        part = chunk[:left]
        sum_.update(part)
        moved(len(part))
        left -= len(part)
        if not left:
            break
    return sum_.hexdigest()
