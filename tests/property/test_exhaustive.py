"""The laws of planning, at every point: every state of a space, times every goal and policy.

How the laws are checked
------------------------
The planner gives a plan, or a refusal, for every goal and state; then, for each of these plans:

- Law 1: it ends where the target promises (``ends``, which does not look at the planner).
- Law 2: the plan from its end is empty, unless the target is a request.
- Law 3: all orders are walked that the steps' ``needs`` allow: every set of steps that can be done
  while the others are not. In each, every step that may come next can be taken, and all orders
  come to the same end.
- Law 4: each such set of steps done leads to a state of the space, which has a plan of its own
  (checked like all others) to the same end. So has each state that a fault in the midst of a step
  can leave (``half_way``), and each that a power cut of the host leaves. In each that is off, on
  the way of a VM that was on and is to be again, it is noted that it is to run; and the same
  request made again, were it a reboot, has it on.
- Law 5: it costs what the cheapest way through the model costs, found by a search (``distances``)
  through the whole space along the actions that the policy allows (``allowed``). Where there is no
  plan, there is no way either, or the refusal is one of those that are listed (``is_refused``).
- Law 6: it takes no action that the policy does not allow, and harms nothing that is locked.
- Law 7: the planner never raises, and each refusal says where and why.
- Law 8: what is taken from a VM that nobody named is what a change of its description needs.

A policy of the goal or a part of the state that the planner did not look at while it made a plan
cannot make a difference to it: watched ones note each look, so that such plans are not made again.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from multiprocessing import get_context
from typing import NamedTuple

import pytest
from returns.result import Failure, Success

from geats_core import (
    LIVE_LIMITS,
    Asked,
    ByHand,
    DataLoss,
    DriverFacts,
    Goal,
    HostFacts,
    Impact,
    Observation,
    Offer,
    Plan,
    PoolFacts,
    Power,
    PowerOff,
    Restart,
    Stage,
    Step,
    Target,
    VolumeSeen,
    plan,
)
from geats_core.planning.action_words import describe
from geats_core.planning.actions import (
    Action,
    ActivateVolume,
    AllocateVolume,
    ConfigureGuest,
    Define,
    DestroyVolume,
    ForgetVolume,
    FormatVolume,
    Freeze,
    GrowVolume,
    InstallTemplate,
    KeepOff,
    Lock,
    Moved,
    Repair,
    SetLimits,
    Shutdown,
    Start,
    Stop,
    Undefine,
    Unfreeze,
    Unlock,
    impact_of,
)
from geats_core.planning.then import Then
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.spec import ROOT, PowerWish, RootKind, VMSpec
from tests.property.space import (
    BARE_FREE,
    BY_HAND,
    ELSEWHERE,
    HERE,
    MISSING,
    NAME,
    NOWHERE,
    SPACES,
    Space,
)

ON = (Power.RUNNING, Power.FROZEN, Power.HELD)
REQUESTS = (Target.REBOOTED, Target.REINITIALISED)
POWERED = (Target.RUNNING, Target.FROZEN)
STATES = tuple(each for each in Target if each is not Target.DECLARED)  # that is one of the others
WITHOUT_SPEC = (
    *(Target.LOCKED, Target.UNLOCKED, Target.OFF),
    *(Target.UNDEFINED, Target.DEPROVISIONED),
)
KEEPING_POWER = (Target.LOCKED, Target.UNLOCKED, Target.DEFINED, Target.PROVISIONED)
ENDING_OFF = (Target.OFF, Target.STOPPED, Target.UNDEFINED, Target.DEPROVISIONED)
HARMFUL = (DestroyVolume, ForgetVolume, Undefine)
UNREACHABLE = 2**60
COST = {impact: 1 + (1 << 10 * impact if impact else 0) for impact in Impact}


# What each goal promises and allows, said without the planner.


class Case(NamedTuple):
    """What a promise takes from the state that the plan starts at."""

    power: Power | None = None  # to return to, or, where restarts are never allowed, to stay at
    held: bool = False
    transient: bool = False
    by_hand: tuple[str, ...] = ()
    to_run: bool = False  # where the target leaves the power as it is to be


def case_of(goal: Goal, have: Observation) -> Case:
    """The case that *have* is for *goal*; what does not matter to the goal is left out."""
    power = None
    if goal.target is Target.REINITIALISED:
        went_on = (Power.STUCK, Power.HELD)
        power = Power.RUNNING if have.power in went_on or have.to_run else have.power
        power = Power.FROZEN if have.to_freeze else power
    elif goal.target is Target.PROVISIONED and (have.to_run or have.to_freeze):
        power = Power.FROZEN if have.to_freeze else Power.RUNNING
    elif goal.target in POWERED and goal.restart is Restart.NEVER:
        power = Power.STOPPED if have.power is Power.STOPPED else Power.RUNNING
    known = have.recorded or have.defined
    transient = goal.target is Target.UNDEFINED and known is not None and known.transient
    to_run = have.to_run and goal.target is Target.PROVISIONED
    return Case(power, have.power is Power.HELD, transient, have.by_hand, to_run)


def ends(goal: Goal, case: Case, space: Space, end: Observation) -> bool:
    """Whether *end* is what the target promises; nothing is left held, whatever was asked for."""
    want = space.want
    if end.power is Power.HELD:
        return False
    match goal.target:
        case Target.LOCKED:
            return end.locked and not end.half_locked
        case Target.UNLOCKED:
            return not end.locked
        case Target.OFF:
            return end.power is Power.STOPPED and not (end.to_run or end.to_freeze)
        case Target.UNDEFINED:
            lines = () if case.transient else case.by_hand
            forgotten = end.recorded is None and end.defined is None and end.by_hand == lines
            left = case.transient and (end.volumes or end.missing)
            return forgotten and not left
        case Target.DEPROVISIONED:
            return end == Observation()
        case _:
            kept = case.by_hand if goal.by_hand is ByHand.KEPT else ()
            defined = end.recorded is want and end.defined is want and end.by_hand == kept
            return (
                defined
                and not end.half_locked
                and limits_in_effect(want, end)
                and _ends_provisioned(goal, case, space, end)
            )


def _ends_provisioned(goal: Goal, case: Case, space: Space, end: Observation) -> bool:
    want = space.want
    match goal.target:
        case Target.DEFINED:
            return True
        case Target.PROVISIONED if case.power is not None and end.power is not case.power:
            return False
        case Target.PROVISIONED if end.to_run or end.to_freeze:
            return False
        case Target.PROVISIONED:
            is_made = made(want, end) or (end.power in ON and not case.to_run)
            return is_made and usable(space, end, left_on=not case.to_run)
        case Target.STOPPED:
            power = Power.STOPPED
        case Target.FROZEN:
            power = Power.FROZEN
        case Target.REINITIALISED if case.power is not None:
            power = case.power
        case _:
            power = Power.RUNNING
    left_on = goal.target in POWERED and case.power in ON
    if end.to_run or end.to_freeze:
        return False
    if end.power is not power or not usable(space, end, left_on=left_on):
        return False
    if left_on:
        return True  # what waits for a restart is pending
    return made(want, end) and (power is Power.STOPPED or end.in_effect in in_effect(goal, want))


def in_effect(goal: Goal, want: VMSpec) -> Collection[VMSpec | None]:
    """What a VM that is on may have been started with."""
    return (want,) if goal.restart is Restart.ALWAYS else (want, BARE_FREE)


def limits_in_effect(want: VMSpec, end: Observation) -> bool:
    known = end.power in ON and end.in_effect is not None
    return not known or (end.in_effect is not None and end.in_effect.limits == want.limits)


def usable(space: Space, end: Observation, *, left_on: bool) -> bool:
    """Whether each volume is there, active, formatted and large enough.

    *left_on* is a VM that may not be powered off: where its pool cannot grow a volume while it is
    on, the volume may be too small.
    """
    for volume in space.want.volumes:
        seen = end.volume(volume.pool, volume.name)
        if end.missing_of([volume.name]):
            return False
        if seen is None or not seen.active or seen.stage is Stage.ALLOCATED:
            return False
        grows = end.power is Power.STOPPED or space.facts.pool(volume.pool).grows_online
        if (grows or not left_on) and (seen.size_bytes or 0) < (volume.size_bytes or 0):
            return False
    return True


def made(want: VMSpec, end: Observation) -> bool:
    """Whether the root volume is as described, and nothing is left of an earlier spec."""
    root = end.volume(want.root.pool, ROOT)
    return (
        root is not None
        and (root.stage, root.template) == (Stage.INSTALLED, want.template)
        and root.guest == fingerprint_of(want)
        and not outdated(want, end)
    )


fingerprint_of = cache(guest_digest)


def outdated(want: VMSpec, have: Observation) -> list[VolumeSeen]:
    """The volumes that another spec than *want* is the reason for."""
    pools = {volume.name: volume.pool for volume in want.volumes}
    return [
        seen
        for seen in have.volumes
        if seen.name in pools
        and (seen.pool != pools[seen.name] or seen.template not in (None, want.template))
    ]


def is_refused(goal: Goal, want: VMSpec, have: Observation) -> bool:
    """Whether a rule refuses *goal*, whatever way there might be: these are all such rules."""
    match goal.target:
        case Target.LOCKED | Target.UNLOCKED:
            return False
        case Target.OFF:  # nothing is there: more likely a wrong name than a wish come true
            return have == Observation()
        case Target.UNDEFINED | Target.DEPROVISIONED:  # locked, were it never so undefined
            refused = goal.data_loss is DataLoss.REFUSED
            return have.locked or (refused and bool(have.missing) and _go_with_it(goal, have))
        case _:
            lost = outdated(want, have)
            if goal.target is Target.REINITIALISED:
                lost = [seen for seen in lost if seen.name != ROOT]
                if have.locked:
                    return True
            # Said at once, also where the plan would not come to destroying them.
            without_leave = have.locked or goal.data_loss is DataLoss.REFUSED
            return (
                bool(lost and without_leave)
                or would_shrink(want, have)
                or _would_make_anew(goal, want, have)
                or _would_forget(goal, want, have)
                or _would_leave_unmade(goal, want, have)
            )


def would_shrink(want: VMSpec, have: Observation) -> bool:
    """Whether a volume is larger than described."""
    found = [(have.volume(volume.pool, volume.name), volume.size_bytes) for volume in want.volumes]
    return any(
        seen is not None and size is not None and (seen.size_bytes or 0) > size
        for seen, size in found
    )


def _would_make_anew(goal: Goal, want: VMSpec, have: Observation) -> bool:
    """Whether a volume that is wanted is missing: it is recreated with leave, and if off."""
    never = goal.target in POWERED and goal.restart is Restart.NEVER
    stays_on = have.power is not Power.STOPPED and (never or goal.target is Target.PROVISIONED)
    without_leave = have.locked or goal.data_loss is DataLoss.REFUSED
    missing = have.missing_of({volume.name for volume in want.volumes})
    return goal.target is not Target.DEFINED and bool(missing) and (without_leave or stays_on)


def _would_forget(goal: Goal, want: VMSpec, have: Observation) -> bool:
    """Whether what a VM that stays on may use is known of its definition only, and that changes."""
    never = goal.target in POWERED and goal.restart is Restart.NEVER
    stays_on = never or goal.target in (Target.DEFINED, Target.PROVISIONED)
    known = have.defined or have.recorded
    unknown = have.power is not Power.STOPPED and have.in_effect is None
    return stays_on and unknown and known is not None and known.limits != want.limits


def _would_leave_unmade(goal: Goal, want: VMSpec, have: Observation) -> bool:
    """Whether the root of a VM that stays stuck is not as described."""
    return goal.target is Target.PROVISIONED and have.power is Power.STUCK and not made(want, have)


def _go_with_it(goal: Goal, have: Observation) -> bool:
    """Whether the volumes of a VM that is taken away go as well."""
    known = have.recorded or have.defined
    transient = known is not None and known.transient
    return goal.target is Target.DEPROVISIONED or transient


BUILDING = (
    *(AllocateVolume, FormatVolume, ActivateVolume, GrowVolume),
    *(InstallTemplate, ConfigureGuest),
)


def allowed(goal: Goal, case: Case, want: VMSpec, action: Action) -> bool:
    """Whether a plan for *goal* may have *action* in it."""
    kind = Stop if goal.power_off is PowerOff.STOP else Shutdown
    frozen = goal.target is Target.FROZEN or (
        goal.target is Target.REINITIALISED and case.power is Power.FROZEN
    )
    then = Then.OFF if goal.target in ENDING_OFF else Then.FROZEN if frozen else Then.ON
    is_off = isinstance(action, kind | Repair) and action.then is then
    # A frozen VM cannot shut down: to thaw it is part of asking it to.
    off = is_off or isinstance(action, Unfreeze)
    keep_off = isinstance(action, KeepOff)
    if case.held and isinstance(action, Unfreeze):
        return True
    kept = case.by_hand if goal.by_hand is ByHand.KEPT else ()
    defining = isinstance(action, SetLimits) or action == Define(want, kept)
    building = defining or isinstance(action, BUILDING) or _may_destroy(goal, want, action)
    match goal.target:
        case Target.LOCKED:
            return isinstance(action, Lock)
        case Target.UNLOCKED:
            return isinstance(action, Unlock)
        case Target.OFF:
            return off or keep_off
        case Target.UNDEFINED:
            gone = case.transient and _destroys(goal, action)
            return off or isinstance(action, Undefine) or gone
        case Target.DEPROVISIONED:
            return off or isinstance(action, Undefine) or _destroys(goal, action)
        case Target.DEFINED:
            return defining
        case Target.PROVISIONED:
            freezes = isinstance(action, Freeze) and case.power is Power.FROZEN
            return building or freezes or (case.to_run and isinstance(action, Start))
        case Target.STOPPED:
            return building or off or keep_off
        case _:
            if goal.target in POWERED and goal.restart is Restart.NEVER:
                off = isinstance(action, Unfreeze)
            if goal.target in POWERED and goal.restart is Restart.ALWAYS:
                building = building and not isinstance(action, SetLimits)
            return building or off or isinstance(action, Start | Freeze)


def _destroys(goal: Goal, action: Action) -> bool:
    """Whether it destroys a volume, or gives one up: what is not seen goes with leave only."""
    with_leave = goal.data_loss is DataLoss.ALLOWED
    return isinstance(action, DestroyVolume) or (with_leave and isinstance(action, ForgetVolume))


def _may_destroy(goal: Goal, want: VMSpec, action: Action) -> bool:
    """Whether a volume may go on the way to *want*: never a data volume where it is wanted."""
    if isinstance(action, ForgetVolume):
        wanted = action.volume in {volume.name for volume in want.volumes}
        return wanted and goal.data_loss is DataLoss.ALLOWED
    if not isinstance(action, DestroyVolume):
        return False
    if action.volume == ROOT and goal.target is Target.REINITIALISED:
        return True
    pools = {volume.name: volume.pool for volume in want.volumes}
    moved = action.pool != pools.get(action.volume, action.pool)
    return goal.data_loss is DataLoss.ALLOWED and (moved or action.volume == ROOT)


def fulfils(goal: Goal, want: VMSpec, action: Action) -> bool:
    """Whether *action* is what a request asks for: without it, the request was not heard."""
    match goal.target:
        case Target.REBOOTED:
            return isinstance(action, Start)
        case Target.REINITIALISED:
            return action == AllocateVolume(want.root.pool, ROOT, want.root.size_bytes)
        case _:
            return False


def essence(goal: Goal, space: Space) -> Goal:
    """*goal* without the policies that its target has no use for: put to one value each."""
    without_spec = goal.target in WITHOUT_SPEC
    takes_away = goal.target in (Target.UNDEFINED, Target.DEPROVISIONED)
    no_loss = without_spec and not (takes_away and len(space.missing) > 1)
    return replace(
        goal,
        restart=goal.restart if goal.target in POWERED else Restart.IF_NEEDED,
        power_off=PowerOff.SHUTDOWN if goal.target in KEEPING_POWER else goal.power_off,
        data_loss=DataLoss.REFUSED if no_loss else goal.data_loss,
        by_hand=ByHand.KEPT if without_spec else goal.by_hand,
        max_impact=Impact.DATA_LOSS,
    )


# The search for the cheapest way, which knows nothing of the planner.


@cache
def arrows_into(space: Space) -> list[list[tuple[int, int]]]:
    """By state, the states and actions that lead to it."""
    into: list[list[tuple[int, int]]] = [[] for _ in space.states]
    for action, targets in enumerate(space.leads_to):
        for state, target in enumerate(targets):
            if target != NOWHERE:
                into[target].append((state, action))
    return into


def distances(space: Space, goal: Goal, reached: bytes, may: Collection[int]) -> list[int]:
    """By state, the cost of the cheapest way to a state that is *reached*, or UNREACHABLE.

    Uniform-cost search, backwards from all ends at once, by the actions *may*. For a request, each
    state is there twice: with the request still to be fulfilled, and with it fulfilled.
    """
    into, done = arrows_into(space), len(space.states) if goal.target in REQUESTS else 0
    cost = [COST[impact_of(action)] for action in space.actions]
    fulfilling = [fulfils(goal, space.want, action) for action in space.actions]
    best = [UNREACHABLE] * (len(space.states) + done)
    queue = [(0, done + state) for state, is_end in enumerate(reached) if is_end]
    for _, node in queue:
        best[node] = 0
    while queue:
        so_far, node = heapq.heappop(queue)
        if so_far > best[node]:
            continue
        is_done = node >= done > 0
        for before, action in into[node - done if is_done else node]:
            if action not in may:
                continue
            if fulfilling[action]:
                origins = [before, before + done] if is_done else []
            else:
                origins = [before + done] if is_done else [before]
            total = so_far + cost[action]
            for origin in origins:
                if total < best[origin]:
                    best[origin] = total
                    heapq.heappush(queue, (total, origin))
    return best[: len(space.states)]


# The plans, and all ways to carry them out.


POLICIES = ("restart", "power_off", "data_loss", "by_hand", "max_impact")
PARTS = ("in_effect", "locked", "by_hand", "missing", "to_run", "to_freeze")
LOOKED_AT: set[str] = set()  # of a goal and a state, since this was emptied


class Noted:
    """A policy of a goal, or a part of a state, which notes each look at it."""

    def __init__(self, kind: type, name: str, noted: str) -> None:
        self.name, self.noted = name, noted
        self.slot = vars(kind).get(name) if name in getattr(kind, "__slots__", ()) else None

    def __get__(self, it: object, owner: type | None = None) -> object:
        LOOKED_AT.add(self.noted)
        return vars(it)[self.name] if self.slot is None else self.slot.__get__(it)

    def __set__(self, it: object, value: object) -> None:
        if self.slot is None:
            vars(it)[self.name] = value
        else:
            self.slot.__set__(it, value)


class WatchedGoal(Goal):
    """A goal that notes which of its policies are looked at."""


class WatchedState(Observation):
    """A state that notes which of its parts are looked at; so do those that it becomes."""

    def __eq__(self, other: object) -> bool:
        LOOKED_AT.update(map("have.".__add__, PARTS))
        return isinstance(other, Observation) and vars(self) == vars(other)

    __hash__ = Observation.__hash__


for name in POLICIES:
    setattr(WatchedGoal, name, Noted(Goal, name, f"goal.{name}"))
for name in PARTS:
    setattr(WatchedState, name, Noted(Observation, name, f"have.{name}"))


def watched_goal(goal: Goal) -> Goal:
    return WatchedGoal(**{name: getattr(goal, name) for name in Goal.__slots__})


def watched_state(have: Observation) -> Observation:
    made = object.__new__(WatchedState)
    vars(made).update(vars(have))
    return made


@dataclass(frozen=True, eq=False)
class Shape:
    """A plan without words: its actions by number, and which sets of steps can be done first.

    A move is from a set of steps done, by an action, to a larger set; sets are numbered, the empty
    one is the first, and that of all steps the last. Two plans of one shape are one object.
    """

    actions: tuple[int, ...]
    waits: tuple[int, ...]  # for each action, the set of those it waits for, as a bit mask
    cost: int
    moves: tuple[tuple[int, int, int], ...]
    sets: int
    first: tuple[tuple[int, "Key"], ...]  # each step that can be first, and what then is left


Key = tuple[tuple[int, ...], tuple[int, ...]]  # actions, waits


class Shapes(dict[Key, Shape]):
    """All shapes of one space, by actions and waits."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space

    def of(self, planned: Plan) -> Shape:
        numbers = tuple(_number_of(self.space, step.action) for step in planned.steps)
        waits = tuple(sum(1 << earlier for earlier in step.waits_for) for step in planned.steps)
        return self[numbers, waits]

    def __missing__(self, key: Key) -> Shape:
        numbers, waits = key
        places, moves = {0: 0}, list[tuple[int, int, int]]()
        for done in (queue := [0]):
            for position, number in enumerate(numbers):
                bit = 1 << position
                if done & bit or waits[position] & ~done:
                    continue
                if done | bit not in places:
                    places[done | bit] = len(places)
                    queue.append(done | bit)
                moves.append((places[done], number, places[done | bit]))
        cost = sum(COST[impact_of(self.space.actions[number])] for number in numbers)
        first = tuple(
            (
                numbers[each],
                (_less(numbers, each), tuple(_bits_less(w, each) for w in _less(waits, each))),
            )
            for each in range(len(numbers))
            if not waits[each]
        )
        self[key] = Shape(numbers, waits, cost, tuple(moves), len(places), first)
        return self[key]


@cache
def shapes_of(space: Space) -> Shapes:
    return Shapes(space)


def _less(numbers: tuple[int, ...], position: int) -> tuple[int, ...]:
    return numbers[:position] + numbers[position + 1 :]


def _bits_less(mask: int, position: int) -> int:
    """*mask* without the bit at *position*: those above it move down by one."""
    low = mask & ((1 << position) - 1)
    return low | mask >> (position + 1) << position


def _number_of(space: Space, action: Action) -> int:
    found = _by_type(space).get(
        (type(action), getattr(action, "pool", ""), getattr(action, "volume", "")), ()
    )
    for number in found:
        if space.actions[number] == action:
            return number
    raise AssertionError(f"the planner takes an action that the space does not know: {action}")


@cache
def _by_type(space: Space) -> dict[tuple[object, ...], list[int]]:
    found: dict[tuple[object, ...], list[int]] = {}
    for number, action in enumerate(space.actions):
        key = (type(action), getattr(action, "pool", ""), getattr(action, "volume", ""))
        found.setdefault(key, []).append(number)
    return found


def walk(space: Space, start: int, shape: Shape) -> tuple[set[int], set[int]]:
    """From *start*, every state on the way of *shape*, and every state that a fault leaves."""
    states = [NOWHERE] * shape.sets
    states[0] = start
    faults = {space.without_power[start]}
    for done, action, more in shape.moves:
        here = states[done]
        there = space.leads_to[action][here]
        assert there != NOWHERE, (
            f"{describe(space.actions[action], NAME)}: not in {space.shown(here)}"
        )
        assert states[more] in (NOWHERE, there), "the order of the steps makes a difference"
        states[more] = there
        faults.add(space.without_power[there])
        faults.update(space.cut_short(action, here))
    return set(states), faults


@dataclass
class Counted:
    """What was checked: points are states times goals, plans those that had to be made."""

    states: int = 0
    points: int = 0
    plans: int = 0
    refusals: int = 0
    cuts: int = 0

    def add(self, other: "Counted") -> None:
        self.states = max(self.states, other.states)
        self.points += other.points
        self.plans += other.plans
        self.refusals += other.refusals
        self.cuts += other.cuts


Answer = Shape | None  # a plan, or a refusal


def check(space: Space, target: Target, restarts: Sequence[Restart]) -> Counted:
    """Check all laws for all goals with *target* and one of *restarts*, in every state."""
    goals = goals_of(space, target, restarts)
    counted = Counted(states=len(space.states), points=len(space.states) * len(goals))
    answers: list[list[Answer]] = [[] for _ in goals]
    known: dict[tuple[object, ...], Known] = {}
    for have in space.states:
        # By identity, as there is one object for each of these in a space.
        same = (id(have.recorded), id(have.defined), have.power, id(have.volumes))
        found = answers_to(space, goals, have, counted, known.setdefault(same, {}))
        for column, answer in zip(answers, found, strict=True):
            column.append(answer)
    told_apart: dict[Goal, list[Answer]] = {}
    for goal, column in zip(goals, answers, strict=True):
        counted.refusals += column.count(None)
        alike = told_apart.setdefault(essence(goal, space), column)
        assert alike == column, f"it matters to {target}"
    checks = [Checks(space, goal, column) for goal, column in told_apart.items()]
    for each in checks:
        for state in range(len(space.states)):
            each.check(state)
    counted.cuts = sum(shape.sets for column in answers for shape in column if shape)
    return counted


def goals_of(space: Space, target: Target, restarts: Sequence[Restart]) -> list[Goal]:
    spec = None if target in WITHOUT_SPEC else space.want
    by_hand = ByHand if len(space.by_hand) > 1 else [ByHand.KEPT]
    return [
        Goal(
            name=NAME,
            target=target,
            spec=spec,
            restart=restart,
            power_off=power_off,
            data_loss=data_loss,
            by_hand=lines,
        )
        for restart, power_off, data_loss, lines in product(restarts, PowerOff, DataLoss, by_hand)
    ]


Known = dict[tuple[str, ...], dict[tuple[int, ...], Answer]]  # by what was looked at, and was so


def answers_to(
    space: Space, goals: Iterable[Goal], have: Observation, counted: Counted, known: Known
) -> Iterator[Answer]:
    """The plan for each goal; not made again where only what it did not look at is different.

    *known* are those of states that differ in ``PARTS`` only. Values are compared by identity:
    there is one object for each of them in a space.
    """
    values = {f"have.{name}": id(getattr(have, name)) for name in PARTS}
    for goal in goals:
        for name in POLICIES:
            values[f"goal.{name}"] = id(getattr(goal, name))
        for looked_at, by_values in known.items():
            alike = tuple([values[name] for name in looked_at])
            if alike in by_values:
                yield by_values[alike]
                break
        else:
            LOOKED_AT.clear()
            answer = answer_to(space, watched_goal(goal), watched_state(have))
            counted.plans += 1
            looked_at = tuple(sorted(LOOKED_AT))
            known.setdefault(looked_at, {})[tuple([values[name] for name in looked_at])] = answer
            yield answer


def answer_to(space: Space, goal: Goal, have: Observation) -> Answer:
    """Law 7: a plan, or the reasons why there is none, each with a path."""
    match plan(goal, have, space.facts):
        case Success(planned):
            assert all(step.reason for step in planned.steps)
            return shapes_of(space).of(planned)
        case Failure(problems):
            assert problems
            assert all(each.path and each.message for each in problems)
            return None


class Checks:
    """The laws for one goal, in every state."""

    def __init__(self, space: Space, goal: Goal, answers: list[Answer]) -> None:
        self.space = space
        self.goal = goal
        self.answers = answers
        self.ends = [
            NOWHERE if shape is None else _end_of(space, state, shape)
            for state, shape in enumerate(answers)
        ]
        self.shapes = shapes_of(space)
        self.by_case: dict[Case, Expected] = {}

    def check(self, state: int) -> None:
        """All laws, for one state."""
        shape = self.answers[state]
        try:
            self._check(state, shape)
        except (AssertionError, KeyError) as broken:
            actions = [] if shape is None else shape.actions
            steps = [describe(self.space.actions[each], NAME) for each in actions] or ["no steps"]
            lines = [replace(self.goal, spec=None), self.space.shown(state), *steps, broken]
            raise AssertionError("\n".join(map(str, lines))) from broken

    def _check(self, state: int, shape: Answer) -> None:
        have = self.space.states[state]
        case = case_of(self.goal, have)
        if case not in self.by_case:
            self.by_case[case] = Expected.of(self.space, self.goal, case)
        expected = self.by_case[case]
        refused = is_refused(self.goal, self.space.want, have)
        best = expected.distances[state]
        if shape is None:
            assert refused or best == UNREACHABLE, f"refused, and there is a way of cost {best:#x}"
            return
        assert not refused, "against the rules"
        assert shape.cost == best, f"costs {shape.cost:#x}, and the cheapest way {best:#x}"
        assert expected.allowed.issuperset(shape.actions), "against the policy"
        if have.locked:
            assert not any(map(self._is_harmful, shape.actions)), "it is locked"
        end = self.ends[state]
        assert end != NOWHERE, "a step may not be done"
        assert expected.ends[end], f"it ends at {self.space.shown(end)}"
        self._check_nothing_is_left(end)
        if not self._is_checked_after_each_first_step(state, shape):
            cuts, faults = walk(self.space, state, shape)
            for cut in cuts:
                self._check_resumable(cut)
                self._check_is_to_run(state, cut, end)
                assert self._leads_to(cut, end), f"another end from {self.space.shown(cut)}"
            for cut in faults:
                self._check_resumable(cut)

    def _is_checked_after_each_first_step(self, state: int, shape: Shape) -> bool:
        """Laws 3 and 4 where the plan after each step that can be first is what is left of *shape*.

        Then the ways that *shape* can go on from there are those of that plan, and are checked
        with it: what remains to be checked are the first steps, and the faults in them.
        """
        self._check_resumable(self.space.without_power[state])
        for action, left in shape.first:
            there = self.space.leads_to[action][state]
            if there == NOWHERE or self.answers[there] is not self.shapes.get(left):
                return False
            self._check_is_to_run(state, there, self.ends[state])
            assert self._leads_to(there, self.ends[state]), f"another end after {action}"
            for cut in self.space.cut_short(action, state):
                self._check_resumable(cut)
        return True

    def _leads_to(self, cut: int, end: int) -> bool:
        """Whether the plan resumed at *cut* ends at *end*; one for a request, with that power."""
        if self.goal.target not in REQUESTS or NOWHERE in (self.ends[cut], end):
            return self.ends[cut] in (NOWHERE, end)
        return self._is_on(self.ends[cut]) is self._is_on(end)

    def _check_is_to_run(self, start: int, cut: int, end: int) -> None:
        """A VM that was on, and is to be, is not off without a note that it is to run."""
        states = self.space.states
        was_on = states[start].power is not Power.STOPPED or states[start].to_run
        if was_on and self._is_on(end) and states[cut].power is Power.STOPPED:
            assert states[cut].to_run, f"left off for ever at {self.space.shown(cut)}"
        if states[start].power in ON and states[end].power is Power.FROZEN:
            is_off = states[cut].power is Power.STOPPED
            assert states[cut].to_freeze or not is_off, f"left thawed: {self.space.shown(cut)}"
        if states[start].power is states[end].power is Power.FROZEN:
            is_left = states[cut].power is Power.RUNNING and not states[cut].to_freeze
            assert not is_left, f"left thawed: {self.space.shown(cut)}"

    def _is_on(self, state: int) -> bool:
        return self.space.states[state].power in ON

    def _is_harmful(self, action: int) -> bool:
        return isinstance(self.space.actions[action], HARMFUL)

    def _check_nothing_is_left(self, end: int) -> None:
        """Law 2; to power off what does not exist is refused."""
        again = self.answers[end]
        if self.goal.target in REQUESTS:
            return
        if again is None:
            self._check_resumable(end)
        else:
            assert again.actions == (), f"at the end, {again.actions} would be done"

    def _check_resumable(self, cut: int) -> None:
        """Law 4: there is a plan from *cut*, or nothing to do, or only what the policy forbids."""
        if self.ends[cut] != NOWHERE:
            return
        have, goal = self.space.states[cut], self.goal
        nothing_there = goal.target is Target.OFF and have == Observation()
        never = goal.target in POWERED and goal.restart is Restart.NEVER
        assert nothing_there or (never and have.power is Power.STUCK), (
            f"no plan from {self.space.shown(cut)}"
        )


@dataclass(frozen=True)
class Expected:
    """What is promised, and what it may cost, for one goal and case."""

    distances: list[int]
    ends: bytes  # by state, whether it is what the goal promises
    allowed: frozenset[int]  # the actions

    @classmethod
    def of(cls, space: Space, goal: Goal, case: Case) -> "Expected":
        reached = bytes(ends(goal, case, space, end) for end in space.states)
        may = (allowed(goal, case, space.want, action) for action in space.actions)
        numbers = frozenset(number for number, is_allowed in enumerate(may) if is_allowed)
        return cls(distances(space, goal, reached, numbers), reached, numbers)


def _end_of(space: Space, state: int, shape: Shape) -> int:
    for action in shape.actions:
        state = space.leads_to[action][state]
        if state == NOWHERE:
            return NOWHERE
    return state


JOBS: list[tuple[Target, tuple[Restart, ...]]] = [
    *((target, (restart,)) for target in POWERED for restart in Restart),
    *((target, tuple(Restart)) for target in STATES if target not in POWERED),
]


def run(job: tuple[str, Target, tuple[Restart, ...]]) -> Counted:
    """One job, in a process that was forked with the tables of the space."""
    name, target, restarts = job
    return check(SPACES[name], target, restarts)


@pytest.mark.timeout(3600)  # it looks at millions of points, on a machine that may be busy
@pytest.mark.parametrize("space", SPACES.values(), ids=list(SPACES))
def test_the_laws_hold_at_every_point(
    space: Space, record_property: Callable[[str, object], None]
) -> None:
    """Laws 1 to 7; see above for how."""
    counted = Counted()
    space.prepare()
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as workers:
        for each in workers.map(run, [(space.name, *job) for job in JOBS]):
            counted.add(each)
    record_property(f"checked in space {space.name}", str(counted))
    print(f"\n{space.name}: {counted}")
    lines = len(ByHand) if len(space.by_hand) > 1 else 1
    policies = len(Restart) * len(PowerOff) * len(DataLoss) * lines
    assert counted.points == len(space.states) * len(STATES) * policies


def check_caps(target: Target) -> int:
    """How many plans were refused for a step above the highest impact allowed."""
    refused = 0
    goals = {essence(goal, BY_HAND) for goal in goals_of(BY_HAND, target, tuple(Restart))}
    # How it is powered off, and what else may go, comes before the limit: one of each will do.
    asking = (PowerOff.SHUTDOWN, DataLoss.REFUSED, ByHand.KEPT)
    some = [goal for goal in goals if (goal.power_off, goal.data_loss, goal.by_hand) == asking]
    for goal, have in product(some, BY_HAND.states):
        planned = plan(goal, have)
        if isinstance(planned, Failure):
            continue
        found = planned.unwrap()
        for most in set(Impact) - {goal.max_impact}:
            capped = plan(replace(goal, max_impact=most), have)
            above = [at for at, step in enumerate(found.steps, start=1) if step.impact > most]
            if above:
                refused += 1
                named = [f"step {at}, " for at in above]
                problems = capped.failure()
                assert len(problems) == len(named)
                assert all(map(str.startswith, (each.message for each in problems), named))
            else:
                assert capped == planned
    return refused


def test_a_plan_with_a_step_above_the_highest_impact_is_refused_and_names_it() -> None:
    """Any other plan is the same with and without a limit."""
    BY_HAND.prepare()
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as workers:
        assert sum(workers.map(check_caps, STATES))


@pytest.mark.parametrize("target", Target)
def test_nothing_is_done_to_a_vm_that_geats_did_not_make(target: Target) -> None:
    """Law 6: without leave in the goal, whatever the state."""
    goal = Goal(name=NAME, target=target, spec=BY_HAND.want)
    foreign = (replace(have, foreign=True) for have in BY_HAND.states)
    assert all(isinstance(plan(goal, have), Failure) for have in foreign)


@pytest.mark.parametrize("target", Target)
def test_nothing_is_taken_from_a_vm_that_nobody_named(target: Target) -> None:
    """Law 8: in every state, and with every leave; but for what a changed description needs."""
    spec = None if target in WITHOUT_SPEC else BY_HAND.want
    goal = Goal(name=NAME, target=target, spec=spec, data_loss=DataLoss.ALLOWED)
    for have in BY_HAND.states:
        by_name = plan(goal, have)
        match plan(replace(goal, asked=Asked.SWEPT), have):
            case Success(made):
                assert Success(made) == by_name
                assert not any(map(takes_unasked, made.steps))
            case Failure(problems):
                assert isinstance(by_name, Failure) or all(
                    each.message.endswith("name the VM if you want that") for each in problems
                )


@pytest.mark.parametrize("power", PowerWish)
def test_what_is_as_declared_is_in_the_state_that_the_description_says(power: PowerWish) -> None:
    """Whoever named the VM, or nobody: the description itself says that it be off, or frozen."""
    spec = replace(BY_HAND.want, power=power)
    goal = Goal(name=NAME, target=Target.DECLARED, spec=spec)
    for have in BY_HAND.states:
        planned = plan(goal, have)
        assert planned == plan(goal.settled, have)
        if isinstance(planned, Success) and power in (PowerWish.STOPPED, PowerWish.FROZEN):
            swept = plan(replace(goal, asked=Asked.SWEPT), have)
            removed = any(isinstance(step.action, DestroyVolume) for step in planned.unwrap().steps)
            restarts = isinstance(swept, Failure) and all(
                each.message.startswith("would shut down") for each in swept.failure()
            )  # which no change of its description needs: that it is frozen is not why
            assert removed or swept == planned or (power is PowerWish.FROZEN and restarts)


def takes_unasked(step: Step) -> bool:
    """Whether a step powers off, freezes, undefines, empties or unlocks, and no change needs it."""
    takes = KeepOff | Freeze | Undefine | Unlock | DestroyVolume
    lowers = isinstance(step.action, Shutdown | Stop | takes)
    guest = step.reason == "its guest is not configured as described"
    return lowers and not step.changes and not guest


def _without_definition(have: Observation) -> Observation:
    return replace(have, unreliable="of a newer geats")


def _without_a_volume(have: Observation) -> Observation | None:
    if not (have.volumes and have.recorded):
        return None
    first, *others = have.volumes
    return replace(have, volumes=(replace(first, unreadable="of a newer geats"), *others))


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize(
    ("seen", "said", "anew"),
    [
        (_without_definition, "cannot be relied on: of a newer geats", {Define, Unfreeze}),
        (_without_a_volume, "is left alone: of a newer geats", set()),
    ],
    ids=["definition", "volume"],
)
def test_a_vm_of_which_a_part_cannot_be_read_is_powered_off_and_else_left_alone(
    target: Target,
    seen: Callable[[Observation], Observation | None],
    said: str,
    anew: set[type[Action]],
) -> None:
    """Law 6: in every state, and with every leave; what geats holds frozen may go on.

    But a definition is recreated.
    """
    spec = None if target in WITHOUT_SPEC else BY_HAND.want
    goal = Goal(name=NAME, target=target, spec=spec, data_loss=DataLoss.ALLOWED)
    touched: set[type[Action]] = set()
    for have in filter(None, map(seen, BY_HAND.states)):
        match plan(goal, have):
            case Success(made):
                touched |= {type(step.action) for step in made.steps}
            case Failure(problems):
                assert said in problems[0].message
    assert touched == {
        Target.OFF: {KeepOff, Repair, Shutdown, Unfreeze},
        Target.LOCKED: {Lock, Unfreeze},  # none stays held
        Target.UNLOCKED: {Unlock, Unfreeze},
        Target.DEFINED: anew,
    }.get(target, set())


@pytest.mark.parametrize("target", Target)
def test_a_vm_that_is_elsewhere_is_left_alone_but_where_it_is_here_as_well(target: Target) -> None:
    """Law 6: in every state, and with every leave."""
    spec = None if target in WITHOUT_SPEC else BY_HAND.want
    goal = Goal(name=NAME, target=target, spec=spec, data_loss=DataLoss.ALLOWED, foreign=True)
    facts = HostFacts(elsewhere={NAME: "with state_dir: /srv/geats"})
    for state in BY_HAND.states:
        is_here = state.defined is not None or state.power is not Power.STOPPED
        match plan(goal, state, facts):
            case Failure(problems) if not is_here:
                assert problems[0].message.startswith("is on this host already, with state_dir: ")
            case made:
                assert is_here
                assert made == plan(goal, state)


@pytest.mark.parametrize("target", Target)
def test_nothing_is_made_where_other_vms_would_be_left_behind(target: Target) -> None:
    """Law 6: in every state; and what makes nothing there is planned as ever."""
    goal = Goal(name=NAME, target=target, spec=None if target in WITHOUT_SPEC else BY_HAND.want)
    pool, driver = (Moved(what, "/a", "/b", ("db",)) for what in ("pools.fast", "drivers.lxc"))
    for state in BY_HAND.states:
        before = plan(goal, state)
        for moved in (pool, driver):
            match plan(goal, state, HostFacts(moved=(moved,))):
                case Success(made):
                    assert Success(made) == before
                    assert not _made_in(moved, made, state)
                case Failure(problems) as refused:
                    left = [each for each in problems if "db is left there" in each.message]
                    assert left or refused == before


def _made_in(moved: Moved, made: Plan, have: Observation) -> list[Action]:
    return [
        step.action
        for step in made.steps
        if (
            isinstance(step.action, AllocateVolume)
            and f"pools.{step.action.pool}" == moved.what
            and have.volume(step.action.pool, step.action.volume) is None
        )
        or (isinstance(step.action, Define) and moved.what == "drivers.lxc" and not have.exists)
    ]


@pytest.mark.parametrize("target", Target)
def test_a_lock_that_is_kept_in_one_place_protects_as_well_until_it_is_kept_in_both(
    target: Target,
) -> None:
    """Law 6: in every state, and with every leave."""
    spec = None if target in WITHOUT_SPEC else BY_HAND.want
    goal = Goal(name=NAME, target=target, spec=spec, data_loss=DataLoss.ALLOWED)
    for have in filter(lambda state: state.locked, BY_HAND.states):
        match plan(goal, have), plan(goal, replace(have, half_locked=True)):
            case Success(whole), Success(half) if target is Target.LOCKED:
                assert [type(step.action) for step in half.steps] == [Lock, *_types(whole)]
            case Success(whole), Success(half) if spec is not None:
                is_marked_anew = any(kind in (Define, Lock) for kind in _types(whole))
                assert Counter(_types(half)) - Counter(_types(whole)) == (
                    Counter() if is_marked_anew else Counter([Lock])
                )
            case whole, half:
                kept = target is Target.LOCKED and not have.is_recorded
                assert half == whole or (kept and isinstance(half, Failure))


def _types(made: Plan) -> list[type[Action]]:
    return [type(step.action) for step in made.steps]


def test_the_model_lets_nothing_harm_what_is_locked() -> None:
    """Law 6, whatever a planner may ask for."""
    harmful = [
        (action, MISSING.leads_to[number][state])
        for number, action in enumerate(MISSING.actions)
        for state, have in enumerate(MISSING.states)
        if have.locked and isinstance(action, HARMFUL)
    ]
    assert harmful
    assert {there for _, there in harmful} == {NOWHERE}


@pytest.mark.parametrize("target", Target)
def test_a_disk_is_planned_for_as_a_tree_is(target: Target) -> None:
    """So the laws hold for both kinds of roots; looked at in every third state."""
    disks = HostFacts(
        drivers={
            "lxc": DriverFacts(
                costs=LIVE_LIMITS,
                roots=frozenset({Offer.FILE}),
                volumes=frozenset({Offer.FILE}),
                root_kind=RootKind.DISK,
                guests_mount=True,
                whole_cpus=True,
                lacks=frozenset({"privileged", "binds"}),
            )
        },
        pools={HERE: PoolFacts(offers=Offer.FILE), ELSEWHERE: PoolFacts(offers=Offer.FILE)},
        templates=frozenset({"debian", "alpine"}),
        disks={"debian": 2**20, "alpine": None},
    )
    spec = None if target in WITHOUT_SPEC else BY_HAND.want
    goal = Goal(name=NAME, target=target, spec=spec, data_loss=DataLoss.ALLOWED)
    for have in BY_HAND.states[::3]:
        assert plan(goal, have, disks) == plan(goal, have, BY_HAND.facts), BY_HAND.shown(
            BY_HAND.number(have)
        )
