"""Guests that ended by themselves: when they are started again."""

from itertools import accumulate

import pytest

from geats_core.deciding.keeping_up import (
    Due,
    Ended,
    Kept,
    due,
    from_text,
    in_words,
    powered_off,
    started,
    to_text,
)
from geats_core.vm.parse import parse_vm, to_plain
from geats_core.vm.spec import Restarts, VMSpec
from tests.core.hosts import vm

ALWAYS, ON_FAILURE = (vm("web", restart=each) for each in ("always", "on-failure"))
FAILED, WELL = Ended(code=3, at_s=1010), Ended(code=0, at_s=1010)


def test_whether_a_guest_is_started_again_is_a_key_and_no_is_also_a_boolean() -> None:
    assert ALWAYS.restart is Restarts.ALWAYS
    assert to_plain(ON_FAILURE)["restart"] == "on-failure"
    for no in ("no", False):
        spec = parse_vm("web", {"template": "debian", "restart": no}).unwrap()
        assert (spec.restart, "restart" in to_plain(spec)) == (Restarts.NO, False)
    (wrong,) = parse_vm("web", {"template": "debian", "restart": "sometimes"}).failure()
    assert wrong.path == "restart"


@pytest.mark.parametrize(
    ("spec", "ended", "again"),
    [
        (ALWAYS, FAILED, True),
        (ALWAYS, WELL, True),
        (ALWAYS, Ended(can_tell=False), True),
        (ON_FAILURE, FAILED, True),
        (ON_FAILURE, WELL, False),
        (ON_FAILURE, Ended(at_s=1010), True),
        (ON_FAILURE, Ended(can_tell=False), False),
        (vm("web"), FAILED, False),
        (vm("web", restart="always", power="stopped"), FAILED, False),
        (vm("web", restart="always", enabled=False), FAILED, False),
    ],
)
def test_it_depends_on_what_is_said_and_how_it_ended(
    spec: VMSpec, ended: Ended, again: bool
) -> None:
    assert (due(spec, Kept(started_s=1000), ended) is not None) == again


def test_what_geats_powered_off_stays_off() -> None:
    kept = Kept(started_s=1000, times=3, restarts=7)
    assert due(ALWAYS, powered_off(kept), FAILED) is None
    assert powered_off(kept) == Kept(restarts=7)


def test_the_wait_doubles_up_to_five_minutes_and_begins_anew_once_it_did_well() -> None:
    def once_more(before: tuple[Kept, int], _: int) -> tuple[Kept, int]:
        kept, _wait_s = before
        found = due(ALWAYS, kept, Ended(code=1, at_s=(kept.started_s or 0) + 1))
        assert found is not None
        wait_s = found.at_s - (kept.started_s or 0) - 1
        return started(found.kept, found.at_s), wait_s

    all_ = [*accumulate(range(11), once_more, initial=(Kept(started_s=0), 0))][1:]
    assert [wait_s for _, wait_s in all_] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    last = all_[-1][0]
    assert (last.times, last.restarts) == (11, 11)
    well = due(ALWAYS, last, Ended(code=1, at_s=(last.started_s or 0) + 600))
    assert well is not None
    assert (well.at_s, well.kept.times) == ((last.started_s or 0) + 601, 1)


def test_who_starts_it_otherwise_begins_anew() -> None:
    assert started(Kept(started_s=1, times=5, restarts=9), 50) == Kept(started_s=50, restarts=9)


def test_when_nobody_knows_when_it_ended_that_it_was_started_counts() -> None:
    kept = Kept(started_s=1000, times=1)
    assert due(ALWAYS, kept, Ended()) == Due(
        1002, Kept(started_s=1000, times=2, restarts=1, again=True)
    )


def test_what_is_noted_is_read_back_and_a_broken_note_says_nothing() -> None:
    for kept in (Kept(), Kept(started_s=3, times=1, restarts=2, again=True)):
        assert from_text(to_text(kept)) == kept
    for broken in ("", "{", "[]", '["a", 1, 2, true]', "7"):
        assert from_text(broken) == Kept()


def test_how_it_ended_is_said() -> None:
    assert (in_words(FAILED), in_words(Ended())) == ("exited (3)", "ended")
    assert in_words(Ended(code=1, how="crashed")) == "crashed"


def test_one_whose_clock_was_set_back_does_not_wait_for_the_old_time() -> None:
    again = due(ALWAYS, Kept(started_s=1_000_000), Ended(code=3, at_s=1_000_010))
    assert again is not None
    assert [again.left_s(now_s) for now_s in (1_000_010, 1_000_011, 1_000_012)] == [1, 0, 0]
    assert again.left_s(5_000) == 0
