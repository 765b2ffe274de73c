"""Guests that ended by themselves: whether they are started again, and when.

Theory of operation
-------------------
Whenever geats starts a VM that says ``restart``, it notes that; and whenever it powers one off, it
takes the note back, before. So a VM that is off and has a note ended by itself. It is started again
after a second, and if it soon ends again, after twice as long as the last time, up to five minutes.
Once it ran for ten minutes, that begins anew. How a guest ended, its driver says, if it can.
"""

import json

from geats_core.reading.values import dataclass
from geats_core.vm.spec import Restarts, VMSpec

FIRST_S, LONGEST_S = 1, 300
WELL_S = 600  # a guest that ran so long did well


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is noted of a VM: when geats ``started`` it last, in seconds since the epoch.

    It is None once geats powered the VM off. ``times`` it ended soon, one after the other, and was
    started again; ``restarts`` are all that there were. ``again``: geats is about to start it
    again.
    """

    started_s: int | None = None
    times: int = 0
    restarts: int = 0
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a guest ended, and when: ``code`` is 0 if it was well, and None if nobody knows.

    A signal is a code from 129 on, as in a shell. A driver that ``can_tell`` nothing never knows.
    A virtual machine has no code that means anything: ``how`` it ended is said in its place.
    """

    code: int | None = None
    at_s: int | None = None
    can_tell: bool = True
    how: str = ""


@dataclass(frozen=True, slots=True)
class Due:
    """That a guest is to be started again, and at which time, in seconds since the epoch."""

    at_s: int
    kept: Kept

    def left_s(self, now_s: int) -> int:
        """How long it takes until then; nothing if it is longer than it can be: then the clock was
        set back.
        """
        left_s = self.at_s - now_s
        return left_s if 0 < left_s <= LONGEST_S else 0


def due(spec: VMSpec, kept: Kept, ended: Ended) -> Due | None:
    """When a guest that is off is started again, and what is noted before; None if it is not."""
    if kept.started_s is None or spec.is_to_be_off or not _wants(spec.restart, ended):
        return None
    at_s = kept.started_s if ended.at_s is None else max(ended.at_s, kept.started_s)
    times = 0 if at_s - kept.started_s >= WELL_S else kept.times
    wait_s = min(LONGEST_S, FIRST_S << min(times, 16))
    more = Kept(started_s=kept.started_s, times=times + 1, restarts=kept.restarts + 1, again=True)
    return Due(at_s + wait_s, more)


def started(kept: Kept, now_s: int) -> Kept:
    """What is noted once it is on: who starts it otherwise begins anew."""
    return Kept(started_s=now_s, times=kept.times if kept.again else 0, restarts=kept.restarts)


def powered_off(kept: Kept) -> Kept:
    """What is noted before geats powers it off."""
    return Kept(restarts=kept.restarts)


def in_words(ended: Ended) -> str:
    """How it ended."""
    if ended.how:
        return ended.how
    return "ended" if ended.code is None else f"exited ({ended.code})"


def to_text(kept: Kept) -> str:
    """As it is noted."""
    said = [kept.started_s, kept.times, kept.restarts, kept.again]
    return json.dumps(said)


def from_text(text: str) -> Kept:
    """What is noted; of a note that somebody broke, nothing is known."""
    try:
        match json.loads(text):
            case [int() | None as started_s, int(times), int(restarts), bool(again)]:
                return Kept(started_s=started_s, times=times, restarts=restarts, again=again)
            case _:
                return Kept()
    except ValueError:
        return Kept()


def _wants(restart: Restarts, ended: Ended) -> bool:
    if restart is Restarts.ON_FAILURE:
        return ended.can_tell and ended.code != 0
    return restart is Restarts.ALWAYS
