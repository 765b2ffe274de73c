"""The datasets of ZFS that the volumes of a pool are: filesystems (``zfs``), or devices (``zvol``).

DATASET/VM:VOLUME is a volume. Its marks are a property of it, and those of a snapshot a property of
the snapshot, so that they change with what they tell of. A dataset without them is not of geats,
and is left alone.

A clone is made as DATASET/VM:VOLUME:new and takes the place of the empty dataset by its name. Its
origin is a snapshot that is deleted with the clone; what it stands on is not destroyed as long as
it is there. The marks say that a rollback is under way, until it is done.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from geats_core.reading import file_formats
from geats_core.reading.checked import Problem
from geats_core.reading.fields import matching
from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError
from geats_host.linux.run import run
from geats_host.storage import VolumeId, check_names, check_snapshot
from geats_host.storage import zfs_commands as commands
from geats_host.storage.marks import check_readable, snapshot_of, unreadable, wrong_format
from geats_host.storage.zfs_commands import NEW, Dataset

DATASET = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")

dataset_name = matching(DATASET, "a dataset such as tank/geats")


def missing(dataset: str) -> Iterator[Problem]:
    """What is not on the host."""
    if shutil.which("zfs") is None:
        yield Problem("type", "zfs is not installed (package zfsutils-linux)")
    elif dataset:
        try:
            run(commands.room(dataset))
        except HostError as error:
            yield Problem("dataset", f"{error} (zfs create {dataset} makes it)")


@dataclass(frozen=True, slots=True)
class Datasets:
    """Those below *parent* that are of one kind: ``filesystem`` or ``volume``."""

    parent: str
    kind: str

    def room(self) -> tuple[int, int]:
        """All the space of the dataset above, and what is left of it."""
        return commands.parse_room(run(commands.room(self.parent)))

    def all(self) -> dict[str, Dataset]:
        """Every one, by its name."""
        return commands.parse_list(run(commands.list_all(self.parent, self.kind)), self.parent)

    def name(self, volume: VolumeId) -> str:
        """That of a volume."""
        check_names(volume)
        return commands.name_of(self.parent, volume)

    def observe(
        self, only: VolumeId | None = None
    ) -> Mapping[VolumeId, tuple[Dataset, VolumeSeen]]:
        """Every volume, by one command; what was to take its place counts if it is all there is."""
        found: dict[VolumeId, tuple[Dataset, VolumeSeen]] = {}
        datasets = self.all()
        for name, dataset in datasets.items():
            volume = commands.volume_of(name.removesuffix(NEW))
            is_whole = not name.endswith(NEW) or name.removesuffix(NEW) not in datasets
            seen = parse(dataset, volume) if volume is not None and is_whole else None
            if volume is not None and seen is not None and only in (None, volume):
                found[volume] = dataset, seen
        return found

    def there(self, volume: VolumeId) -> Dataset | None:
        """The dataset that has the name of the volume, whoever made it."""
        self.settle(volume)
        return self.all().get(self.name(volume))

    def need(self, volume: VolumeId) -> tuple[Dataset, VolumeSeen]:
        """That of a volume, and what its marks say; ``HostError`` if it is not there."""
        dataset = self.there(volume)
        seen = None if dataset is None else parse(dataset, volume)
        if dataset is None or seen is None:
            raise HostError(f"{self.name(volume)}: there is no such volume")
        return dataset, seen

    def is_free(self, volume: VolumeId) -> bool:
        """Whether the volume is to be made; ``HostError`` if another has its name."""
        there = self.there(volume)
        if there is not None and parse(there, volume) is None:
            raise HostError(f"{there.name}: exists, and was not made by geats")
        return there is None

    def settle(self, volume: VolumeId) -> None:
        """End what an interruption left of a clone: it takes its place, unless that is taken."""
        name, there = self.name(volume), self.all()
        if f"{name}{NEW}" in there:
            if name in there:
                run(commands.destroy(f"{name}{NEW}"))
            else:
                run(commands.rename(f"{name}{NEW}", name))

    def write(
        self,
        volume: VolumeId,
        seen: VolumeSeen,
        limits: list[str] | None = None,
        rolling_back: str = "",
    ) -> None:
        """Let the marks be those of *seen*, and change limits with them."""
        marks = text(seen, rolling_back=rolling_back)
        run(commands.set_marks(self.name(volume), marks, limits or []))

    def destroy(self, volume: VolumeId) -> None:
        """Destroy it with its snapshots; refused while others stand on it."""
        dataset = self.there(volume)
        if dataset is not None and parse(dataset, volume) is not None:
            self._check_not_stood_upon(dataset)
            run(commands.destroy(dataset.name))

    def set_formatted(self, volume: VolumeId) -> None:
        """Note that it is: what ZFS makes can be used from the start."""
        seen = self.need(volume)[1]
        if seen.stage < Stage.FORMATTED:
            self.write(volume, replace(seen, stage=Stage.FORMATTED))

    def used_bytes(self, volume: VolumeId) -> int:
        """What ZFS says that it takes, with its snapshots and what is reserved."""
        return self.need(volume)[0].used_bytes

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        """Remember the stage, template and guest of *seen*; the rest is the pool's."""
        mine = self.need(volume)[1]
        self.write(volume, mine.with_content_of(seen))

    def set_locked(self, volume: VolumeId, *, locked: bool) -> None:
        """Note it in the property that contains the marks."""
        dataset, seen = self.need(volume)
        self.write(volume, replace(seen, locked=locked), rolling_back=rolling_back(dataset))

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        """Keep it as it is, unless there is a snapshot of that name."""
        check_snapshot(volume, name)
        dataset, seen = self.need(volume)
        if name not in dataset.snapshots:
            run(commands.snapshot(dataset.name, name, text(seen, taken_s=taken_s)))

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        """Delete it, if it exists."""
        check_snapshot(volume, name)
        dataset, _ = self.need(volume)
        if name in dataset.snapshots:
            run(commands.delete_snapshot(f"{dataset.name}@{name}"))

    def check_snapshot_there(self, volume: VolumeId, name: str) -> None:
        """Raise ``HostError`` unless there is a snapshot of that name."""
        check_snapshot(volume, name)
        if self.need(volume)[1].snapshot(name) is None:
            raise HostError(f"{self.name(volume)}: there is no snapshot {name}")

    def new_origin(self, source: Dataset, target: VolumeId) -> str:
        """A snapshot of *source* for a copy that is to become *target*; older ones are deleted."""
        for each in commands.origins_of(source, target):  # what an interruption left
            run(commands.delete_snapshot(each))
        origin = commands.new_origin(source, target)
        run(commands.origin_snapshot(origin))
        return origin

    def replace_by_new(self, volume: VolumeId, origin: str) -> None:
        """Let the clone take the place of the volume; its origin goes with it."""
        name = self.name(volume)
        run(commands.delete_snapshot(origin))
        run(commands.destroy(name))
        run(commands.rename(f"{name}{NEW}", name))

    def _check_not_stood_upon(self, dataset: Dataset) -> None:
        others = sorted(
            each.name for each in self.all().values() if each.origin.startswith(f"{dataset.name}@")
        )
        if others:
            raise HostError(f"{dataset.name}: is in use: {others[0]} is a clone of it")


def text(seen: VolumeSeen, *, taken_s: int | None = None, rolling_back: str = "") -> str:
    """The marks of a volume, or of a snapshot, as the value of a property."""
    check_readable(seen)
    marks: dict[str, object] = {
        file_formats.FORMAT: file_formats.MARKS,
        "stage": seen.stage.name,
        "size_bytes": seen.size_bytes,
        "template": seen.template,
        "guest": seen.guest,
    }
    if seen.active and taken_s is None:
        marks["active"] = True
    if seen.locked and taken_s is None:
        marks["locked"] = True
    if taken_s is not None:
        marks["taken_s"] = taken_s
    if rolling_back:
        marks["rolling_back"] = rolling_back
    return json.dumps(marks)


def _loads(said: str) -> dict[str, object]:
    try:
        raw = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}


def parse(dataset: Dataset, volume: VolumeId | None) -> VolumeSeen | None:
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
            taken = (snapshot_of(name, _loads(said)) for name, said in dataset.snapshots.items())
            return VolumeSeen(
                name=volume.volume,
                pool="",
                stage=Stage[stage],
                size_bytes=size_bytes,
                template=template,
                guest=guest,
                snapshots=tuple(each for each in taken if each is not None),
                active=marks.get("active") is True,
                locked=marks.get("locked") is True,
            )
        case _:
            return None


def rolling_back(dataset: Dataset) -> str:
    """To which snapshot a rollback is under way; empty if none is."""
    name = _loads(dataset.marks).get("rolling_back")
    return name if isinstance(name, str) else ""
