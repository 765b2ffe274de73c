"""What a goal needs but the host does not have now: a driver or pool that is not available.

A VM needs its driver for everything, and its pools if its volumes matter. To power it off, no pool
is needed. If a pool cannot be looked at, its content is not known, and never treated as missing.
Nothing is made in a pool or driver that is not the one that the host recorded.
"""

from collections.abc import Iterable
from dataclasses import replace

from geats_core.planning.actions import Impact, Moved, Start
from geats_core.planning.facts import HostFacts
from geats_core.planning.goal import DataLoss, Goal, Target
from geats_core.planning.steps import Plan
from geats_core.reading.checked import Code, Problem
from geats_core.vm.observation import Observation, Stage
from geats_core.vm.spec import VMSpec

DRIVERS, POOLS, TEMPLATES = "drivers", "pools", "templates"


def unavailable(kind: str, name: str, facts: HostFacts) -> str | None:
    """Why this driver, pool or template is not available; None if it is, as far as is known.

    *kind* is one of DRIVERS, POOLS and TEMPLATES.
    """
    why = facts.unavailable.get(f"{kind}.{name}")
    return None if why is None else f"the {kind[:-1]} {name!r} is not available: {why}"


def without_driver(specs: Iterable[VMSpec], facts: HostFacts) -> Iterable[Problem]:
    """Nothing is done to a VM, described in any of *specs*, whose driver is not available."""
    for driver in dict.fromkeys(spec.driver for spec in specs):
        if why := unavailable(DRIVERS, driver, facts):
            yield Problem("driver", why, Code.UNAVAILABLE)


def without_pools(specs: Iterable[VMSpec], facts: HostFacts) -> Iterable[Problem]:
    """Nothing is done to volumes of a VM, described in any of *specs*, if a pool is away."""
    needed: dict[tuple[str, str], None] = {}
    for spec in specs:
        needed |= {(f"volumes[{each.name}]", each.pool): None for each in spec.volumes}
        needed |= {(f"shared_volumes.{each.name}", each.pool): None for each in spec.shared_volumes}
    for path, pool in needed:
        if why := unavailable(POOLS, pool, facts):
            yield Problem(f"{path}.pool", why, Code.UNAVAILABLE)


def without_template(
    goal: Goal, want: VMSpec, have: Observation, facts: HostFacts
) -> Iterable[Problem]:
    """A root that is to be made needs its template; one that is there does not."""
    root = have.volume(want.root.pool, want.root.name)
    installed = root is not None and root.stage is Stage.INSTALLED
    if installed and goal.target is not Target.REINITIALISED:
        return
    if why := unavailable(TEMPLATES, want.template, facts):
        yield Problem("template", why, Code.UNAVAILABLE)


def without_start(goal: Goal, made: Plan, have: Observation, facts: HostFacts) -> Iterable[Problem]:
    """Nothing is made or powered off for a start that would fail on this host."""
    if goal.spec is None or not any(isinstance(step.action, Start) for step in made.steps):
        return
    no = facts.driver(goal.spec.driver).no_start
    if no is not None and not any(line.startswith(no.unless) for line in have.by_hand):
        message = f"the driver {goal.spec.driver!r} can start no VM now: {no.why}"
        yield Problem(f"{goal.name}.driver", message, Code.UNAVAILABLE)


def out_of_sight(name: str, have: Observation, facts: HostFacts) -> tuple[Problem, ...]:
    """Why not everything of the VM *name* is known now: its driver, or a pool, is not available."""
    specs = [spec for spec in (have.recorded, have.defined) if spec]
    found = (*without_driver(specs, facts), *without_pools(specs, facts))
    return tuple(replace(each, path=f"{name}.{each.path}") for each in found)


def would_leave_behind(
    goal: Goal, want: VMSpec, have: Observation, facts: HostFacts
) -> Iterable[Problem]:
    """Nothing is made in a new place while VMs are left in the recorded one, unless data loss is
    allowed.

    Volumes that are missing, or that exist here already, are handled elsewhere.
    """
    if goal.data_loss is DataLoss.ALLOWED and goal.max_impact is Impact.DATA_LOSS:
        return
    known = {(seen.pool, seen.name) for seen in have.volumes}
    known |= {(each.pool, each.name) for each in have.missing}
    made = [v for v in want.volumes if (v.pool, v.name) not in known]
    if goal.target is Target.DEFINED:
        made = []
    paths = {f"{POOLS}.{volume.pool}": f"volumes[{volume.name}].pool" for volume in made}
    if not have.exists:
        paths[f"{DRIVERS}.{want.driver}"] = "driver"
    for moved in facts.moved:
        if moved.left and moved.what in paths:
            yield Problem(paths[moved.what], _moved_away(moved), Code.DATA_LOSS)


def _moved_away(moved: Moved) -> str:
    vms = ", ".join(moved.left)
    return (
        f"{moved.what} is now {moved.now}; it was {moved.was}, and {vms} is left there: check "
        "whether its disk is mounted, and whether its path, its type and state_dir are right; "
        f"allow data loss to go on here, and leave {vms} behind"
    )
