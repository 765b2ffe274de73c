"""What a beacon tells of two overviews, and what it can be told to watch."""

from typing import Any

import pytest
from returns.result import Failure, Success

from geats_core.requests.beacon import NOTHING, Event, Overview, Watch, parse_watch, told

WATCH = Watch()


def overview(**parts: object) -> Overview:
    return {**NOTHING, **parts}


def room(free: int | None, size: int | None = 100) -> dict[str, Any]:
    return {"pools": {"fast": {"size_bytes": size, "free_bytes": free}}}


@pytest.mark.parametrize(
    ("before", "now", "events"),
    [
        (overview(), overview(), []),
        (
            overview(states={"a": "running", "b": None, "c": "stopped"}),
            overview(states={"a": "frozen", "b": None, "d": "running"}),
            [
                {"tag": "state/a", "vm": "a", "from": "running", "to": "frozen"},
                {"tag": "state/c", "vm": "c", "from": "stopped", "to": None},
                {"tag": "state/d", "vm": "d", "from": None, "to": "running"},
            ],
        ),
        (
            overview(unavailable={"pools.a": "gone", "pools.b": "gone"}),
            overview(unavailable={"pools.b": "gone", "pools.c": "not mounted"}),
            [
                {"tag": "unavailable/pools.a", "what": "pools.a", "why": None},
                {"tag": "unavailable/pools.c", "what": "pools.c", "why": "not mounted"},
            ],
        ),
        (
            overview(strays=["a", "b"]),
            overview(strays=["b", "c"]),
            [
                {"tag": "stray/a", "vm": "a", "stray": False},
                {"tag": "stray/c", "vm": "c", "stray": True},
            ],
        ),
        (
            overview(drift={"a": ["nics"], "b": ["cpus"], "d": ["dns"]}),
            overview(drift={"b": ["cpus", "memory"], "c": ["nics"], "d": ["dns"]}),
            [
                {"tag": "drift/a", "vm": "a", "fields": []},
                {"tag": "drift/b", "vm": "b", "fields": ["cpus", "memory"]},
                {"tag": "drift/c", "vm": "c", "fields": ["nics"]},
            ],
        ),
        (
            overview(**room(11)),
            overview(**room(10)),
            [{"tag": "pool/fast", "pool": "fast", "used_percent": 90.0, "full": True}],
        ),
        (overview(**room(9)), overview(**room(1)), []),
        (
            overview(**room(9)),
            overview(**room(60)),
            [{"tag": "pool/fast", "pool": "fast", "used_percent": 40.0, "full": False}],
        ),
        (overview(), overview(**room(None)), []),
        (overview(), overview(**room(0, None)), []),
    ],
)
def test_what_is_not_as_it_was_is_told_once(
    before: Overview, now: Overview, events: list[Event]
) -> None:
    assert told(before, now, WATCH) == events
    assert told(now, now, WATCH) == []


def test_at_first_no_state_has_changed_but_what_is_wrong_is_told() -> None:
    now = overview(states={"a": "running"}, strays=["s"], drift={"a": ["dns"]}, **room(0))
    assert [event["tag"] for event in told(None, now, WATCH)] == ["stray/s", "drift/a", "pool/fast"]


def test_what_is_not_watched_is_not_told() -> None:
    now = overview(states={"a": "running"}, strays=["s"], drift={"a": ["dns"]}, **room(0))
    now = {**now, "unavailable": {"pools.a": "gone"}}
    off = Watch(states=False, strays=False, drift=False, pool_space=None, unavailable=False)
    assert told(NOTHING, now, off) == []


@pytest.mark.parametrize(
    ("given", "percent"), [(80, 80.0), ("80%", 80.0), ("7.5 %", 7.5), (100, 100.0), (False, None)]
)
def test_a_percentage_is_a_number_or_never(given: object, percent: float | None) -> None:
    assert parse_watch({"pool_space": given}) == Success(Watch(pool_space=percent))


def test_all_that_can_be_watched_is_read() -> None:
    raw = {"states": False, "strays": False, "drift": False, "vms": ["web*"]}
    wanted = Watch(states=False, strays=False, drift=False, vms=("web*",))
    assert parse_watch(raw) == Success(wanted)


@pytest.mark.parametrize("wrong", [0, -1, 101, 10**400, True, "much", [90], "nan"])
def test_what_is_no_percentage_is_refused(wrong: object) -> None:
    match parse_watch({"pool_space": wrong, "colour": "red"}):
        case Failure(problems):
            assert sorted(problem.path for problem in problems) == ["colour", "pool_space"]
        case other:
            raise AssertionError(other)
