"""Why a goal has no plan, all reasons at once."""

from collections.abc import Iterable
from dataclasses import replace

from geats_core.checked import Problem, Problems, unknown
from geats_core.observation import Observation, Power, Stage, VolumeSeen
from geats_core.plan import DataLoss, Goal, HostFacts, Restart, Target
from geats_core.sizes import format_size
from geats_core.spec import VMSpec


def refusals(goal: Goal, want: VMSpec, have: Observation, facts: HostFacts) -> Problems:
    """Every reason not to bring *have* to *want*, with paths into the VM's spec."""
    found = [
        *_unknown_names(want, facts),
        *_another_driver(want, have),
        *_shrinking(goal, want, have),
        *_data_loss(goal, want, have),
        *_stuck(goal, have),
    ]
    return tuple(replace(each, path=f"{goal.name}.{each.path}") for each in found)


def outdated_roots(want: VMSpec, have: Observation) -> tuple[VolumeSeen, ...]:
    """The root volumes that are in another pool than wanted, or made from another template."""
    return tuple(
        seen
        for seen in have.roots
        if seen.pool != want.root.pool
        or (seen.stage is Stage.INSTALLED and seen.template != want.template)
    )


def _unknown_names(want: VMSpec, facts: HostFacts) -> Iterable[Problem]:
    wanted = [
        ("driver", "driver", want.driver, facts.drivers),
        ("template", "template", want.template, facts.templates),
        *((f"volumes[{v.name}].pool", "pool", v.pool, facts.pools) for v in want.volumes),
        *((f"nics[{n.name}].bridge", "bridge", n.bridge, facts.bridges) for n in want.nics),
    ]
    for path, kind, name, known in wanted:
        if known is not None and name not in known:
            yield unknown(path, kind, name, known)


def _another_driver(want: VMSpec, have: Observation) -> Iterable[Problem]:
    for spec in (have.recorded, have.defined):
        if spec is not None and spec.driver != want.driver:
            yield Problem(
                "driver",
                f"cannot change from {spec.driver!r} to {want.driver!r}: deprovision the VM first",
            )
            return


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
            )


def _data_loss(goal: Goal, want: VMSpec, have: Observation) -> Iterable[Problem]:
    """A root volume that the spec has no more use for goes only with leave, and unlocked."""
    if goal.target is Target.REINITIALISED:
        if have.locked:
            yield Problem("lock", "is locked: a reinit would lose data")
        return
    for seen in outdated_roots(want, have):
        path, old, new = (
            ("volumes[root].pool", seen.pool, want.root.pool)
            if seen.pool != want.root.pool
            else ("template", seen.template, want.template)
        )
        if have.locked:
            yield Problem(path, f"cannot change from {old} to {new}: the VM is locked")
        elif goal.data_loss is DataLoss.REFUSED:
            yield Problem(
                path,
                f"changing it from {old} to {new} loses the data on the root volume: "
                "reinit, or allow data loss",
            )


def _stuck(goal: Goal, have: Observation) -> Iterable[Problem]:
    powered = goal.target in (Target.RUNNING, Target.FROZEN)
    if powered and have.power is Power.STUCK and goal.restart is Restart.NEVER:
        yield Problem("restart", "its monitor is stuck, and repairing it would restart the VM")
