"""What a plan would lose or leave behind, and may only if that is allowed: data and volumes."""

from collections.abc import Iterable

from geats_core.planning.actions import Moved
from geats_core.planning.costs import Impact
from geats_core.planning.goal import DataLoss, Goal, Restart, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.reading.checked import Code, Problem, Problems, within
from geats_core.reading.sizes import format_size
from geats_core.vm.observation import Observation, Power, Stage, VolumeMissing, VolumeSeen
from geats_core.vm.spec import ROOT, VMSpec
from geats_core.vm.unseen import (
    DRIVERS,
    POOLS,
)


def losses(goal: Goal, want: VMSpec, have: Observation, facts: HostFacts) -> Iterable[Problem]:
    """Everything that bringing *have* to *want* would lose, with paths into the spec."""
    yield from _shrinking(goal, want, have)
    yield from _data_loss(goal, want, have)
    yield from _missing(goal, want, have)
    yield from _left_behind(goal, want, have, facts)


def lost(goal: Goal, have: Observation) -> Problems:
    """If a volume is not found, the VM is not removed with its volumes, unless data loss is
    allowed."""
    if not have.missing or not torn_down(goal, have) or goal.data_loss is DataLoss.ALLOWED:
        return ()
    advice = "allow data loss to forget it"
    found = (Problem(*not_found(each, advice), Code.DATA_LOSS) for each in have.missing)
    return within(goal.name, found)


def torn_down(goal: Goal, have: Observation) -> bool:
    """Whether *goal* removes the volumes of the VM too."""
    known = have.recorded or have.defined
    transient = known is not None and known.transient
    return goal.target is Target.DEPROVISIONED or (goal.target is Target.UNDEFINED and transient)


def incomplete(name: str, have: Observation) -> Problems:
    """A VM is not kept, copied or put back without a volume of it that is not found.

    One that is not defined has no volume to be left out; then any that is missing counts.
    """
    known = have.recorded
    missing = have.missing if known is None else missing_volumes(known, have)
    found = (not_found(each, "then try again") for each in missing)
    return tuple(Problem(f"{name}.{path}", message, Code.REFUSED) for path, message in found)


def outdated_volumes(want: VMSpec, have: Observation) -> tuple[VolumeSeen, ...]:
    """The volumes that are in another pool than wanted, or made from another template."""
    pools = {volume.name: volume.pool for volume in want.volumes}
    return tuple(
        seen
        for seen in have.volumes
        if (seen.pool != pools.get(seen.name, seen.pool) and not seen.is_moving)
        or (seen.name == ROOT and seen.stage is Stage.INSTALLED and seen.template != want.template)
    )


def missing_volumes(want: VMSpec, have: Observation) -> tuple[VolumeMissing, ...]:
    """The missing volumes with the names of volumes of *want*, in any pool."""
    return have.missing_of({volume.name for volume in want.volumes})


def not_found(missing: VolumeMissing, advice: str) -> tuple[str, str]:
    """The path to a volume that is missing, and what to look at; then the *advice*."""
    hint = f" ({missing.hint})" if missing.hint else ""
    return f"volumes[{missing.name}]", (
        f"was {missing}, and is not found there{hint}: check whether its disk is mounted, and "
        f"whether the path of pool {missing.pool} is right; {advice}"
    )


def _shrinking(goal: Goal, want: VMSpec, have: Observation) -> Iterable[Problem]:
    kept = goal.target is not Target.REINITIALISED
    for volume in want.volumes:
        seen = have.volume(volume.pool, volume.name)
        if seen is None or seen.size_bytes is None or volume.size_bytes is None:
            continue
        if volume.size_bytes < seen.size_bytes and (kept or volume is not want.root):
            yield Problem(
                f"volumes[{volume.name}].size",
                f"a volume cannot shrink from {format_size(seen.size_bytes)} "
                f"to {format_size(volume.size_bytes)}",
                Code.REFUSED,
            )


def _data_loss(goal: Goal, want: VMSpec, have: Observation) -> Iterable[Problem]:
    """A volume that is no longer wanted goes only if data loss is allowed and it is unlocked."""
    reinit = goal.target is Target.REINITIALISED
    if reinit and have.locked:
        yield Problem("lock", "is locked: a reinit would lose data", Code.LOCKED)
        return
    pools = {volume.name: volume.pool for volume in want.volumes}
    for seen in outdated_volumes(want, have):
        if reinit and seen.name == ROOT:
            continue
        path, old, new = (
            (f"volumes[{seen.name}].pool", seen.pool, pools[seen.name])
            if seen.pool != pools[seen.name]
            else ("template", seen.template, want.template)
        )
        if have.locked:
            message = f"cannot change from {old} to {new}: the VM is locked"
            yield Problem(path, message, Code.LOCKED)
        elif goal.data_loss is DataLoss.REFUSED:
            yield Problem(
                path,
                f"changing it from {old} to {new} loses the data on the volume {seen.name}: "
                f"{'reinit, or ' if seen.name == ROOT else ''}allow data loss",
                Code.DATA_LOSS,
            )


def _missing(goal: Goal, want: VMSpec, have: Observation) -> Iterable[Problem]:
    """A missing volume is recreated only if data loss is allowed and the VM is unlocked and off."""
    if goal.target is Target.DEFINED:
        return
    for each in missing_volumes(want, have):
        if have.locked:
            said = not_found(each, "it is not recreated because the VM is locked")
            yield Problem(*said, Code.LOCKED)
        elif goal.data_loss is DataLoss.REFUSED:
            said = not_found(each, "allow data loss to recreate it, without its data")
            yield Problem(*said, Code.DATA_LOSS)
        elif _stays_on(goal, have):
            said = not_found(each, "it is not recreated while the VM is on")
            yield Problem(*said, Code.REFUSED)


def _stays_on(goal: Goal, have: Observation) -> bool:
    never = goal.target.is_on and goal.restart is Restart.NEVER
    return have.power is not Power.STOPPED and (never or goal.target is Target.PROVISIONED)


def _left_behind(
    goal: Goal, want: VMSpec, have: Observation, facts: HostFacts
) -> Iterable[Problem]:
    """Nothing is made in a new place while VMs are left in the recorded one, unless data loss is
    allowed.

    Volumes that are missing, or that exist here already, are handled elsewhere.
    """
    with_vms = [moved for moved in facts.moved if moved.left]
    if not with_vms or (goal.data_loss is DataLoss.ALLOWED and goal.max_impact is Impact.DATA_LOSS):
        return
    known = {(seen.pool, seen.name) for seen in have.volumes}
    known |= {(each.pool, each.name) for each in have.missing}
    made = [v for v in want.volumes if (v.pool, v.name) not in known]
    if goal.target is Target.DEFINED:
        made = []
    paths = {f"{POOLS}.{volume.pool}": f"volumes[{volume.name}].pool" for volume in made}
    if not have.exists:
        paths[f"{DRIVERS}.{want.driver}"] = "driver"
    for moved in with_vms:
        if moved.what in paths:
            yield Problem(paths[moved.what], _moved_away(moved), Code.DATA_LOSS)


def _moved_away(moved: Moved) -> str:
    vms = ", ".join(moved.left)
    return (
        f"{moved.what} is now {moved.now}; it was {moved.was}, and {vms} is left there: check "
        "whether its disk is mounted, and whether its path, its type and state_dir are right; "
        f"allow data loss to go on here, and leave {vms} behind"
    )
