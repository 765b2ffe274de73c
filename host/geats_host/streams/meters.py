"""How far copies are: who moves bytes counts them, and who shows a bar looks.

A meter is of what its thread does. A thread that is begun meanwhile has none: what counts there is
made before.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import field
from typing import Protocol

from geats_core.reading.values import dataclass


def uncounted(_count: int) -> None:
    """What is told of bytes that nobody counts."""


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, count: int, /) -> bytes:
        """At most *count* bytes; none at the end."""
        ...


@dataclasses.dataclass(slots=True)
class Meter:
    """How many bytes are moved, of how many if that is known, and since when.

    ``doing`` says what is done with them, if that is not plain. ``look`` tells how many another
    program moved since it began, besides those that are counted.
    """

    moved_bytes: int = 0
    total_bytes: int | None = None
    begun_s: float = field(default_factory=time.monotonic)
    doing: str = ""
    look: Callable[[], int] | None = None

    def seen(self) -> int:
        """How many bytes are moved by now; what is over already is not looked at."""
        look = self.look
        if look is not None:
            with suppress(OSError, ValueError):
                return self.moved_bytes + look()
        return self.moved_bytes

    def left_s(self, now_s: float) -> float | None:
        """How long it takes yet at this pace; None if nobody knows."""
        seen = self.seen()
        if self.total_bytes is None or not seen:
            return None
        pace = (now_s - self.begun_s) / seen
        return max(0.0, (self.total_bytes - seen) * pace)


_METER: ContextVar[Meter | None] = ContextVar("meter", default=None)
_UNDER_WAY: dict[int, Meter] = {}


@contextmanager
def metered(what: object) -> Iterator[None]:
    """Meanwhile, what this thread moves is counted for *what*: see ``of``."""
    meter = Meter()
    _UNDER_WAY[id(what)] = meter
    token = _METER.set(meter)
    try:
        yield
    finally:
        _METER.reset(token)
        del _UNDER_WAY[id(what)]


def of(what: object) -> Meter | None:
    """How far it is; None if it is not under way."""
    return _UNDER_WAY.get(id(what))


def counter(total_bytes: int | None = None, doing: str = "") -> Callable[[int], None]:
    """What is told of bytes that are moved, in any thread; *total_bytes* in all."""
    meter = _METER.get() or Meter()
    meter.moved_bytes, meter.total_bytes, meter.begun_s = 0, total_bytes, time.monotonic()
    meter.doing = doing

    def moved(count: int) -> None:
        meter.moved_bytes += count

    return moved


@contextmanager
def looking(look: Callable[[], int], total_bytes: int | None = None) -> Iterator[None]:
    """Meanwhile, another program moves bytes, and *look* tells how many so far.

    They are added to what is counted already; with *total_bytes*, it is counted from here on.
    """
    meter = _METER.get() or Meter()
    if total_bytes is not None:
        meter.moved_bytes, meter.total_bytes, meter.begun_s = 0, total_bytes, time.monotonic()
        meter.doing = ""
    meter.look = look
    try:
        yield
    finally:
        seen = meter.seen()
        meter.look = None
        meter.moved_bytes = seen


@dataclass(frozen=True, slots=True)
class Counted:
    """A stream of which is counted what is read."""

    stream: Readable
    moved: Callable[[int], None]

    def read(self, count: int, /) -> bytes:
        """See ``Readable``."""
        data = self.stream.read(count)
        self.moved(len(data))
        return data


def counted(stream: Readable, total_bytes: int | None = None) -> Counted:
    """The *stream*, counted."""
    return Counted(stream, counter(total_bytes))
