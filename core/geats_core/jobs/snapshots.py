"""Snapshots of a whole VM: plans to take, restore and delete them.

Theory of operation
-------------------
A snapshot of a VM consists of a snapshot of each of its volumes, all with the same name. They are
taken *together*: a running VM is frozen meanwhile, so that they are of one moment. If taking it was
interrupted, it is completed later, and its parts are of different moments. It says so, and it is
restored only if that is asked for. Restoring loses what was written since then, so it needs
permission, and the VM must be off.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count

from returns.result import Failure, Success

from geats_core.deciding.losses import incomplete
from geats_core.deciding.planner import plan
from geats_core.deciding.refusals import foreign, only_while_off, undefined
from geats_core.declared.keep import Keep
from geats_core.declared.retention import Retention, Snapshot, retain
from geats_core.planning.actions import (
    ActivateVolume,
    ConfigureGuest,
    DeleteSnapshot,
    Freeze,
    Hold,
    RollbackVolume,
    SnapshotVolume,
    Unfreeze,
)
from geats_core.planning.draft import LEFT_OFF, Draft, again, for_now, held_as
from geats_core.planning.goal import DataLoss, Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.model import ON
from geats_core.planning.steps import Plan, Step
from geats_core.reading.checked import Checked, Code, Problem, Problems, unknown
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.observation import Observation, Power, Stage, VolumeSeen
from geats_core.vm.spec import ROOT, VMSpec


class Parts(StrEnum):
    """Whether a snapshot must cover every volume at one moment, or may be partial."""

    ALL = "all"
    SOME = "some"


INSTEAD = (
    ": export the VM, or move the volume to a pool that has them, as 'geats help snapshots' tells"
)
BY_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{6}(-[0-9]+)?")  # see ``name_at``


@dataclass(frozen=True, slots=True, kw_only=True)
class VMSnapshot:
    """The snapshots of one name that the volumes of a VM have.

    ``taken_s`` is when the first of them was taken, in seconds since the epoch; they were taken
    ``together`` if that is true of all of them.
    """

    name: str
    taken_s: int
    volumes: tuple[str, ...]
    together: bool


@dataclass(frozen=True, slots=True)
class Retained:
    """What the rules keep and why, and the plan that deletes the rest."""

    plan: Plan
    retention: Retention


def name_at(taken_s: int) -> str:
    """The default name of a snapshot, such as ``2026-11-23-070000`` (UTC)."""
    return datetime.fromtimestamp(taken_s, UTC).strftime("%Y-%m-%d-%H%M%S")


def numbered(stem: str) -> Iterator[str]:
    """*stem*, and what to try if it exists, because a clock that is set back gives a name twice."""
    yield stem
    yield from (f"{stem}-{number}" for number in count(2))


def snapshots_of(have: Observation) -> tuple[VMSnapshot, ...]:
    """Every snapshot of a VM, from the oldest to the newest."""
    parts: dict[str, list[tuple[int, str]]] = {}
    for volume in have.volumes:
        for seen in volume.snapshots:
            parts.setdefault(seen.name, []).append((seen.taken_s, volume.name))
    found = (
        VMSnapshot(
            name=name,
            taken_s=min(taken)[0],
            volumes=tuple(sorted({volume for _, volume in taken})),
            together=len({moment for moment, _ in taken}) == 1,
        )
        for name, taken in parts.items()
    )
    return tuple(sorted(found, key=lambda each: (each.taken_s, each.name)))


def plan_snapshot(
    name: str,
    snapshot: str,
    taken_s: int,
    have: Observation,
    facts: HostFacts,
    parts: Parts = Parts.ALL,
) -> Checked[Plan]:
    """Take a snapshot of all volumes of the VM; the plan is empty if the snapshot exists already.

    Refused if a volume is in a pool without snapshots. If *parts* is SOME, such volumes are skipped
    instead.
    """
    found = [
        *_wrong_with(name, have),
        *_stuck(name, have),
        *only_while_off(name, have, facts),
    ]
    able = [seen for seen in _own(have) if facts.pool(seen.pool).snapshots]
    if not found:
        found += _unable(name, have, facts, parts)
    if found:
        return Failure(tuple(found))
    missing = [seen for seen in able if seen.snapshot(snapshot) is None]
    begun = len(missing) < len(able)
    draft = Draft(name, have)
    for seen in missing:
        _activate(draft, seen)
    hold = have.power is Power.RUNNING and bool(missing)
    if hold:
        reason = held_as("the snapshot must be of one moment", have.recorded, facts)
        draft.add(Hold(), reason)
    for seen in missing:
        reason = "this part of it is missing" if begun else f"snapshot {snapshot} is wanted"
        draft.add(SnapshotVolume(seen.pool, seen.name, snapshot, taken_s), reason)
    if hold:
        draft.add(Unfreeze(), "it ran before")
    return draft.finished()


def plan_restore(
    name: str,
    snapshot: str,
    have: Observation,
    facts: HostFacts,
    data_loss: DataLoss = DataLoss.REFUSED,
    parts: Parts = Parts.ALL,
    described: VMSpec | None = None,
) -> Checked[Plan]:
    """Roll the volumes of the VM back. A running VM is shut down, and started again.

    It is left off if it is to be off, as it is *described* now, or else as it is recorded.
    Refused without permission to lose data. Unless *parts* is SOME, also refused if the snapshot
    lacks a volume (which otherwise stays as it is) or is not of one moment.
    """
    recorded, taken = have.recorded, _named(have, snapshot)
    found = _wrong_with(name, have)
    if not found and taken is None:
        found = (_unknown(name, snapshot, have),)
    if not found and taken is not None:
        found = tuple(_unsafe(name, taken, have, data_loss, parts))
    if found or recorded is None:
        return Failure(found)
    match plan(Goal(name=name, target=Target.OFF), have, facts):
        case Success(off):
            if (described or recorded).is_to_be_off:
                return _back(off.steps, snapshot, have, recorded, stays_off=True)
            return _back(for_now(off.steps, have), snapshot, have, recorded)
        case Failure() as refused:
            return refused


def _back(
    off: Iterable[Step],
    snapshot: str,
    have: Observation,
    spec: VMSpec,
    *,
    stays_off: bool = False,
) -> Checked[Plan]:
    """First *off*, then all that makes the VM what it was, and gives it the power it had."""
    draft = Draft(spec.name, have)
    then = ", and it stays off, as it is described" if stays_off else ""
    for step in off:
        draft.add(step.action, f"its volumes can be rolled back only while it is off{then}")
    for seen in _own(have):
        if seen.snapshot(snapshot) is not None:
            action = RollbackVolume(seen.pool, seen.name, snapshot)
            draft.add(action, f"it should be as in snapshot {snapshot}")
    _as_defined(draft, spec)
    if not stays_off:
        _power_again(draft, have)
    return draft.finished()


def plan_delete(
    name: str, snapshot: str, have: Observation, facts: HostFacts | None = None
) -> Checked[Plan]:
    """Delete a snapshot of all volumes; refused if there is none, or if the VM is locked.

    Refused as well while the VM is on, if a pool can do that only while it is off.
    """
    if _named(have, snapshot) is None:
        return Failure((_unknown(name, snapshot, have),))
    draft = Draft(name, have)
    _delete(draft, {snapshot: "it is no longer wanted"}, facts)
    return draft.finished()


def plan_kept(
    name: str,
    keep: Keep,
    have: Observation,
    now_s: int,
    prefix: str = "",
    *,
    named_by_time: bool = False,
    facts: HostFacts | None = None,
) -> Checked[Retained]:
    """Delete the snapshots that no rule of *keep* keeps, among those whose names begin with
    *prefix*, or only those among them that are *named_by_time*, and so by nobody.

    *now_s* is seconds since the epoch; a snapshot with a later date stays, and no rule counts it.
    """
    there = (Snapshot(each.name, each.taken_s) for each in snapshots_of(have))
    mine = (each for each in there if each.name.startswith(prefix))
    if named_by_time:
        mine = (each for each in mine if BY_TIME.fullmatch(each.name))
    retention = retain(mine, keep, now_s)
    draft = Draft(name, have)
    _delete(draft, {each.name: "no rule keeps it" for each in retention.gone}, facts)
    match draft.finished():
        case Success(made):
            return Success(Retained(made, retention))
        case Failure() as refused:
            return refused


def _delete(draft: Draft, reasons: dict[str, str], facts: HostFacts | None) -> None:
    """Delete the snapshots that *reasons* has by name; of a locked VM, none."""
    in_use = only_while_off(draft.name, draft.state, facts or HostFacts())
    if draft.state.locked and reasons:
        message = f"is locked, and so keeps its snapshots {', '.join(sorted(reasons))}"
        draft.problems.append(Problem(draft.name, message, Code.LOCKED))
        return
    if in_use and reasons:
        draft.problems += in_use
        return
    for name, reason in reasons.items():
        for seen in draft.state.volumes:
            if seen.snapshot(name) is not None:
                draft.add(DeleteSnapshot(seen.pool, seen.name, name), reason)


def _own(have: Observation) -> tuple[VolumeSeen, ...]:
    """The volumes of the VM that its definition names, and that can contain anything."""
    named = {(v.pool, v.name) for v in have.recorded.volumes} if have.recorded else set()
    return tuple(
        seen
        for seen in have.volumes
        if (seen.pool, seen.name) in named and seen.stage >= Stage.FORMATTED
    )


def _named(have: Observation, snapshot: str) -> VMSnapshot | None:
    return next((each for each in snapshots_of(have) if each.name == snapshot), None)


def _unknown(name: str, snapshot: str, have: Observation) -> Problem:
    there = [each.name for each in snapshots_of(have)]
    return unknown(f"{name}.snapshot", "snapshot", snapshot, there)


def _wrong_with(name: str, have: Observation) -> Problems:
    found = tuple(undefined(name, have))
    goal = Goal(name=name, target=Target.OFF)
    return found or (*foreign(goal, have), *incomplete(name, have))


def _stuck(name: str, have: Observation) -> Iterable[Problem]:
    if have.power is Power.STUCK:
        message = "its monitor is stuck, so that it cannot be frozen: stop it first"
        yield Problem(name, message, Code.REFUSED)


def _unable(name: str, have: Observation, facts: HostFacts, parts: Parts) -> Iterable[Problem]:
    """The volumes that no snapshot can be taken of, if that counts."""
    own = _own(have)
    unable = [seen for seen in own if not facts.pool(seen.pool).snapshots]
    if not own:
        yield Problem(name, "has no volumes yet", Code.REFUSED)
    elif parts is Parts.ALL or len(unable) == len(own):
        for seen in unable:
            path = f"{name}.volumes[{seen.name}].pool"
            advice = INSTEAD if len(unable) == len(own) else ": leave it out with partial"
            message = f"the pool {seen.pool!r} has no snapshots{advice}"
            yield Problem(path, message, Code.REFUSED)


def _unsafe(
    name: str, taken: VMSnapshot, have: Observation, data_loss: DataLoss, parts: Parts
) -> Iterable[Problem]:
    """Why the VM should not be made what it was, all reasons at once."""
    path = f"{name}.snapshot"
    if have.locked:
        message = f"is locked: going back to {taken.name} would lose data"
        yield Problem(name, message, Code.LOCKED)
    elif data_loss is DataLoss.REFUSED:
        message = f"going back to {taken.name} loses what was written since: allow data loss"
        yield Problem(path, message, Code.DATA_LOSS)
    lacking = [seen.name for seen in _own(have) if seen.snapshot(taken.name) is None]
    if lacking and len(lacking) == len(_own(have)):
        message = f"{taken.name} has none of the volumes that the VM has now"
        yield Problem(path, message, Code.REFUSED)
    elif lacking and parts is Parts.ALL:
        message = f"{taken.name} has nothing of {', '.join(lacking)}: leave that out with partial"
        yield Problem(path, message, Code.REFUSED)
    if not taken.together and parts is Parts.ALL:
        message = f"{taken.name} was not taken at one moment: restore its parts with partial"
        yield Problem(path, message, Code.REFUSED)


def _activate(draft: Draft, seen: VolumeSeen) -> None:
    if not seen.active:
        draft.add(ActivateVolume(seen.pool, seen.name), "it is not active")


def _as_defined(draft: Draft, spec: VMSpec) -> None:
    """The files that geats writes into the guest are those of now, not those of the snapshot."""
    root = draft.state.volume(spec.root.pool, ROOT)
    if root is None or root.stage is not Stage.INSTALLED or root.guest == guest_digest(spec):
        return
    _activate(draft, root)
    reason = "its files in the guest are not as described"
    draft.add(ConfigureGuest(root.pool, ROOT, spec), reason)


def _power_again(draft: Draft, before: Observation) -> None:
    power = before.power
    if power is Power.STOPPED and not before.to_run:
        return
    for seen in _own(draft.state):
        _activate(draft, seen)
    reason = LEFT_OFF if before.to_run else "it was on before"
    draft.start(f"it was {power} before" if power in ON else reason, again(before))
    if again(before) is Power.FROZEN:
        draft.add(Freeze(), "it was frozen before")
