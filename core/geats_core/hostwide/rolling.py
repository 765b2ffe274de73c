"""Waves: of VMs that stand in for each other, only a few are down at a time.

Theory of operation
-------------------
The VMs of a *group* stand in for each other: those of one profile, say. Of those of a group that
are on, at most ``at_once`` are powered off at a time to be started again: a wave. The next wave
waits until all steps of the one before are done, and its VMs are ready; if one fails, the rest of
the group is left as it is. Before the first wave, the VMs that an interrupted plan left off are
started; and those that no wave touches must be ready, so that a rollout which stopped does not go
on by itself with the next plan. Those that are down and that no plan starts, as it is refused, are
down while the waves go on: so much smaller are these.

A VM that is new, or off, is not down: it starts whenever it can. The VMs of a group take turns in
the order in which they start, so ``after`` never makes a wave wait for a later one; in which order
they stop, only the waves say.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from returns.result import Failure, Success

from geats_core.declared.policy import AtOnce
from geats_core.hostwide.start_order import in_start_order
from geats_core.hostwide.step_graph import Graph
from geats_core.planning.actions import POWER_OFFS, AwaitReady, Start, Unfreeze
from geats_core.planning.dependencies import Wait
from geats_core.planning.ordering import ordered
from geats_core.planning.steps import Plan, Step
from geats_core.reading.checked import Checked, Code, Problem, some_of
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Observation, Power
from geats_core.vm.readiness import Ready
from geats_core.vm.spec import VMSpec


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
) -> Checked[tuple[Rollout, ...]]:
    """How each group takes turns; *groups* has the group of each VM that is in one.

    None does without *at_once*, or if nothing of it restarts, or if all of it may be down. Refused
    if so many of a group are down, and stay so, that no other may be.
    """
    if at_once is None:
        return Success(())
    by_name = {plan.name: plan for plan in plans}
    starting = in_start_order([name for name in by_name if _has(by_name[name], Start)], specs)
    made: list[Rollout | Problem | None] = []
    for group in dict.fromkeys(groups.values()):
        names = [name for name, of in groups.items() if of == group]
        members = {name: seen.get(name, Observation()) for name in names}
        made.append(_rollout(group, at_once, members, by_name, starting, specs))
    problems = tuple(each for each in made if isinstance(each, Problem))
    rolling = tuple(each for each in made if isinstance(each, Rollout))
    return Failure(problems) if problems else Success(rolling)


def _rollout(
    group: str,
    at_once: AtOnce,
    members: Mapping[str, Observation],
    plans: Mapping[str, Plan],
    starting: Iterable[str],
    specs: Mapping[str, VMSpec],
) -> Rollout | Problem | None:
    """How one group takes turns, if it has to; *starting* are all that start, in their order."""
    up = [name for name, have in members.items() if _is_up(have, plans.get(name))]
    stay = [name for name in up if name not in plans or not _has(plans[name], *POWER_OFFS)]
    starts = [name for name in starting if name in members]
    down = [name for name in starts if name in up and name not in stay]
    left = tuple(name for name in starts if _is_left(members[name]))
    lost = [name for name, have in members.items() if name not in plans and _is_lost(have)]
    count = len(up) + len(left) + len(lost)
    size = at_once.of(count)
    room = size - len(lost)
    if not down or size >= count:
        return None
    if room <= 0:
        return _no_room(group, size, lost)
    known = {name: specs.get(name) or members[name].recorded for name in stay}
    standing = {name: spec.ready for name, spec in known.items() if spec and spec.ready}
    waves = tuple(tuple(down[at : at + room]) for at in range(0, len(down), room))
    return Rollout(group, left, standing, waves)


def with_checks(plans: Iterable[Plan], rolling: Iterable[Rollout]) -> list[Plan]:
    """The same plans; those of VMs that stand in for others begin with whether they are ready.

    So does a new one for each of these that has none.
    """
    by_name = {plan.name: plan for plan in plans}
    for rollout in rolling:
        for name in rollout.standing:
            by_name[name] = _with_check(by_name.get(name, Plan(name=name)), rollout)
    return list(by_name.values())


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
            checks = [n for n in _steps(rollout.standing, numbers) if _checks(graph.steps[n])]
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
    """First, so that it waits for nothing; but one that is held must go on before it can answer."""
    reason = f"it stands in while others of {rollout.group} are down"
    check = Step(vm=plan.name, action=AwaitReady(rollout.standing[plan.name]), reason=reason)
    goes_on = (at for at, step in enumerate(plan.steps, 1) if isinstance(step.action, Unfreeze))
    at = next(goes_on, 0)
    return replace(plan, steps=ordered((*plan.steps[:at], check, *plan.steps[at:])))


def _checks(step: Step) -> bool:
    return isinstance(step.action, AwaitReady)


def _no_room(group: str, size: int, lost: Sequence[str]) -> Problem:
    are = "is" if len(lost) == 1 else "are"
    why = f"{_all(lost)} {are} down, which this plan does not change"
    advice = "mend that first, or allow more VMs at once"
    message = f"cannot be kept: {why}, and of {group} only {size} may be down: {advice}"
    return Problem("at_once", message, Code.REFUSED)


def _is_up(have: Observation, plan: Plan | None) -> bool:
    """Whether a VM is on; one that is held is if it goes on with its *plan*."""
    goes_on = plan is not None and _has(plan, Unfreeze, *POWER_OFFS)
    is_held = have.power is Power.HELD
    return not have.foreign and (have.power is Power.RUNNING or (is_held and goes_on))


def _is_left(have: Observation) -> bool:
    """Whether a VM is down that should not be."""
    return have.to_run or have.power is Power.STUCK


def _is_lost(have: Observation) -> bool:
    """The same, of a VM that no plan brings up."""
    return not have.foreign and (_is_left(have) or have.power is Power.HELD)


def _has(plan: Plan, *kinds: type) -> bool:
    return any(isinstance(step.action, kinds) for step in plan.steps)


def _all(names: Sequence[str]) -> str:
    return some_of(sorted(names), len(names))
