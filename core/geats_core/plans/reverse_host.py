"""Undoing the plan of several VMs: what ``reverse`` does for one, done for all of a host plan."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from returns.result import Failure, Success

from geats_core.declared.policy import HostPolicy
from geats_core.hostwide.conflicts import conflicts
from geats_core.hostwide.host_planner import Setting, arranged
from geats_core.hostwide.registry_upgrade import with_upgrade
from geats_core.hostwide.shared_volumes import wrong_sharing
from geats_core.hostwide.step_graph import Graph
from geats_core.planning.actions import NotePlaces, UpgradeRegistry
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.steps import Plan, Step
from geats_core.plans.plan_files import SavedPlan, saved
from geats_core.plans.reverse import follow, goal_before, reverse, with_snapshots
from geats_core.reading.checked import Checked, Problem
from geats_core.vm.observation import Observation
from geats_core.vm.spec import VMSpec


def snapshots_first(
    made: SavedPlan, facts: HostFacts | None, name: str, taken_s: int
) -> Checked[SavedPlan]:
    """The same plan, with a snapshot of each volume before its content is changed.

    *name* is the name of the snapshots, *taken_s* the time (seconds since the epoch). The warnings
    say what no snapshot can save. Refused if steps of *made* wait for each other.
    """
    graph, plans, warnings = Graph(), list[Plan](), list(made.warnings)
    numbers = [graph.add(step) for step in made.plan.steps]
    for number, step in enumerate(made.plan.steps):
        graph.wait_as(step, number, numbers)
    for each in made.plan.plans:
        have = made.observations.get(each.name, Observation())
        undoable = with_snapshots(each, have, facts or HostFacts(), name, taken_s)
        _add_new(graph, made.plan.steps, undoable.plan)
        plans.append(undoable.plan)
        warnings += undoable.warnings
    ordered = graph.in_order()
    if isinstance(ordered, Failure):
        return ordered
    whole = replace(made.plan, plans=tuple(plans), steps=ordered.unwrap())
    upgraded = with_upgrade(whole, facts.upgrade if facts else None)
    return Success(replace(made, plan=upgraded, warnings=tuple(warnings)))


def _add_new(graph: Graph, there: Sequence[Step], plan: Plan) -> None:
    """Add the steps of *plan* that are not among those *there*, and all that it says of waiting."""
    known = {
        step.action: number
        for number, step in enumerate(there)
        if step.vm == plan.name or isinstance(step.action, UpgradeRegistry | NotePlaces)
    }
    numbers = [
        known[step.action] if step.action in known else graph.add(step) for step in plan.steps
    ]
    for number, step in zip(numbers, plan.steps, strict=True):
        graph.wait_as(step, number, numbers)


def reverse_host(
    made: SavedPlan,
    facts: HostFacts | None = None,
    policy: HostPolicy | None = None,
    groups: Mapping[str, str] | None = None,
) -> Checked[SavedPlan]:
    """The plan that undoes *made* after it was applied, with warnings about what it cannot undo.

    *groups* has the group of each VM that others stand in for: as ``policy.at_once`` says, these go
    back in waves as well. Refused with every reason why there is no way back.
    """
    facts, policy = facts or HostFacts(), policy or HostPolicy()
    plans, warnings = list[Plan](), list[str]()
    problems: list[Problem] = []
    before = made.observations
    end = dict(before)
    for each in made.plan.plans:
        if each.is_empty:
            continue
        have = made.observations.get(each.name, Observation())
        match reverse(each, have, facts):
            case Success(back):
                plans.append(back.plan)
                warnings += back.warnings
                end[each.name] = follow(each, have).value_or(have)
            case Failure(found):
                problems += found
    goals = {
        each.name: goal_before(each.name, before.get(each.name, Observation()), end[each.name])
        for each in plans
    }
    problems += conflicts(goals, end, plans, facts)
    problems += wrong_sharing(goals, end, plans)
    if problems:
        return Failure(tuple(problems))
    specs = {**_recorded(end), **_recorded(made.observations)}
    match arranged(plans, Setting(specs, end, facts, policy, groups or {})):
        case Success(whole):
            there = {name: have for name, have in end.items() if have.exists}
            return Success(saved(whole, there, tuple(warnings)))
        case Failure() as refused:
            return refused


def _recorded(observations: Mapping[str, Observation]) -> dict[str, VMSpec]:
    return {name: have.recorded for name, have in observations.items() if have.recorded}
