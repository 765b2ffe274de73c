"""A pool of ZFS datasets: cloned, kept as snapshots and rolled back at once, whatever they hold::

    geats:
      pools:
        default:
          type: zfs
          dataset: tank/geats             # is there; its properties, such as compression, are yours
          reserve: false                  # true: a volume has all of its size from the start

Theory of operation
-------------------
For what is the same for all datasets, see ``zfs_datasets``. The mountpoint of one is ``legacy``:
geats mounts it at MOUNTS/DATASET/VM/VOLUME/rootfs, and nobody else does; whether it is active is
seen in the mount table. ZFS rolls back to the newest snapshot only. To an older one, files are
copied, so that the newer ones stay. A volume whose rollback is under way is not active, and
``activate`` rolls it back again.

Unprivileged VMs need idmapped mounts, which are in OpenZFS 2.2 and later.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from returns.result import Failure, Success

from geats_core.planning.plugin_facts import PoolFacts
from geats_core.reading.checked import Problem
from geats_core.reading.fields import Reader, absolute_path, boolean
from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError, Refused
from geats_host.guest_trees import trees
from geats_host.guest_trees.folders import check_no_mounts, guest_group, host_errors, open_directory
from geats_host.guest_trees.tree_copies import copy
from geats_host.linux.run import run
from geats_host.storage import (
    Offer,
    Pool,
    VolumeId,
    check_clone,
    check_rename,
)
from geats_host.storage import zfs_commands as commands
from geats_host.storage.directory import DirectoryPool
from geats_host.storage.mounted import is_mounted, mounted_points
from geats_host.storage.zfs_commands import FILESYSTEM, NEW
from geats_host.storage.zfs_datasets import Datasets, dataset_name, missing, rolling_back, text

DEFAULT_MOUNTS = "/run/geats/zfs"
CONTROL = ".zfs"  # in the top of each dataset, and mostly hidden


def open_pool(options: Mapping[object, object], below: Pool | None) -> Pool:
    """The pool below ``dataset`` (needed), which must be there; it cannot be on another pool.

    ``reserve`` (false) tells whether a volume has its size from the start. ``mounts`` is where
    volumes are mounted, ``guest_group`` the id of the only group that may pass into a VM's volumes:
    by default the first of root's range in /etc/subgid.
    """
    read = Reader("", options)
    dataset = read.need("dataset", dataset_name, "")
    reserve = read.take("reserve", boolean, False)
    mounts = read.take("mounts", absolute_path, DEFAULT_MOUNTS)
    group = guest_group(read)
    if below is not None:
        read.problems.append(Problem("on", "a zfs pool cannot be on another pool"))
    read.problems += missing(dataset)
    match read.done(dataset):
        case Success(parent):
            points = DirectoryPool(Path(mounts) / parent.replace("/", ":"), group)
            return ZfsPool(parent, points, reserve)
        case Failure(problems):
            raise Refused(*problems)


@dataclass(frozen=True, slots=True)
class ZfsPool:
    """See the module; *points* is a pool of directories, whose roots are mounted on."""

    parent: str
    points: DirectoryPool
    reserve: bool

    @property
    def offers(self) -> Offer:
        """A directory: the dataset, mounted."""
        return Offer.DIRECTORY

    @property
    def facts(self) -> PoolFacts:
        """The space of the dataset above; sizes are limits, and clones share what they contain."""
        size_bytes, free_bytes = self.datasets.room()
        return PoolFacts(
            location=f"{self.parent}/{{vm}}:{{volume}}",
            size_bytes=size_bytes,
            free_bytes=free_bytes,
            snapshots=True,
            clones=True,
            renames=True,
        )

    @property
    def datasets(self) -> Datasets:
        """Those of the volumes."""
        return Datasets(self.parent, FILESYSTEM)

    def observe(self, only: VolumeId | None = None) -> Mapping[VolumeId, VolumeSeen]:
        """Every volume, by one command and one look at the mount table."""
        points = mounted_points()
        return {
            volume: replace(
                seen, active=str(self.path(volume)) in points and not rolling_back(dataset)
            )
            for volume, (dataset, seen) in self.datasets.observe(only).items()
        }

    def path(self, volume: VolumeId) -> Path:
        """The root of the guest's tree: where the dataset is mounted."""
        return self.points.path(volume)

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        """Make the dataset, with its size as a limit; refused if there is a foreign one."""
        if self.datasets.is_free(volume):
            new = VolumeSeen(
                name=volume.volume, pool="", stage=Stage.ALLOCATED, size_bytes=size_bytes
            )
            argv = commands.create(self.datasets.name(volume), text(new), self._limits(size_bytes))
            run(argv)

    def format(self, volume: VolumeId) -> None:
        """It is a filesystem from the start."""
        self.datasets.set_formatted(volume)

    def activate(self, volume: VolumeId) -> None:
        """Mount it, unless it is; first finish a rollback that was interrupted."""
        dataset, seen = self.datasets.need(volume)
        if seen.stage < Stage.FORMATTED:
            raise HostError(f"{self.path(volume)}: is not formatted")
        unfinished = rolling_back(dataset)
        if unfinished:
            self._roll_back(volume, unfinished)
        self._mount(volume)

    def deactivate(self, volume: VolumeId) -> None:
        """Unmount it; refused while it is in use, or anything is mounted in it."""
        point = self.path(volume)
        while is_mounted(point):
            run(["umount", "--", f"{point}"])

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        """Raise the limit, unless it is as high."""
        seen = self.datasets.need(volume)[1]
        if seen.size_bytes is None or seen.size_bytes < size_bytes:
            self.datasets.write(
                volume, replace(seen, size_bytes=size_bytes), self._limits(size_bytes)
            )

    def destroy(self, volume: VolumeId) -> None:
        """Destroy the dataset with its snapshots; refused while it is mounted, or stood upon."""
        if volume in self.datasets.observe(volume):
            check_no_mounts(self.path(volume))
            self.datasets.destroy(volume)
        self.points.destroy(volume)

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        """Keep it as it is, unless there is a snapshot of that name."""
        self.datasets.snapshot(volume, name, taken_s)

    def rollback(self, volume: VolumeId, name: str) -> None:
        """Make it what it was: at once for the newest snapshot, else file by file."""
        self.datasets.check_snapshot_there(volume, name)
        _, seen = self.datasets.need(volume)
        was_active = is_mounted(self.path(volume))
        self.deactivate(volume)
        self.datasets.write(volume, seen, rolling_back=name)
        self._roll_back(volume, name)
        if was_active:
            self._mount(volume)

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        """Delete it, if it exists."""
        self.datasets.delete_snapshot(volume, name)

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        """Put a clone of a template in place of the target, which is destroyed.

        What another VM has is copied file by file: neither depends on the other afterwards.
        """
        check_clone(source, target)
        old, from_ = self.datasets.need(target), self.datasets.need(source)[0]
        if old[0].snapshots:
            raise HostError(f"{self.path(target)}: has snapshots, which a clone would not have")
        was_active = is_mounted(self.path(target))
        self.deactivate(target)
        origin = self.datasets.new_origin(from_, target)
        if source.is_template:
            new, limits = f"{old[0].name}{NEW}", self._limits(old[1].size_bytes)
            run(commands.clone(origin, new, text(old[1]), limits))
            self.datasets.replace_by_new(target, origin)
        else:
            self._copy(source, origin, target)
            run(commands.delete_snapshot(origin))
        if was_active:
            self._mount(target)

    def rename(self, volume: VolumeId, new: VolumeId) -> None:
        """Rename the dataset with its snapshots, while it is not mounted."""
        self.datasets.settle(volume)
        if check_rename(self, volume, new):
            self.deactivate(volume)
            self.points.destroy(volume)
            run(commands.rename(self.datasets.name(volume), self.datasets.name(new)))

    def used_bytes(self, volume: VolumeId) -> int:
        """What ZFS says that the dataset takes, with its snapshots and what is reserved."""
        return self.datasets.used_bytes(volume)

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        """Remember the stage, template and guest of *seen*; the rest is the pool's."""
        self.datasets.mark(volume, seen)

    def set_locked(self, volume: VolumeId, *, locked: bool) -> None:
        """Note it in the property that contains the marks."""
        self.datasets.set_locked(volume, locked=locked)

    def _limits(self, size_bytes: int | None) -> list[str]:
        return commands.limits_of(size_bytes, reserve=self.reserve)

    def _mount(self, volume: VolumeId) -> None:
        point = self.path(volume)
        if not is_mounted(point):
            self.points.allocate(volume, None)
            self.points.format(volume)
            run(commands.mount(self.datasets.name(volume), f"{point}"))

    def _roll_back(self, volume: VolumeId, name: str) -> None:
        """Make it what it was, and last let the marks say so; it is not mounted."""
        dataset, seen = self.datasets.need(volume)
        old = seen.snapshot(name)
        if old is None:
            raise HostError(f"{self.path(volume)}: there is no snapshot {name}")
        if dataset.newest == name:
            run(commands.rollback(dataset.name, name))
        else:
            self._copy(volume, f"{dataset.name}@{name}", volume)
        whole = seen.with_content_of(old)
        self.datasets.write(volume, whole)

    def _copy(self, source: VolumeId, snapshot: str, target: VolumeId) -> None:
        """Copy a snapshot of *source* to *target*, which is not mounted afterwards."""
        was_mounted = is_mounted(self.path(source))
        for volume in (source, target):
            self._mount(volume)
        top = self.path(target)
        kept = snapshot_at(self.path(source), snapshot.partition("@")[2])
        with host_errors(top), open_directory(top) as at, open_directory(kept) as tree:
            for name in os.listdir(at):
                if name != CONTROL:
                    trees.remove(name, at)
            copy(tree, at)
        self.deactivate(target)
        if not was_mounted:
            self.deactivate(source)


def snapshot_at(top: Path, name: str) -> Path:
    """Where a snapshot of what is mounted on *top* shows its files."""
    return top / CONTROL / "snapshot" / name
