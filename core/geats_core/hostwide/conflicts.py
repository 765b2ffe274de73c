"""What can belong to one VM only: addresses, host-side interfaces, places of volumes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from geats_core.hostwide.step_graph import Graph
from geats_core.planning.actions import AllocateVolume, DestroyVolume
from geats_core.planning.goal import Goal
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.steps import Plan
from geats_core.reading.checked import Code, Problem
from geats_core.vm.claims import (
    Claim,
    claims,
    foreign_claims,
    kept_spec,
    name_claim,
    running_spec,
)
from geats_core.vm.observation import Observation
from geats_core.vm.spec import VMSpec

VolumeKey: TypeAlias = tuple[str, str]  # the pool, and the name


def described(goal: Goal) -> VMSpec | None:
    """The spec that *goal* makes the VM's; None if it leaves it as it is, or takes it away."""
    return goal.spec if goal.target.takes_spec else None


def conflicts(
    goals: Mapping[str, Goal],
    observations: Mapping[str, Observation],
    plans: Iterable[Plan],
    facts: HostFacts,
) -> list[Problem]:
    """Every claim that two VMs make, once their goals are reached; both owners are named.

    At least one of the two is described by its goal: what others do to each other is not ours.
    """
    plan_of = {plan.name: plan for plan in plans}
    by_goal = [name for name, goal in goals.items() if described(goal)]
    foreign = _foreign(goals, observations)
    owners: dict[Claim, tuple[str, str]] = {}
    problems: list[Problem] = []
    for name in dict.fromkeys([*by_goal, *goals, *observations]):
        goal, have = goals.get(name), observations.get(name, Observation())
        spec = _spec_at_end(goal, have)
        volumes = _volumes_at_end(goal, have, plan_of.get(name))
        found = [
            *_names(name, goal, have),
            *(claims(name, spec) if spec else ()),
            *_places(name, volumes, facts),
        ]
        for claim, path in dict.fromkeys(found):
            if goal and described(goal) and claim in foreign:
                problems.append(_conflict(f"{name}.{path}", claim, foreign[claim]))
            if claim not in owners:
                owners[claim] = (name, f"{name}.{path}")
            elif goal and described(goal):
                problems.append(_conflict(f"{name}.{path}", claim, owners[claim][1]))
            elif owners[claim][0] in goals and described(goals[owners[claim][0]]):
                other = f"{name}.{path}, which is on the host and stays as it is"
                problems.append(_conflict(owners[claim][1], claim, other))
    return problems


def _foreign(
    goals: Mapping[str, Goal], observations: Mapping[str, Observation]
) -> dict[Claim, str]:
    """What VMs that geats did not make use, and go on to use: whose it is, and what to do."""
    return {
        claim: f"{name}, which runs, and which geats did not make: power it off, or adopt it"
        for name, have in observations.items()
        if name not in goals
        for claim in foreign_claims(have)
    }


def _conflict(path: str, claim: Claim, other: str) -> Problem:
    return Problem(path, f"{claim[0]} {claim[1]} is also that of {other}", Code.CONFLICT)


def _names(name: str, goal: Goal | None, have: Observation) -> Iterable[tuple[Claim, str]]:
    """What is made of the VM's name, if there is such a VM once its goal is reached."""
    stays = have.was_described and not (goal and goal.target.is_gone)
    if stays or (goal and described(goal)):
        yield name_claim(name)


def _spec_at_end(goal: Goal | None, have: Observation) -> VMSpec | None:
    """What counts for the VM once its goal is reached: as described, or else as it runs, or is to
    run again."""
    if goal is not None and (goal.target.takes_vm_away or described(goal)):
        return described(goal)
    return kept_spec(have)


def _volumes_at_end(goal: Goal | None, have: Observation, plan: Plan | None) -> Iterable[VolumeKey]:
    """The volumes that there are once the plan is done, and those that the spec asks for."""
    spec = described(goal) if goal else None
    destroyed = {
        (step.action.pool, step.action.volume)
        for step in (plan.steps if plan else ())
        if isinstance(step.action, DestroyVolume)
    }
    kept = [(seen.pool, seen.name) for seen in have.volumes]
    wanted = [(volume.pool, volume.name) for volume in spec.volumes] if spec else []
    return dict.fromkeys([*(key for key in kept if key not in destroyed), *wanted])


def hand_over(
    graph: Graph,
    specs: Mapping[str, VMSpec],
    observations: Mapping[str, Observation],
    placed: Iterable[tuple[Plan, range]],
    facts: HostFacts,
) -> list[Problem]:
    """Let what is claimed be given back by who has it now, before another takes it.

    A start waits for stops, an allocation for the destruction of what is at the same place.
    """
    _hand_over_places(graph, placed, facts)
    if not graph.starts:
        return []
    holders: dict[Claim, list[str]] = defaultdict(list)
    for name, have in observations.items():
        spec = kept_spec(have) if name in graph.stops else running_spec(have)
        of_spec = (claim for claim, _ in claims(name, spec)) if spec else ()
        for claim in dict.fromkeys([*of_spec, *foreign_claims(have)]):
            holders[claim].append(name)
    problems: list[Problem] = []
    for name, start in graph.starts.items():
        wanted = specs.get(name)
        for claim, path in dict.fromkeys(claims(name, wanted)) if wanted else ():
            for holder in holders.get(claim, ()):
                if holder == name:
                    continue  # its start waits for its stop anyway
                if holder in graph.stops:
                    graph.take(start, graph.stops[holder])
                else:
                    message = f"{claim[0]} {claim[1]} is in use by {holder} until that restarts"
                    problems.append(Problem(f"{name}.{path}", message, Code.CONFLICT))
    return problems


def _hand_over_places(graph: Graph, placed: Iterable[tuple[Plan, range]], facts: HostFacts) -> None:
    destroys: dict[Claim, list[int]] = defaultdict(list)
    allocations: list[tuple[Claim, int]] = []
    for plan, numbers in placed:
        for number, step in zip(numbers, plan.steps, strict=True):
            if isinstance(step.action, DestroyVolume | AllocateVolume):
                key = (step.action.pool, step.action.volume)
                for claim, _ in _places(plan.name, [key], facts):
                    if isinstance(step.action, DestroyVolume):
                        destroys[claim].append(number)
                    else:
                        allocations.append((claim, number))
    for claim, number in allocations:
        for earlier in destroys[claim]:
            graph.take(number, earlier)


def _places(
    name: str, volumes: Iterable[VolumeKey], facts: HostFacts
) -> Iterable[tuple[Claim, str]]:
    """Where the volumes of the VM *name* are, as far as that is known of their pools."""
    for pool, volume in volumes:
        location = facts.pool(pool).location
        if location is not None:
            place = location.replace("{vm}", name).replace("{volume}", volume)
            yield ("the place of the volume", place), f"volumes[{volume}].pool[{pool}]"
