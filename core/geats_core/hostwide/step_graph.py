"""The steps of several plans as one graph, and an order in which they may run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from typing import TypeAlias

from returns.result import Success

from geats_core.planning.action_words import describe
from geats_core.planning.actions import (
    POWER_OFFS,
    AwaitReady,
    KeepOff,
    OnVolume,
    Pause,
    Start,
    Unfreeze,
)
from geats_core.planning.dependencies import Wait, nearest, tangles
from geats_core.planning.steps import Plan, Step
from geats_core.reading.checked import Checked, Code, problem

Waits: TypeAlias = Mapping[Wait, list[set[int]]]
STOPS = (*POWER_OFFS, KeepOff)  # after which nobody starts it
OFF_FIRST = (*POWER_OFFS, Unfreeze)  # a frozen VM is thawed to be shut down


@dataclass(slots=True)
class Graph:
    """Steps by number, and which others each waits for; ``starts`` and ``stops`` by VM, and in
    ``started`` the step with which each that starts is there: its start, or that it is ready.

    ``wishes`` are what a later step waits for as well, unless they then all would wait for each
    other: how, the later step, and the earlier one.
    """

    steps: list[Step] = field(default_factory=list)
    waits: dict[Wait, list[list[int]]] = field(default_factory=lambda: {kind: [] for kind in Wait})
    wishes: list[tuple[Wait, int, int]] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)
    stops: dict[str, int] = field(default_factory=dict)
    started: dict[str, int] = field(default_factory=dict)

    def add(self, step: Step) -> int:
        """Add one step, which waits for nothing yet; the number that it has from now on."""
        number = len(self.steps)
        self.steps.append(step)
        for waits in self.waits.values():
            waits.append([])
        if isinstance(step.action, Start):
            self.starts[step.vm] = self.started[step.vm] = number
        elif isinstance(step.action, AwaitReady) and step.vm in self.starts:
            self.started[step.vm] = number
        elif isinstance(step.action, STOPS):
            self.stops[step.vm] = number
        return number

    def add_plan(self, plan: Plan) -> range:
        """Add the steps of one VM, which wait for each other as its plan says; their numbers.

        That a VM is powered off only once its volumes are made is a wish: others may have to make
        room for them first.
        """
        numbers = range(len(self.steps), len(self.steps) + len(plan.steps))
        for step in plan.steps:
            self.add(step)
        for number, step in zip(numbers, plan.steps, strict=True):
            self.wait_as(step, number, numbers)
        return numbers

    def wait_as(self, step: Step, number: int, numbers: Sequence[int]) -> None:
        """Let the step *number* wait as *step* does, for steps that have these *numbers* here.

        The start that comes after a step that may be early waits for the volumes itself.
        """
        may_be_early = isinstance(step.action, OFF_FIRST)
        start = self.starts.get(step.vm, -1)
        for wait, positions in ((Wait.NEEDS, step.needs), (Wait.AFTER, step.after)):
            for earlier in (numbers[position] for position in positions):
                if may_be_early and self._is_of_volume(earlier):
                    self.wishes.append((wait, number, earlier))
                    self.waits[wait][number] += self._needed_by_volume(earlier)
                    if start > number:
                        self.waits[wait][start].append(earlier)
                else:
                    self.waits[wait][number].append(earlier)

    def _needed_by_volume(self, number: int) -> list[int]:
        """What a step of a volume needs that is of no volume, at once or because of others."""
        found: list[int] = []
        todo = [number]
        while todo:
            needs = self.waits[Wait.NEEDS][todo.pop()]
            todo += filter(self._is_of_volume, needs)
            found += (need for need in needs if not self._is_of_volume(need))
        return found

    def _is_of_volume(self, number: int) -> bool:
        return isinstance(self.steps[number].action, OnVolume)

    def gate(self, reason: str, after: Iterable[int]) -> int:
        """A step of the host that does nothing but wait until others have ended."""
        number = self.add(Step(vm="", action=Pause(), reason=reason))
        self.waits[Wait.AFTER][number] += after
        return number

    def need(self, later: int, earlier: int) -> None:
        """Let *later* be tried only if *earlier* is done."""
        self.waits[Wait.NEEDS][later].append(earlier)

    def take(self, later: int, earlier: int) -> None:
        """Let *later* need *earlier*, which gives what that takes.

        A VM that restarts to take it is powered off once it is there.
        """
        self.need(later, earlier)
        vm = self.steps[later].vm
        if self.starts.get(vm) == later and vm in self.stops:
            self.wishes.append((Wait.NEEDS, self.stops[vm], earlier))

    def follow(self, later: int, earlier: int) -> None:
        """Let *later* wait until *earlier* has ended, done or not."""
        self.waits[Wait.AFTER][later].append(earlier)

    def in_order(self) -> Checked[tuple[Step, ...]]:
        """Every step after those that it waits for, and otherwise in the order of adding.

        What a step waits for anyway, since another that it waits for does, is left out. Refused,
        with the steps, if some of them wait for each other.
        """
        waits = self._waits(self.wishes)
        position = self._positions(waits)
        if len(position) < len(self.steps):
            waits = self._waits(self._outside_circles(waits))
            position = self._positions(waits)
        if len(position) < len(self.steps):
            return self._circle([each - position.keys() for each in _all_before(waits)])
        needs, after = nearest(
            ([[position[n] for n in waits[kind][number]] for number in position] for kind in Wait),
            {position[start] for start in self.starts.values()},  # it may run for other reasons
        )
        numbered = zip(position, needs, after, strict=True)
        return Success(tuple(replace(self.steps[n], needs=d, after=a) for n, d, a in numbered))

    def _waits(self, wishes: Iterable[tuple[Wait, int, int]]) -> Waits:
        found = {kind: [set(each) for each in self.waits[kind]] for kind in Wait}
        for kind, later, earlier in wishes:
            found[kind][later].add(earlier)
        return found

    def _positions(self, waits: Waits) -> dict[int, int]:
        """By number, in order, where each step comes; without those that wait for each other."""
        waited_for_by: list[list[int]] = [[] for _ in self.steps]
        left: list[int] = []
        for number, before in enumerate(_all_before(waits)):
            left.append(len(before))
            for earlier in before:
                waited_for_by[earlier].append(number)
        ready = [number for number, count in enumerate(left) if not count]
        heapify(ready)
        position: dict[int, int] = {}
        while ready:
            number = heappop(ready)
            position[number] = len(position)
            for later in waited_for_by[number]:
                left[later] -= 1
                if not left[later]:
                    heappush(ready, later)
        return position

    def _outside_circles(self, waits: Waits) -> Iterable[tuple[Wait, int, int]]:
        """The wishes that are part of no circle."""
        groups = tangles(dict(enumerate(_all_before(waits))))
        circle = {number: at for at, group in enumerate(groups) for number in group}
        return (wish for wish in self.wishes if circle[wish[1]] != circle[wish[2]])

    def _circle(self, waits_for: Sequence[set[int]]) -> Checked[tuple[Step, ...]]:
        """Say which steps wait for each other; *waits_for* is all that cannot be waited for.

        Every step that waits for one of those waits for one that waits itself: so a walk from any
        of them comes back to where it was.
        """
        here = next(number for number, needs in enumerate(waits_for) if needs)
        walk: dict[int, None] = {}
        while here not in walk:
            walk[here] = None
            here = min(waits_for[here])
        numbers = list(walk)
        circle = [self.steps[number] for number in numbers[numbers.index(here) :]]
        words = "; ".join(f"{describe(each.action, each.vm)} ({each.reason})" for each in circle)
        why = f"each of these steps would wait for the next, in a circle: {words}"
        return problem("plan", why, Code.REFUSED)


def _all_before(waits: Waits) -> Iterable[set[int]]:
    """By step, all that it waits for in either way."""
    return (
        needs | after for needs, after in zip(waits[Wait.NEEDS], waits[Wait.AFTER], strict=True)
    )
