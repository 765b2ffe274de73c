"""Plans that wait for their turn: while another operation on one of their VMs is under way."""

import time
from collections.abc import Callable
from typing import TypeVar

from geats_core.reading.checked import Code
from geats_host.errors import Busy, Refused

T = TypeVar("T")
PAUSE_S = 0.1


def in_turn(wait_s: float, act: Callable[[], T], over: Callable[[], bool] = lambda: False) -> T:
    """What *act* answers, which makes a plan and applies it: again, as long as that is too early.

    If another operation changes what the plan was made from, it is made anew. ``Busy`` once
    *wait_s* seconds have gone by, or nobody waits any more (*over*).
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return act()
        except Refused as refused:
            still = time.monotonic() < deadline  # which it never is if *wait_s* is no number
            if not _is_too_early(refused) or over() or not still:
                raise
        time.sleep(min(PAUSE_S, max(0.0, deadline - time.monotonic())))


def _is_too_early(refused: Refused) -> bool:
    """Whether nothing is wrong but that others were at work, or still are."""
    return isinstance(refused, Busy) or {each.code for each in refused.found} == {Code.CHANGED}
