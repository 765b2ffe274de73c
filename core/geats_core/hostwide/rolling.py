"""Waves: of VMs that stand in for each other, only a few are down at a time.

Theory of operation
-------------------
The VMs of a *group* stand in for each other: those of one profile, say. Of those of a group that
are on, at most ``at_once`` are powered off at a time to be started again: a wave. The next wave
waits until all steps of the one before are done, and its VMs are ready; if one fails, the rest of
the group is left as it is. Before the first wave, the VMs that an interrupted plan left off are
started; and those that no wave touches must be ready, so that a rollout which stopped does not go
on by itself with the next plan.

A VM that is new, or off, is not down: it starts whenever it can. The VMs of a group take turns in
the order in which they start, so ``after`` never makes a wave wait for a later one; in which order
they stop, only the waves say.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from geats_core.declared.policy import AtOnce
from geats_core.hostwide.start_order import in_start_order
from geats_core.hostwide.step_graph import Graph
from geats_core.planning.actions import POWER_OFFS, AwaitReady, Start
from geats_core.planning.dependencies import Wait
from geats_core.planning.ordering import ordered
from geats_core.planning.steps import Plan, Step
from geats_core.vm.observation import Observation, Power
from geats_core.vm.readiness import Ready
from geats_core.vm.spec import VMSpec

UP = frozenset({Power.RUNNING, Power.HELD})


@dataclass(frozen=True, slots=True)
class Rollout:
    """How a group such as ``profile web`` restarts: its VMs, by name, wave by wave.

    Before the first of the ``waves``, those that are ``left`` off come up, if they can; and those
    that are ``standing`` in must be ready, each as its spec says.
    """

    group: str
    left: tuple[str, ...]
    standing: Mapping[str, Ready]
    waves: tuple[tuple[str, ...], ...]


def rollouts(
    groups: Mapping[str, str],
    at_once: AtOnce | None,
    plans: Iterable[Plan],
    specs: Mapping[str, VMSpec],
    seen: Mapping[str, Observation],
) -> tuple[Rollout, ...]:
    """How each group takes turns; *groups* has the group of each VM that is in one.

    None does without *at_once*, or if nothing of it restarts, or if all of it may be down.
    """
    if at_once is None:
        return ()
    by_name = {plan.name: plan for plan in plans}
    starting = in_start_order([name for name in by_name if _has(by_name[name], Start)], specs)
    found: list[Rollout] = []
    for group in dict.fromkeys(groups.values()):
        names = [name for name in by_name if groups.get(name) == group]
        members = {name: seen.get(name, Observation()) for name in names}
        up = [name for name, have in members.items() if have.power in UP]
        left = tuple(n for n in starting if n in members and _is_left(members[n]))
        down = [n for n in starting if n in up and _has(by_name[n], *POWER_OFFS)]
        size = at_once.of(len(up) + len(left))
        if down and size < len(up) + len(left):
            stay = [name for name in up if not _has(by_name[name], *POWER_OFFS)]
            standing = {n: ready for n in stay if n in specs and (ready := specs[n].ready)}
            waves = tuple(tuple(down[at : at + size]) for at in range(0, len(down), size))
            found.append(Rollout(group, left, standing, waves))
    return tuple(found)


def with_checks(plans: Iterable[Plan], rolling: Iterable[Rollout]) -> list[Plan]:
    """The same plans; those of VMs that stand in for others begin with whether they are ready."""
    checked = {name: rollout for rollout in rolling for name in rollout.standing}
    return [
        _with_check(plan, checked[plan.name]) if plan.name in checked else plan for plan in plans
    ]


def order_waves(
    graph: Graph, rolling: Iterable[Rollout], placed: Iterable[tuple[Plan, range]]
) -> None:
    """Let the steps of each wave need all steps of the one before, behind a gate."""
    numbers = {plan.name: range_ for plan, range_ in placed}
    for rollout in rolling:
        first, *_ = rollout.waves
        graph.wishes += (
            (Wait.NEEDS, graph.stops[name], graph.started[left])
            for name in first
            for left in rollout.left
        )
        if rollout.standing:
            reason = f"{_all([*rollout.standing])} must be ready before the turn of {_all(first)}"
            checks = [numbers[name][0] for name in rollout.standing]
            _gate(graph, f"{rollout.group}: {reason}", checks, _steps(first, numbers))
        for number, (wave, then) in enumerate(pairwise(rollout.waves), start=1):
            words = f"{_all(wave)} must be up again before the turn of {_all(then)}"
            reason = f"{rollout.group}, wave {number} of {len(rollout.waves)}: {words}"
            _gate(graph, reason, _steps(wave, numbers), _steps(then, numbers))


def _gate(graph: Graph, reason: str, before: Iterable[int], then: Iterable[int]) -> None:
    gate = graph.gate(reason, ())
    for number in before:
        graph.need(gate, number)
    for number in then:
        graph.need(number, gate)


def _steps(names: Iterable[str], numbers: Mapping[str, range]) -> list[int]:
    return [number for name in names for number in numbers[name]]


def _with_check(plan: Plan, rollout: Rollout) -> Plan:
    """First, so that it waits for nothing."""
    reason = f"it stands in while others of {rollout.group} are down"
    check = Step(vm=plan.name, action=AwaitReady(rollout.standing[plan.name]), reason=reason)
    return replace(plan, steps=ordered((check, *plan.steps)))


def _is_left(have: Observation) -> bool:
    """Whether a VM is down that should not be."""
    return have.to_run or have.power is Power.STUCK


def _has(plan: Plan, *kinds: type) -> bool:
    return any(isinstance(step.action, kinds) for step in plan.steps)


def _all(names: Sequence[str]) -> str:
    *others, last = sorted(names)
    return " and ".join(filter(None, (", ".join(others), last)))
