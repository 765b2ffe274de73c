"""The btrfs pool is cut at every call that changes something, and runs out of space."""

import errno
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path

import pytest

from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError
from geats_host.guest_trees import subvolumes
from geats_host.storage import Pool, VolumeId, btrfs
from tests.real.storage.btrfs_mounts import btrfs_in_a_file, leftovers

VOLUME, SOURCE = VolumeId("web01", "root"), VolumeId("source", "root")
CHANGING: Sequence[tuple[object, str]] = (
    *((os, name) for name in ("mkdir", "rename", "fsync", "symlink", "unlink", "rmdir", "fchmod")),
    (subvolumes, "_call"),
    (btrfs, "exchange"),
)


class Manner(Enum):
    """Of what happens at a call: the process dies before it, or it fails."""

    DIES = auto()
    FAILS = auto()


class Killed(BaseException):
    """The process is dead: no code of geats may catch this."""


@dataclass(slots=True)
class Cut:
    """Strikes at the call number ``at``, from 1; 0 is never, and then ``calls`` are counted."""

    at: int
    manner: Manner = Manner.DIES
    calls: int = 0
    dead: bool = False

    def call(self, real: Callable[..., object], *args: object, **keys: object) -> object:
        if self.dead:
            raise Killed
        self.calls += 1
        if self.calls == self.at and self.manner is Manner.FAILS:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.dead = self.calls == self.at
        if self.dead:
            raise Killed
        return real(*args, **keys)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for module, name in CHANGING:
                patch.setattr(module, name, self._struck(getattr(module, name)))
            yield

    def _struck(self, real: Callable[..., object]) -> Callable[..., object]:
        return lambda *args, **keys: self.call(real, *args, **keys)


@dataclass(frozen=True, slots=True)
class Case:
    """What is there first, what is then done, and what the volume holds in the end."""

    before: Callable[[Pool], None]
    change: Callable[[Pool], None]
    text: str | None
    snapshots: tuple[str, ...] = ()
    stage: Stage = Stage.INSTALLED


def make(pool: Pool, volume: VolumeId = VOLUME) -> None:
    pool.allocate(volume, 2**20)
    pool.format(volume)
    pool.activate(volume)


def prepare(pool: Pool) -> None:
    """A volume with a snapshot "first", changed since; both hold a subvolume of the guest's."""
    make(pool)
    tree = pool.path(VOLUME)
    hold(tree, "one")
    pool.snapshot(VOLUME, "first", 1)
    pool.mark(VOLUME, replace(pool.observe()[VOLUME], stage=Stage.INSTALLED, template="t"))
    hold(tree, "two")


def prepare_two(pool: Pool) -> None:
    prepare(pool)
    make(pool, SOURCE)
    hold(pool.path(SOURCE), "source")


def hold(tree: Path, text: str) -> None:
    if not (tree / "nested").exists():
        top = os.open(tree, os.O_RDONLY)
        subvolumes.create("nested", top)
        os.close(top)
    (tree / "nested/file").write_text(text)


def held(pool: Pool) -> str | None:
    file = pool.path(VOLUME) / "nested/file"
    return file.read_text() if file.exists() else None


def nothing(pool: Pool) -> None:
    pass


def roll_back(pool: Pool) -> None:
    """As a person who asks for it again, and as the next apply, which makes it usable."""
    pool.rollback(VOLUME, "first")
    pool.activate(VOLUME)


def destroy(pool: Pool) -> None:
    pool.deactivate(VOLUME)
    pool.destroy(VOLUME)


CASES = {
    "make": Case(nothing, make, None, stage=Stage.FORMATTED),
    "snapshot": Case(
        prepare, lambda pool: pool.snapshot(VOLUME, "second", 2), "two", ("first", "second")
    ),
    "rollback": Case(prepare, roll_back, "one", ("first",), Stage.FORMATTED),
    "delete": Case(prepare, lambda pool: pool.delete_snapshot(VOLUME, "first"), "two"),
    "clone": Case(prepare_two, lambda pool: pool.clone(SOURCE, VOLUME), "source", ("first",)),
}


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with btrfs_in_a_file(tmp_path_factory.mktemp("btrfs")) as point:
        yield point


def open_at(root: Path) -> Pool:
    return btrfs.open_pool({"path": str(root)}, None)


def calls_of(case: Case, root: Path) -> int:
    case.before(open_at(root))
    with (cut := Cut(0))():
        case.change(open_at(root))
    clear(root)
    return cut.calls


def cuts(case: Case, root: Path) -> Iterator[Cut]:
    count = calls_of(case, root)
    assert count > 3
    return (Cut(at, manner) for at, manner in itertools.product(range(1, count + 1), list(Manner)))


def strike(cut: Cut, case: Case, root: Path) -> None:
    try:
        with cut():
            case.change(open_at(root))
    except (Killed, HostError):
        pass
    assert cut.calls >= cut.at


def clear(root: Path) -> None:
    pool = open_at(root)
    for volume in pool.observe():
        pool.destroy(volume)
    pool.destroy(VOLUME)
    assert leftovers(root) == []
    (root / "geats-pool.json").unlink(missing_ok=True)
    root.rmdir()


def entries(pool: Pool) -> list[list[str]]:
    at = pool.path(VOLUME).parent
    kept = at / "snapshots"
    return [sorted(os.listdir(at)), sorted(os.listdir(kept)) if kept.exists() else []]


@pytest.mark.parametrize("name", CASES)
def test_the_next_attempt_converges_and_nothing_stray_is_left(name: str, mounted: Path) -> None:
    case, root = CASES[name], mounted / name
    for cut in cuts(case, root):
        case.before(open_at(root))
        before = open_at(root).observe().get(VOLUME), held(open_at(root))
        strike(cut, case, root)
        check_state(cut, case, before, open_at(root))
        case.change(open_at(root))
        pool = open_at(root)
        seen = pool.observe()[VOLUME]
        assert held(pool) == case.text, cut
        assert [snapshot.name for snapshot in seen.snapshots] == list(case.snapshots), cut
        assert (seen.stage, seen.active) == (case.stage, True), cut
        folders = ["geats.json", "rootfs", *(["snapshots"] if case.before is not nothing else [])]
        assert entries(pool) == [folders, list(case.snapshots)], cut
        clear(root)


def check_state(
    cut: Cut, case: Case, before: tuple[VolumeSeen | None, str | None], pool: Pool
) -> None:
    """What a cut left is one state or the other; a volume with neither's marks is not active."""
    seen, text = pool.observe().get(VOLUME), held(pool)
    assert text in (before[1], case.text), cut
    if seen is None or before[0] is None:
        assert before[0] is None, cut
        return
    assert len(seen.snapshots) in (len(before[0].snapshots), len(case.snapshots)), cut
    if seen.active:
        assert (seen.stage, text) in ((before[0].stage, before[1]), (case.stage, case.text)), cut


def test_a_rollback_that_was_cut_is_finished_by_the_next_use(mounted: Path) -> None:
    root = mounted / "finished"
    case = replace(CASES["rollback"], change=lambda pool: pool.rollback(VOLUME, "first"))
    unfinished = 0
    for cut in cuts(case, root):
        case.before(open_at(root))
        strike(cut, case, root)
        pool = open_at(root)
        if pool.observe()[VOLUME].active:
            clear(root)
            continue
        unfinished += 1
        pool.activate(VOLUME)
        seen = pool.observe()[VOLUME]
        assert (seen.stage, seen.active, held(pool)) == (Stage.FORMATTED, True, "one"), cut
        assert entries(pool) == [["geats.json", "rootfs", "snapshots"], ["first"]], cut
        clear(root)
    assert unfinished > 5


def test_a_destroy_that_was_cut_is_finished_by_the_next_one(mounted: Path) -> None:
    """In between there is the whole volume, or one that holds nothing."""
    root = mounted / "destroyed"
    case = Case(prepare, destroy, None)
    for cut in cuts(case, root):
        prepare(open_at(root))
        strike(cut, case, root)
        pool = open_at(root)
        seen = pool.observe().get(VOLUME)
        if seen is not None and seen.stage > Stage.ALLOCATED:
            assert held(pool) == "two"
            assert len(seen.snapshots) == 1
        elif seen is not None:
            assert (held(pool), seen.snapshots) == (None, ())
        destroy(pool)
        assert leftovers(root) == [], cut


@contextmanager
def full(at: Path) -> Iterator[Path]:
    """No room for data; then whatever metadata still takes is used up as well."""
    filler = at / "filler"
    filler.mkdir()
    for size, count in ((2**20, 1000), (4096, 2000), (1, 2000)):
        for number in range(count):
            try:
                with (filler / f"{size}-{number}").open("wb", buffering=0) as file:
                    file.write(os.urandom(size))
                    os.fsync(file.fileno())
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                break
    yield filler


def test_a_full_disk_is_told_and_the_next_attempt_goes_on(tmp_path: Path) -> None:
    with btrfs_in_a_file(tmp_path / "small", "128M") as small:
        pool = open_at(small / "pool")
        prepare_two(pool)
        third = VolumeId("third", "root")
        installed: VolumeSeen = pool.observe()[VOLUME]
        changes: Sequence[Callable[[], None]] = (
            lambda: make(pool, third),
            lambda: pool.mark(VOLUME, installed),
            lambda: pool.snapshot(VOLUME, "second", 2),
            lambda: pool.rollback(VOLUME, "first"),
            lambda: pool.activate(VOLUME),
            lambda: pool.clone(SOURCE, VOLUME),
            lambda: pool.grow(VOLUME, 2**30),
        )
        refused = 0
        with full(small) as filler:
            for change in changes:
                try:
                    change()
                except HostError as error:
                    refused += 1
                    assert "No space left on device" in str(error)  # noqa: PT017
                assert held(pool) in ("one", "two", "source")
            destroy(pool)
            assert VOLUME not in pool.observe()
            for file in filler.iterdir():
                file.unlink()
        assert refused > 0
        make(pool, third)
        prepare(pool)
        for change in changes:
            change()
        assert held(pool) == "source"
        pool.destroy(third)
        pool.destroy(SOURCE)
        clear(small / "pool")
