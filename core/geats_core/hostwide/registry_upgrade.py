"""A registry of an older geats is upgraded as a part of the first plan that writes to it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from geats_core.hostwide.host_planner import HostPlan
from geats_core.planning.actions import Start, UpgradeRegistry
from geats_core.planning.goal import Plan, Step

APlan = TypeVar("APlan", Plan, HostPlan)


def with_upgrade(made: APlan, upgrade: UpgradeRegistry | None) -> APlan:
    """*made*, where every step waits for the upgrade; as it is where it does nothing.

    A plan that begins with an upgrade keeps it, and lets steps that are new wait for it.
    """
    if upgrade is None or not made.steps:
        return made
    steps = _all_after(made.steps, upgrade)
    if isinstance(made, HostPlan):
        plans = tuple(with_upgrade(each, upgrade) for each in made.plans)
        return replace(made, plans=plans, steps=steps)
    return replace(made, steps=steps)


def _all_after(steps: Sequence[Step], upgrade: UpgradeRegistry) -> tuple[Step, ...]:
    if not isinstance(steps[0].action, UpgradeRegistry):
        first = Step(vm="", action=upgrade, reason="it was written by an older geats")
        steps = [first, *map(_moved, steps)]
    return (steps[0], *(replace(step, needs=_needs(step, steps)) for step in steps[1:]))


def _moved(step: Step) -> Step:
    """The step, where another was put before all that it waits for."""
    needs, after = (tuple(at + 1 for at in each) for each in (step.needs, step.after))
    return replace(step, needs=needs, after=after)


def _needs(step: Step, steps: Sequence[Step]) -> tuple[int, ...]:
    """What it needs, the first step among it; one that it needs started may run without that."""
    others = [need for need in step.needs if not isinstance(steps[need].action, Start)]
    return step.needs if others else tuple(sorted({0, *step.needs}))
