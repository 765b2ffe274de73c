"""Events on the bus of this host's minion: one for each step that has ended.

Theory of operation
-------------------
Steps end in many threads, and an event takes a moment. So a separate thread sends all of them in
their order; it starts with the first event. If there is no bus, because no minion runs or its
socket is stale, nothing is sent. The minion's process passes an event on to the master if that is
asked for (``fire_master`` is Salt's own tag for it).
"""

import logging
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from salt.utils.event import SaltEvent, get_event

from geats_core.declared.config import Events
from geats_core.planning.action_words import describe, word_of
from geats_core.planning.steps import Step
from geats_host.registry import Outcome
from geats_host.step_listeners import Progress, silent

log = logging.getLogger(__name__)

CONNECT_S = 1
SOCKET = "minion_event_*_pull.ipc"
Opts: TypeAlias = Mapping[str, Any]
Data: TypeAlias = dict[str, Any]


@contextmanager
def told_of_steps(opts: Opts, events: Events, origin: str) -> Iterator[Progress]:
    """Meanwhile, an event ``geats/VM/STEP`` is sent for each step; at the end, all have been sent.

    *opts* are Salt's options, and *origin* is who asked for the steps.
    """
    if events is Events.NONE or not any(Path(opts["sock_dir"]).glob(SOCKET)):
        yield silent
        return
    bus = _Bus(dict(opts), forwards=events is Events.MASTER)  # Salt's own is for one thread only
    begun: dict[int, float] = {}
    with ThreadPoolExecutor(1, "geats-events") as thread:

        def tell(step: Step, outcome: Outcome, detail: str) -> None:
            if outcome is Outcome.INTENT:
                begun[id(step)] = time.monotonic()
            elif step.vm:  # what concerns the whole host only waits
                took_s = round(time.monotonic() - begun[id(step)], 3)
                data = {**event_data(step, outcome, detail), "took_s": took_s, "origin": origin}
                thread.submit(bus.fire, f"geats/{step.vm}/{data['step']}", data)

        try:
            yield tell
        finally:
            thread.submit(bus.close)


def event_data(step: Step, outcome: Outcome, detail: str) -> Data:
    """The event of a step that has ended: plain data without secrets.

    ``vm``; ``step``, one word; ``action`` and ``reason``; ``impact``; ``outcome``, which is
    ``done`` or ``failed``; and then ``error``.
    """
    return {
        "vm": step.vm,
        "step": word_of(step.action),
        "action": describe(step.action, step.vm),
        "reason": step.reason,
        "impact": str(step.impact),
        "outcome": str(outcome),
        "error": detail if outcome is Outcome.FAILED else None,
    }


@dataclass(slots=True)
class _Bus:
    """The bus, connected to with the first event; for one thread only, as Salt's event loop is."""

    opts: Data
    forwards: bool
    event: SaltEvent | None = None

    def fire(self, tag: str, data: Data) -> None:
        """Send one event; if nobody listens any more, it is lost."""
        if self.event is None:
            self.event = get_event("minion", opts=self.opts, listen=False)
            self.event.connect_pull(timeout=CONNECT_S)
        if not self.event.cpush:
            return
        try:
            if self.forwards:
                to_master = {"data": dict(data), "tag": tag, "events": None, "pretag": None}
                self.event.fire_event(to_master, "fire_master")
            self.event.fire_event(data, tag)
        except Exception:  # a fault of the bus must not stop the steps
            log.warning("the event %s could not be sent", tag, exc_info=True)

    def close(self) -> None:
        """Give the connection up."""
        if self.event is not None:
            self.event.destroy()
