"""The steps of several plans as one graph, and an order in which they may run."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from itertools import chain

from returns.result import Success

from geats_core.actions import Pause, Repair, Shutdown, Start, Stop, describe
from geats_core.checked import Checked, problem
from geats_core.plan import Plan, Step

POWER_OFFS = (Shutdown, Stop, Repair)


@dataclass(slots=True)
class Graph:
    """Steps by number, and which others each waits for; ``starts`` and ``stops`` by VM."""

    steps: list[Step] = field(default_factory=list)
    needs: list[list[int]] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)
    stops: dict[str, int] = field(default_factory=dict)

    def add(self, step: Step, needs: Iterable[int] = ()) -> int:
        """Add one step; the number that it has from now on."""
        self.steps.append(step)
        self.needs.append(list(needs))
        number = len(self.steps) - 1
        if isinstance(step.action, Start):
            self.starts[step.vm] = number
        elif isinstance(step.action, POWER_OFFS):
            self.stops[step.vm] = number
        return number

    def add_plan(self, plan: Plan) -> range:
        """Add the steps of one VM, which wait for each other as its plan says; their numbers."""
        first = len(self.steps)
        for step in plan.steps:
            self.add(step, (first + position for position in step.needs))
        return range(first, len(self.steps))

    def gate(self, reason: str, needs: Iterable[int]) -> int:
        """A step of the host that does nothing but wait for others."""
        return self.add(Step(vm="", action=Pause(), reason=reason), needs)

    def wait(self, later: int, earlier: int) -> None:
        """Let *later* wait for *earlier*."""
        self.needs[later].append(earlier)

    def in_order(self) -> Checked[tuple[Step, ...]]:
        """Every step after those that it waits for, and otherwise in the order of adding.

        What a step waits for anyway, since another that it waits for does, is not among its needs.
        Refused, with the steps, where some of them wait for each other.
        """
        waits_for = [set(needs) for needs in self.needs]
        waited_for_by: list[list[int]] = [[] for _ in self.steps]
        for number, needs in enumerate(waits_for):
            for earlier in needs:
                waited_for_by[earlier].append(number)
        left = [len(needs) for needs in waits_for]
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
        if len(position) < len(self.steps):
            return self._circle([needs - position.keys() for needs in waits_for])
        nearest = _nearest([[position[n] for n in waits_for[number]] for number in position])
        numbered = zip(position, nearest, strict=True)
        return Success(tuple(replace(self.steps[n], needs=needs) for n, needs in numbered))

    def _circle(self, waits_for: Sequence[set[int]]) -> Checked[tuple[Step, ...]]:
        """Say which steps wait for each other, where *waits_for* is all that cannot be waited for.

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
        return problem("plan", f"each of these steps would wait for the next, in a circle: {words}")


def _nearest(needs: Sequence[Sequence[int]]) -> Iterable[tuple[int, ...]]:
    """What each step waits for, of steps in order, without what it waits for anyway.

    All that is before a step is one number, a bit for each step; kept while others wait for it.
    """
    waiting = Counter(chain.from_iterable(needs))
    before: dict[int, int] = {}
    for position, earlier in enumerate(needs):
        nearest: list[int] = []
        all_before = 0
        for need in sorted(earlier, reverse=True):
            if not all_before >> need & 1:
                nearest.append(need)
                all_before |= before[need] | 1 << need
            waiting[need] -= 1
            if not waiting[need]:
                del before[need]
        if waiting[position]:
            before[position] = all_before
        yield tuple(reversed(nearest))
