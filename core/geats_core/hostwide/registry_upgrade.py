"""What a host needs before, or besides, the steps of its VMs.

A registry of an older geats is upgraded by a step of the first plan that writes to it. If pools or
drivers are not where the host recorded them, a separate step records where they are now.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from geats_core.hostwide.host_planner import HostPlan
from geats_core.planning.actions import (
    AllocateVolume,
    Define,
    Moved,
    NotePlaces,
    ReserveVolume,
    Start,
    UpgradeRegistry,
)
from geats_core.planning.steps import Plan, Step
from geats_core.vm.observation import Observation
from geats_core.vm.unseen import DRIVERS, POOLS

APlan = TypeVar("APlan", Plan, HostPlan)
ELSEWHERE = "the configuration, or a disk, is not as this host remembers"


def with_upgrade(made: APlan, upgrade: UpgradeRegistry | None) -> APlan:
    """*made* with the upgrade, for which every step waits; unchanged if it has no steps.

    If the plan begins with an upgrade already, that is kept, and new steps wait for it.
    """
    if upgrade is None or not made.steps:
        return made
    steps = _all_after(made.steps, upgrade)
    if isinstance(made, HostPlan):
        plans = tuple(with_upgrade(each, upgrade) for each in made.plans)
        return replace(made, plans=plans, steps=steps)
    return replace(made, steps=steps)


def with_places(
    made: APlan, moved: Iterable[Moved], seen: Mapping[str, Observation], *, whole_host: bool
) -> APlan:
    """*made*, with a step that notes what has *moved*; nothing waits for it.

    What leaves VMs behind is noted only by a plan that makes something in the new place: it has
    leave. A plan that does nothing else notes what has moved if it is for the *whole_host*.
    """
    here = _made_here(made.steps, seen)
    due = tuple(each for each in moved if not each.left or each.what in here)
    if not due or not (made.steps or whole_host):
        return made
    return _noting(made, NotePlaces(due))


def _made_here(steps: Iterable[Step], seen: Mapping[str, Observation]) -> frozenset[str]:
    """The pools and drivers in which *steps* make something that was not there."""
    found: set[str] = set()
    for step in steps:
        have = seen.get(step.vm, Observation())
        match step.action:
            case AllocateVolume(pool, volume) | ReserveVolume(pool, volume):
                if have.volume(pool, volume) is None:  # else it is recreated where it is
                    found.add(f"{POOLS}.{pool}")
            case Define(spec) if not have.exists:
                found.add(f"{DRIVERS}.{spec.driver}")
            case _:
                pass
    return frozenset(found)


def _noting(made: APlan, note: NotePlaces) -> APlan:
    steps = (Step(vm="", action=note, reason=ELSEWHERE), *map(_moved, made.steps))
    if isinstance(made, HostPlan):
        plans = tuple(_noting(each, note) if each.steps else each for each in made.plans)
        return replace(made, plans=plans, steps=steps)
    return replace(made, steps=steps)


def _all_after(steps: Sequence[Step], upgrade: UpgradeRegistry) -> tuple[Step, ...]:
    if not isinstance(steps[0].action, UpgradeRegistry):
        first = Step(vm="", action=upgrade, reason="it was written by an older geats")
        steps = [first, *map(_moved, steps)]
    return (steps[0], *(replace(step, needs=_needs(step, steps)) for step in steps[1:]))


def _moved(step: Step) -> Step:
    """The step, if another was put before all that it waits for."""
    needs, after = (tuple(at + 1 for at in each) for each in (step.needs, step.after))
    return step.waiting(needs, after)


def _needs(step: Step, steps: Sequence[Step]) -> tuple[int, ...]:
    """What it needs, the first step among it; one that it needs started may run without that."""
    others = [need for need in step.needs if not isinstance(steps[need].action, Start)]
    return step.needs if others else tuple(sorted({0, *step.needs}))
