"""Which snapshots stay, and why."""

from datetime import UTC, datetime

from returns.result import Failure, Success

from geats_core import Problem
from geats_core.declared.keep import Keep, parse_keep
from geats_core.declared.retention import Kept, Retention, Snapshot, retain


def taken(when: str) -> Snapshot:
    """A snapshot named for the time at which it was taken, such as ``2026-11-22 23:10``."""
    return Snapshot(when, int(datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp()))


SUNDAY_LATE = taken("2026-11-22 23:50")
SUNDAY_LATE_TOO = taken("2026-11-22 23:10")
SUNDAY_EARLY = taken("2026-11-22 01:00")
MONDAY_BEFORE = taken("2026-11-16 00:00")
SUNDAY_BEFORE = taken("2026-11-15 23:59")
OCTOBER = taken("2026-10-31 12:00")
NOW_S = SUNDAY_LATE.taken_s
ALL = [SUNDAY_LATE, SUNDAY_LATE_TOO, SUNDAY_EARLY, MONDAY_BEFORE, SUNDAY_BEFORE, OCTOBER]


def reasons(
    keep: Keep, snapshots: list[Snapshot] = ALL, now_s: int = NOW_S
) -> dict[str, tuple[str, ...]]:
    return {kept.snapshot.name: kept.reasons for kept in retain(snapshots, keep, now_s).kept}


def test_the_last_ones_stay_and_all_others_go_newest_first() -> None:
    assert retain(reversed(ALL), Keep(last=2), NOW_S) == Retention(
        kept=(
            Kept(SUNDAY_LATE, ("last 1 of 2",)),
            Kept(SUNDAY_LATE_TOO, ("last 2 of 2",)),
        ),
        gone=(SUNDAY_EARLY, MONDAY_BEFORE, SUNDAY_BEFORE, OCTOBER),
    )


def test_the_newest_of_each_hour_stays() -> None:
    assert reasons(Keep(hourly=2)) == {
        "2026-11-22 23:50": ("hourly 2026-11-22 23h",),
        "2026-11-22 01:00": ("hourly 2026-11-22 01h",),
    }


def test_days_without_a_snapshot_do_not_count() -> None:
    assert reasons(Keep(daily=3)) == {
        "2026-11-22 23:50": ("daily 2026-11-22",),
        "2026-11-16 00:00": ("daily 2026-11-16",),
        "2026-11-15 23:59": ("daily 2026-11-15",),
    }


def test_a_week_begins_on_monday() -> None:
    assert reasons(Keep(weekly=2)) == {
        "2026-11-22 23:50": ("weekly 2026-W47",),
        "2026-11-15 23:59": ("weekly 2026-W46",),
    }


def test_the_first_days_of_january_can_belong_to_a_week_of_the_year_before() -> None:
    new_year = [taken("2027-01-03 00:00"), taken("2026-12-28 00:00"), taken("2027-01-04 00:00")]

    assert reasons(Keep(weekly=9), new_year, new_year[-1].taken_s) == {
        "2027-01-04 00:00": ("weekly 2027-W01",),
        "2027-01-03 00:00": ("weekly 2026-W53",),
    }


def test_the_newest_of_each_month_stays() -> None:
    assert reasons(Keep(monthly=12)) == {
        "2026-11-22 23:50": ("monthly 2026-11",),
        "2026-10-31 12:00": ("monthly 2026-10",),
    }


def test_a_snapshot_stays_for_every_rule_that_keeps_it() -> None:
    assert reasons(Keep(last=1, hourly=1, daily=1, weekly=1, monthly=2)) == {
        "2026-11-22 23:50": (
            "last 1 of 1",
            "hourly 2026-11-22 23h",
            "daily 2026-11-22",
            "weekly 2026-W47",
            "monthly 2026-11",
        ),
        "2026-10-31 12:00": ("monthly 2026-10",),
    }


def test_of_two_in_the_same_second_the_name_that_sorts_last_is_the_newer() -> None:
    a, b = Snapshot("a", 0), Snapshot("b", 0)

    assert retain([a, b], Keep(daily=1), NOW_S) == Retention(
        (Kept(b, ("daily 1970-01-01",)),), (a,)
    )


def test_a_snapshot_given_twice_is_one() -> None:
    assert retain([OCTOBER, OCTOBER], Keep(last=1), NOW_S).gone == ()


def test_what_is_dated_later_than_now_stays_and_takes_the_place_of_no_other() -> None:
    later = [taken("2031-01-01 00:00"), Snapshot("far", 10**30)]
    assert reasons(Keep(last=1, daily=2), [*later, *ALL]) == {
        "far": ("in the future 9999-12-31",),
        "2031-01-01 00:00": ("in the future 2031-01-01",),
        "2026-11-22 23:50": ("last 1 of 1", "daily 2026-11-22"),
        "2026-11-16 00:00": ("daily 2026-11-16",),
    }
    assert reasons(Keep(last=1), ALL, NOW_S - 1) == {
        "2026-11-22 23:50": ("in the future 2026-11-22",),
        "2026-11-22 23:10": ("last 1 of 1",),
    }


def test_times_beyond_the_calendar_fall_into_its_first_and_last_period() -> None:
    times = [-(10**30), -62135596801, -62135596800, 253402300799, 253402300800, 10**30]
    keep = Keep(hourly=3, daily=3, weekly=3, monthly=3)

    assert reasons(keep, [Snapshot(str(time), time) for time in times], 10**30) == {
        str(10**30): (
            "hourly 9999-12-31 23h",
            "daily 9999-12-31",
            "weekly 9999-W52",
            "monthly 9999-12",
        ),
        "-62135596800": (
            "hourly 0001-01-01 00h",
            "daily 0001-01-01",
            "weekly 0001-W01",
            "monthly 0001-01",
        ),
    }


def test_rules_are_read() -> None:
    raw = {"last": 3, "hourly": 24, "daily": 7, "weekly": "0"}

    assert parse_keep("keep", raw) == Success(Keep(last=3, hourly=24, daily=7))


def test_every_mistake_in_the_rules_is_reported() -> None:
    number = "must be a whole number from 0 to 1000000"

    assert parse_keep("keep", {"last": -1, "hourly": True, "daily": "x", "dayly": 1}) == Failure(
        (
            Problem("keep.last", f"{number}, got -1"),
            Problem("keep.hourly", f"{number}, got true"),
            Problem("keep.daily", f"{number}, got 'x'"),
            Problem(
                "keep.dayly",
                "unknown key 'dayly', did you mean 'daily'? "
                "(there is: daily, hourly, last, monthly, weekly)",
            ),
        )
    )
    assert parse_keep("keep", []) == Failure((Problem("keep", "must be a mapping, got a list"),))


def test_rules_that_would_keep_nothing_are_refused() -> None:
    nothing = Failure((Problem("keep", "would keep no snapshot"),))

    assert parse_keep("keep", {}) == nothing
    assert parse_keep("keep", {"last": 0, "daily": 0}) == nothing
