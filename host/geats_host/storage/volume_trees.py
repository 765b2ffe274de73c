"""What the directory of one volume contains: the guest's tree, and what that makes of the marks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.guest_trees.folders import check_directory, is_directory, open_directory
from geats_host.storage import VolumeId, adopted
from geats_host.storage.marks import is_locked, read_marks

ROOTFS = "rootfs"


def seen_at(at: int, volume: VolumeId) -> VolumeSeen:
    """What the marks say, as far as what is on disk bears them out."""
    return replace(_seen_at(at, volume), locked=is_locked(at))


def _seen_at(at: int, volume: VolumeId) -> VolumeSeen:
    marked = read_marks(at, volume)
    if marked is not None and marked.unreadable:
        return marked
    if not has_tree(at):
        size_bytes = None if marked is None else marked.size_bytes
        return new_volume(volume, Stage.ALLOCATED, size_bytes)
    if marked is None:
        return new_volume(volume, _least_certain_stage(at))
    return replace(marked, stage=max(marked.stage, Stage.FORMATTED))


def has_tree(at: int) -> bool:
    """Whether the root of the guest's tree is there, in the volume's directory or elsewhere."""
    return is_directory(ROOTFS, at) or adopted.is_there(at)


def check_tree(at: int) -> None:
    """Raise ``OSError`` unless it is there."""
    if not adopted.is_there(at):
        check_directory(ROOTFS, at)


@contextmanager
def opened_tree(at: int) -> Iterator[int]:
    """The root of the guest's tree, open."""
    if adopted.is_there(at):
        with adopted.opened(at) as tree:
            yield tree
    else:
        with open_directory(ROOTFS, at) as rootfs:
            yield rootfs


def _least_certain_stage(at: int) -> Stage:
    """The stage of a volume whose marks are lost.

    One that contains files counts as installed, from no template that has a name. As FILLING it
    would be emptied for the next install; so it is replaced only by whoever allows the loss of its
    data.
    """
    if not is_directory(ROOTFS, at):
        return Stage.INSTALLED  # it was adopted
    with open_directory(ROOTFS, at) as rootfs, os.scandir(rootfs) as entries:
        return Stage.FORMATTED if next(entries, None) is None else Stage.INSTALLED


def new_volume(volume: VolumeId, stage: Stage, size_bytes: int | None = None) -> VolumeSeen:
    """One of which no more is known."""
    return VolumeSeen(name=volume.volume, pool="", stage=stage, size_bytes=size_bytes)
