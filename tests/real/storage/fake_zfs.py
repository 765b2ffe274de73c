"""ZFS as far as geats asks for it, on plain directories; a stand-in, since no kernel here has it.

Datasets are directories, snapshots are copies of them, and what is mounted is a bind mount. In that
of a volume there is one file, and a link to it in place of its device. Rules
are those of the manual pages: what is mounted or stood upon is not destroyed; a rollback is to the
newest snapshot; marks of a dataset show on its snapshots too.
"""

import os
import shutil
import threading
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from geats_host.errors import HostError
from geats_host.linux import run as programs

Properties = dict[str, str]
BLOCK_BYTES = 2**14


@dataclass
class FakeSnapshot:
    """One snapshot; ``made`` orders all that is made."""

    made: int
    properties: Properties
    deferred: bool = False


@dataclass
class FakeDataset:
    """One dataset."""

    made: int
    properties: Properties
    origin: str = "-"
    snapshots: dict[str, FakeSnapshot] = field(default_factory=dict)
    is_volume: bool = False


@dataclass
class FakeZfs:
    """All datasets below one, which is there from the start."""

    directory: Path
    parent: str = "tank/geats"
    datasets: dict[str, FakeDataset] = field(default_factory=dict)
    points: dict[str, str] = field(default_factory=dict)
    made: int = 0
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float = 600,
        stdin: str = "",
        accepted: Container[int] = (0,),
    ) -> str:
        """In place of ``run``: answer as zfs does, and let other programs run."""
        match list(argv):
            case ["zfs", command, *rest]:
                handler: Callable[[list[str]], str] = getattr(self, f"_{command}")
                with self.one_at_a_time:
                    return handler(rest)
            case ["mount", "-t", "zfs", "-o", "nodev", "--", dataset, point]:
                self.points[point] = dataset
                argv = ["mount", "--bind", f"{self._place(dataset)}", point]
            case _:
                pass
        return programs.run(argv, timeout_s=timeout_s, stdin=stdin, accepted=accepted)

    def snapshot_at(self, top: Path, name: str) -> Path:
        """In place of ``snapshot_at``."""
        return self._kept(self.points[f"{top}"], name)

    @property
    def dev(self) -> Path:
        """In place of /dev/zvol."""
        return self.directory / "dev"

    def _disk(self, dataset: str) -> Path:
        return self._place(dataset) / "disk"

    def _link(self, dataset: str) -> None:
        device = self.dev / dataset
        device.parent.mkdir(parents=True, exist_ok=True)
        device.symlink_to(self._disk(dataset))

    def _place(self, dataset: str) -> Path:
        return self.directory / dataset.replace("/", "%")

    def _kept(self, dataset: str, snapshot: str) -> Path:
        return self.directory / "snapshots" / f"{dataset}@{snapshot}".replace("/", "%")

    def _content(self, dataset: str) -> list[Path]:
        return [each for each in self._place(dataset).iterdir() if each.name != ".zfs"]

    def _need(self, name: str) -> FakeDataset:
        if name not in self.datasets:
            raise HostError(f"cannot open '{name}': dataset does not exist")
        return self.datasets[name]

    def _next(self) -> int:
        self.made += 1
        return self.made

    def _get(self, words: list[str]) -> str:
        if words[-1] != self.parent:
            raise HostError(f"cannot open '{words[-1]}': dataset does not exist")
        return "1000000\n9000000\n"

    def _list(self, words: list[str]) -> str:
        columns, parent = words[-2].split(","), words[-1]
        is_volume = words[words.index("-t") + 1] == "volume,snapshot"
        rows: list[tuple[int, str, str, Properties]] = [(0, parent, "-", {})]
        for name, each in self.datasets.items():
            size = {"volsize": f"{self._disk(name).stat().st_size}"} if each.is_volume else {}
            if each.is_volume is is_volume:
                rows.append((each.made, name, each.origin, each.properties | size))
            for snapshot, taken in each.snapshots.items():
                inherited = {**each.properties, **taken.properties}
                rows.append((taken.made, f"{name}@{snapshot}", "-", inherited))
        lines = []
        for _, name, origin, properties in sorted(rows, key=lambda row: row[0]):
            own = {"name": name, "used": str(self._used(name)), "origin": origin}
            lines.append("\t".join((properties | own).get(column, "-") for column in columns))
        return "".join(f"{line}\n" for line in lines)

    def _used(self, name: str) -> int:
        dataset = self.datasets.get(name)
        if dataset is None:
            return 0
        below = self._kept(*dataset.origin.split("@")) if dataset.origin != "-" else None
        top = self._place(name)
        own = (file for file in top.rglob("*") if not _same(file, top, below))
        return sum(file.lstat().st_blocks * 512 for file in own)

    def _create(self, words: list[str]) -> str:
        if "-V" not in words:
            return self._make(words[-1], _properties(words[:-1]), "-")
        *options, _, size, name = words
        self._make(name, _properties([each for each in options if each != "-s"]), "-")
        self.datasets[name].is_volume = True
        with self._disk(name).open("wb") as disk:
            disk.truncate(_whole(size))
        self._link(name)
        return ""

    def _clone(self, words: list[str]) -> str:
        *options, origin, name = words
        dataset, _, snapshot = origin.partition("@")
        source = self._kept(dataset, snapshot)
        if snapshot not in self._need(dataset).snapshots:
            raise HostError(f"cannot open '{origin}': dataset does not exist")
        self._make(name, _properties(options), origin)
        _copy(list(source.iterdir()), self._place(name))
        self.datasets[name].is_volume = self.datasets[dataset].is_volume
        if self.datasets[name].is_volume:
            self._link(name)
        return ""

    def _make(self, name: str, properties: Properties, origin: str) -> str:
        if name in self.datasets:
            raise HostError(f"cannot create '{name}': dataset already exists")
        self.datasets[name] = FakeDataset(self._next(), properties, origin)
        self._place(name).mkdir(mode=0o755, parents=True)
        return ""

    def _set(self, words: list[str]) -> str:
        pairs = (word.partition("=") for word in words[:-1])
        changed = {key: value for key, _, value in pairs}
        if size := changed.pop("volsize", ""):
            os.truncate(self._disk(words[-1]), _whole(size))
        self._need(words[-1]).properties.update(changed)
        return ""

    def _snapshot(self, words: list[str]) -> str:
        dataset, _, name = words[-1].partition("@")
        there = self._need(dataset).snapshots
        if name in there:
            raise HostError(f"cannot create snapshot '{words[-1]}': dataset already exists")
        kept = self._kept(dataset, name)
        kept.mkdir(parents=True)
        _copy(self._content(dataset), kept)
        there[name] = FakeSnapshot(self._next(), _properties(words[:-1]))
        return ""

    def _destroy(self, words: list[str]) -> str:
        match words:
            case ["-r", name]:
                self._destroy_dataset(name)
            case ["-d", snapshot]:
                dataset, _, name = snapshot.partition("@")
                self._need(dataset).snapshots[name].deferred = True
            case _:
                raise AssertionError(words)
        self._sweep()
        return ""

    def _destroy_dataset(self, name: str) -> None:
        self._need(name)
        if self._stood_upon(f"{name}@"):
            raise HostError(f"cannot destroy '{name}': filesystem has dependent clones")
        if self._is_mounted(name):
            raise HostError(f"cannot destroy '{name}': dataset is busy")
        (self.dev / name).unlink(missing_ok=True)
        for snapshot in self.datasets.pop(name).snapshots:
            shutil.rmtree(self._kept(name, snapshot))
        shutil.rmtree(self._place(name))

    def _is_mounted(self, name: str) -> bool:
        """In the mount namespace of any process."""
        mounted = f" {self._place(name)} "
        for mountinfo in Path("/proc").glob("[0-9]*/mountinfo"):
            with suppress(OSError):  # it ended meanwhile
                if mounted in mountinfo.read_text():
                    return True
        return False

    def _stood_upon(self, start: str) -> bool:
        return any(each.origin.startswith(start) for each in self.datasets.values())

    def _sweep(self) -> None:
        for name, each in self.datasets.items():
            for snapshot in [key for key, taken in each.snapshots.items() if taken.deferred]:
                if not self._stood_upon(f"{name}@{snapshot}"):
                    del each.snapshots[snapshot]
                    shutil.rmtree(self._kept(name, snapshot))

    def _rename(self, words: list[str]) -> str:
        old, new = words
        if new in self.datasets:
            raise HostError(f"cannot rename '{old}': dataset already exists")
        self._place(old).rename(self._place(new))
        for snapshot in self._need(old).snapshots:
            self._kept(old, snapshot).rename(self._kept(new, snapshot))
        self.datasets[new] = self.datasets.pop(old)
        if self.datasets[new].is_volume:
            (self.dev / old).unlink()
            self._link(new)
        return ""

    def _rollback(self, words: list[str]) -> str:
        dataset, _, name = words[-1].partition("@")
        if list(self._need(dataset).snapshots)[-1] != name:
            raise HostError(f"cannot rollback to '{words[-1]}': more recent snapshots exist")
        for entry in self._content(dataset):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        kept = self._kept(dataset, name)
        _copy(list(kept.iterdir()), self._place(dataset))
        return ""


def _whole(size: str) -> int:
    """A size must be a multiple of ``volblocksize``."""
    assert int(size) % BLOCK_BYTES == 0
    return int(size)


def _properties(options: Sequence[str]) -> Properties:
    pairs = (word.partition("=") for word in options if word != "-o")
    return {key: value for key, _, value in pairs}


def _same(file: Path, top: Path, below: Path | None) -> bool:
    """Whether a clone shares a file with what it stands on."""
    if below is None or not os.path.lexists(below / file.relative_to(top)):
        return False
    there, here = (below / file.relative_to(top)).lstat(), file.lstat()
    return (there.st_size, there.st_mtime_ns) == (here.st_size, here.st_mtime_ns)


def _copy(entries: Sequence[Path], target: Path) -> None:
    if entries:
        programs.run(["cp", "--archive", "--", *map(str, entries), f"{target}/"])
