"""Whether a plan still fits everything on a host, in the moment before it is applied.

Theory of operation
-------------------
Two plans that are made at once each look at a host on which the other has done nothing yet. So
before a plan is applied, geats looks again, and reserves what the plan takes until it is done:
other plans that are being applied count as if they were done already, and also as if they were not.
A plan that takes nothing (it powers off, freezes, deletes) always fits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from returns.result import Failure

from geats_core.declared.policy import HostPolicy
from geats_core.hostwide.conflicts import conflicts, described
from geats_core.hostwide.host_planner import Setting, arranged
from geats_core.hostwide.own_ids import clashes
from geats_core.hostwide.reservations import Reservation
from geats_core.hostwide.shared_volumes import wrong_sharing
from geats_core.planning.actions import (
    POWER_OFFS,
    Adopt,
    AllocateVolume,
    Define,
    GrowVolume,
    SetDevices,
    SetLimits,
    Start,
    Undefine,
)
from geats_core.planning.goal import Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.model import ON, after
from geats_core.planning.steps import Plan
from geats_core.reading.checked import Problem, Problems
from geats_core.vm.observation import Observation, Power, Stage, VolumeSeen

TAKING = (Define, Adopt, Start, AllocateVolume, GrowVolume, SetLimits, SetDevices)
CHANGING = (*TAKING, *POWER_OFFS, Undefine)
UNDER_WAY = "an operation in progress takes it"


def takes(made: Plan) -> bool:
    """Whether a plan takes anything that another VM could want."""
    return any(isinstance(step.action, TAKING) for step in made.steps)


def reservations(
    plans: Iterable[Plan], observations: Mapping[str, Observation]
) -> dict[str, Reservation]:
    """What *plans* take, by the name of the VM."""
    goals = _goals(plans, observations)
    return {
        name: Reservation(spec=spec, runs=goal.target is Target.RUNNING)
        for name, goal in goals.items()
        if (spec := described(goal))
    }


def no_longer(
    plans: Sequence[Plan],
    observations: Mapping[str, Observation],
    facts: HostFacts,
    policy: HostPolicy,
    others: Mapping[str, Reservation],
) -> Problems:
    """Why *plans* cannot be applied any more, while *others* are in progress on the host."""
    found = _wrong(plans, observations, facts, policy)
    if found or not others:
        return found
    once_done = dict(observations)
    for name, other in others.items():
        once_done[name] = _done(other, observations.get(name, Observation()))
    return tuple(
        Problem(each.path, f"{each.message} ({UNDER_WAY})", each.code)
        for each in _wrong(plans, once_done, facts, policy)
    )


def _wrong(
    plans: Sequence[Plan],
    observations: Mapping[str, Observation],
    facts: HostFacts,
    policy: HostPolicy,
) -> Problems:
    goals = _goals(plans, observations)
    found = (
        *conflicts(goals, observations, plans, facts),
        *clashes(goals, observations, facts),
        *wrong_sharing(goals, observations, plans),
    )
    if found:
        return found
    specs = {name: spec for name, goal in goals.items() if (spec := goal.spec)}
    match arranged(plans, Setting(specs, observations, facts, policy)):
        case Failure(problems):
            return problems
        case _:
            return ()


def _goals(plans: Iterable[Plan], observations: Mapping[str, Observation]) -> dict[str, Goal]:
    """Where each plan leads that changes what others could want."""
    return {
        made.name: _goal(made, observations.get(made.name, Observation()))
        for made in plans
        if any(isinstance(step.action, CHANGING) for step in made.steps)
    }


def _goal(made: Plan, have: Observation) -> Goal:
    end = have
    for step in made.steps:
        end = after(step.action, end).value_or(end)
    if end.recorded is None:
        return Goal(name=made.name, target=Target.UNDEFINED, spec=have.recorded)
    if end.power in ON:
        return Goal(name=made.name, target=Target.RUNNING, spec=end.recorded)
    target = Target.DEFINED if takes(made) else Target.OFF
    return Goal(name=made.name, target=target, spec=end.recorded)


def _done(other: Reservation, have: Observation) -> Observation:
    """The VM once what is reserved for it was taken."""
    spec = other.spec
    kept = {(seen.pool, seen.name): seen for seen in have.volumes}
    for volume in spec.volumes:
        new = VolumeSeen(name=volume.name, pool=volume.pool, stage=Stage.ALLOCATED)
        seen = kept.get((volume.pool, volume.name), new)
        sizes = [size for size in (seen.size_bytes, volume.size_bytes) if size is not None]
        size_bytes = max(sizes, default=None)
        kept[volume.pool, volume.name] = replace(seen, size_bytes=size_bytes)
    done = replace(have, recorded=spec, defined=spec, volumes=tuple(kept.values()))
    return replace(done, power=Power.RUNNING, in_effect=spec) if other.runs else done
