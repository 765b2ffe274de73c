"""One VM that is led through its life at random, on whatever host a ``World`` gives.

How it is checked
-----------------
``Life`` knows what the VM is by the model alone: it follows each action with ``after``, and then
compares the whole host with it. A plan too is made twice, from the model and from the host. Only
where a fault struck, or the VM itself hung or ended, is the host asked what there is now; and
that must be one of the few states that the model allows (``half_way``).

Nothing may differ: of all that ``Observation`` has, there is no field that a host cannot know.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Protocol

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from returns.result import Failure, Success

from geats_core import plan
from geats_core.hostwide.registry_upgrade import with_places
from geats_core.planning.actions import (
    POWER_OFFS,
    Action,
    ActivateVolume,
    AllocateVolume,
    AwaitReady,
    ConfigureGuest,
    Define,
    DeleteSnapshot,
    DestroyVolume,
    ForgetVolume,
    FormatVolume,
    Freeze,
    GrowVolume,
    Hold,
    InstallTemplate,
    KeepOff,
    Lock,
    NotePlaces,
    Pause,
    Repair,
    RollbackVolume,
    SetDns,
    SetLimits,
    Shutdown,
    SnapshotVolume,
    Start,
    Stop,
    Undefine,
    Unfreeze,
    Unlock,
)
from geats_core.planning.goal import ByHand, DataLoss, Goal, PowerOff, Restart, Target
from geats_core.planning.model import ON, after
from geats_core.planning.steps import Step
from geats_core.planning.then import Then
from geats_core.planning.verbs import VERBS
from geats_core.plans.plan_files import SavedPlan
from geats_core.vm.observation import (
    Observation,
    Power,
    Stage,
    VolumeMissing,
    VolumeSeen,
    volumes_in_order,
)
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import ROOT, VMSpec
from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.engine.on_volumes import FILLING
from geats_host.engine.perform import Performer
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.observing.known_volumes import is_filled
from geats_host.planning.facts import facts_of, places_of
from geats_host.planning.plans import plan_vm
from tests.faults import Fault, Killed, Manner, Moment
from tests.property.space import half_way

DATA, SIZES = "data", (4 << 20, 8 << 20)
REQUESTS = (Target.REBOOTED, Target.REINITIALISED)
LINES = ((), ("lxc.environment = BY=HAND", "# why"))
SNAPSHOTS = ("monday", "tuesday")
TIMEOUT_S = 5
OF_DISKS = "vm"  # the driver of worlds whose roots are disks


def _volumes(*volumes: Mapping[str, object]) -> Mapping[object, object]:
    return {"volumes": [dict(volume) for volume in volumes]}


# What is declared of the VM, besides its name, driver, init and template.
CHANGES: Mapping[str, Mapping[object, object]] = {
    "nothing": {},
    "memory": {"memory": "96MiB"},
    "limits": {"memory": None, "cpus": 1.5, "processes": 100},
    "dns": {"dns": {"search": ["lan"]}},
    "hostname": {"hostname": "other.example.org"},
    "privileged": {"privileged": True},
    "transient": {"transient": True},
    "ready": {"ready": {"command": "true", "timeout": "20s"}},
    "template": {"template": "other"},
    "pool": _volumes({"name": ROOT, "pool": "other"}),
    "data": _volumes({"name": ROOT}, {"name": DATA, "mount": "/data", "size": SIZES[0]}),
    "grown": _volumes({"name": ROOT}, {"name": DATA, "mount": "/data", "size": SIZES[1]}),
}
changes = st.sampled_from(sorted(CHANGES))
goals = st.builds(
    Goal,
    name=st.just(""),
    target=st.sampled_from(Target),
    restart=st.sampled_from(Restart),
    power_off=st.sampled_from(PowerOff),
    data_loss=st.sampled_from(DataLoss),
    by_hand=st.sampled_from(ByHand),
)
faults = st.builds(
    Fault, at=st.integers(1, 24), moment=st.sampled_from(Moment), manner=st.sampled_from(Manner)
)


class World(Protocol):
    """A host of its own, with pools ``default`` and ``other`` and templates of these names."""

    name: str  # of the VM
    driver: str

    def open(self) -> Host:
        """The host, as a new process sees it."""
        ...

    def hang(self) -> None:
        """Make the monitor of the VM, which is on, answer no more."""
        ...

    def end(self) -> None:
        """Make the VM, which is running, end by itself."""
        ...

    def take_away(self) -> None:
        """Let the pool ``default`` be empty, as where its disk is not mounted; the VM is off."""
        ...

    def bring_back(self) -> None:
        """Let the pool hold again what it held."""
        ...

    def close(self) -> None:
        """Remove the host with all that is on it."""
        ...


def config(directory: Path, world: World, pool: str, template: Path) -> dict[str, object]:
    """The configuration of a world's host, but for its drivers and its registry."""
    return {
        "state_dir": str(directory / "state"),
        "run_dir": str(directory / "run"),
        "pools": {
            name: {"type": pool, "path": str(directory / name)} for name in ("default", "other")
        },
        "templates": {name: _source(world, template) for name in ("default", "other")},
        "vms": {world.name: declared(world.driver)},
    }


def _source(world: World, template: Path) -> dict[str, object]:
    if world.driver == OF_DISKS:
        return {"disk": {"path": str(template), "format": "raw"}}
    return {"path": str(template)}


def declared(driver: str, change: str = "nothing") -> dict[object, object]:
    """The VM as a person describes it."""
    raw: dict[object, object] = {
        "driver": driver,
        "template": "default",
        "init": None if driver == OF_DISKS else "busybox",
        "memory": "64MiB",
        "shutdown_timeout": TIMEOUT_S,
    } | dict(CHANGES[change])
    return {key: value for key, value in raw.items() if value is not None}


@cache
def spec(name: str, driver: str, change: str) -> VMSpec:
    """The same, parsed."""
    return parse_vm(name, declared(driver, change)).unwrap()


@dataclass
class Life:
    """One VM on the host of *world*, and what it should be there by the model."""

    world: World
    have: Observation = field(default_factory=Observation)
    done: list[Action] = field(default_factory=list)
    away: tuple[VolumeSeen, ...] = ()
    struck: bool = False
    host: Host = field(init=False)

    def __post_init__(self) -> None:
        self.host = self.world.open()
        self.agree()

    @property
    def name(self) -> str:
        """The VM's."""
        return self.world.name

    def spec(self, change: str) -> VMSpec:
        """One of the few specs."""
        return spec(self.name, self.world.driver, change)

    def goal(self, goal: Goal, change: str) -> Goal:
        """*goal*, for this VM with one of the few specs."""
        return replace(goal, name=self.name, spec=self.spec(change))

    def agree(self) -> None:
        """The host holds what the model says, field by field, and nothing else."""
        assert self.host.observe_all() == ({self.name: self.have} if self.have.exists else {})

    def do(self, action: Action) -> None:
        """Perform one action that the model allows."""
        foretold = after(action, self.have).unwrap()
        if isinstance(action, NotePlaces):  # which is about the host
            places_of(self.host).note(action.moved)
        else:
            self.performer(self.host).perform(action)
        self.done.append(action)
        self.have = foretold
        self.agree()

    def performer(self, host: Host) -> Performer:
        """What performs single actions on the VM."""
        driver, templates = host.drivers[self.world.driver], host.config.templates
        return Performer(
            self.name,
            host.registry,
            lambda: driver,
            host.pools,
            templates,
            host.store,
            locked=self.have.locked,
            volumes=tuple((seen.pool, seen.name) for seen in self.have.volumes),
        )

    def planned(self, goal: Goal) -> SavedPlan | None:
        """The plan from the host, which must be that from the model; None where there is none.

        It may also note that a pool is another one, because it was taken away.
        """
        facts = facts_of(self.host, [self.world.driver])
        foretold = plan(goal, self.have, facts)
        try:
            made = plan_vm(self.host, goal)
        except Refused:
            assert isinstance(foretold, Failure)
            self.agree()
            return None
        seen = {self.name: self.have}
        noting = foretold.map(lambda made: with_places(made, facts.moved, seen, whole_host=False))
        assert Success(made.of_vm) in (foretold, noting)
        return made

    def apply(self, planned: SavedPlan) -> None:
        """Carry a plan out as its callers do, several steps at once."""
        assert apply_plan(self.host, planned) == Success(planned.plan.steps)
        self.done += [step.action for step in planned.plan.steps]
        self.have = end_of(planned)
        self.agree()

    def reach(self, goal: Goal) -> None:
        """Bring the VM to a goal that can be reached; then there is nothing left to do."""
        planned = self.planned(goal)
        assert planned is not None
        self.apply(planned)
        self.rest(goal)

    def rest(self, goal: Goal) -> None:
        """The goal is reached."""
        if goal.target not in REQUESTS and not self.is_nothing(goal):
            assert plan_vm(self.host, goal).plan.steps == ()

    def is_nothing(self, goal: Goal) -> bool:
        """To power off what does not exist is refused."""
        return goal.target is Target.OFF and not self.have.exists

    def reach_through(self, fault: Fault, goal: Goal) -> None:
        """Let *fault* strike on the way to a goal; then a new process goes on, and reaches it."""
        planned = self.planned(goal)
        if planned is None:
            return
        self.struck = True
        with suppress(HostError, Killed):
            apply_plan(fault.host(self.host), planned)
        self.resume(left_by(planned.plan.steps, self.have))
        if self.is_nothing(goal):
            return
        self.reach(goal)
        # A volume whose lock was not marked yet: the next plan of the whole host marks it.
        have = replace(self.have, half_locked=False)
        assert goal.target in REQUESTS or have == end_of(planned)

    def do_through(self, fault: Fault, action: Action) -> None:
        """Let *fault* strike in one action; then a new process does it again, where need be."""
        foretold = after(action, self.have).unwrap()
        self.struck = True
        with suppress(HostError, Killed):
            self.performer(fault.host(self.host)).perform(action)
        self.resume({self.have, foretold, *cut_short(action, self.have)})
        if self.have in not_marked(action, foretold):
            self.do(Lock())
        elif self.have != foretold:
            self.do(action)
        assert self.have == foretold

    def resume(self, possible: Iterable[Observation]) -> None:
        """Look, as a new process, at what there is now."""
        self.host = self.world.open()
        self.have = self.host.observe(self.name)
        assert self.have in possible
        self.agree()

    def hang(self) -> None:
        """The monitor answers no more; a driver may lose sight of what the VM was started with."""
        stuck = replace(self.have, power=Power.STUCK)
        self.world.hang()
        self.resume((stuck, replace(stuck, in_effect=None)))

    def take_away(self) -> None:
        """The disk of a pool is not mounted any more: what it held is missed, and nothing else."""
        self.away = tuple(seen for seen in self.have.volumes if seen.pool == "default")
        self.world.take_away()
        there = tuple(seen for seen in self.have.volumes if seen not in self.away)
        gone = [_missed(seen) for seen in self.away if is_filled(seen)]
        old = [replace(each, template=None) for each in gone]  # from before it was filled
        choices = [
            (each, before, None) if self.struck else (each,)
            for each, before in zip(gone, old, strict=True)
        ]  # a cut may come before what is done is remembered
        some = [[each for each in chosen if each] for chosen in product(*choices)]
        before = self.have.missing
        missing = [in_order((*before, *each)) for each in some]
        self.resume([replace(self.have, volumes=there, missing=each) for each in missing])

    @property
    def may_come_back(self) -> bool:
        """Whether something is away, and nothing has taken its place."""
        return bool(self.away) and not any(seen.pool == "default" for seen in self.have.volumes)

    def bring_back(self) -> None:
        """The disk is mounted again: all is as it was, but for locks."""
        self.world.bring_back()
        volumes = volumes_in_order([*self.have.volumes, *self.away])
        there = {(seen.pool, seen.name) for seen in volumes}
        missing = tuple(m for m in self.have.missing if (m.pool, m.name) not in there)
        given_up = {(seen.pool, seen.name) for seen in self.away if is_filled(seen)} - {
            (each.pool, each.name) for each in self.have.missing
        }
        self.struck |= bool(given_up)  # it is remembered again with the next plan
        self.away = ()
        back = replace(self.have, volumes=volumes, missing=missing)
        # It may have been locked or unlocked meanwhile, which its volumes do not know.
        self.resume((back, replace(back, locked=True, half_locked=True)))
        if self.have.half_locked:
            self.do(Lock() if self.have.is_recorded else Unlock())

    def end(self) -> None:
        """The VM ends by itself; what a fault left noted of it counts then."""
        self.world.end()
        off = replace(self.have, power=Power.STOPPED, in_effect=None)
        self.resume((off, replace(off, to_run=True)) if self.struck else (off,))


def in_order(missing: Iterable[VolumeMissing]) -> tuple[VolumeMissing, ...]:
    """The one order in which an observation holds what is missing."""
    return tuple(sorted(missing, key=lambda each: (each.pool, each.name)))


def _missed(seen: VolumeSeen) -> VolumeMissing:
    return VolumeMissing(name=seen.name, pool=seen.pool, template=seen.template)


def end_of(planned: SavedPlan) -> Observation:
    """Where a plan leads."""
    have = planned.observations.get(planned.of_vm.name, Observation())
    for step in planned.plan.steps:
        have = after(step.action, have).unwrap()
    return have


def left_by(steps: Sequence[Step], have: Observation) -> set[Observation]:
    """All that a plan can leave where any of its steps were not done, or not to their end."""
    found = {(frozenset[int](), have)}
    for position, step in enumerate(steps):
        for done, state in tuple(found):
            missing = [n for n in step.needs if n not in done and not runs(steps[n], state)]
            if missing and not starts_again([steps[n] for n in done], step, state):
                continue
            found.add((done | {position}, after(step.action, state).unwrap()))
            found.update((done, half) for half in cut_short(step.action, state))
    return {state for _, state in found}


def runs(step: Step, have: Observation) -> bool:
    """Whether it is a start, and the VM is on already."""
    return isinstance(step.action, Start) and have.power is Power.RUNNING


def starts_again(done: Iterable[Step], step: Step, have: Observation) -> bool:
    """Whether it starts a VM that was powered off for changes which were not made."""
    was_on = any(isinstance(each.action, POWER_OFFS) for each in done)
    can = was_on and isinstance(after(step.action, have), Success)
    return can and isinstance(step.action, Start)


def cut_short(action: Action, have: Observation) -> tuple[Observation, ...]:
    """What is between before and after; a snapshot is there or not."""
    unmarked = not_marked(action, after(action, have).unwrap())
    if isinstance(action, SnapshotVolume | RollbackVolume | DeleteSnapshot | Hold):
        return unmarked
    return (*half_way(action, have), *partly_destroyed(action, have), *unmarked)


def wished(have: Observation) -> Then:
    """What is noted to become of the VM: a step that may not be done notes the same again."""
    if not have.to_run:
        return Then.OFF
    return Then.FROZEN if have.to_freeze else Then.ON


def not_marked(action: Action, then: Observation) -> tuple[Observation, ...]:
    """Done, but that the volume that was filled is not marked as one of a locked VM."""
    if not isinstance(action, FILLING) or not then.locked:
        return ()
    return (replace(then, half_locked=True),)


def partly_destroyed(action: Action, have: Observation) -> tuple[Observation, ...]:
    """A volume of which some files are deleted counts as allocated, and as no more than that."""
    if not isinstance(action, DestroyVolume):
        return ()
    others = tuple(v for v in have.volumes if (v.pool, v.name) != (action.pool, action.volume))
    left = VolumeSeen(name=action.volume, pool=action.pool, stage=Stage.ALLOCATED)
    return (replace(have, volumes=volumes_in_order([*others, left])),)


@cache
def actions(name: str, driver: str) -> tuple[Action, ...]:
    """All the actions in the little universe of one VM."""
    return tuple(_actions([spec(name, driver, change) for change in sorted(CHANGES)]))


def _actions(specs: Sequence[VMSpec]) -> Iterator[Action]:
    yield from (Define(each, keep) for each, keep in product(specs, LINES))
    yield from (Undefine(), Lock(), Unlock(), Pause())
    yield from (Start(), KeepOff(), Freeze(), Hold(), Unfreeze(), Unfreeze(Then.FROZEN))
    for then in Then:
        yield from (Shutdown(TIMEOUT_S, then), Stop(then), Repair(then))
    yield from (SetLimits(limits) for limits in dict.fromkeys(each.limits for each in specs))
    yield from (SetDns(dns) for dns in dict.fromkeys(each.dns for each in specs))
    yield from (AwaitReady(each.ready) for each in specs if each.ready is not None)
    for pool, volume in (("default", ROOT), ("other", ROOT), ("default", DATA)):
        yield from (AllocateVolume(pool, volume, size_bytes) for size_bytes in (None, *SIZES))
        yield from (FormatVolume(pool, volume), ActivateVolume(pool, volume))
        yield from (GrowVolume(pool, volume, size_bytes) for size_bytes in SIZES)
        yield from (DestroyVolume(pool, volume), ForgetVolume(pool, volume))
        for taken_s, snapshot in enumerate(SNAPSHOTS):
            yield SnapshotVolume(pool, volume, snapshot, taken_s)
            yield RollbackVolume(pool, volume, snapshot)
            yield DeleteSnapshot(pool, volume, snapshot)
        yield from (InstallTemplate(pool, volume, template) for template in ("default", "other"))
        yield from (ConfigureGuest(pool, volume, each) for each in specs[:2])


def can_do(life: Life, action: Action) -> bool:
    """Whether the model allows it, and the pool can."""
    if isinstance(action, SnapshotVolume) and not life.host.pools[action.pool].facts.snapshots:
        return False
    return isinstance(after(action, life.have), Success)


def is_refused(life: Life, action: Action) -> bool:
    """Whether the host too sees that it may not be done, and the model is not alone to know.

    Only the planner knows of locks, of the stages of volumes, of those that are missing, and of
    what must be off first; to shut down what cannot hear, or to repair what is not stuck, ends it.
    What is to become of a VM is noted before it is looked at.
    """
    power = life.have.power
    if isinstance(after(action, life.have), Success):
        return False
    missed = life.have.missing_of([getattr(action, "volume", "")])
    match action:
        case AllocateVolume() | FormatVolume() | InstallTemplate() if missed:
            return False
        case Start():
            return power in ON or life.have.defined is None
        case Stop(then):
            return power is not Power.STOPPED or then is wished(life.have)
        case Shutdown(_, then):
            return power is Power.STOPPED and then is wished(life.have)
        case Unfreeze(Then.FROZEN) if life.have.recorded is life.have.defined is None:
            return False
        case Freeze() | Hold() | Unfreeze() | SetLimits() | SetDns():
            return True
        case Undefine():
            return power in ON and life.have.defined is not None
        case AllocateVolume(pool, volume) | FormatVolume(pool, volume):
            return life.have.volume(pool, volume) is not None or isinstance(action, FormatVolume)
        case ActivateVolume():
            return True
        case (
            GrowVolume(pool, volume)
            | SnapshotVolume(pool, volume)
            | InstallTemplate(pool, volume)
            | ConfigureGuest(pool, volume)
        ):
            return life.have.volume(pool, volume) is None
        case RollbackVolume(pool, volume, name) | DeleteSnapshot(pool, volume, name):
            seen = life.have.volume(pool, volume)
            return seen is None or seen.snapshot(name) is None
        case _:
            return False


def kinds(life: Life, wanted: Callable[[Life, Action], bool]) -> list[list[Action]]:
    """Those actions that are *wanted*, by their types."""
    found: dict[type[Action], list[Action]] = {}
    for action in actions(life.name, life.world.driver):
        if wanted(life, action):
            found.setdefault(type(action), []).append(action)
    return list(found.values())


@st.composite
def possible(draw: st.DrawFn, life: Life) -> Action:
    """An action that can be done: each kind of them as often as any other."""
    return draw(st.sampled_from(draw(st.sampled_from(kinds(life, can_do)))))


@st.composite
def orders(draw: st.DrawFn, steps: Sequence[Step]) -> list[Action]:
    """The actions of *steps* in an order in which they may be done."""
    left, order = set(range(len(steps))), list[Action]()
    while left:
        ready = sorted(here for here in left if left.isdisjoint(steps[here].waits_for))
        here = draw(st.sampled_from(ready))
        left.remove(here)
        order.append(steps[here].action)
    return order


class LifecycleMachine(RuleBasedStateMachine):
    """Goals, verbs, single actions, faults and mishaps; a subclass says in which world."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Life(self.new_world())

    def new_world(self) -> World:
        """A world in which nothing was done yet."""
        raise NotImplementedError

    def teardown(self) -> None:
        self.life.world.close()

    @rule(goal=goals, change=changes, data=st.data())
    def reach(self, goal: Goal, change: str, data: st.DataObject) -> None:
        """Step by step: the host is compared after each."""
        goal = self.life.goal(goal, change)
        planned = self.life.planned(goal)
        event(f"{goal.target}: {'refused' if planned is None else bool(planned.plan.steps)}")
        if planned is None:
            return
        for action in data.draw(orders(planned.plan.steps)):
            self.life.do(action)
        self.life.rest(goal)

    @rule(verb=st.sampled_from(sorted(VERBS)), change=st.none() | changes, data_loss=st.booleans())
    def use_a_verb(self, verb: str, change: str | None, data_loss: bool) -> None:
        """A new process does, as on the command line."""
        life = self.life
        life.resume((life.have,))
        raw = None if change is None else declared(life.world.driver, change)
        try:
            planned = lifecycle.plan_verb(life.host, verb, life.name, raw, data_loss)
        except Refused:
            life.agree()
        else:
            life.apply(planned)

    @rule(data=st.data())
    def act(self, data: st.DataObject) -> None:
        self.life.do(data.draw(possible(self.life)))

    @precondition(lambda self: self.life.have.power is not Power.STUCK)
    @rule(data=st.data())
    def try_what_may_not_be(self, data: st.DataObject) -> None:
        """One action of each kind: the host refuses it, or does nothing."""
        for kind in kinds(self.life, is_refused):
            action = data.draw(st.sampled_from(kind))
            try:
                self.life.performer(self.life.host).perform(action)
            except HostError:
                pass
            else:
                assert not isinstance(action, Start | Undefine)
            self.life.agree()

    @rule(fault=faults, goal=goals, change=changes)
    def meet_a_fault(self, fault: Fault, goal: Goal, change: str) -> None:
        fault = replace(fault)  # it counts, and Hypothesis shows it as it was drawn
        self.life.reach_through(fault, self.life.goal(goal, change))
        event(f"fault: {fault.at <= fault.calls}")

    @rule(fault=faults, at=st.integers(1, 3), data=st.data())
    def meet_a_fault_in_one_action(self, fault: Fault, at: int, data: st.DataObject) -> None:
        action = data.draw(possible(self.life))
        self.life.do_through(replace(fault, at=at), action)

    @precondition(lambda self: self.life.have.power in ON)
    @rule()
    def hang(self) -> None:
        self.life.hang()

    @precondition(lambda self: self.life.have.power is Power.STOPPED and not self.life.away)
    @rule()
    def take_away(self) -> None:
        self.life.take_away()

    @precondition(lambda self: self.life.have.power is Power.STOPPED and self.life.may_come_back)
    @rule()
    def bring_back(self) -> None:
        self.life.bring_back()

    @precondition(lambda self: self.life.have.power is Power.RUNNING)
    @rule()
    def end(self) -> None:
        self.life.end()
