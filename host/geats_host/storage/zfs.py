"""A pool of ZFS datasets: cloned, kept as snapshots and rolled back at once, whatever they hold::

    geats:
      pools:
        default:
          type: zfs
          dataset: tank/geats             # is there; its properties, such as compression, are yours
          reserve: false                  # true: a volume has all of its size from the start

Theory of operation
-------------------
DATASET/VM:VOLUME is a volume. Its marks are a property of it, and those of a snapshot a property of
the snapshot, so that they change with what they tell of. A dataset without them is not of geats,
and is left alone. Its mountpoint is ``legacy``: geats mounts it at MOUNTS/DATASET/VM/VOLUME/rootfs,
and nobody else does; whether it is active is seen in the mount table.

A clone of a template is made as DATASET/VM:VOLUME:new and takes the place of the empty dataset by
its name. Its origin is a snapshot that is deleted with the clone; a template is not destroyed as
long as there is a clone of it. ZFS rolls back to the newest snapshot only. To an older one, files
are copied, so that the newer ones stay. The marks say that a rollback is under way, until it is
done: such a volume is not active, and ``activate`` rolls it back again.

Unprivileged VMs need idmapped mounts, which are in OpenZFS 2.2 and later.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from returns.result import Failure, Success

from geats_core.planning.plugin_facts import PoolFacts
from geats_core.reading import file_formats
from geats_core.reading.checked import Problem
from geats_core.reading.fields import Reader, absolute_path, boolean, matching
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
    check_names,
    check_rename,
    check_snapshot,
)
from geats_host.storage import zfs_commands as commands
from geats_host.storage.directory import DirectoryPool
from geats_host.storage.marks import check_readable, snapshot_of, unreadable, wrong_format
from geats_host.storage.mounted import is_mounted, mounted_points
from geats_host.storage.zfs_commands import NEW, Dataset

DEFAULT_MOUNTS = "/run/geats/zfs"
DATASET = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
CONTROL = ".zfs"  # in the top of each dataset, and mostly hidden

_dataset = matching(DATASET, "a dataset such as tank/geats")


def open_pool(options: Mapping[object, object], below: Pool | None) -> Pool:
    """The pool below ``dataset`` (needed), which must be there; it cannot be on another pool.

    ``reserve`` (false) tells whether a volume has its size from the start. ``mounts`` is where
    volumes are mounted, ``guest_group`` the id of the only group that may pass into a VM's volumes:
    by default the first of root's range in /etc/subgid.
    """
    read = Reader("", options)
    dataset = read.need("dataset", _dataset, "")
    reserve = read.take("reserve", boolean, False)
    mounts = read.take("mounts", absolute_path, DEFAULT_MOUNTS)
    group = guest_group(read)
    if below is not None:
        read.problems.append(Problem("on", "a zfs pool cannot be on another pool"))
    if shutil.which("zfs") is None:
        read.problems.append(Problem("type", "zfs is not installed (package zfsutils-linux)"))
    elif dataset:
        read.problems += _not_there(dataset)
    match read.done(dataset):
        case Success(parent):
            points = DirectoryPool(Path(mounts) / parent.replace("/", ":"), group)
            return ZfsPool(parent, points, reserve)
        case Failure(problems):
            raise Refused(*problems)


def _not_there(dataset: str) -> list[Problem]:
    try:
        run(commands.room(dataset))
    except HostError as error:
        return [Problem("dataset", f"{error} (zfs create {dataset} makes it)")]
    return []


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
        size_bytes, free_bytes = commands.parse_room(run(commands.room(self.parent)))
        return PoolFacts(
            location=f"{self.parent}/{{vm}}:{{volume}}",
            size_bytes=size_bytes,
            free_bytes=free_bytes,
            snapshots=True,
            clones=True,
            renames=True,
        )

    def observe(self, only: VolumeId | None = None) -> Mapping[VolumeId, VolumeSeen]:
        """Every volume, by one command and one look at the mount table."""
        points = mounted_points()
        found: dict[VolumeId, VolumeSeen] = {}
        datasets = self._datasets()
        for name, dataset in datasets.items():
            volume = commands.volume_of(name.removesuffix(NEW))
            is_whole = not name.endswith(NEW) or name.removesuffix(NEW) not in datasets
            seen = _parse(dataset, volume) if volume is not None and is_whole else None
            if volume is not None and seen is not None and only in (None, volume):
                is_active = str(self.path(volume)) in points and not _rolling_back(dataset)
                found[volume] = replace(seen, active=is_active)
        return found

    def path(self, volume: VolumeId) -> Path:
        """The root of the guest's tree: where the dataset is mounted."""
        return self.points.path(volume)

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        """Make the dataset, with its size as a limit; refused if there is a foreign one."""
        check_names(volume)
        self._settle(volume)
        name = self._name(volume)
        there = self._datasets().get(name)
        if there is None:
            new = VolumeSeen(
                name=volume.volume, pool="", stage=Stage.ALLOCATED, size_bytes=size_bytes
            )
            run(commands.create(name, _text(new), self._limits(size_bytes)))
        elif _parse(there, volume) is None:
            raise HostError(f"{name}: exists, and was not made by geats")

    def format(self, volume: VolumeId) -> None:
        """It is a filesystem from the start."""
        seen = self._need(volume)[1]
        if seen.stage < Stage.FORMATTED:
            self._write(volume, replace(seen, stage=Stage.FORMATTED))

    def activate(self, volume: VolumeId) -> None:
        """Mount it, unless it is; first finish a rollback that was interrupted."""
        dataset, seen = self._need(volume)
        if seen.stage < Stage.FORMATTED:
            raise HostError(f"{self.path(volume)}: is not formatted")
        unfinished = _rolling_back(dataset)
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
        seen = self._need(volume)[1]
        if seen.size_bytes is None or seen.size_bytes < size_bytes:
            self._write(volume, replace(seen, size_bytes=size_bytes), self._limits(size_bytes))

    def destroy(self, volume: VolumeId) -> None:
        """Destroy the dataset with its snapshots; refused while it is mounted, or stood upon."""
        check_names(volume)
        self._settle(volume)
        dataset = self._datasets().get(self._name(volume))
        if dataset is not None and _parse(dataset, volume) is not None:
            check_no_mounts(self.path(volume))
            self._check_not_stood_upon(dataset)
            run(commands.destroy(dataset.name))
        self.points.destroy(volume)

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        """Keep it as it is, unless there is a snapshot of that name."""
        check_snapshot(volume, name)
        dataset, seen = self._need(volume)
        if name not in dataset.snapshots:
            run(commands.snapshot(dataset.name, name, _text(seen, taken_s=taken_s)))

    def rollback(self, volume: VolumeId, name: str) -> None:
        """Make it what it was: at once for the newest snapshot, else file by file."""
        check_snapshot(volume, name)
        _, seen = self._need(volume)
        if seen.snapshot(name) is None:
            raise HostError(f"{self.path(volume)}: there is no snapshot {name}")
        was_active = is_mounted(self.path(volume))
        self.deactivate(volume)
        self._write(volume, seen, rolling_back=name)
        self._roll_back(volume, name)
        if was_active:
            self._mount(volume)

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        """Delete it, if it exists."""
        check_snapshot(volume, name)
        dataset, _ = self._need(volume)
        if name in dataset.snapshots:
            run(commands.delete_snapshot(f"{dataset.name}@{name}"))

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        """Put a clone of a template in place of the target, which is destroyed.

        What another VM has is copied file by file: neither depends on the other afterwards.
        """
        check_clone(source, target)
        old, from_ = self._need(target), self._need(source)[0]
        if old[0].snapshots:
            raise HostError(f"{self.path(target)}: has snapshots, which a clone would not have")
        was_active = is_mounted(self.path(target))
        self.deactivate(target)
        for each in commands.origins_of(from_, target):  # what an interruption left
            run(commands.delete_snapshot(each))
        origin = commands.new_origin(from_, target)
        run(commands.origin_snapshot(origin))
        if source.is_template:
            name, limits = self._name(target), self._limits(old[1].size_bytes)
            run(commands.clone(origin, f"{name}{NEW}", _text(old[1]), limits))
            run(commands.delete_snapshot(origin))  # it goes with the clone
            run(commands.destroy(name))
            run(commands.rename(f"{name}{NEW}", name))
        else:
            self._copy(source, origin, target)
            run(commands.delete_snapshot(origin))
        if was_active:
            self._mount(target)

    def rename(self, volume: VolumeId, new: VolumeId) -> None:
        """Rename the dataset with its snapshots, while it is not mounted."""
        self._settle(volume)
        if check_rename(self, volume, new):
            self.deactivate(volume)
            self.points.destroy(volume)
            run(commands.rename(self._name(volume), self._name(new)))

    def used_bytes(self, volume: VolumeId) -> int:
        """What ZFS says that the dataset takes, with its snapshots and what is reserved."""
        return self._need(volume)[0].used_bytes

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        """Remember the stage, template and guest of *seen*; the rest is the pool's."""
        mine = self._need(volume)[1]
        self._write(volume, mine.with_content_of(seen))

    def set_locked(self, volume: VolumeId, *, locked: bool) -> None:
        """Note it in the property that contains the marks."""
        dataset, seen = self._need(volume)
        self._write(volume, replace(seen, locked=locked), rolling_back=_rolling_back(dataset))

    def _datasets(self) -> dict[str, Dataset]:
        return commands.parse_list(run(commands.list_all(self.parent)), self.parent)

    def _name(self, volume: VolumeId) -> str:
        return commands.name_of(self.parent, volume)

    def _limits(self, size_bytes: int | None) -> list[str]:
        return commands.limits_of(size_bytes, reserve=self.reserve)

    def _need(self, volume: VolumeId) -> tuple[Dataset, VolumeSeen]:
        check_names(volume)
        self._settle(volume)
        dataset = self._datasets().get(self._name(volume))
        seen = None if dataset is None else _parse(dataset, volume)
        if dataset is None or seen is None:
            raise HostError(f"{self.path(volume)}: there is no such volume")
        return dataset, seen

    def _settle(self, volume: VolumeId) -> None:
        """End what an interruption left of a clone: it takes its place, unless that is taken."""
        name, there = self._name(volume), self._datasets()
        if f"{name}{NEW}" in there:
            if name in there:
                run(commands.destroy(f"{name}{NEW}"))
            else:
                run(commands.rename(f"{name}{NEW}", name))

    def _write(
        self,
        volume: VolumeId,
        seen: VolumeSeen,
        limits: list[str] | None = None,
        rolling_back: str = "",
    ) -> None:
        text = _text(seen, rolling_back=rolling_back)
        run(commands.set_marks(self._name(volume), text, limits or []))

    def _mount(self, volume: VolumeId) -> None:
        point = self.path(volume)
        if not is_mounted(point):
            self.points.allocate(volume, None)
            self.points.format(volume)
            run(commands.mount(self._name(volume), f"{point}"))

    def _roll_back(self, volume: VolumeId, name: str) -> None:
        """Make it what it was, and last let the marks say so; it is not mounted."""
        dataset, seen = self._need(volume)
        old = seen.snapshot(name)
        if old is None:
            raise HostError(f"{self.path(volume)}: there is no snapshot {name}")
        if dataset.newest == name:
            run(commands.rollback(dataset.name, name))
        else:
            self._copy(volume, f"{dataset.name}@{name}", volume)
        whole = seen.with_content_of(old)
        self._write(volume, whole)

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

    def _check_not_stood_upon(self, dataset: Dataset) -> None:
        others = sorted(
            each.name
            for each in self._datasets().values()
            if each.origin.startswith(f"{dataset.name}@")
        )
        if others:
            raise HostError(f"{dataset.name}: is in use: {others[0]} is a clone of it")


def snapshot_at(top: Path, name: str) -> Path:
    """Where a snapshot of what is mounted on *top* shows its files."""
    return top / CONTROL / "snapshot" / name


def _text(seen: VolumeSeen, *, taken_s: int | None = None, rolling_back: str = "") -> str:
    """The marks of a volume, or of a snapshot, as the value of a property."""
    check_readable(seen)
    marks: dict[str, object] = {
        file_formats.FORMAT: file_formats.MARKS,
        "stage": seen.stage.name,
        "size_bytes": seen.size_bytes,
        "template": seen.template,
        "guest": seen.guest,
    }
    if seen.locked and taken_s is None:
        marks["locked"] = True
    if taken_s is not None:
        marks["taken_s"] = taken_s
    if rolling_back:
        marks["rolling_back"] = rolling_back
    return json.dumps(marks)


def _loads(text: str) -> dict[str, object]:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}


def _parse(dataset: Dataset, volume: VolumeId | None) -> VolumeSeen | None:
    """What the marks say; None if they are not of geats."""
    marks = _loads(dataset.marks)
    why = wrong_format(marks)
    if why and volume is not None:
        return unreadable(volume, why)
    match marks:
        case {
            "stage": str(stage),
            "size_bytes": int() | None as size_bytes,
            "template": str() | None as template,
            "guest": str() | None as guest,
        } if volume is not None and stage in Stage.__members__:
            taken = (snapshot_of(name, _loads(text)) for name, text in dataset.snapshots.items())
            return VolumeSeen(
                name=volume.volume,
                pool="",
                stage=Stage[stage],
                size_bytes=size_bytes,
                template=template,
                guest=guest,
                snapshots=tuple(each for each in taken if each is not None),
                locked=marks.get("locked") is True,
            )
        case _:
            return None


def _rolling_back(dataset: Dataset) -> str:
    name = _loads(dataset.marks).get("rolling_back")
    return name if isinstance(name, str) else ""
