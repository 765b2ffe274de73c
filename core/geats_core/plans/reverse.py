"""Undoing a plan: what can be undone, and how snapshots make more of it undoable.

A reverse plan is a plan like any other: its goal is what the VM was before. ``warnings`` always say
what no plan can bring back.
"""

from collections.abc import Iterable
from dataclasses import replace

from returns.result import Failure, Success

from geats_core.deciding.planner import plan
from geats_core.planning.actions import (
    Action,
    ConfigureGuest,
    DeleteSnapshot,
    DestroyVolume,
    ForgetVolume,
    InstallTemplate,
    MoveVolume,
    Rename,
    RollbackVolume,
    SnapshotVolume,
)
from geats_core.planning.draft import again, for_now
from geats_core.planning.goal import ByHand, DataLoss, Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.model import ON, after
from geats_core.planning.ordering import ordered
from geats_core.planning.steps import Plan, Step
from geats_core.plans.observation_changes import differences
from geats_core.reading.checked import Checked, Code, problem
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Observation, Power, Stage
from geats_core.vm.spec import VMSpec, Volume

TARGET_OF = {
    Power.RUNNING: Target.RUNNING,
    Power.FROZEN: Target.FROZEN,
    Power.HELD: Target.RUNNING,
    Power.STOPPED: Target.STOPPED,
    Power.STUCK: Target.RUNNING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoable:
    """A plan, and what of it no other plan can undo."""

    plan: Plan
    warnings: tuple[str, ...] = ()


def with_snapshots(
    made: Plan, have: Observation, facts: HostFacts, name: str, taken_s: int
) -> Undoable:
    """The same plan, with a snapshot of each volume before its content is changed.

    *name* is the name of the snapshots, *taken_s* the time (seconds since the epoch). There is a
    warning if a pool has no snapshots, or if a volume is destroyed with its snapshots.
    """
    existing = {(volume.pool, volume.name) for volume in have.volumes}
    steps: list[Step] = []
    warnings: list[str] = []
    for step in made.steps:
        where = _changed_volume(step.action)
        if where is not None and where in existing:
            existing.discard(where)
            volume = f"{made.name}/{where[1]}"
            if isinstance(step.action, DestroyVolume):
                warnings.append(f"destroying volume {volume} cannot be undone")
            elif not facts.pool(where[0]).snapshots:
                warnings.append(
                    f"what changes on volume {volume} cannot be undone: "
                    f"pool {where[0]} has no snapshots"
                )
            else:
                action = SnapshotVolume(*where, name, taken_s)
                steps.append(Step(vm=made.name, action=action, reason="its content will change"))
        if isinstance(step.action, ForgetVolume):
            volume = f"{made.name}/{step.action.volume}"
            warnings.append(f"forgetting volume {volume}, which is not found, cannot be undone")
        steps.append(step)
    return Undoable(plan=replace(made, steps=ordered(steps)), warnings=tuple(warnings))


def _changed_volume(action: Action) -> tuple[str, str] | None:
    match action:
        case InstallTemplate(pool, volume) | ConfigureGuest(pool, volume):
            return pool, volume
        case DestroyVolume(pool, volume):
            return pool, volume
        case _:
            return None


def reverse(made: Plan, have: Observation, facts: HostFacts | None = None) -> Checked[Undoable]:
    """The plan that undoes *made*, which was made from *have*, and what it cannot bring back.

    If *made* took snapshots of volumes, these are rolled back, and the snapshots are deleted. If
    the VM is locked, both stay, with a warning. Refused if *made* does not fit *have*, or if there
    is no way back.
    """
    facts = facts or HostFacts()
    then = follow(made, have)
    if isinstance(then, Failure):
        return then
    now = then.unwrap()
    for step in made.steps:
        if isinstance(step.action, Rename):
            back = f"geats rename {step.action.spec.name} {made.name}"
            return problem(made.name, f"is undone by another renaming: {back}", Code.REFUSED)
        if isinstance(step.action, MoveVolume):
            back = (
                f"geats move-volume {made.name} {step.action.volume} --to {step.action.from_pool}"
            )
            return problem(made.name, f"is undone by another move: {back}", Code.REFUSED)
    if have.unreliable and not now.unreliable:
        return problem(
            made.name,
            "its old definition could not be relied on, and cannot be restored",
            Code.REFUSED,
        )
    rollbacks = () if now.locked else _rollbacks(made, now)
    first: tuple[Step, ...] = ()
    if rollbacks:
        match plan(_goal(made.name, Target.OFF), now, facts):
            case Success(off):
                ends_off = goal_before(made.name, have, now).target is Target.STOPPED
                first = (*(off.steps if ends_off else for_now(off.steps, have)), *rollbacks)
            case Failure() as refused:
                return refused
    return _back(made, have, now, first, facts)


def _back(
    made: Plan, have: Observation, now: Observation, first: tuple[Step, ...], facts: HostFacts
) -> Checked[Undoable]:
    """After the steps *first*, plan from there to what *have* was."""
    between = follow(Plan(name=made.name, steps=first), now)
    if isinstance(between, Failure):
        return between
    start = between.unwrap()
    match plan(goal_before(made.name, have, start), start, facts):
        case Success(rest):
            whole = replace(rest, steps=ordered((*first, *rest.steps)))
            end = follow(whole, now).value_or(now)
            kept = _kept(made, now) if now.locked else ()
            warnings = (*_lost(made, have), *kept, *differences(made.name, have, end))
            return Success(Undoable(plan=whole, warnings=warnings))
        case Failure() as refused:
            return refused


def _lost(made: Plan, have: Observation) -> Iterable[str]:
    """The volumes that *made* destroyed with what was on them."""
    for step in made.steps:
        if isinstance(step.action, DestroyVolume):
            seen = have.volume(step.action.pool, step.action.volume)
            if seen is not None and seen.stage is not Stage.ALLOCATED:
                yield f"what was on volume {made.name}/{seen.name} is lost"
        elif isinstance(step.action, ForgetVolume):
            yield f"volume {made.name}/{step.action.volume}, which was not found, is forgotten"


def follow(made: Plan, have: Observation) -> Checked[Observation]:
    """The observation after *made*, from *have*; refused at the first step that cannot be done."""
    state = have
    for position, step in enumerate(made.steps, start=1):
        match after(step.action, state):
            case Success(state):
                pass
            case Failure(why):
                return problem(made.name, f"step {position} cannot be done: {why}", Code.REFUSED)
    return Success(state)


def _taken(made: Plan, now: Observation) -> list[SnapshotVolume]:
    """The snapshots that *made* took of volumes that are there."""
    taken = [step.action for step in made.steps if isinstance(step.action, SnapshotVolume)]
    return [each for each in taken if now.volume(each.pool, each.volume) is not None]


def _kept(made: Plan, now: Observation) -> Iterable[str]:
    for each in _taken(made, now):
        volume = f"{made.name}/{each.volume}"
        yield f"{made.name} is locked: volume {volume} is not rolled back to {each.snapshot}"


def _rollbacks(made: Plan, now: Observation) -> tuple[Step, ...]:
    there = _taken(made, now)
    back = [RollbackVolume(each.pool, each.volume, each.snapshot) for each in there]
    gone = [DeleteSnapshot(each.pool, each.volume, each.snapshot) for each in there]
    return (
        *(
            Step(vm=made.name, action=each, reason="its content should be as before")
            for each in back
        ),
        *(Step(vm=made.name, action=each, reason="it has served its purpose") for each in gone),
    )


def goal_before(name: str, have: Observation, start: Observation) -> Goal:
    """The goal that brings a VM from *start* back to what it was in *have*.

    Undoing does not include permission to forget missing volumes.
    """
    wanted = _state_before(name, have, start)
    return replace(wanted, data_loss=DataLoss.REFUSED) if start.missing else wanted


def _state_before(name: str, have: Observation, start: Observation) -> Goal:
    if have.recorded is None:
        return _goal(name, Target.UNDEFINED if have.volumes else Target.DEPROVISIONED)
    if have.locked != start.locked:
        return _goal(name, Target.LOCKED if have.locked else Target.UNLOCKED)
    spec = have.recorded
    provisioned = any(volume.name == spec.root.name for volume in have.volumes)
    target = TARGET_OF[have.power] if provisioned or have.power in ON else Target.DEFINED
    if (have.to_run or have.to_freeze) and provisioned:
        target = TARGET_OF[again(have)]
    return replace(_goal(name, target), spec=_never_smaller(spec, start))


def _goal(name: str, target: Target) -> Goal:
    return Goal(name=name, target=target, data_loss=DataLoss.ALLOWED, by_hand=ByHand.KEPT)


def _never_smaller(spec: VMSpec, start: Observation) -> VMSpec:
    """*spec*, with the volumes that have grown as large as they are: none can shrink."""
    return replace(spec, volumes=tuple(_as_large(volume, start) for volume in spec.volumes))


def _as_large(volume: Volume, start: Observation) -> Volume:
    seen = start.volume(volume.pool, volume.name)
    if seen is None or seen.size_bytes is None or volume.size_bytes is None:
        return volume
    return replace(volume, size_bytes=max(volume.size_bytes, seen.size_bytes))
