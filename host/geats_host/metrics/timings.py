"""How long what this process was asked for took, and how often it failed: for metrics."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock


@dataclass(slots=True)
class Timing:
    """So many of a kind, how long they took together, and how many failed."""

    count: int = 0
    seconds: float = 0.0
    failures: int = 0


TIMINGS = {"plan": Timing(), "apply": Timing()}
_TURN = Lock()


@contextmanager
def timed(kind: str) -> Iterator[None]:
    """Count what is done meanwhile; whatever is raised is a failure."""
    began, failed = time.monotonic(), 1
    try:
        yield
        failed = 0
    finally:
        with _TURN:
            timing = TIMINGS[kind]
            timing.count += 1
            timing.seconds += time.monotonic() - began
            timing.failures += failed
