"""The lifecycle machine on the host in memory, and a whole life cut at every call in it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from shutil import copytree, rmtree
from tempfile import mkdtemp
from typing import TypeAlias, get_args

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from geats_core.declared.config import parse_config
from geats_core.planning.actions import (
    Action,
    Adopt,
    AdoptVolume,
    CloneVolume,
    DeleteSnapshot,
    Export,
    Hold,
    MoveVolume,
    NotePlaces,
    Pause,
    Publish,
    RemoveLeftover,
    Rename,
    RenameVolume,
    ReserveVolume,
    RollbackVolume,
    SetDevices,
    SetDns,
    SnapshotVolume,
    Stop,
    TakeOver,
    TakeVolumes,
    UnpackVolume,
    UpgradeRegistry,
)
from geats_core.planning.goal import DataLoss, Goal, PowerOff, Target
from geats_core.planning.then import Then
from geats_core.vm.observation import Observation, Power, VolumeSeen
from geats_core.vm.spec import RootKind
from geats_host.drivers import Driver
from geats_host.drivers.memory import MemoryDriver
from geats_host.host import Host
from geats_host.plugins.opened import Opened
from geats_host.registry.memory import MemoryRegistry
from geats_host.storage import VolumeId
from geats_host.storage.memory import MemoryPool
from geats_host.storage.owners import Us
from geats_host.storage.shared import SharedPool
from tests.faults import Fault, Manner, Moment
from tests.lifecycle_machine import DATA, OF_DISKS, Life, LifecycleMachine, World, config


class MemoryWorld:
    """A host in memory; ``copy`` makes another, on which all is as it is on this one."""

    name = "web"
    driver = "memory"
    root_kind: RootKind | None = None

    def __init__(self, directory: Path) -> None:
        self.directory = directory  # of locks only
        raw = config(directory, self, "memory", directory / "template.tar")
        self.config = parse_config({**raw, "drivers": {self.driver: {"type": "memory"}}}).unwrap()
        self.registry = MemoryRegistry()
        self.vms = MemoryDriver(root_kind=self.root_kind)
        self.pools = {name: MemoryPool(directory / name) for name in self.config.pools}
        self.away: dict[VolumeId, VolumeSeen] = {}

    def copy(self) -> "MemoryWorld":
        other = type(self)(self.directory)
        other.registry.specs |= self.registry.specs
        other.registry.locks |= self.registry.locks
        other.registry.noted |= self.registry.noted
        other.vms.vms |= self.vms.vms
        other.vms.uuids |= self.vms.uuids
        for name, pool in self.pools.items():
            other.pools[name].volumes |= pool.volumes
        other.away |= self.away
        return other

    def open(self) -> Host:
        drivers: Opened[Driver] = Opened.of("driver", {self.driver: self.vms})
        return Host(self.config, self.registry, drivers, Opened.of("pool", self.pools))

    def hang(self) -> None:
        vms = self.vms.vms
        vms[self.name] = replace(vms[self.name], power=Power.STUCK)

    def end(self) -> None:
        vms = self.vms.vms
        vms[self.name] = replace(vms[self.name], power=Power.STOPPED, in_effect=None)

    def take_away(self) -> None:
        self.away |= self.pools["default"].volumes
        self.pools["default"].volumes.clear()

    def bring_back(self) -> None:
        self.pools["default"].volumes |= self.away
        self.away.clear()

    def close(self) -> None:
        pass


class DiskWorld(MemoryWorld):
    """The same, of VMs whose roots are disks."""

    driver = OF_DISKS
    root_kind = RootKind.DISK


@dataclass(frozen=True)
class Folder:
    """Where it is written which host has which VM in a pool."""

    shared_root: Path

    def make_root(self) -> None:
        self.shared_root.mkdir(parents=True, exist_ok=True)


class SharedWorld(MemoryWorld):
    """The same, whose pools other hosts use too; who has the VM is in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.place = Path(mkdtemp(dir=directory))
        self.shared = {
            name: SharedPool(
                each, Folder(self.place / name), Us("a", directory / "owner.json"), self.records
            )
            for name, each in self.pools.items()
        }

    def records(self, vm: str) -> bool:
        return vm in self.registry.specs

    def copy(self) -> "MemoryWorld":
        other = super().copy()
        assert isinstance(other, SharedWorld)
        copytree(self.place, other.place, dirs_exist_ok=True)
        return other

    def open(self) -> Host:
        return replace(super().open(), pools=Opened.of("pool", self.shared))

    def take_away(self) -> None:
        super().take_away()
        self._move("default", "away")

    def bring_back(self) -> None:
        super().bring_back()
        self._move("away", "default")

    def _move(self, old: str, new: str) -> None:
        """All that is written in one of the directories, to the other."""
        if (self.place / old).exists():
            copytree(self.place / old, self.place / new, dirs_exist_ok=True)
            rmtree(self.place / old)

    def close(self) -> None:
        rmtree(self.place)

    def check(self) -> None:
        """What there is of the VM is ours; ``repair`` gives back what it claimed in vain."""
        for name, pool in self.pools.items():
            us = self.shared[name].us.known()
            assert self.shared[name].owner_of(self.name) in ([us] if pool.volumes else [us, None])


@pytest.mark.parametrize(
    ("kind", "lives"), [(MemoryWorld, 100), (DiskWorld, 30), (SharedWorld, 10)]
)
def test_the_host_in_memory_agrees_with_the_model_after_every_action(
    tmp_path: Path, kind: type[MemoryWorld], lives: int
) -> None:
    class MemoryMachine(LifecycleMachine):
        def new_world(self) -> World:
            return kind(tmp_path)

        @invariant()
        def is_ours(self) -> None:
            if isinstance(self.life.world, SharedWorld):
                self.life.world.check()

    some = settings(max_examples=lives, stateful_step_count=30, deadline=None)
    run_state_machine_as_test(MemoryMachine, settings=some)


Move: TypeAlias = Goal | Action | Callable[[Life], None]


def to(target: Target, *, power_off: PowerOff = PowerOff.SHUTDOWN) -> Goal:
    return Goal(name="", target=target, power_off=power_off, data_loss=DataLoss.ALLOWED)


# A whole life with every kind of action in it: what is done, and how the VM is declared then.
STORY: tuple[tuple[Move, str], ...] = (
    (to(Target.DEFINED), "nothing"),
    (to(Target.PROVISIONED), "nothing"),
    (to(Target.RUNNING), "nothing"),
    (to(Target.RUNNING), "dns"),
    (to(Target.RUNNING), "nothing"),
    (to(Target.RUNNING), "memory"),
    (to(Target.RUNNING), "data"),
    (to(Target.RUNNING), "grown"),
    (to(Target.FROZEN), "grown"),
    (to(Target.OFF), "grown"),
    (SnapshotVolume("default", DATA, "monday", 1), "grown"),
    (RollbackVolume("default", DATA, "monday"), "grown"),
    (DeleteSnapshot("default", DATA, "monday"), "grown"),
    (to(Target.LOCKED), "grown"),
    (to(Target.UNLOCKED), "grown"),
    (to(Target.RUNNING), "hostname"),
    (to(Target.REBOOTED, power_off=PowerOff.STOP), "hostname"),
    (to(Target.REBOOTED), "ready"),
    (Life.hang, "hostname"),
    (to(Target.RUNNING), "hostname"),
    (to(Target.REINITIALISED), "hostname"),
    (to(Target.RUNNING), "pool"),
    (to(Target.FROZEN), "pool"),
    (to(Target.RUNNING), "pool"),
    (Hold(), "pool"),
    (to(Target.RUNNING), "pool"),
    (Stop(Then.ON), "pool"),
    (to(Target.OFF), "pool"),
    (to(Target.STOPPED), "grown"),
    (Life.take_away, "grown"),
    (Life.bring_back, "grown"),
    (Life.take_away, "grown"),
    (to(Target.RUNNING), "grown"),
    (to(Target.UNDEFINED), "grown"),
    (to(Target.RUNNING), "template"),
    (to(Target.DEPROVISIONED), "template"),
)


def tell(life: Life, number: int, fault: Fault | None = None) -> None:
    """Lead *life* through one part of the story; where there is a fault, through that as well."""
    move, change = STORY[number]
    if isinstance(move, Goal):
        goal = life.goal(move, change)
        life.reach(goal) if fault is None else life.reach_through(fault, goal)
    elif isinstance(move, Action):
        life.do(move) if fault is None else life.do_through(fault, move)
    else:
        move(life)


def told(
    directory: Path, until: int, kind: type[MemoryWorld] = MemoryWorld
) -> tuple[MemoryWorld, Life]:
    """A life led through the story so far."""
    world = kind(directory)
    life = Life(world)
    for number in range(until):
        tell(life, number)
    return world, life


@pytest.mark.parametrize("kind", [MemoryWorld, DiskWorld, SharedWorld])
def test_the_story_has_every_kind_of_action_and_leaves_nothing(
    tmp_path: Path, kind: type[MemoryWorld]
) -> None:
    world, life = told(tmp_path, len(STORY), kind)
    copying = {ReserveVolume, UnpackVolume, CloneVolume, Export}  # from elsewhere, and to there
    copying |= {TakeOver, TakeVolumes, Publish}
    renaming = {RenameVolume, Rename, MoveVolume}  # which no goal asks for
    adopting = {AdoptVolume, Adopt}  # of what is on a real host
    live = {SetDns} if kind is DiskWorld else {SetDevices}  # of containers, of virtual machines
    assert {*map(type, life.done)} == {*get_args(Action)} - {
        Pause,
        UpgradeRegistry,
        RemoveLeftover,
        NotePlaces,
    } - copying - adopting - renaming - live
    assert life.have == Observation()
    if isinstance(world, SharedWorld):
        assert [pool.owners.all() for pool in world.shared.values()] == [{}, {}]


CLAIMS = [1, len(STORY) - 1]  # where a host begins to have the VM, and has it no more
CUTS = [*((MemoryWorld, at) for at in range(len(STORY))), *((SharedWorld, at) for at in CLAIMS)]


@pytest.mark.parametrize(("kind", "number"), CUTS)
def test_a_life_that_is_cut_at_any_call_is_resumed(
    tmp_path: Path, kind: type[MemoryWorld], number: int
) -> None:
    """Cut before or after every call of registry, driver and pools; see ``Life`` for the rest."""
    world, life = told(tmp_path, number, kind)

    def tell_through(fault: Fault) -> Fault:
        copy = world.copy()
        tell(Life(copy, life.have, away=life.away), number, fault)
        if isinstance(copy, SharedWorld):
            copy.check()
        copy.close()
        return fault

    for at in range(1, tell_through(Fault()).calls + 1):
        for moment, manner in product(Moment, Manner):
            assert tell_through(Fault(at, moment, manner)).calls >= at
