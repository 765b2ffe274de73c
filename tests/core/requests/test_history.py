"""Since when something is asked for, and events as people read them."""

from datetime import UTC, datetime

import pytest
from returns.result import Failure

from geats_core.requests import history
from geats_core.requests.beacon import NOTHING, Watch, told

NOW_S = 1_000_000.0


@pytest.mark.parametrize(
    ("given", "since_s"),
    [
        ("90s", NOW_S - 90),
        ("30 m", NOW_S - 1800),
        (" 2h ", NOW_S - 7200),
        ("3d", NOW_S - 3 * 86400),
        ("1w", NOW_S - 7 * 86400),
        ("1970-01-02", 86400.0),
        ("1970-01-01T01:00", 3600.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        (datetime(1970, 1, 2, tzinfo=UTC), 86400.0),
        (datetime(1970, 1, 2), 86400.0),  # as YAML reads it
    ],
)
def test_a_time_is_so_long_ago_or_given(given: object, since_s: float) -> None:
    assert history.since_s("since", given, NOW_S).unwrap() == since_s


@pytest.mark.parametrize("given", ["", "2", "h", "2 hours", "-2h", "2026-13-01", 7, None])
def test_what_is_no_time_is_refused(given: object) -> None:
    match history.since_s("since", given, NOW_S):
        case Failure((found,)):
            assert str(found).startswith("since: must be a duration such as 90m")
        case other:
            pytest.fail(f"{other}")


def test_what_a_beacon_reports_is_told_in_words() -> None:
    full = {"size_bytes": 100, "free_bytes": 4}
    bad = {
        "states": {"web01": "running", "db01": None},
        "strays": ["old"],
        "drift": {"web01": ["memory", "cpus"]},
        "pools": {"fast": full},
        "unavailable": {"pools.big": "not mounted"},
    }
    there = [history.words_of(event) for event in told(NOTHING, bad, Watch())]
    back = [history.words_of(event) for event in told(bad, NOTHING, Watch())]
    assert there == [
        "not defined → running",
        "is on this host, and nobody declared it",
        "is not as declared: memory, cpus",
        "pool fast is 96 % full",
        "pools.big is not available: not mounted",
    ]
    assert back == [
        "running → not defined",
        "is no stray any more",
        "is as declared",
        "pool fast is 0 % full, and has space again",
        "pools.big is available again",
    ]
    assert history.words_of({"tag": "trouble", "error": "disk full"}) == "disk full"
    off = {"tag": "state/web", "vm": "web", "from": "running", "to": "stopped", "ended": "crashed"}
    assert history.words_of(off) == "running → stopped: crashed"
    assert history.words_of({"tag": "trouble", "error": ""}) == "the host can be looked at again"
