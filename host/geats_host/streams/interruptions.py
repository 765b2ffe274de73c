"""Signals that ask this process to end, passed on to the program that it waits for."""

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
HEEDED_S = 2.0  # that the program has to end by itself


@dataclass(slots=True)
class Interruption:
    """The first signal that came, 0 if none did, and how long the program has to heed it."""

    tell: Callable[[int], None]
    number: int = 0
    until: float = math.inf

    def handle(self, number: int, _: FrameType | None) -> None:
        """Tell the program; a second signal ends this process."""
        if self.number:
            sys.exit(128 + number)
        self.number, self.until = number, time.monotonic() + HEEDED_S
        self.tell(number)


@contextmanager
def passed_on(tell: Callable[[int], None]) -> Iterator[Interruption]:
    """As long as the block runs, *tell* gets those signals that this process does not ignore.

    Only the main thread gets any: in another one, *tell* is told nothing.
    """
    interruption = Interruption(tell)
    before = {each: signal.getsignal(each) for each in ENDING}
    is_told = threading.current_thread() is threading.main_thread()
    handled = [each for each in ENDING if is_told and before[each] is not signal.SIG_IGN]
    try:
        for each in handled:
            signal.signal(each, interruption.handle)
        yield interruption
    finally:
        for each in handled:
            signal.signal(each, before[each])
