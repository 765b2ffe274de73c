"""Carry a plan out: independent steps side by side, each journaled, until one fails."""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TypeAlias

from returns.result import Failure, Success

from geats_core.actions import Action, describe
from geats_core.plan import Plan, Step
from geats_host.errors import HostError
from geats_host.registry import Entry, Outcome, Registry

WORKERS = 4
Perform: TypeAlias = Callable[[Action], None]
Progress: TypeAlias = Callable[[Step, Outcome], None]


@dataclass(frozen=True, slots=True)
class Interrupted:
    """How far a plan got before a step failed."""

    done: tuple[Step, ...]
    failed: Step
    error: str


Applied: TypeAlias = Success[tuple[Step, ...]] | Failure[Interrupted]


def silent(step: Step, outcome: Outcome) -> None:
    """Report no progress."""


def apply_plan(
    plan: Plan, perform: Perform, registry: Registry, progress: Progress = silent
) -> Applied:
    """Run every step once those that it needs are done; report what was done and what failed."""
    order: TopologicalSorter[int] = TopologicalSorter(
        {position: step.needs for position, step in enumerate(plan.steps)}
    )
    order.prepare()
    running: dict[Future[str | None], int] = {}
    done: list[int] = []
    failed: tuple[int, str] | None = None
    with ThreadPoolExecutor(max_workers=WORKERS) as workers:
        while order.is_active():
            for position in order.get_ready() if failed is None else ():
                step = plan.steps[position]
                future = workers.submit(_run, plan.name, step, perform, registry, progress)
                running[future] = position
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                position, error = running.pop(future), future.result()
                if error is None:
                    done.append(position)
                    order.done(position)
                else:
                    failed = failed or (position, error)
    steps = tuple(plan.steps[position] for position in sorted(done))
    if failed is None:
        return Success(steps)
    return Failure(Interrupted(steps, plan.steps[failed[0]], failed[1]))


def _run(
    name: str, step: Step, perform: Perform, registry: Registry, progress: Progress
) -> str | None:
    """Perform one step between two lines of the journal; return what went wrong."""

    def journal(outcome: Outcome, detail: str) -> None:
        action = describe(step.action, name)
        registry.write(
            Entry(time_s=time.time(), vm=name, action=action, outcome=outcome, detail=detail)
        )
        progress(step, outcome)

    try:
        journal(Outcome.INTENT, step.reason)
        perform(step.action)
        journal(Outcome.DONE, "")
    except HostError as error:
        return _failed(journal, str(error))
    return None


def _failed(journal: Callable[[Outcome, str], None], error: str) -> str:
    try:
        journal(Outcome.FAILED, error)
    except HostError as unwritten:
        return f"{error} (nor could the journal be written: {unwritten})"
    return error
