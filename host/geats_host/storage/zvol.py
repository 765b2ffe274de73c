"""A pool of devices of ZFS (zvols), for virtual machines: cloned, kept and rolled back at once::

    geats:
      pools:
        disks:
          type: zvol
          dataset: tank/disks             # is there; its properties, such as compression, are yours
          reserve: false                  # true: a volume has all of its size from the start
          default_size: 10GiB             # of volumes for which none is given

Theory of operation
-------------------
For what is the same for all datasets, see ``zfs_datasets``. A volume is found at
/dev/zvol/DATASET/VM:VOLUME, where udev puts it a moment after ZFS made it. Of what a guest wrote,
the host reads nothing: ``volmode=dev`` lets no kernel look for partitions. That a volume is active
is in its marks.

A new one reads as zeros. ZFS rolls back to the newest snapshot only. To an older one, its content
is copied from a clone of it, DATASET/VM:VOLUME:copy, which is destroyed then, so that the newer
ones stay; so is what another VM has.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from returns.result import Failure, Success

from geats_core.planning.plugin_facts import PoolFacts
from geats_core.reading.checked import Problem
from geats_core.reading.fields import Reader, boolean
from geats_core.reading.sizes import format_size, parse_size
from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError, Refused
from geats_host.guest_trees.folders import host_errors
from geats_host.linux import disks
from geats_host.linux.block_devices import check_unused
from geats_host.linux.run import run
from geats_host.storage import Offer, Pool, VolumeId, check_clone, check_names, check_rename
from geats_host.storage import zfs_commands as commands
from geats_host.storage.zfs_commands import NEW, VOLUME, Dataset
from geats_host.storage.zfs_datasets import Datasets, dataset_name, missing, rolling_back, text

DEV = Path("/dev/zvol")
DEFAULT_BYTES = 10 * 2**30
GRAIN_BYTES = 2**20  # more than any block of ZFS: a size must be whole ones
COPY = ":copy"  # what is copied from, for a moment
APPEARS_S, LOOKS_S = 30.0, 0.05


def open_pool(options: Mapping[object, object], below: Pool | None) -> Pool:
    """The pool below ``dataset`` (needed), which must be there; it cannot be on another pool.

    ``reserve`` (false) tells whether a volume has its size from the start, ``default_size`` (10GiB)
    is that of volumes for which none is given, unpacked templates too.
    """
    read = Reader("", options)
    dataset = read.need("dataset", dataset_name, "")
    reserve = read.take("reserve", boolean, False)
    default_bytes = read.take("default_size", parse_size, DEFAULT_BYTES)
    if below is not None:
        read.problems.append(Problem("on", "a zvol pool cannot be on another pool"))
    read.problems += missing(dataset)
    match read.done(dataset):
        case Success(parent):
            return ZvolPool(Datasets(parent, VOLUME), reserve, default_bytes)
        case Failure(problems):
            raise Refused(*problems)


@dataclass(frozen=True, slots=True)
class ZvolPool:
    """See the module."""

    datasets: Datasets
    reserve: bool
    default_bytes: int

    @property
    def offers(self) -> Offer:
        """A block device."""
        return Offer.BLOCK_DEVICE

    @property
    def facts(self) -> PoolFacts:
        """The space of the dataset above; clones share what they contain."""
        size_bytes, free_bytes = self.datasets.room()
        return PoolFacts(
            location=f"{self.datasets.parent}/{{vm}}:{{volume}}",
            size_bytes=size_bytes,
            free_bytes=free_bytes,
            snapshots=True,
            clones=True,
            renames=True,
            default_bytes=self.default_bytes,
        )

    def observe(self, only: VolumeId | None = None) -> Mapping[VolumeId, VolumeSeen]:
        """Every volume, by one command."""
        return {
            volume: replace(seen, active=self._is_active(volume, dataset, seen))
            for volume, (dataset, seen) in self.datasets.observe(only).items()
        }

    def path(self, volume: VolumeId) -> Path:
        """The device."""
        return DEV / self.datasets.name(volume)

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        """Make the device; refused if its name is taken by another dataset."""
        if self.datasets.is_free(volume):
            name, whole = self.datasets.name(volume), _whole(size_bytes or self.default_bytes)
            new = VolumeSeen(
                name=volume.volume, pool="", stage=Stage.ALLOCATED, size_bytes=size_bytes
            )
            run(commands.create_volume(name, text(new), whole, reserve=self.reserve))

    def format(self, volume: VolumeId) -> None:
        """It reads as zeros from the start."""
        self.datasets.set_formatted(volume)

    def activate(self, volume: VolumeId) -> None:
        """Wait until it is there; first finish a rollback that was interrupted."""
        dataset, seen = self.datasets.need(volume)
        if seen.stage < Stage.FORMATTED:
            raise HostError(f"{self.path(volume)}: is not formatted")
        if unfinished := rolling_back(dataset):
            self._roll_back(volume, unfinished)
            seen = self.datasets.need(volume)[1]
        self._fit(volume)
        self._await(volume)
        if not seen.active:
            self.datasets.write(volume, replace(seen, active=True))

    def deactivate(self, volume: VolumeId) -> None:
        """Note it; refused while it is in use."""
        check_names(volume)
        there = self.datasets.observe(volume).get(volume)
        if there is not None and there[1].active:
            self._check_unused(volume)
            dataset, seen = self.datasets.need(volume)
            unfinished = rolling_back(dataset)
            self.datasets.write(volume, replace(seen, active=False), rolling_back=unfinished)

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        """Make it larger, unless it is as large, also while it is in use."""
        seen = self.datasets.need(volume)[1]
        if seen.size_bytes is None or seen.size_bytes < size_bytes:
            self._fit(volume, size_bytes)
            self.datasets.write(volume, replace(seen, size_bytes=size_bytes))

    def destroy(self, volume: VolumeId) -> None:
        """Destroy it with its snapshots; refused while it is in use, or stood upon."""
        check_names(volume)
        if volume in self.datasets.observe(volume):
            self._check_unused(volume)
            self._forget_copy(volume)
            self.datasets.destroy(volume)

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        """Keep it as it is, unless there is a snapshot of that name."""
        self.datasets.snapshot(volume, name, taken_s)

    def rollback(self, volume: VolumeId, name: str) -> None:
        """Make it what it was: at once for the newest snapshot, else byte by byte."""
        self.datasets.check_snapshot_there(volume, name)
        self._check_unused(volume)
        self.datasets.write(volume, self.datasets.need(volume)[1], rolling_back=name)
        self._roll_back(volume, name)

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        """Delete it, if it exists."""
        self.datasets.delete_snapshot(volume, name)

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        """Put a clone of a template in place of the target, which is destroyed.

        What another VM has is copied: neither depends on the other afterwards.
        """
        check_clone(source, target)
        (old, seen), from_ = self.datasets.need(target), self.datasets.need(source)[0]
        if old.snapshots:
            raise HostError(f"{self.path(target)}: has snapshots, which a clone would not have")
        needed, there = from_.size_bytes or 0, old.size_bytes or 0
        if needed > there:
            sizes = f"{format_size(needed)} do not fit into {format_size(there)}"
            raise HostError(f"{self.path(target)}: {source} is not cloned because {sizes}")
        self._check_unused(target)
        origin = self.datasets.new_origin(from_, target)
        if source.is_template:
            new = f"{old.name}{NEW}"
            run(commands.clone_volume(origin, new, text(seen)))
            if self.reserve or needed < there:
                run(commands.resize_volume(new, there, reserve=self.reserve))
            self.datasets.replace_by_new(target, origin)
        else:
            self._copy(origin, target)
            run(commands.delete_snapshot(origin))

    def rename(self, volume: VolumeId, new: VolumeId) -> None:
        """Rename it with its snapshots, while it is not in use."""
        self.datasets.settle(volume)
        if check_rename(self, volume, new):
            self.deactivate(volume)
            run(commands.rename(self.datasets.name(volume), self.datasets.name(new)))

    def used_bytes(self, volume: VolumeId) -> int:
        """What ZFS says that it takes, with its snapshots and what is reserved."""
        return self.datasets.used_bytes(volume)

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        """Remember the stage, template and guest of *seen*; the rest is the pool's."""
        self.datasets.mark(volume, seen)

    def set_locked(self, volume: VolumeId, *, locked: bool) -> None:
        """Note it in the property that contains the marks."""
        self.datasets.set_locked(volume, locked=locked)

    def _is_active(self, volume: VolumeId, dataset: Dataset, seen: VolumeSeen) -> bool:
        return seen.active and not rolling_back(dataset) and self.path(volume).exists()

    def _check_unused(self, volume: VolumeId) -> None:
        device = self.path(volume)
        if device.exists():
            with host_errors(device):
                check_unused(device)

    def _await(self, volume: VolumeId) -> None:
        _await(self.path(volume), self.datasets.need(volume)[0])

    def _fit(self, volume: VolumeId, size_bytes: int = 0) -> None:
        """Let it be as large as it should be: one that was rolled back may be smaller."""
        dataset, seen = self.datasets.need(volume)
        wanted = _whole(max(size_bytes, seen.size_bytes or 0))
        if (dataset.size_bytes or 0) < wanted:
            run(commands.resize_volume(dataset.name, wanted, reserve=self.reserve))

    def _roll_back(self, volume: VolumeId, name: str) -> None:
        """Make it what it was, and last let the marks say so."""
        dataset, seen = self.datasets.need(volume)
        old = seen.snapshot(name)
        if old is None:
            raise HostError(f"{self.path(volume)}: there is no snapshot {name}")
        if dataset.newest == name:
            run(commands.rollback(dataset.name, name))
            self._fit(volume)
        else:
            self._copy(f"{dataset.name}@{name}", volume)
        self.datasets.write(volume, seen.with_content_of(old))

    def _copy(self, snapshot: str, target: VolumeId) -> None:
        """Copy what a snapshot contains; what is zero takes no space."""
        with self._seen_at(snapshot, target) as source:
            self._await(target)
            disks.write_disk(source, self.path(target))

    @contextmanager
    def _seen_at(self, snapshot: str, target: VolumeId) -> Iterator[Path]:
        """The device of a clone of a snapshot, for a moment."""
        self._forget_copy(target)
        name = f"{self.datasets.name(target)}{COPY}"
        run(commands.clone_volume(snapshot, name))
        _await(DEV / name, self.datasets.all()[name])
        yield DEV / name
        run(commands.destroy(name))

    def _forget_copy(self, target: VolumeId) -> None:
        """Destroy what an interruption left."""
        name = f"{self.datasets.name(target)}{COPY}"
        if name in self.datasets.all():
            run(commands.destroy(name))


def _whole(size_bytes: int) -> int:
    return -(-size_bytes // GRAIN_BYTES) * GRAIN_BYTES


def _await(device: Path, dataset: Dataset) -> None:
    """Wait until udev has made it; what had its name before cannot be opened, or is still there."""
    end = time.monotonic() + APPEARS_S
    while not _is_there(device, dataset.size_bytes):
        if time.monotonic() > end:
            raise HostError(f"{device}: did not appear within {APPEARS_S:g} s: is udev running?")
        time.sleep(LOOKS_S)


def _is_there(device: Path, size_bytes: int | None) -> bool:
    try:
        return disks.size_of(device) == size_bytes
    except HostError:
        return False
