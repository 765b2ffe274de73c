"""The journal of a VM or of the whole host, and events: what was done, and what changes by itself.

The journal is what geats did. Events are the steps that ended, and, while somebody looks, what a
beacon reports: VMs that start or stop by themselves, strays, drift, full pools.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from geats_core.reading.fields import VM_NAME
from geats_core.requests import beacon, history
from geats_core.requests.vm_filter import ListedPower
from geats_core.vm.observation import Observation, Power
from geats_host.calls.inventory import overview_report
from geats_host.errors import HostError, accepted
from geats_host.host import Host
from geats_host.lazy import later
from geats_host.registry import Entry, Outcome

if TYPE_CHECKING:
    from geats_core.deciding import keeping_up as endings
    from geats_host.calls.guests import keeping_up
else:  # it is needed if a VM ends
    endings = later("geats_core.deciding.keeping_up")
    keeping_up = later("geats_host.calls.guests.keeping_up")

Report = dict[str, object]
MANY = 100_000  # entries: as many as a journal keeps by default
EVERY_S = 2.0
UNKNOWN = ListedPower.UNKNOWN


def journal_report(
    host: Host, name: str | None = None, limit: int = 50, since: object = None
) -> list[Report]:
    """The newest steps that were applied to a VM, oldest first; times are UTC.

    None means to all of them, and to the host itself: then ``vm`` is empty. *since* is such as
    ``2h`` or ``2026-11-30T08:00``.
    """
    entries = host.journal(name, limit, since_s=_since_s(since))
    return list(map(_told, entries))


def numbered(
    host: Host, name: str | None, limit: int, since: object = None, after: int = 0
) -> list[Report]:
    """The same, each with its ``number``, by which the entries are in order: those *after* one."""
    entries = host.journal(name, limit, since_s=_since_s(since), after=after)
    return [{"number": entry.number, **_told(entry)} for entry in entries]


def newest(host: Host) -> int:
    """The number of the newest step in the journal; 0 if there is none."""
    return max((each.number for each in host.journal(None, 1)), default=0)


def events_report(
    host: Host,
    vms: Sequence[str] = (),
    limit: int = 50,
    since: object = None,
    until: int | None = None,
) -> list[Report]:
    """The newest steps that ended, oldest first: of VMs whose names match one of *vms*, or of all.

    ``what`` is ``step``, ``event`` what happened, ``origin`` who asked for it. *until* is the
    number of the last step that is wanted.
    """
    found = host.journal(None, MANY, since_s=_since_s(since))
    entries = [each for each in found if until is None or each.number <= until]
    return [_of_step(each) for each in entries if _is_event(each, vms)][-limit:]


def follow(
    host: Host,
    vms: Sequence[str] = (),
    every_s: float = EVERY_S,
    sleep: Callable[[float], object] = time.sleep,
    after: int | None = None,
) -> Iterator[Report]:
    """Every event from now on, without an end: steps, and what a beacon reports.

    Steps are those *after* the one with this number. That the host cannot be looked at is an event
    too.
    """
    seen = newest(host) if after is None else after
    before: beacon.Overview | None = None
    trouble = ""
    while True:
        try:
            for entry in host.journal(None, MANY, after=seen):
                seen = entry.number
                if _is_event(entry, vms):
                    yield _of_step(entry)
            now = overview_report(host, {"vms": list(vms)} if vms else {})
            for told in beacon.told(before, now, beacon.Watch()) if before is not None else ():
                yield event_of_beacon(with_its_end(host, told))
            before, error = now, ""
        except HostError as failed:
            error = str(failed)
        if error != trouble:
            trouble = error
            yield event_of_beacon({"tag": "trouble", "error": error})
        sleep(every_s)


def _told(entry: Entry) -> Report:
    return {
        "time": _time(entry.time_s),
        "vm": entry.vm,
        "action": entry.action,
        "outcome": str(entry.outcome),
        "detail": entry.detail,
        "origin": entry.origin,
    }


def _is_event(entry: Entry, vms: Sequence[str]) -> bool:
    """Whether a step ended that is about one of these VMs."""
    is_meant = not vms or any(fnmatchcase(entry.vm, pattern) for pattern in vms)
    return is_meant and entry.outcome is not Outcome.INTENT


def _of_step(entry: Entry) -> Report:
    failed = f"failed: {entry.detail}" if entry.outcome is Outcome.FAILED else entry.detail
    return {
        "time": _time(entry.time_s),
        "vm": entry.vm,
        "what": "step",
        "event": ": ".join(filter(None, (entry.action, failed))),
        "origin": entry.origin,
    }


def event_of(entry: Entry) -> Report | None:
    """A step of the journal as an event; None if it has only begun."""
    return _of_step(entry) if _is_event(entry, ()) else None


def with_its_end(host: Host, event: beacon.Event) -> beacon.Event:
    """A VM that is off now: with the ``code`` of its guest and how it ``ended``, if that is known.

    The code is 0 if it ended well, and 128 and the number of a signal that killed it. What another
    program made may have a name that no VM can have.
    """
    if event.get("to") != Power.STOPPED or event["from"] in (None, UNKNOWN):
        return event
    ended = None
    with suppress(HostError):  # that it is off is told all the same
        have = host.observe(event["vm"]) if VM_NAME.fullmatch(event["vm"]) else Observation()
        if have.recorded is not None and have.power is Power.STOPPED:  # and not on again by now
            ended = keeping_up.how_ended(host, have.recorded)
    if ended is None or ended.code is None:
        return event
    return {**event, "code": ended.code, "ended": endings.in_words(ended)}


def event_of_beacon(event: beacon.Event) -> Report:
    """What a beacon reports, as an event."""
    return {
        **{key: event[key] for key in ("code", "ended") if key in event},
        "time": _time(time.time()),
        "vm": event.get("vm", ""),
        "what": event["tag"].partition("/")[0],
        "event": history.words_of(event),
        "origin": "",
    }


def _since_s(since: object) -> float:
    return 0.0 if since is None else accepted(history.since_s("since", since, time.time()))


def _time(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds")
