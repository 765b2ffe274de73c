"""How far a plan gets if steps fail: which steps may be tried now, and which never will be.

Theory of operation
-------------------
A step may be tried when everything that it waits for has ended, if everything that it needs is
done. Otherwise it ends untried, because of the step that failed. So steps that do not depend on a
failure are done, in the planned order.

If something is so already, no step is needed: a VM that is on because it could not be shut down
counts as started. And a VM that a plan powered off is started again if possible, even if the change
for which it was powered off failed.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from returns.result import Success

from geats_core.planning.actions import POWER_OFFS, AwaitReady, Start
from geats_core.planning.model import after
from geats_core.planning.steps import Step
from geats_core.vm.observation import Observation, Power
from geats_core.vm.spec import ROOT


@dataclass(slots=True)
class Course:
    """A plan under way: ``done`` by position, and of what never will be, the step that failed.

    ``seen`` is each VM now, as far as it is known.
    """

    steps: Sequence[Step]
    done: set[int]
    because_of: dict[int, int]
    seen: dict[str, Observation]
    _ready: list[int]
    _left: list[int]  # how many steps that it waits for have not ended
    _later: list[list[int]]  # those that wait for it
    _off: set[str]  # the VMs that were powered off

    @classmethod
    def of(cls, steps: Sequence[Step], seen: Mapping[str, Observation]) -> "Course":
        """At its beginning; *seen* is what the steps were planned from."""
        later: list[list[int]] = [[] for _ in steps]
        for position, step in enumerate(steps):
            for earlier in step.waits_for:
                later[earlier].append(position)
        left = [len(step.waits_for) for step in steps]
        ready = [position for position, count in enumerate(left) if not count]
        return cls(steps, set(), {}, dict(seen), ready, left, later, set())

    def take(self) -> list[int]:
        """The positions of the steps that may be tried, and were not told before."""
        ready, self._ready = sorted(self._ready), []
        return ready

    def succeed(self, position: int) -> None:
        """The step is done."""
        step = self.steps[position]
        self.done.add(position)
        if isinstance(step.action, POWER_OFFS):
            self._off.add(step.vm)
        have = self.seen.get(step.vm, Observation())
        self.seen[step.vm] = after(step.action, have).value_or(have)
        self._end(position)

    def fail(self, position: int, now: Observation) -> None:
        """The step failed, and its VM is *now*."""
        self.because_of[position] = position
        self.seen[self.steps[position].vm] = now
        self._end(position)

    def _end(self, position: int) -> None:
        ended = deque([position])
        while ended:
            for later in self._later[ended.popleft()]:
                self._left[later] -= 1
                if self._left[later]:
                    continue
                missing = self._missing(self.steps[later])
                if missing and not self._starts_again(self.steps[later], missing):
                    self.because_of[later] = self.because_of[missing[0]]
                    ended.append(later)
                else:
                    self._ready.append(later)

    def _missing(self, step: Step) -> list[int]:
        """What *step* needs, and is not so."""
        return [need for need in step.needs if need not in self.done and not self._runs(need)]

    def _runs(self, position: int) -> bool:
        """Whether the step is an untried start of a VM that is on: it could not be shut down."""
        step = self.steps[position]
        untried = self.because_of[position] != position
        runs = step.vm in self.seen and self.seen[step.vm].power is Power.RUNNING
        return untried and runs and isinstance(step.action, Start)

    def _starts_again(self, step: Step, missing: Iterable[int]) -> bool:
        """Whether a VM that was powered off can start, though changes of it are *missing*.

        It can though one that it starts after did not, or is not ready: it ran before. It must not
        where another still has what it would take, or where its root was recreated, and is
        configured for nobody.
        """
        have = self.seen.get(step.vm, Observation())
        if not isinstance(step.action, Start) or step.vm not in self._off or have.defined is None:
            return False
        root = have.volume(have.defined.root.pool, ROOT)
        configured = root is not None and root.guest is not None and not root.is_copy
        needed = (self.steps[need] for need in missing)
        taken = any(
            each.vm != step.vm and not isinstance(each.action, Start | AwaitReady)
            for each in needed
        )
        return configured and not taken and isinstance(after(step.action, have), Success)
