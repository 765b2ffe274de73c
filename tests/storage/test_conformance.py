"""Every pool does what the model says, in the order of the model, and each action twice."""

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import assert_never

import pytest
from returns.result import Failure, Success

from geats_core.actions import (
    ActivateVolume,
    AllocateVolume,
    ConfigureGuest,
    DeleteSnapshot,
    DestroyVolume,
    FormatVolume,
    GrowVolume,
    InstallTemplate,
    RollbackVolume,
    SnapshotVolume,
    VolumeAction,
)
from geats_core.guest import fingerprint
from geats_core.model import after, volumes_in_order
from geats_core.observation import Observation, Stage, VolumeSeen
from geats_core.plan import PoolFacts
from geats_core.spec import ROOT, VMSpec, Volume
from geats_host.errors import HostError, Refused
from geats_host.storage import Offer, Pool, VolumeId, directory, memory

Opener = Callable[[Path], Pool]
SPEC = VMSpec(
    name="web01",
    driver="memory",
    template="debian",
    hostname="web01",
    volumes=(Volume(name=ROOT, pool="p", mount="/"),),
)
ROOT_ID = VolumeId("web01", ROOT)
GIB = 2**30

ACTIONS: Sequence[VolumeAction] = (
    AllocateVolume("p", ROOT, GIB),
    FormatVolume("p", ROOT),
    ActivateVolume("p", ROOT),
    InstallTemplate("p", ROOT, "debian"),
    ConfigureGuest("p", ROOT, SPEC),
    GrowVolume("p", ROOT, 2 * GIB),
    AllocateVolume("p", "data", None),
    FormatVolume("p", "data"),
    ActivateVolume("p", "data"),
    GrowVolume("p", "data", GIB),
    DestroyVolume("p", "data"),
    DestroyVolume("p", ROOT),
    AllocateVolume("p", ROOT, None),
)


@dataclass(frozen=True, slots=True)
class Wrapping:
    """The smallest adapter: offers a folder within each volume of the pool below."""

    below: Pool

    @property
    def offers(self) -> Offer:
        return Offer.DIRECTORY

    def observe(self) -> Mapping[VolumeId, VolumeSeen]:
        return self.below.observe()

    def path(self, volume: VolumeId) -> Path:
        return self.below.path(volume) / "inner"

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        self.below.allocate(volume, size_bytes)

    def format(self, volume: VolumeId) -> None:
        self.below.format(volume)
        self.path(volume).mkdir(exist_ok=True)

    def activate(self, volume: VolumeId) -> None:
        self.below.activate(volume)

    def deactivate(self, volume: VolumeId) -> None:
        self.below.deactivate(volume)

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        self.below.grow(volume, size_bytes)

    def destroy(self, volume: VolumeId) -> None:
        self.below.destroy(volume)

    @property
    def facts(self) -> PoolFacts:
        return self.below.facts

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        self.below.snapshot(volume, name, taken_s)

    def rollback(self, volume: VolumeId, name: str) -> None:
        self.below.rollback(volume, name)

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        self.below.delete_snapshot(volume, name)

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        self.below.clone(source, target)

    def used_bytes(self, volume: VolumeId) -> int:
        return self.below.used_bytes(volume)

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        self.below.mark(volume, seen)


def open_directory(path: Path) -> Pool:
    return directory.open_pool({"path": str(path)}, None)


def open_memory(path: Path) -> Pool:
    return memory.open_pool({"path": str(path)}, None)


def open_wrapping(path: Path) -> Pool:
    return Wrapping(open_directory(path))


OPENERS: Mapping[str, Opener] = {
    "directory": open_directory,
    "memory": open_memory,
    "wrapping": open_wrapping,
}


@pytest.fixture(params=OPENERS)
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Pool]:
    """Opens the same pool, each time anew."""
    opener = OPENERS[request.param]
    return lambda: opener(tmp_path / "pool")


def perform(action: VolumeAction, pool: Pool) -> None:
    """What ``apply`` does for *action*, without the files."""
    volume = VolumeId(SPEC.name, action.volume)
    match action:
        case AllocateVolume(_, _, size_bytes):
            pool.allocate(volume, size_bytes)
        case FormatVolume():
            pool.format(volume)
        case ActivateVolume():
            pool.activate(volume)
        case GrowVolume(_, _, size_bytes):
            pool.grow(volume, size_bytes)
        case DestroyVolume():
            pool.deactivate(volume)
            pool.destroy(volume)
        case SnapshotVolume(_, _, snapshot, taken_s):
            pool.snapshot(volume, snapshot, taken_s)
        case RollbackVolume(_, _, snapshot):
            pool.rollback(volume, snapshot)
        case DeleteSnapshot(_, _, snapshot):
            pool.delete_snapshot(volume, snapshot)
        case InstallTemplate(_, _, template):
            seen = pool.observe()[volume]
            pool.mark(volume, replace(seen, stage=Stage.FILLING))
            pool.mark(volume, replace(seen, stage=Stage.INSTALLED, template=template))
        case ConfigureGuest(_, _, spec):
            pool.mark(volume, replace(pool.observe()[volume], guest=fingerprint(spec)))
        case _:
            assert_never(action)


def observed(pool: Pool) -> Observation:
    found = pool.observe()
    assert all(at == VolumeId(SPEC.name, seen.name) for at, seen in found.items())
    volumes = [replace(seen, pool="p") for seen in found.values()]
    return Observation(recorded=SPEC, volumes=volumes_in_order(volumes))


def test_a_pool_agrees_with_the_model_after_every_action(reopen: Callable[[], Pool]) -> None:
    """Also when it is opened anew between any two: what it knows is durable."""
    have = Observation(recorded=SPEC)
    for action in ACTIONS:
        perform(action, reopen())
        expected = after(action, have)
        assert isinstance(expected, Success), expected
        have = expected.unwrap()
        assert observed(reopen()) == have, action


@pytest.mark.parametrize("done", range(len(ACTIONS)))
def test_every_action_may_be_done_twice(reopen: Callable[[], Pool], done: int) -> None:
    """As after a cut, when nobody knows whether the first time was the last step of all."""
    pool = reopen()
    for action in ACTIONS[: done + 1]:
        perform(action, pool)
    once = observed(pool)
    perform(ACTIONS[done], pool)
    assert observed(pool) == once


def test_deactivating_ends_the_use_and_keeps_the_rest(reopen: Callable[[], Pool]) -> None:
    pool = reopen()
    for action in ACTIONS[:5]:
        perform(action, pool)
    before = pool.observe()[ROOT_ID]
    pool.deactivate(ROOT_ID)
    pool.deactivate(ROOT_ID)
    assert before.active
    assert pool.observe() == {ROOT_ID: replace(before, active=False)}


def test_a_volume_never_shrinks(reopen: Callable[[], Pool]) -> None:
    pool = reopen()
    for action in ACTIONS[:3]:
        perform(action, pool)
    pool.grow(ROOT_ID, 1)
    assert pool.observe()[ROOT_ID].size_bytes == GIB


def test_an_unformatted_volume_cannot_be_activated(reopen: Callable[[], Pool]) -> None:
    """The model refuses it too."""
    pool = reopen()
    pool.allocate(ROOT_ID, None)
    assert isinstance(after(ActivateVolume("p", ROOT), observed(pool)), Failure)
    with pytest.raises(HostError):
        pool.activate(ROOT_ID)


def test_destroying_one_volume_keeps_all_others(reopen: Callable[[], Pool]) -> None:
    pool = reopen()
    volumes = [VolumeId(vm, name) for vm, name in itertools.product(("a", "b"), ("root", "data"))]
    for volume in volumes:
        pool.allocate(volume, None)
    pool.destroy(volumes[0])
    assert set(pool.observe()) == set(volumes[1:])


@pytest.mark.parametrize("bad", ["..", ".", "", "a/b", "/etc", "-x", "A", "a\n", "a" * 64])
def test_no_other_name_than_a_plain_one_is_taken(reopen: Callable[[], Pool], bad: str) -> None:
    pool = reopen()
    seen = VolumeSeen(name="x", pool="", stage=Stage.INSTALLED)
    calls: Sequence[Callable[[VolumeId], object]] = (
        pool.path,
        lambda volume: pool.allocate(volume, None),
        pool.format,
        pool.activate,
        pool.deactivate,
        lambda volume: pool.grow(volume, 1),
        pool.destroy,
        lambda volume: pool.mark(volume, seen),
    )
    for call, volume in itertools.product(calls, (VolumeId(bad, "root"), VolumeId("a", bad))):
        with pytest.raises(HostError, match="cannot name"):
            call(volume)


def test_a_volume_that_is_not_there_cannot_be_changed(reopen: Callable[[], Pool]) -> None:
    pool = reopen()
    for change in (pool.format, pool.activate):
        with pytest.raises(HostError):
            change(ROOT_ID)
    assert pool.observe() == {}


@pytest.mark.parametrize("plugin", [directory, memory], ids=lambda plugin: plugin.__name__)
def test_every_wrong_option_is_reported_at_once(plugin: object, tmp_path: Path) -> None:
    below = open_directory(tmp_path / "below")
    opener = directory.open_pool if plugin is directory else memory.open_pool
    with pytest.raises(Refused) as refused:
        opener({"path": "relative", "pth": "x"}, below)
    assert [text.split(":")[0] for text in refused.value.problems] == ["on", "path", "pth"]


def test_snapshots_agree_with_the_model_or_are_refused(reopen: Callable[[], Pool]) -> None:
    snapshots: tuple[VolumeAction, ...] = (
        SnapshotVolume("p", "root", "first", 1),
        ConfigureGuest("p", "root", replace(SPEC, hostname="other")),
        SnapshotVolume("p", "root", "second", 2),
        RollbackVolume("p", "root", "first"),
        DeleteSnapshot("p", "root", "first"),
        DeleteSnapshot("p", "root", "second"),
    )
    have = Observation(recorded=SPEC)
    for action in ACTIONS[:4]:
        perform(action, reopen())
        have = after(action, have).unwrap()
    for action in snapshots:
        if not reopen().facts.snapshots and not isinstance(action, ConfigureGuest | DeleteSnapshot):
            with pytest.raises(HostError, match="has no snapshots"):
                perform(action, reopen())
            continue
        perform(action, reopen())
        perform(action, reopen())
        if reopen().facts.snapshots:
            have = after(action, have).unwrap()
            assert observed(reopen()) == have


def test_what_is_not_there_has_no_snapshots(reopen: Callable[[], Pool]) -> None:
    with pytest.raises(HostError):
        reopen().rollback(ROOT_ID, "first")
    assert reopen().observe() == {}


def test_tests_run_as_root() -> None:
    """Nothing here is skipped: the suite mounts, and gives files to other users."""
    assert os.geteuid() == 0
