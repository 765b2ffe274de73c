"""A pool of one block device that is there already, and so of one volume: a partition, a LUN::

    geats:
      pools:
        fast:
          type: filesystem
          fstype: xfs
          on:
            type: blockdevice
            device: /dev/disk/by-id/nvme-eui.0025385b11b2-part3
            wipe: false                   # true: lose what it contains when a volume is made on it
            marks: /var/lib/geats/devices

Name the device by what does not change, as links in /dev/disk/by-id do; where udev knows its serial
number, another that has its name is left alone. A device that is in use, or that contains anything
which wipefs(8) knows, is refused. The marks cannot be on the device, and are kept below ``marks``.
When a volume is destroyed, what geats had formatted is wiped: its signatures and its first MiB. One
that a guest gets as its disk is zeroed when it is made, so that it shows nothing of what was there.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from returns.result import Failure, Success

from geats_core.planning.plugin_facts import PoolFacts
from geats_core.reading.checked import Checked, Problem, problem
from geats_core.reading.fields import Reader, absolute_path, boolean
from geats_core.reading.sizes import format_size
from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError, Refused
from geats_host.guest_trees.folders import exists, host_errors
from geats_host.linux.block_devices import (
    check_there,
    check_unused,
    identity_of,
    is_block_device,
    size_of,
    wipe_device,
)
from geats_host.linux.disks import zero
from geats_host.locks.file_locks import place_locked
from geats_host.storage import Offer, Pool, VolumeId, check_clone, check_names, check_snapshot
from geats_host.storage.directory import DirectoryPool
from geats_host.storage.fstypes import signatures
from geats_host.storage.marks import (
    MARKS,
    is_locked,
    note_locked,
    out_of_reach,
    read_marks,
    replace_file,
    write_marks,
    write_marks_if_there_is_room,
)

DEFAULT_MARKS = "/var/lib/geats/devices"
IDENTITY = "identity"
LONGEST_NAME = 255
WIPING = "wiping"  # the guest, in the marks, of a volume that is being destroyed


def open_pool(options: Mapping[object, object], below: Pool | None) -> Pool:
    """The pool of ``device`` (an absolute path, needed); it cannot be on another pool.

    It need not be there yet. ``wipe`` (false) allows to lose what it contains, ``marks`` is the
    directory for what geats remembers of devices.
    """
    read = Reader("", options)
    device = read.need("device", _device, "/dev/null")
    marks = read.take("marks", absolute_path, DEFAULT_MARKS)
    wipe = read.take("wipe", boolean, False)
    if below is not None:
        read.problems.append(Problem("on", "a block device cannot be on another pool"))
    match read.done(Path(marks) / quote(device, safe="")):
        case Success(path):
            return BlockDevicePool(Path(device), DirectoryPool(path, 0, "blockdevice"), wipe)
        case Failure(problems):
            raise Refused(*problems)


def _device(path: str, raw: object) -> Checked[str]:
    match absolute_path(path, raw):
        case Success(device):
            if len(quote(device, safe="")) > LONGEST_NAME:
                return problem(path, f"must be shorter, got {device!r}")
            if Path(device).exists() and not is_block_device(Path(device)):
                return problem(path, f"must be a block device, got {device!r}")
            return Success(device)
        case failure:
            return failure


@dataclass(frozen=True, slots=True)
class BlockDevicePool:
    """See the module; *folders* is a pool of directories that contain the marks alone."""

    device: Path
    folders: DirectoryPool
    wipe: bool

    @property
    def offers(self) -> Offer:
        """A block device."""
        return Offer.BLOCK_DEVICE

    @property
    def facts(self) -> PoolFacts:
        """One place, as large as the device; nothing keeps a volume from using all of it."""
        there = is_block_device(self.device)
        with host_errors(self.device):
            size_bytes = size_of(self.device) if there else None
        location = os.path.realpath(self.device)
        return PoolFacts(
            location=location,
            size_bytes=size_bytes,
            enforces_size=False,
            identity=self.folders.identity,
            renames=True,
            zeroes=True,
        )

    def identify(self) -> None:
        """Give the pool its identity, unless it has one."""
        self.folders.identify()

    def observe(self, only: VolumeId | None = None) -> Mapping[VolumeId, VolumeSeen]:
        """The volume, if there is one; if the device is gone, it is not in use."""
        found: dict[VolumeId, VolumeSeen] = {}
        there = is_block_device(self.device)
        for volume in self.folders.observe(only):
            try:
                with self.folders.opened(volume) as at:
                    seen, locked = read_marks(at, volume), is_locked(at)
            except HostError as error:
                if os.path.lexists(self.folders.path(volume).parent):  # else it was destroyed
                    found[volume] = out_of_reach(volume, str(error))
                continue
            if seen is not None:
                guest = None if seen.guest == WIPING else seen.guest
                active = seen.active and there
                found[volume] = replace(seen, active=active, guest=guest, locked=locked)
        return found

    def path(self, volume: VolumeId) -> Path:
        """The device, for any volume."""
        check_names(volume)
        return self.device

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        """Claim the device; refused if another volume has it, it is in use, or it contains data."""
        check_names(volume)
        with self._claiming() as owners:
            if volume in owners:
                return
            if owners:
                raise HostError(f"{self.device}: is taken by {owners[0]}, and contains one volume")
            check_there(self.device)
            self._check_size(size_bytes or 0)
            self._check_free(wipe=self.wipe)
            self.folders.allocate(volume, size_bytes)
            with self.folders.opened(volume) as at:
                self._note_identity(at)

    def zero(self, volume: VolumeId) -> None:
        """Overwrite all of the device; refused if it contains anything, unless told to wipe it."""
        with self._marks(volume) as (at, seen):
            if seen.stage < Stage.FORMATTED:
                self._note_identity(at)
                self._check_same(at)
                self._check_free(wipe=self.wipe or seen.guest == WIPING)
                zero(self.device)

    def cannot_adopt(self, disk: Path, form: str) -> str:
        """Whether it is this device, which nothing has yet."""
        if disk != self.device or form != "raw":
            return f"this pool is {self.device}, and the disk is {disk}, {form}"
        if not is_block_device(disk):
            return f"{disk} is not a block device"
        owners = list(self.observe())
        return f"{disk} is taken by {owners[0]}" if owners else ""

    def adopt_disk(self, volume: VolumeId, disk: Path, seen: VolumeSeen) -> None:
        """Claim the device as it is, though it is in use; the marks are those of *seen*."""
        check_names(volume)
        with self._claiming() as owners:
            if owners not in ([], [volume]) or disk != self.device:
                raise HostError(f"{disk}: is not {self.device}, or is taken by {owners}")
            check_there(self.device)
            self.folders.allocate(volume, seen.size_bytes)
            with self.folders.opened(volume) as at:
                self._note_identity(at)
                write_marks(at, replace(seen, active=True))

    def format(self, volume: VolumeId) -> None:
        """The pool on top formats it as it likes; what it holds is wiped only if told to."""
        with self._marks(volume) as (at, seen):
            if seen.stage >= Stage.FORMATTED:
                return
            self._note_identity(at)
            self._check_same(at)
            if self._check_free(wipe=self.wipe or seen.guest == WIPING):
                wipe_device(self.device)
            write_marks(at, replace(seen, stage=Stage.FORMATTED, guest=None))

    def activate(self, volume: VolumeId) -> None:
        """Remember that it is in use; refused if it is mounted already, or is another device."""
        with self._marks(volume) as (at, seen):
            if seen.stage < Stage.FORMATTED:
                raise HostError(f"{self.device}: is not formatted")
            self._check_same(at)
            check_unused(self.device)
            write_marks(at, replace(seen, active=True))

    def deactivate(self, volume: VolumeId) -> None:
        """Remember that it is not in use; a volume that is not there is not in use either."""
        check_names(volume)
        if volume in self.observe(volume):
            with self._marks(volume) as (at, seen):
                if seen.active:
                    write_marks_if_there_is_room(at, replace(seen, active=False))

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        """Remember that more of the device is used; refused if it is not as large."""
        with self._marks(volume) as (at, seen):
            check_there(self.device)
            self._check_size(size_bytes)
            if seen.size_bytes is None or seen.size_bytes < size_bytes:
                write_marks(at, replace(seen, size_bytes=size_bytes))

    def grow_zeroed(self, volume: VolumeId, size_bytes: int) -> None:
        """The same: all of the device was zeroed at first."""
        self.grow(volume, size_bytes)

    def destroy(self, volume: VolumeId) -> None:
        """Wipe what geats had formatted, then forget it; a device that is gone is forgotten."""
        check_names(volume)
        if volume in self.observe(volume) and self.device.exists():
            with self._marks(volume) as (at, seen):
                if seen.stage >= Stage.FORMATTED or seen.guest == WIPING:
                    self._check_same(at)
                    check_unused(self.device)
                    left = replace(seen, stage=Stage.ALLOCATED, active=False, template=None)
                    write_marks(at, replace(left, guest=WIPING))
                    wipe_device(self.device)
        self.folders.destroy(volume)

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        """Refused: see ``facts``."""
        check_snapshot(volume, name)
        raise HostError(f"{self.device}: a block device has no snapshots")

    def rollback(self, volume: VolumeId, name: str) -> None:
        """Refused: there is none."""
        check_snapshot(volume, name)
        raise HostError(f"{self.device}: a block device has no snapshots")

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        """There is none, so there is nothing to do."""
        check_snapshot(volume, name)

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        """Refused: there are no two volumes."""
        check_clone(source, target)
        raise HostError(f"{self.device}: has only one volume, so there is no source for a clone")

    def rename(self, volume: VolumeId, new: VolumeId) -> None:
        """Let the marks be those of *new*; the device stays as it is."""
        with self._claiming():
            self.folders.rename(volume, new)

    def used_bytes(self, volume: VolumeId) -> int:
        """All of the device."""
        with self._marks(volume):
            check_there(self.device)
            return size_of(self.device)

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        """Remember the stage, template and guest of *seen*, durably; the rest is the pool's."""
        with self._marks(volume) as (at, mine):
            marked = mine.with_content_of(seen)
            write_marks(at, marked)

    def set_locked(self, volume: VolumeId, *, locked: bool) -> None:
        """Note it in a file next to the volume."""
        with self.folders.opened(volume) as at:
            note_locked(at, locked=locked)

    @contextmanager
    def _claiming(self) -> Iterator[list[VolumeId]]:
        """Who has the device, while nobody else can claim it."""
        root = self.folders.root
        with host_errors(root):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            with place_locked(root):
                yield list(self.observe())

    @contextmanager
    def _marks(self, volume: VolumeId) -> Iterator[tuple[int, VolumeSeen]]:
        with self.folders.opened(volume) as at:
            seen = read_marks(at, volume) if exists(MARKS, at) else None
            if seen is None:
                raise HostError(f"{self.device}: does not contain {volume}")
            yield at, seen

    def _check_free(self, *, wipe: bool) -> bool:
        """Refuse a device that is in use or contains anything; whether it has to be wiped."""
        check_there(self.device)
        check_unused(self.device)
        held = signatures(self.device)
        if held and not wipe:
            leave = "unless its pool is configured with wipe: true"
            raise HostError(f"{self.device}: contains {', '.join(held)}, and is not used {leave}")
        return bool(held)

    def _check_size(self, size_bytes: int) -> None:
        there = size_of(self.device)
        if size_bytes > there:
            sizes = f"{format_size(there)}, and {format_size(size_bytes)} do not fit"
            raise HostError(f"{self.device}: is of {sizes}")

    def _note_identity(self, at: int) -> None:
        if not exists(IDENTITY, at):
            replace_file(at, IDENTITY, identity_of(self.device))

    def _check_same(self, at: int) -> None:
        """Refuse another device than the one that was claimed: their names can change."""
        check_there(self.device)
        with open(os.open(IDENTITY, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=at)) as file:
            claimed, now = file.read().strip(), identity_of(self.device)
        if claimed and now != claimed:
            raise HostError(f"{self.device}: is now {now or 'unknown'!r}, and was {claimed!r}")
