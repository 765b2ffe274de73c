"""What pools of disk files share: POOL/VM/VOLUME contains one file and the marks of the volume.

Whatever depends on the format of the file is up to the pool: how one is made, grown, copied, and
has snapshots.
"""

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError
from geats_host.guest_trees.folders import exists
from geats_host.storage import VolumeId, adopted_disks
from geats_host.storage.directory import DirectoryPool
from geats_host.storage.marks import (
    MARKS,
    is_locked,
    note_locked,
    out_of_reach,
    read_marks,
    write_marks,
    write_marks_if_there_is_room,
)
from geats_host.storage.pool_path import existing

DEFAULT_BYTES = 10 * 2**30


@dataclass(frozen=True, slots=True)
class DiskFilePool(ABC):
    """A pool of files; they and their marks are kept as in a pool of directories."""

    DISK: ClassVar[str]  # the name of each file
    FORMAT: ClassVar[str]  # as QEMU calls it

    folders: DirectoryPool
    default_bytes: int

    @abstractmethod
    def make_disk(self, at: int, volume: VolumeId, size_bytes: int) -> None:
        """Make an empty file in the directory *at*."""

    @abstractmethod
    def with_marks(self, at: int, marked: VolumeSeen) -> VolumeSeen:
        """What is seen of a volume that has its file, and these marks."""

    @abstractmethod
    def without_marks(self, at: int, volume: VolumeId) -> VolumeSeen:
        """What is seen of a volume that has its file, and lost its marks: it may be precious."""

    @property
    def shared_root(self) -> Path:
        """The directory of the pool: see ``SharablePool``."""
        return self.folders.root

    def make_root(self) -> None:
        """Make it."""
        self.folders.make_root()

    def identify(self) -> None:
        """Give the pool its identity, unless it has one."""
        self.folders.identify()

    def observe(self, only: VolumeId | None = None) -> Mapping[VolumeId, VolumeSeen]:
        """Every volume; entries that geats would not have made are ignored."""
        found: dict[VolumeId, VolumeSeen] = {}
        for volume, seen in self.folders.observe(only).items():
            if self.folders.is_half_destroyed(volume):
                found[volume] = seen
                continue
            try:
                with self.folders.opened(volume) as at:
                    if exists(MARKS, at) or exists(self.DISK, at):  # else its size is not known yet
                        found[volume] = self.seen_at(at, volume)
            except HostError as error:
                if os.path.lexists(self.own_path(volume).parent):  # else it was destroyed meanwhile
                    found[volume] = out_of_reach(volume, str(error))
        return found

    def path(self, volume: VolumeId) -> Path:
        """The file; by the name that it was found by, if it was adopted."""
        own = self.own_path(volume)
        found = adopted_disks.disk_at(own.parent)
        return found if found is not None and os.path.lexists(own) else own

    def own_path(self, volume: VolumeId) -> Path:
        """The file in the directory of the volume."""
        return self.folders.path(volume).parent / self.DISK

    def cannot_adopt(self, disk: Path, form: str) -> str:
        """Whether it is a file of this format on the filesystem of the pool."""
        if form != self.FORMAT:
            return f"{disk} is in the format {form}, and this pool has {self.FORMAT}"
        try:
            found = disk.lstat()
            there = existing(self.folders.root).stat()
        except OSError as error:
            return f"{disk}: {error.strerror}"
        if not stat.S_ISREG(found.st_mode) or os.path.realpath(disk) != f"{disk}":
            return f"{disk} is not a file by its plain path: a link leads to it, or it is a device"
        if found.st_dev != there.st_dev:
            advice = f"a pool of the type {self.folders.kind} on that one can"
            return f"{disk} is on another filesystem than this pool, and stays there: {advice}"
        return ""

    def adopt_disk(self, volume: VolumeId, disk: Path, seen: VolumeSeen) -> None:
        """Have *disk* as the volume, with the marks of *seen*: see ``adopted_disks``."""
        wrong = self.cannot_adopt(disk, self.FORMAT)
        if wrong:
            raise HostError(wrong)
        self.folders.allocate(volume, seen.size_bytes)
        with self.folders.opened(volume) as at:
            write_marks(at, replace(seen, active=True))
            adopted_disks.link(at, self.DISK, disk)

    def remove(self, volume: VolumeId) -> None:
        """Remove the file, by the name that it was found by too, and all that is beside it."""
        if os.path.lexists(self.own_path(volume).parent):
            with self.folders.opened(volume) as at:
                if exists(self.DISK, at):
                    adopted_disks.remove(at, self.DISK)
        self.folders.destroy(volume)

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        """Make the file; it takes no space yet."""
        self.folders.allocate(volume, size_bytes)
        with self.folders.opened(volume) as at:
            self._make_disk_if_missing(at, volume)

    def format(self, volume: VolumeId) -> None:
        """Only finish what an interrupted ``allocate`` did not: the file needs nothing else."""
        self.folders.finish_destroying(volume)
        with self.folders.opened(volume) as at:
            self._make_disk_if_missing(at, volume)
            seen = self.seen_at(at, volume)
            if seen.stage < Stage.FORMATTED:
                write_marks(at, replace(seen, stage=Stage.FORMATTED))

    def activate(self, volume: VolumeId) -> None:
        """Remember that it is in use; a file needs nothing else."""
        with self.folders.opened(volume) as at:
            seen = self.seen_at(at, volume)
            if seen.stage < Stage.FORMATTED:
                raise HostError(f"{self.path(volume)}: is not formatted")
            write_marks(at, replace(seen, active=True))

    def deactivate(self, volume: VolumeId) -> None:
        """Remember that it is not in use; a volume that does not exist is not in use either."""
        if not os.path.lexists(self.own_path(volume).parent):
            return
        with self.folders.opened(volume) as at:
            seen = self.seen_at(at, volume)
            if seen.active:
                write_marks_if_there_is_room(at, replace(seen, active=False))

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        """Remember the stage, template and guest of *seen*, durably; the rest is the pool's."""
        with self.folders.opened(volume) as at:
            write_marks(at, self.seen_at(at, volume).with_content_of(seen))

    def set_locked(self, volume: VolumeId, *, locked: bool) -> None:
        """Note it in a file next to the volume."""
        with self.folders.opened(volume) as at:
            note_locked(at, locked=locked)

    def seen_at(self, at: int, volume: VolumeId) -> VolumeSeen:
        """What the marks in the directory *at* say, as far as the files agree with them."""
        return replace(self._marked_at(at, volume), locked=is_locked(at))

    def _marked_at(self, at: int, volume: VolumeId) -> VolumeSeen:
        marked = read_marks(at, volume)
        if marked is not None and marked.unreadable:
            return marked
        if not exists(self.DISK, at):
            size_bytes = None if marked is None else marked.size_bytes
            return VolumeSeen(
                name=volume.volume, pool="", stage=Stage.ALLOCATED, size_bytes=size_bytes
            )
        if adopted_disks.is_apart(at, self.DISK):
            where = adopted_disks.disk_at(self.own_path(volume).parent)
            return out_of_reach(volume, f"{where} is not the disk that was adopted any more")
        if marked is None:
            return self.without_marks(at, volume)
        return self.with_marks(at, marked)

    def _make_disk_if_missing(self, at: int, volume: VolumeId) -> None:
        if not exists(self.DISK, at):
            adopted_disks.forget(at)
            size_bytes = self.seen_at(at, volume).size_bytes or self.default_bytes
            self.make_disk(at, volume, size_bytes)
