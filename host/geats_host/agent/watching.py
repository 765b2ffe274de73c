"""What happens on the host, told to everybody who watches: looked at once for all of them.

Theory of operation
-------------------
Somebody who begins to watch gets what there is at that moment, and each step of the journal after
the last that they know; then each event as it comes. What changes by itself has no number of its
own, as it is in no journal: it shows as a difference to what there is, which the first reply has.
So between two calls, nothing is missed.

What was told stays for a while, as many as ``MOST`` events. Whoever reads more slowly than that is
told so, and begins anew with the number of the last step that they know: the journal has the rest.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import islice
from typing import Any, TypeAlias

from geats_core.requests import beacon
from geats_host.agent.faults import Fault, refused
from geats_host.calls.inventory import overview_report
from geats_host.errors import HostError
from geats_host.host import Host
from geats_host.watching import history

Reply: TypeAlias = Mapping[str, Any]
MOST = 10_000  # events that are kept, and steps that one call catches up with
MOST_PATTERNS, LONGEST_PATTERN = 1000, 100  # the loop of the agent compares them
EVERY_S = 1.0


@dataclass(slots=True)
class Watching:
    """What was seen so far: ``told`` are the newest events, of which ``first`` is the position."""

    sequence: int = 0
    overview: Mapping[str, Any] | None = None
    told: deque[Reply] = field(default_factory=deque)
    first: int = 0
    trouble: str = ""

    @property
    def end(self) -> int:
        """The position of the next event."""
        return self.first + len(self.told)

    def look(self, host: Host) -> bool:
        """Look at the host once more; whether there is anything new."""
        before = self.end
        try:
            for reply in self._news(host):
                self._tell(reply)
            error = ""
        except HostError as failed:
            error = str(failed)
        if error and error != self.trouble:
            self._tell(self._event(history.event_of_beacon({"tag": "trouble", "error": error})))
        self.trouble = error
        return self.end > before

    def after(self, position: int) -> list[Reply]:
        """The events from a position on; ``Fault`` if they are no longer kept."""
        if position < self.first:
            raise Fault("TooOld", oldest=self.sequence)
        return list(islice(self.told, position - self.first, None))

    def _news(self, host: Host) -> Iterator[Reply]:
        if self.overview is None:
            self.sequence = history.newest(host)
        for entry in host.journal(None, MOST, after=self.sequence):
            self.sequence = entry.number
            if told := history.event_of(entry):
                yield self._event(told)
        now = overview_report(host)
        before, self.overview = self.overview, now
        for event in beacon.told(before, now, beacon.Watch()) if before is not None else ():
            yield self._event(history.event_of_beacon(history.with_its_end(host, event)))

    def _event(self, told: Mapping[str, object]) -> Reply:
        return {"sequence": self.sequence, "event": told}

    def _tell(self, reply: Reply) -> None:
        self.told.append(reply)
        while len(self.told) > MOST:
            self.told.popleft()
            self.first += 1


def caught_up(host: Host, since: int, until: int) -> list[Reply]:
    """The steps after *since* up to *until*; ``Fault`` if not all of them are in the journal."""
    if since > until:
        raise Fault("TooOld", oldest=until)
    since = max(since, 0)
    entries = host.journal(None, MOST, after=since)
    missing = entries[0].number > since + 1 if entries else since < until
    if missing:
        raise Fault("TooOld", oldest=entries[0].number if entries else until)
    return [
        {"sequence": entry.number, "event": told}
        for entry in entries
        if entry.number <= until and (told := history.event_of(entry))
    ]


def which(vms: list[str] | None) -> Callable[[str], bool]:
    """Whether a VM is meant by one of the patterns: ``Fault`` if comparing takes all too long.

    What is about no VM is meant by all.
    """
    patterns = tuple(vms or ())
    if len(patterns) > MOST_PATTERNS or any(len(each) > LONGEST_PATTERN for each in patterns):
        most = f"{MOST_PATTERNS} patterns at most, of {LONGEST_PATTERN} characters at most"
        raise refused("vms", f"must be {most}")

    @lru_cache(maxsize=MOST)
    def is_meant(vm: str) -> bool:
        return not patterns or not vm or any(fnmatchcase(vm, each) for each in patterns)

    return is_meant


def meant(replies: Iterable[Reply], is_meant: Callable[[str], bool]) -> list[Reply]:
    """Those about VMs that are meant."""
    return [reply for reply in replies if is_meant(reply["event"]["vm"])]
