"""What ``zfs`` asks of zfs(8), and how it reads the answers: pure functions.

Everything of a volume is read and written at once: its marks are one property of the user's, so
that a command changes all of them or none. Facts are from OpenZFS's manual pages zfs-list(8),
zfs-create(8), zfs-clone(8), zfs-destroy(8), and zfsprops(7).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from geats_host.storage import VolumeId

MARKS, TAKEN = "geats:volume", "geats:snapshot"
SEPARATOR = ":"  # between VM and volume: in neither of their names
NEW = ":new"  # what takes the place of a dataset
UNSET = "-"
COLUMNS = ("name", "used", "origin", MARKS, TAKEN, "volsize")
FILESYSTEM, VOLUME = "filesystem", "volume"
NO_PARTITIONS = "volmode=dev"  # those of a guest are none of the host's


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset of a volume: its marks as text, and its snapshots' by their names.

    ``origin`` is the snapshot that it is a clone of, ``origins`` are those of it that have clones,
    and ``newest`` is the newest of all of its snapshots; they are empty if there is none.
    ``size_bytes`` is how large its device is, if it has one.
    """

    name: str
    used_bytes: int
    origin: str
    marks: str
    snapshots: Mapping[str, str] = field(default_factory=dict)
    origins: frozenset[str] = frozenset()
    newest: str = ""
    size_bytes: int | None = None


def name_of(parent: str, volume: VolumeId) -> str:
    """The dataset of *volume*."""
    return f"{parent}/{volume.vm}{SEPARATOR}{volume.volume}"


def volume_of(dataset: str) -> VolumeId | None:
    """The volume that a dataset is of, by its name; None for any other."""
    parts = dataset.rpartition("/")[2].split(SEPARATOR)
    return VolumeId(*parts) if len(parts) == 2 else None


def list_all(parent: str, kind: str) -> list[str]:
    """Every dataset of a kind just below *parent*, with its snapshots, in the order of their
    making."""
    argv = ["zfs", "list", "-H", "-p", "-d", "2", "-t", f"{kind},snapshot", "-s", "createtxg"]
    return [*argv, "-o", ",".join(COLUMNS), parent]


def parse_list(text: str, parent: str) -> dict[str, Dataset]:
    """The datasets just below *parent*, by their names; those without marks of ours have none.

    A snapshot shows the marks of its dataset too, as it inherits them; what it was taken as is in
    a property of its own.
    """
    rows = [line.split("\t") for line in text.splitlines()]
    found: dict[str, Dataset] = {}
    for name, used, origin, marks, _, size in rows:
        if "@" not in name and name.rpartition("/")[0] == parent:
            size_bytes = int(size) if _set(size) else None
            whole = Dataset(name, int(used), _set(origin), _set(marks), size_bytes=size_bytes)
            found[name] = whole
    for name, _, _, _, taken, _ in rows:
        dataset, _, snapshot_name = name.partition("@")
        if snapshot_name and dataset in found:
            found[dataset] = _with_snapshot(found[dataset], snapshot_name, _set(taken))
    return found


def _set(value: str) -> str:
    return "" if value == UNSET else value


def _with_snapshot(dataset: Dataset, name: str, taken: str) -> Dataset:
    if SEPARATOR in name:
        return replace(dataset, newest=name, origins=dataset.origins | {f"{dataset.name}@{name}"})
    known = {**dataset.snapshots, name: taken} if taken else dataset.snapshots
    return replace(dataset, newest=name, snapshots=known)


def create(dataset: str, marks: str, limits: Sequence[str]) -> list[str]:
    """Make an empty dataset that is mounted by nobody but geats."""
    return ["zfs", "create", *_options(["mountpoint=legacy", *limits, _marks(marks)]), dataset]


def create_volume(dataset: str, marks: str, size_bytes: int, *, reserve: bool) -> list[str]:
    """Make a device that reads as zeros; without *reserve* it takes space for what is written."""
    sparse = [] if reserve else ["-s"]
    properties = _options([NO_PARTITIONS, _marks(marks)])
    return ["zfs", "create", *sparse, *properties, "-V", f"{size_bytes}", dataset]


def clone_volume(origin: str, dataset: str, marks: str = "") -> list[str]:
    """Make a device that shares what *origin* holds, and is as large as that; it is sparse."""
    properties = [NO_PARTITIONS, *([_marks(marks)] if marks else [])]
    return ["zfs", "clone", *_options(properties), origin, dataset]


def resize_volume(dataset: str, size_bytes: int, *, reserve: bool) -> list[str]:
    """Make a device larger, also while it is in use; and reserve all of its space, or none."""
    reserved = ["refreservation=auto"] if reserve else []
    return ["zfs", "set", f"volsize={size_bytes}", *reserved, dataset]


def limits_of(size_bytes: int | None, *, reserve: bool) -> list[str]:
    """The properties that limit the size of a volume; what its snapshots keep does not count."""
    if size_bytes is None:
        return []
    reserved = [f"refreservation={size_bytes}"] if reserve else []
    return [f"refquota={size_bytes}", *reserved]


def set_marks(dataset: str, marks: str, limits: Sequence[str] = ()) -> list[str]:
    """Replace the marks, and change limits, at once."""
    return ["zfs", "set", *limits, _marks(marks), dataset]


def snapshot(dataset: str, name: str, taken: str) -> list[str]:
    """Take a snapshot of the dataset, and note what is to be remembered of it."""
    return ["zfs", "snapshot", *_options([f"{TAKEN}={taken}"]), f"{dataset}@{name}"]


def origin_snapshot(origin: str) -> list[str]:
    """Take a snapshot of a dataset, for a clone of it."""
    return ["zfs", "snapshot", origin]


def origins_of(dataset: Dataset, target: VolumeId) -> list[str]:
    """The snapshots of *dataset* that were made for clones that become the volume *target*."""
    start = f"{dataset.name}@{target.vm}{SEPARATOR}{target.volume}{SEPARATOR}"
    return sorted(each for each in dataset.origins if each.startswith(start))


def new_origin(dataset: Dataset, target: VolumeId) -> str:
    """A name for another one."""
    names = (
        SEPARATOR.join([f"{dataset.name}@{target.vm}", target.volume, str(number)])
        for number in count()
    )
    return next(name for name in names if name not in dataset.origins)


def clone(origin: str, dataset: str, marks: str, limits: Sequence[str]) -> list[str]:
    """Make a dataset that shares what *origin* holds."""
    properties = ["mountpoint=legacy", *limits, _marks(marks)]
    return ["zfs", "clone", *_options(properties), origin, dataset]


def destroy(dataset: str) -> list[str]:
    """Destroy it with its snapshots; this fails if it is mounted, or anything depends on it."""
    return ["zfs", "destroy", "-r", dataset]


def delete_snapshot(snapshot_name: str) -> list[str]:
    """Delete a snapshot, now or once it has no clone any more."""
    return ["zfs", "destroy", "-d", snapshot_name]


def rename(dataset: str, new: str) -> list[str]:
    """Give it another name."""
    return ["zfs", "rename", dataset, new]


def rollback(dataset: str, name: str) -> list[str]:
    """Make it what its newest snapshot contains; this fails if there is a newer one."""
    return ["zfs", "rollback", f"{dataset}@{name}"]


def mount(dataset: str, point: str) -> list[str]:
    """Mount it there."""
    return ["mount", "-t", "zfs", "-o", "nodev", "--", dataset, point]


def room(parent: str) -> list[str]:
    """How much is used below *parent*, and how much more there can be."""
    return ["zfs", "get", "-H", "-p", "-o", "value", "used,available", parent]


def parse_room(text: str) -> tuple[int, int]:
    """All of it, and what is left of it, in bytes."""
    used, available = map(int, text.split())
    return used + available, available


def _marks(text: str) -> str:
    return f"{MARKS}={text}"


def _options(properties: Sequence[str]) -> list[str]:
    return [word for each in properties for word in ("-o", each)]
