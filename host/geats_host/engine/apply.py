"""Carry steps out: those that do not wait for each other side by side, each of them journaled.

Theory of operation
-------------------
The core decides which steps may be tried, and which never will be after one has failed
(``geats_core.plans.progress``). Here they run, and if one fails, its VM is observed. Most steps
wait for something other than the processors, such as a guest's init or the disk, so all steps that
can run do. Unpacking templates needs processors, so no more of these run at once than there are
processors; cloning one that is unpacked needs none for long. A start waits for other steps, but not
for long. A VM that the steps freeze is always unfrozen, whatever happens in between.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from functools import partial
from threading import Event
from typing import TypeAlias

from returns.result import Failure, Success

from geats_core.planning.action_words import describe
from geats_core.planning.actions import (
    DeleteSnapshot,
    DestroyVolume,
    Freeze,
    Hold,
    InstallTemplate,
    KeepOff,
    Pause,
    RemoveLeftover,
    Repair,
    Shutdown,
    Start,
    Stop,
    Undefine,
    Unfreeze,
    UpgradeRegistry,
)
from geats_core.planning.steps import Step
from geats_core.plans.progress import Course
from geats_core.vm.observation import Observation
from geats_host.engine.outcomes import Applied, Failed, Interrupted, Noted, NotTried
from geats_host.errors import HostError
from geats_host.registry import Entry, Outcome, Registry
from geats_host.step_listeners import Progress, silent
from geats_host.streams import meters

LOG = logging.getLogger(__name__)
GIVING = (  # what is done also if no journal can be kept, as on a full disk
    *(Shutdown, Stop, KeepOff, Repair, Freeze, Unfreeze),
    *(Undefine, DestroyVolume, DeleteSnapshot, RemoveLeftover),
)
MOST_AT_ONCE = 256
INSTALLS_AT_ONCE = os.cpu_count() or 1
LONGEST_HOLD_S = 0.5
Perform: TypeAlias = Callable[[Step], str | None]  # what is to be known of how it was done
Ends: TypeAlias = "dict[int, _Ended]"  # by the position of each step that was tried
Look: TypeAlias = Callable[[str], Observation]  # at a VM, by its name


def installs(step: Step) -> bool:
    """Whether a step puts a template on a volume, which may be to unpack it."""
    return isinstance(step.action, InstallTemplate)


def nothing_seen(name: str) -> Observation:
    """Nobody looks: nothing is known of the VM."""
    return Observation()


@dataclass(frozen=True, slots=True)
class Onlooker:
    """What is known of the VMs of a plan: ``before`` it, and by looking at one ``now``."""

    before: Mapping[str, Observation] = field(default_factory=dict)
    now: Look = nothing_seen

    def tell(self, course: Course, position: int, error: str | None) -> None:
        """Tell what became of a step; after a failure, what its VM is now, if that can be seen."""
        if error is None:
            course.succeed(position)
            return
        vm = course.steps[position].vm  # empty for what concerns the whole host
        try:
            now = self.now(vm) if vm else Observation()
        except HostError:
            now = Observation()
        course.fail(position, now)


def apply_steps(
    steps: Sequence[Step],
    perform: Perform,
    registry: Registry,
    progress: Progress = silent,
    origin: str = "",
    onlooker: Onlooker | None = None,
    over: Event | None = None,
    unpacks: Callable[[Step], bool] = installs,
) -> Applied:
    """Run every step once those that it waits for have ended, unless one that it needs is not done.

    *origin* is who asked for it, for the journal. *over* is set at the end: also if the call is
    interrupted, so that a step that only waits ends then. If somebody else sets it, no other step
    begins. *unpacks* tells which steps need a processor each. The answer is what was done and what
    failed.
    """
    ends: Ends = {}
    begun: set[int] = set()
    onlooker = onlooker or Onlooker()
    course = Course.of(steps, onlooker.before)

    run = partial(_run, perform=perform, registry=registry, progress=progress, origin=origin)
    with ExitStack() as stack:
        stack.enter_context(registry.kept_open())
        try:
            _run_in_order(course, run, begun, ends, onlooker, over or Event(), unpacks)
        finally:
            for position in _to_thaw(steps, begun, ends):
                ends[position] = run(steps[position])
    return _outcome(course, ends)


def _run_in_order(
    course: Course,
    run: Callable[[Step], "_Ended"],
    begun: set[int],
    ends: Ends,
    onlooker: Onlooker,
    over: Event,
    unpacks: Callable[[Step], bool],
) -> None:
    steps = course.steps
    running: dict[Future[_Ended], int] = {}
    with ExitStack() as stack:
        others = _workers(stack, min(len(steps), MOST_AT_ONCE) or 1)
        unpacking = _workers(stack, INSTALLS_AT_ONCE)
        stack.callback(over.set)
        starts = HeldBack()
        while True:
            if over.is_set():  # what runs ends, and nothing else begins
                starts.positions.clear()
            ready = [] if over.is_set() else starts.sorted_out(course.take(), steps)
            idle = not ready and all(_starts(steps[position]) for position in running.values())
            for position in [*ready, *starts.due(idle=idle)]:
                begun.add(position)
                workers = unpacking if unpacks(steps[position]) else others
                running[workers.submit(run, steps[position])] = position
            if not running:
                return
            for future in wait(running, starts.left_s(), return_when=FIRST_COMPLETED).done:
                position = running.pop(future)
                ends[position] = future.result()
                onlooker.tell(course, position, ends[position].error)


def _to_thaw(steps: Sequence[Step], begun: set[int], ends: Ends) -> list[int]:
    """What would unfreeze the VMs that these steps hold, and was not tried."""
    held = {steps[position].vm for position in begun if isinstance(steps[position].action, Hold)}
    return [
        position
        for position, step in enumerate(steps)
        if position not in begun and isinstance(step.action, Unfreeze) and step.vm in held
    ]


@dataclass(slots=True)
class HeldBack:
    """Starts that could run, and wait for other steps: for half a second at most.

    A booting guest takes processors and disk from the steps that other VMs still need. Ten VMs are
    running sooner if the first boots while the last is being started, not while the last is being
    made.
    """

    positions: list[int] = field(default_factory=list)
    since_s: float = 0.0

    def sorted_out(self, ready: Iterable[int], steps: Sequence[Step]) -> list[int]:
        """Keep the starts among *ready* back; the answer is the rest."""
        rest: list[int] = []
        if not self.positions:
            self.since_s = time.monotonic()
        for position in ready:
            (self.positions if _starts(steps[position]) else rest).append(position)
        return rest

    def due(self, *, idle: bool) -> list[int]:
        """The starts that wait no longer: all, if there is nothing else or the time is up."""
        if not idle and self.left_s() != 0:
            return []
        due, self.positions = self.positions, []
        return due

    def left_s(self) -> float | None:
        """How long they may still wait, in seconds; None if none waits."""
        if not self.positions:
            return None
        return max(0.0, self.since_s + LONGEST_HOLD_S - time.monotonic())


def _workers(stack: ExitStack, at_most: int) -> ThreadPoolExecutor:
    """Threads that end with *stack*; what has not begun by then never does."""
    workers = ThreadPoolExecutor(at_most)
    stack.callback(workers.shutdown, cancel_futures=True)
    return workers


def _starts(step: Step) -> bool:
    return isinstance(step.action, Start)


def _outcome(course: Course, ends: Ends) -> Applied:
    steps = course.steps
    done = tuple(
        _noted(steps[at], end.note) for at, end in sorted(ends.items()) if end.error is None
    )
    failed = tuple(
        Failed(steps[at], end.error) for at, end in sorted(ends.items()) if end.error is not None
    )
    not_tried = tuple(
        NotTried(step, steps[course.because_of.get(at, at)])
        for at, step in enumerate(steps)
        if at not in ends
    )
    whole = not failed and not not_tried
    return Success(done) if whole else Failure(Interrupted(done, failed, not_tried))


def _noted(step: Step, note: str) -> Step:
    values = {each.name: getattr(step, each.name) for each in fields(Step)}
    return Noted(**values, note=note) if note else step


@dataclass(frozen=True, slots=True)
class _Ended:
    """What went wrong with a step, if anything did; else what is to be known of how it went."""

    error: str | None = None
    note: str = ""


def _run(
    step: Step, perform: Perform, registry: Registry, progress: Progress, origin: str
) -> _Ended:
    """Perform one step between two lines of its VM's journal."""

    def journal(outcome: Outcome, detail: str) -> None:
        action = describe(step.action, step.vm)
        entry = Entry(
            time_s=time.time(),
            vm=step.vm,
            action=action,
            outcome=outcome,
            detail=detail,
            origin=origin,
        )
        if _is_journaled(step, outcome):
            _write(registry, entry, step)
        progress(step, outcome, detail)

    try:
        journal(Outcome.INTENT, step.reason)
        with meters.metered(step):
            note = _as_text(perform(step) or "")
        journal(Outcome.DONE, note)
    except HostError as error:
        return _Ended(error=_failed(journal, _as_text(str(error))))
    return _Ended(note=note)


def _as_text(said: str) -> str:
    """What can be kept and sent: a file that is named may have any bytes in its name."""
    return said.encode(errors="backslashreplace").decode()


def _is_journaled(step: Step, outcome: Outcome) -> bool:
    """All but pauses; an upgrade only once it is done: before, the tables are those of old."""
    is_upgrade = isinstance(step.action, UpgradeRegistry)
    return not isinstance(step.action, Pause) and (not is_upgrade or outcome is Outcome.DONE)


def _write(registry: Registry, entry: Entry, step: Step) -> None:
    """Write to the journal; if nothing can be written, what makes room is done all the same.

    The entry is in the system's log then.
    """
    try:
        registry.write(entry)
    except HostError as error:
        if not isinstance(step.action, GIVING):
            raise
        said = f"{entry.action}: {entry.outcome}"
        LOG.warning("%s (the journal could not be written: %s)", said, error)


def _failed(journal: Callable[[Outcome, str], None], error: str) -> str:
    try:
        journal(Outcome.FAILED, error)
    except HostError as unwritten:
        return f"{error} (nor could the journal be written: {unwritten})"
    return error
