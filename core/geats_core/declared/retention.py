"""Which snapshots to delete, and why each of the others stays.

Theory of operation
-------------------
Each rule walks the snapshots from the newest to the oldest, and keeps the newest one of each period
until it has kept as many as it may. Periods without a snapshot do not count: a host that was off
for a month loses none of its daily snapshots by it. A snapshot that several rules keep counts for
each of them, as in restic. Periods are those of UTC, and weeks those of ISO 8601. A snapshot with a
date in the future (because a clock was wrong) stays, and no rule counts it: otherwise it would be
the newest for a long time, and today's would be deleted instead.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from geats_core.declared.keep import Keep
from geats_core.reading.values import dataclass

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_S = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(seconds=1)
LATEST_S = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - EPOCH) // timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot with a unique name; ``taken_s`` is seconds since the epoch.

    Any number is a valid time: times before the year 1 or after the year 9999 belong to the first
    or the last period, and are still older or newer than the others in it.
    """

    name: str
    taken_s: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot that stays; ``reasons`` is never empty: ``last 1 of 3``, ``weekly 2026-W47``.

    If its date is in the future, the reason is ``in the future 2031-01-01``.
    """

    snapshot: Snapshot
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Retention:
    """What stays and what goes, both from the newest to the oldest."""

    kept: tuple[Kept, ...]
    gone: tuple[Snapshot, ...]


def retain(snapshots: Iterable[Snapshot], keep: Keep, now_s: int) -> Retention:
    """Divide *snapshots* by the rules of *keep*, *now_s* seconds after the epoch. Never raises.

    The order of *snapshots* does not matter; of two taken in the same second, the one whose name
    sorts last is the newer. A ``Keep()`` keeps nothing but what is dated later than now.
    """
    newest_first = sorted(
        set(snapshots), key=lambda snapshot: (snapshot.taken_s, snapshot.name), reverse=True
    )
    reasons: dict[Snapshot, list[str]] = {snapshot: [] for snapshot in newest_first}
    later = [snapshot for snapshot in newest_first if snapshot.taken_s > now_s]
    past = newest_first[len(later) :]
    for snapshot in later:
        reasons[snapshot].append(f"in the future {_moment(snapshot).date()}")
    for snapshot, reason in _choices(past, keep):
        reasons[snapshot].append(reason)
    return Retention(
        kept=tuple(Kept(snapshot, tuple(why)) for snapshot, why in reasons.items() if why),
        gone=tuple(snapshot for snapshot, why in reasons.items() if not why),
    )


def _choices(newest_first: Sequence[Snapshot], keep: Keep) -> Iterator[tuple[Snapshot, str]]:
    """Each snapshot that a rule keeps, and the rule in words."""
    for number, snapshot in enumerate(newest_first[: max(keep.last, 0)], start=1):
        yield snapshot, f"last {number} of {keep.last}"
    for count, period_of in (
        (keep.hourly, _hour),
        (keep.daily, _day),
        (keep.weekly, _week),
        (keep.monthly, _month),
    ):
        newest_in: dict[str, Snapshot] = {}
        for snapshot in newest_first:
            newest_in.setdefault(period_of(_moment(snapshot)), snapshot)
        for period in list(newest_in)[: max(count, 0)]:
            yield newest_in[period], period


def _moment(snapshot: Snapshot) -> datetime:
    return EPOCH + timedelta(seconds=min(max(snapshot.taken_s, EARLIEST_S), LATEST_S))


def _hour(moment: datetime) -> str:
    return f"hourly {moment.date()} {moment.hour:02}h"


def _day(moment: datetime) -> str:
    return f"daily {moment.date()}"


def _week(moment: datetime) -> str:
    year, week, _ = moment.isocalendar()
    return f"weekly {year:04}-W{week:02}"


def _month(moment: datetime) -> str:
    return f"monthly {moment.year:04}-{moment.month:02}"
