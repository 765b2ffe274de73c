"""One step of a plan fails, in the states of a space: the rest is done, what ran runs again.

Each plan for each goal is carried out once for each of its steps and each way in which that can
fail: with no effect, or in its midst (``half_way``).

- What is tried can be done, also past the failure.
- What does not need the step that failed is done, and of what is not, that step is the cause.
- A VM that was on, and is to be on, is on at the end if it can be. It cannot where its start is
  what failed, where the model does not let it start, and where its root is not configured.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from returns.result import Success

from geats_core import (
    ByHand,
    Goal,
    Observation,
    Plan,
    PowerOff,
    Restart,
    Step,
    Target,
    after,
    plan,
)
from geats_core.planning.actions import ConfigureGuest, Repair, Shutdown, Start, Stop
from geats_core.planning.model import ON
from geats_core.plans.progress import Course
from geats_core.vm.spec import ROOT
from tests.property.space import BY_HAND, VOLUMES, Space, half_way
from tests.property.test_exhaustive import essence, goals_of

EVERY = {VOLUMES.name: 7, BY_HAND.name: 2}  # of so many states one is looked at
SPACES = {space.name: space for space in (VOLUMES, BY_HAND)}


@pytest.mark.timeout(3600)  # minutes of two processors, which a busy machine does not give it
@pytest.mark.parametrize("space", SPACES)
def test_one_step_fails_and_all_that_does_not_need_it_is_done(space: str) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
        jobs = [(space, target) for target in Target]
        assert sum(workers.map(check, jobs)) > 0


def check(job: tuple[str, Target]) -> int:
    """How many failures were gone through."""
    space, target = SPACES[job[0]], job[1]
    goals = dict.fromkeys(essence(goal, space) for goal in goals_of(space, target, tuple(Restart)))
    some = [g for g in goals if (g.power_off, g.by_hand) == (PowerOff.SHUTDOWN, ByHand.KEPT)]
    return sum(
        _check(space, goal, have, made)
        for have in space.states[:: EVERY[space.name]]
        for goal, made in _plans(space, some, have)
    )


def _plans(space: Space, goals: Iterable[Goal], have: Observation) -> Iterator[tuple[Goal, Plan]]:
    """Each plan that there is from *have*, once: two goals often come to the same steps."""
    seen: list[list[object]] = []
    for goal in goals:
        made = plan(goal, have, space.facts).value_or(None)
        if made is None:
            continue
        steps: list[object] = [(step.action, step.needs, step.after) for step in made.steps]
        if steps not in seen:
            seen.append(steps)
            yield goal, made


def _check(space: Space, goal: Goal, have: Observation, made: Plan) -> int:
    failures = list(_failures(made, have))
    for failing, left in failures:
        end, course = _run(made, have, failing, left)
        wrong = [*_not_done(made.steps, course, failing), *_left_off(made, have, end, failing)]
        assert not wrong, (goal, space.shown(space.number(have)), failing, wrong)
    return len(failures)


def _failures(made: Plan, have: Observation) -> Iterator[tuple[int, Observation]]:
    """Each step, and what its failure leaves: nothing new, or what a fault in its midst does."""
    course = Course.of(made.steps, {made.name: have})
    while ready := course.take():
        for position in ready:
            action = made.steps[position].action
            for left in (have, *half_way(action, have)):
                yield position, left
            have = after(action, have).unwrap()
            course.succeed(position)


def _run(
    made: Plan, have: Observation, failing: int, left: Observation
) -> tuple[Observation, Course]:
    """One step fails, and leaves the VM as *left*."""
    course = Course.of(made.steps, {made.name: have})
    while ready := course.take():
        for position in ready:
            if position == failing:
                have = left
                course.fail(position, have)
            else:
                have = after(made.steps[position].action, have).unwrap()
                course.succeed(position)
    return have, course


def _not_done(steps: tuple[Step, ...], course: Course, failing: int) -> Iterator[str]:
    needing = {failing}
    for position, step in enumerate(steps):
        if needing & {*step.needs, position}:
            needing.add(position)
        elif position not in course.done:
            yield f"{step.action} is not done"
    if any(cause != failing for cause in course.because_of.values()):
        yield "another step is blamed"


def _left_off(made: Plan, was: Observation, end: Observation, failing: int) -> Iterator[str]:
    actions = [step.action for step in made.steps]
    restarts = Start() in actions and any(isinstance(a, Shutdown | Stop | Repair) for a in actions)
    failed = isinstance(actions[failing], Start)
    if was.power in ON and restarts and not failed and end.power not in ON and _can_start(end):
        yield "it is off"
    new = not isinstance(actions[failing], ConfigureGuest) or was.power not in ON
    if end.power in ON and was.power not in ON and not _can_start(was) and new and _bare(end):
        yield "it runs unconfigured"


def _can_start(have: Observation) -> bool:
    return isinstance(after(Start(), have), Success) and not _bare(have)


def _bare(have: Observation) -> bool:
    """Whether its root is not configured."""
    root = have.volume(have.defined.root.pool, ROOT) if have.defined else None
    return root is None or root.guest is None
