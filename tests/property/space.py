"""The abstract space of one VM: every state that it can be in, and every way from one to another.

How the space is made
---------------------
A real VM has endlessly many states, since sizes and names are endless. The planner tells few of
them apart: a spec is the one wanted, or differs from it in what it costs to change; a volume is
somewhere, at a stage, large enough or not. So each *dimension* of a space has one value for each
case that matters, and the space is the full product of its dimensions. A space is closed: whatever
an action, a fault in the midst of one, or a power cut of the host makes of a state of the space
is a state of the space (``Space`` refuses to be built otherwise).

States and actions are numbered, and where each action leads is written down once, in tables of
those numbers. They come from the model (``after``) and, for faults, from ``half_way`` below.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import TypeAlias, assert_never

from returns.result import Failure, Success

from geats_core import (
    LIVE_LIMITS,
    DriverFacts,
    HostFacts,
    Observation,
    PoolFacts,
    Power,
    Stage,
    VMSpec,
    VolumeMissing,
    VolumeSeen,
    after,
)
from geats_core.planning.actions import (
    Action,
    ActivateVolume,
    Adopt,
    AdoptVolume,
    AllocateVolume,
    AwaitReady,
    CloneVolume,
    ConfigureGuest,
    Define,
    DeleteSnapshot,
    DestroyVolume,
    Export,
    ForgetVolume,
    FormatVolume,
    Freeze,
    GrowVolume,
    Hold,
    InstallTemplate,
    KeepOff,
    Lock,
    MoveVolume,
    NotePlaces,
    Pause,
    Publish,
    RemoveLeftover,
    Rename,
    RenameVolume,
    Repair,
    ReserveVolume,
    RollbackVolume,
    SetDevices,
    SetDns,
    SetLimits,
    Shutdown,
    SnapshotVolume,
    Start,
    Stop,
    TakeOver,
    TakeVolumes,
    Undefine,
    Unfreeze,
    Unlock,
    UnpackVolume,
    UpgradeRegistry,
)
from geats_core.planning.then import Then
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.observation import changed, volumes_in_order
from geats_core.vm.spec import ROOT, Limits, Volume

Definition: TypeAlias = tuple[VMSpec | None, VMSpec | None]  # recorded, defined
Powered: TypeAlias = tuple[Power, VMSpec | None, Then]  # power, in_effect, what is to become of it
Place: TypeAlias = tuple[VolumeSeen | None, ...]  # what can be in one place of one pool
Table: TypeAlias = "array[int]"  # by state, the number of another

NAME = "web"
HERE, ELSEWHERE = "fast", "slow"  # the pool wanted, and one from an earlier spec
DATA, STRAY = "data", "old"  # a volume that is wanted, and one that the spec does not name
SMALL, WANTED, LARGE = 1, 2, 3  # sizes in bytes
LINE = "lxc.environment = X=1"
LXC = {"lxc": DriverFacts(costs=LIVE_LIMITS)}  # which can change limits live
NOTHING_KNOWN = HostFacts(drivers=LXC)
NOWHERE = -1  # instead of a state: the action may not be done here

WANT = VMSpec(
    name=NAME,
    driver="lxc",
    template="debian",
    hostname="web",
    volumes=(
        Volume(name=ROOT, pool=HERE, mount="/"),
        Volume(name=DATA, pool=HERE, mount="/data", size_bytes=WANTED),
    ),
    limits=Limits(memory_bytes=512),
)
OTHER_LIMITS = Limits(memory_bytes=1024)
OTHER_LIMITS = Limits(memory_bytes=1024)
LIVE = replace(WANT, limits=OTHER_LIMITS)  # differs in what changes while the VM runs
RESTART = replace(WANT, hostname="other", transient=True)  # differs in what changes as it starts
FORMER = replace(RESTART, limits=OTHER_LIMITS)  # differs in both: what was wanted before
BARE = replace(WANT, volumes=(WANT.root,))
BARE_FREE = replace(BARE, after=("db",))  # differs from BARE in what costs nothing to change


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """The product of its dimensions; ``want`` is the spec of every goal asked for in it."""

    name: str
    want: VMSpec
    definitions: Sequence[Definition]
    powers: Sequence[Powered]
    places: Sequence[Place]
    locks: Sequence[bool] = (False, True)
    by_hand: Sequence[tuple[str, ...]] = ((),)
    missing: Sequence[tuple[VolumeMissing, ...]] = ((),)
    facts: HostFacts = NOTHING_KNOWN

    @cached_property
    def states(self) -> tuple[Observation, ...]:
        """Every state, numbered by its position."""
        stored = [
            volumes_in_order([seen for seen in chosen if seen is not None])
            for chosen in product(*self.places)
        ]
        every = product(
            self.definitions, self.powers, self.locks, self.by_hand, self.missing, stored
        )
        return tuple(
            Observation(
                recorded=recorded,
                defined=defined,
                in_effect=in_effect,
                power=power,
                volumes=volumes,
                locked=locked,
                by_hand=by_hand,
                missing=missing,
                to_run=power is Power.STOPPED and then is not Then.OFF,
                to_freeze=then is Then.FROZEN,
            )
            for (recorded, defined), powered, locked, by_hand, missing, volumes in every
            for power, in_effect, then in (powered,)
            if not missing or not _is_there(volumes, missing)
            if then is Then.OFF or recorded or defined  # what nobody knows is not to be started
        )

    @cached_property
    def actions(self) -> tuple[Action, ...]:
        """Every action that can lead anywhere in this space, numbered by its position."""
        return (
            *(Define(self.want, lines) for lines in self.by_hand),
            *(Undefine(lines) for lines in self.by_hand),
            *(Lock(), Unlock()),
            *(Start(), KeepOff(), Freeze(), Unfreeze(), Unfreeze(Then.FROZEN)),
            SetLimits(self.want.limits),
            *(Shutdown(self.want.shutdown_timeout_s, then) for then in Then),
            *(Stop(then) for then in Then),
            *(Repair(then) for then in Then),
            *(each for volume in self.want.volumes for each in _building(volume)),
            *(
                InstallTemplate(HERE, ROOT, self.want.template),
                ConfigureGuest(HERE, ROOT, self.want),
            ),
            *(DestroyVolume(pool, name) for pool, name in self._named_places()),
            *(ForgetVolume(each.pool, each.name) for each in max(self.missing, key=len)),
        )

    def prepare(self) -> None:
        """Make all tables now, so that processes that are forked later share them."""
        assert len(self.without_power) == len(self.states)
        assert len(self.leads_to) == len(self.actions)

    def _named_places(self) -> Iterable[tuple[str, str]]:
        for place in self.places:
            yield next((seen.pool, seen.name) for seen in place if seen is not None)

    def shown(self, state: int) -> str:
        """A state in few words, for a person."""
        return str(self._key(self.states[state]))

    def number(self, have: Observation) -> int:
        """The number of a state; a KeyError where the space is not closed."""
        return self._numbers[self._key(have)]

    @cached_property
    def _numbers(self) -> dict[tuple[object, ...], int]:
        return {self._key(state): number for number, state in enumerate(self.states)}

    def _key(self, have: Observation) -> tuple[object, ...]:
        return (
            *(_letter(spec) for spec in (have.recorded, have.defined, have.in_effect)),
            *(have.power, have.to_run, have.to_freeze),
            *(have.locked, have.by_hand, have.missing, have.volumes),
        )

    @cached_property
    def leads_to(self) -> tuple[Table, ...]:
        """By action and state, the state that the model promises, or NOWHERE."""
        return tuple(
            array("l", (self._after(action, state) for state in self.states))
            for action in self.actions
        )

    def _after(self, action: Action, have: Observation) -> int:
        off = have.power is Power.STOPPED
        if isinstance(action, GrowVolume) and not (
            off or self.facts.pool(action.pool).grows_online
        ):
            return NOWHERE  # the host says so: the model does not know
        match after(action, have):
            case Success(state):
                return self.number(state)
            case Failure():
                return NOWHERE

    def cut_short(self, action: int, state: int) -> tuple[int, ...]:
        """Where a fault in the midst of *action*, begun in *state*, can leave the VM."""
        found = self._cut_short.get((action, state))
        if found is None:
            left = half_way(self.actions[action], self.states[state])
            found = self._cut_short[action, state] = tuple(map(self.number, left))
        return found

    @cached_property
    def _cut_short(self) -> dict[tuple[int, int], tuple[int, ...]]:
        return {}

    @cached_property
    def without_power(self) -> Table:
        """By state, what a power cut of the whole host leaves."""
        return array("l", (self.number(power_cut(state)) for state in self.states))


def half_way(action: Action, have: Observation) -> tuple[Observation, ...]:
    """What a fault in the midst of *action* can leave, besides *have* and what *action* promises.

    An action that is one system call, or that an adapter does aside and then puts in place, has
    nothing between before and after.
    """
    off = changed(have, to_run=False, to_freeze=False)
    on = changed(have, power=Power.RUNNING, in_effect=None, to_run=False)
    stuck = changed(off, power=Power.STUCK, in_effect=None)
    match action:
        case Define(spec, keep):  # the registry first, then the driver, then its mark
            half = changed(have, recorded=spec)
            unmarked = changed(half, defined=spec, by_hand=keep, half_locked=True, unreliable="")
            return (half, unmarked) if have.locked else (half,)
        case Lock() | Unlock():  # in the registry, and not marked at the driver
            return (changed(have, locked=True, half_locked=True),)
        case Undefine(keep):  # that it is to run first, then the driver, then the registry
            return (off, changed(off, defined=None, by_hand=keep))
        case Start():  # it runs, and what it was started with was not written down
            return (stuck, on)
        case Shutdown(then=then) | Stop(then=then):  # what is to become of it is noted first
            noted = changed(have, to_freeze=then is Then.FROZEN)
            return (stuck, noted) if have.power is Power.RUNNING else (stuck,)
        case InstallTemplate(pool, name):
            return (_with(have, pool, name, stage=Stage.FILLING),)
        case ConfigureGuest(pool, name):  # the old mark goes first, the new one comes last
            return (_with(have, pool, name, guest=None),)
        case SetDns():  # the root is marked, and the driver does not know yet
            told = after(action, have).value_or(have)
            return (changed(told, in_effect=have.in_effect),)
        case DestroyVolume(pool, name):  # taken out of use, and still there
            return (_with(have, pool, name, active=False),)
        case (
            Repair()
            | KeepOff()
            | AwaitReady()
            | Freeze()
            | Unfreeze()
            | SetDevices()  # which of them are done already, the driver sees
            | SetLimits()  # limits set, and not written down, are seen as those of before
            | AllocateVolume()
            | FormatVolume()
            | ActivateVolume()
            | GrowVolume()
            | ForgetVolume()
            | Pause()
            | UpgradeRegistry()
            | RemoveLeftover()
            | NotePlaces()
        ):
            return ()
        case SnapshotVolume() | RollbackVolume() | DeleteSnapshot():
            raise AssertionError("no goal asks for snapshots")
        case ReserveVolume() | UnpackVolume() | CloneVolume() | Hold():
            raise AssertionError("no goal asks for copies")
        case TakeOver() | TakeVolumes():
            raise AssertionError("no goal asks for copies")
        case Export() | Publish():
            raise AssertionError("no goal asks for copies")
        case AdoptVolume() | Adopt():
            raise AssertionError("no goal asks for adoptions")
        case RenameVolume() | Rename() | MoveVolume():
            raise AssertionError("no goal asks for another name or place")
        case _:
            assert_never(action)


def power_cut(have: Observation) -> Observation:
    """What is there when the host is on again: nothing runs, and no volume is in use."""
    volumes = tuple(changed(seen, active=False) for seen in have.volumes)
    off = changed(have, power=Power.STOPPED, in_effect=None, volumes=volumes)
    known = have.recorded is not None or have.defined is not None
    to_freeze = have.to_freeze and known
    return changed(off, to_run=have.to_run or to_freeze, to_freeze=to_freeze)


def _with(
    have: Observation,
    pool: str,
    name: str,
    *,
    stage: Stage | None = None,
    active: bool | None = None,
    guest: str | None = None,
) -> Observation:
    """*have* with one volume changed; its guest files are lost in any case but being inactive."""
    volumes = [
        changed(
            seen,
            stage=seen.stage if stage is None else stage,
            active=seen.active if active is None else active,
            guest=seen.guest if active is not None else guest,
        )
        if (seen.pool, seen.name) == (pool, name)
        else seen
        for seen in have.volumes
    ]
    return changed(have, volumes=tuple(volumes))


def _building(volume: Volume) -> Iterable[Action]:
    where = (volume.pool, volume.name)
    yield AllocateVolume(*where, volume.size_bytes)
    yield FormatVolume(*where)
    yield ActivateVolume(*where)
    if volume.size_bytes is not None:
        yield GrowVolume(*where, volume.size_bytes)


def _is_there(volumes: Iterable[VolumeSeen], missing: Iterable[VolumeMissing]) -> bool:
    """Whether what is missing is there: no host is so, as nothing that is there is missing."""
    gone = {(each.pool, each.name) for each in missing}
    return any((seen.pool, seen.name) in gone and seen.stage > Stage.FORMATTED for seen in volumes)


def _either(seen: VolumeSeen) -> tuple[VolumeSeen, VolumeSeen]:
    return (replace(seen, active=False), replace(seen, active=True))


def root_places(*, other: bool) -> Place:
    """The root volume in the pool wanted, from absent to made; *other*: or made otherwise."""
    allocated = VolumeSeen(name=ROOT, pool=HERE, stage=Stage.ALLOCATED)
    installed = replace(allocated, stage=Stage.INSTALLED, template=WANT.template)
    made = replace(installed, guest=guest_digest(WANT))
    otherwise = (
        replace(installed, guest=guest_digest(RESTART)),
        replace(installed, template="alpine", guest=guest_digest(WANT)),
    )
    stages = (
        replace(allocated, stage=Stage.FORMATTED),
        replace(allocated, stage=Stage.FILLING),
        installed,
        made,
        *(otherwise if other else ()),
    )
    return (None, allocated, *(each for stage in stages for each in _either(stage)))


def data_places(*sizes: int) -> Place:
    """The data volume in the pool wanted, of any of the *sizes*."""
    allocated = VolumeSeen(name=DATA, pool=HERE, stage=Stage.ALLOCATED, size_bytes=WANTED)
    formatted = replace(allocated, stage=Stage.FORMATTED)
    ready = (each for size in sizes for each in _either(replace(formatted, size_bytes=size)))
    return (None, allocated, *ready)


def left_behind(pool: str, name: str, *, active: bool = False) -> Place:
    """A volume that no spec of the space wants, or none; *active*: or one that is in use."""
    seen = VolumeSeen(name=name, pool=pool, stage=Stage.FORMATTED)
    return (None, *(_either(seen) if active else (seen,)))


def powers(
    *in_effect: VMSpec | None,
    stuck: Sequence[VMSpec | None] = (None,),
    held: Sequence[VMSpec | None] = (),
) -> list[Powered]:
    """Off, on with any of *in_effect*, or stuck; None is not known what it was started with.

    Those that are *held* are some of *in_effect*, if that is enough.
    """
    return [
        *((Power.STOPPED, None, then) for then in Then),
        *((Power.RUNNING, spec, then) for spec in in_effect for then in (Then.OFF, Then.FROZEN)),
        *((Power.FROZEN, spec, Then.OFF) for spec in in_effect),
        *((Power.HELD, spec, Then.OFF) for spec in held or in_effect),
        *((Power.STUCK, spec, Then.OFF) for spec in stuck),
    ]


def _letter(spec: VMSpec | None) -> str:
    """A short name for one of the few specs of all spaces; equal exactly when they are."""
    if spec is None:
        return ""
    found = _LETTERS.get(id(spec))
    if found is not None:
        return found
    return next(name for name, known in _SPECS.items() if known == spec)


_SPECS = {
    "want": WANT,
    "live": LIVE,
    "restart": RESTART,
    "former": FORMER,
    "bare": BARE,
    "bare, free": BARE_FREE,
}
_LETTERS = {id(spec): name for name, spec in _SPECS.items()}

EVERY_DEFINITION: Sequence[Definition] = tuple(
    (recorded, defined) for recorded in (None, WANT, FORMER) for defined in (None, WANT, FORMER)
)

# Every power, definition, lock, and state of the two volumes; the root volume in two pools.
MAIN = Space(
    name="main",
    want=WANT,
    definitions=EVERY_DEFINITION,
    powers=powers(None, WANT, LIVE, RESTART, FORMER, held=(RESTART,)),
    places=(
        root_places(other=True),
        left_behind(ELSEWHERE, ROOT),
        data_places(SMALL, WANTED),
    ),
)
# What MAIN leaves out of the volumes: a data volume in two pools, in use there or not, and one
# that is too large; in a pool where no volume can grow while the VM is on.
VOLUMES = Space(
    name="volumes",
    want=WANT,
    definitions=((None, None), (WANT, None), (WANT, WANT)),
    powers=powers(None, WANT),
    places=(
        root_places(other=False),
        data_places(SMALL, WANTED, LARGE),
        left_behind(ELSEWHERE, DATA, active=True),
    ),
    facts=HostFacts(
        drivers=LXC, pools={HERE: PoolFacts(grows_online=False), ELSEWHERE: PoolFacts()}
    ),
)
# What MAIN leaves out of the rest: lines added by hand, a volume that the spec does not name, a
# stuck VM of which it is known what it was started with, and changes that cost nothing.
BY_HAND = Space(
    name="by hand",
    want=BARE,
    definitions=tuple((recorded, defined) for recorded in (None, BARE) for defined in (None, BARE)),
    powers=powers(None, BARE, BARE_FREE, stuck=(None, BARE)),
    places=(root_places(other=False), left_behind(ELSEWHERE, STRAY)),
    by_hand=((), (LINE,)),
)
# Volumes that are remembered and not found, with whatever else is there: the root where it is
# wanted, and where it was before, and a volume that the spec does not name.
GONE = (
    VolumeMissing(name=ROOT, pool=HERE, template=WANT.template),
    VolumeMissing(name=ROOT, pool=ELSEWHERE, template="alpine"),
    VolumeMissing(name=STRAY, pool=ELSEWHERE),
)
MISSING = Space(
    name="missing",
    want=BARE,
    definitions=tuple(product((None, BARE, RESTART), (None, BARE, RESTART))),
    powers=powers(None, BARE),
    places=(root_places(other=False), left_behind(ELSEWHERE, STRAY)),
    missing=tuple(
        tuple(each for each, taken in zip(GONE, chosen, strict=True) if taken)
        for chosen in product((False, True), repeat=len(GONE))
    ),
)
SPACES = {space.name: space for space in (MAIN, VOLUMES, BY_HAND, MISSING)}
