"""The laws of retention."""

from dataclasses import asdict
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core.declared.keep import Keep, parse_keep
from geats_core.declared.retention import Retention, Snapshot, retain
from tests.property.strategies import junk, mappings

many = settings(max_examples=200, deadline=None)
HOUR_S = 3600
NOW_S = 1_795_392_000

times = (
    st.integers(0, 60 * 24).map(lambda hours: NOW_S - hours * HOUR_S)
    | st.integers(NOW_S - 3 * HOUR_S, NOW_S)
    | st.integers()
    | st.integers(-(2**80), 2**80)
)
counts = st.integers(0, 4)
nows = st.just(NOW_S) | times
keeps = st.builds(Keep, last=counts, hourly=counts, daily=counts, weekly=counts, monthly=counts)
snapshot_lists = st.lists(
    st.builds(Snapshot, name=st.text("abc", max_size=3), taken_s=times),
    max_size=30,
    unique_by=lambda snapshot: snapshot.name,
)


def staying(retention: Retention) -> list[Snapshot]:
    return [kept.snapshot for kept in retention.kept]


def total(keep: Keep) -> int:
    return sum(asdict(keep).values())


@many
@given(snapshot_lists, keeps, nows)
def test_each_snapshot_stays_or_goes_newest_first(
    snapshots: list[Snapshot], keep: Keep, now_s: int
) -> None:
    """A partition, and nothing stays without a reason."""
    result = retain(snapshots, keep, now_s)
    newest_first = sorted(snapshots, key=lambda s: (s.taken_s, s.name), reverse=True)

    assert set(staying(result)).isdisjoint(result.gone)
    assert [s for s in newest_first if s in staying(result)] == staying(result)
    assert [s for s in newest_first if s not in staying(result)] == list(result.gone)
    assert all(kept.reasons for kept in result.kept)


@many
@given(snapshot_lists.filter(bool), keeps.filter(total), nows)
def test_the_newest_always_stays(snapshots: list[Snapshot], keep: Keep, now_s: int) -> None:
    assert max(snapshots, key=lambda s: (s.taken_s, s.name)) in staying(
        retain(snapshots, keep, now_s)
    )


@many
@given(snapshot_lists, keeps, nows)
def test_what_stayed_stays_again_for_the_same_reasons(
    snapshots: list[Snapshot], keep: Keep, now_s: int
) -> None:
    """Idempotent."""
    once = retain(snapshots, keep, now_s)

    assert retain(staying(once), keep, now_s) == Retention(once.kept, ())


@many
@given(snapshot_lists, keeps, keeps, nows)
def test_larger_rules_keep_no_less(
    snapshots: list[Snapshot], keep: Keep, more: Keep, now_s: int
) -> None:
    """Monotone."""
    larger = Keep(
        last=keep.last + more.last,
        hourly=keep.hourly + more.hourly,
        daily=keep.daily + more.daily,
        weekly=keep.weekly + more.weekly,
        monthly=keep.monthly + more.monthly,
    )

    assert set(staying(retain(snapshots, keep, now_s))) <= set(
        staying(retain(snapshots, larger, now_s))
    )


@many
@given(snapshot_lists, keeps, nows)
def test_no_more_stay_than_the_rules_count(
    snapshots: list[Snapshot], keep: Keep, now_s: int
) -> None:
    """But for those that are dated later than now, which stay for that alone."""
    later = [snapshot for snapshot in snapshots if snapshot.taken_s > now_s]
    kept = [each for each in retain(snapshots, keep, now_s).kept if each.snapshot not in later]

    assert len(kept) <= total(keep)
    assert sum(len(each.reasons) for each in kept) <= total(keep)
    assert len(kept) >= min(keep.last, len(snapshots) - len(later))


@many
@given(snapshot_lists, keeps, nows)
def test_what_is_dated_later_than_now_stays_and_changes_nothing_for_others(
    snapshots: list[Snapshot], keep: Keep, now_s: int
) -> None:
    past = [snapshot for snapshot in snapshots if snapshot.taken_s <= now_s]
    result, alone = retain(snapshots, keep, now_s), retain(past, keep, now_s)

    assert result.kept[len(snapshots) - len(past) :] == alone.kept
    assert result.gone == alone.gone


@many
@given(snapshot_lists, keeps, st.randoms(use_true_random=False), nows)
def test_the_order_given_does_not_matter(
    snapshots: list[Snapshot], keep: Keep, chance: Random, now_s: int
) -> None:
    shuffled = list(snapshots)
    chance.shuffle(shuffled)

    assert retain(shuffled, keep, now_s) == retain(snapshots, keep, now_s)


@many
@given(snapshot_lists, st.builds(Keep, last=st.integers(max_value=0), daily=st.integers()), nows)
def test_any_numbers_are_rules(snapshots: list[Snapshot], keep: Keep, now_s: int) -> None:
    """Total: what is below zero keeps nothing."""
    past = [snapshot for snapshot in snapshots if snapshot.taken_s <= now_s]
    kept = retain(past, keep, now_s).kept

    assert len(kept) <= max(keep.daily, 0)


@many
@given(keeps)
def test_rules_survive_plain_data(keep: Keep) -> None:
    match parse_keep("keep", asdict(keep)):
        case Success(read):
            assert read == keep
        case Failure(problems):
            assert keep == Keep()
            assert [str(problem) for problem in problems] == ["keep: would keep no snapshot"]


@many
@given(junk | mappings | st.dictionaries(st.sampled_from(list(asdict(Keep()))), junk))
def test_reading_rules_never_raises(raw: object) -> None:
    result = parse_keep("keep", raw)
    if isinstance(result, Failure):
        assert result.failure()
        assert all(problem.path.startswith("keep") for problem in result.failure())
