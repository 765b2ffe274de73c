"""The laws of undoing, of comparing, and of keeping plans in files."""

import json
from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core import (
    Goal,
    HostFacts,
    Observation,
    Plan,
    Recorded,
    moved,
    plan,
    plan_from_json,
    plan_host,
    recorded_from_json,
    reverse,
    saved,
    to_json,
    with_snapshots,
)
from geats_core.plans.codec import encode
from geats_core.plans.observation_changes import differences, host_differences
from geats_core.plans.plan_files import alone, fingerprint
from geats_core.plans.reverse import follow
from tests.property.strategies import host_facts, junk, mappings, observations, situations

many = settings(max_examples=200, deadline=None)


@many
@given(situations, host_facts, st.booleans())
def test_what_has_no_warning_is_undone_in_full(
    situation: tuple[Goal, Observation], facts: HostFacts, careful: bool
) -> None:
    """A reverse plan applies; where it warns of nothing, it leads back to what there was."""
    goal, have = situation
    made = plan(goal, have).value_or(Plan(name=goal.name))
    if careful:
        made = with_snapshots(made, have, facts, "before", 1).plan
    now = follow(made, have).unwrap()
    match reverse(made, have):
        case Success(back):
            end = follow(back.plan, now).unwrap()
            event("warned" if back.warnings else "undone")
            assert back.warnings or end == have
        case Failure(problems):
            event("no way back")
            assert problems


@many
@given(situations, host_facts)
def test_snapshots_first_never_take_the_way_back(
    situation: tuple[Goal, Observation], facts: HostFacts
) -> None:
    goal, have = situation
    made = plan(goal, have).value_or(Plan(name=goal.name))
    careful = with_snapshots(made, have, facts, "before", 1).plan
    if isinstance(reverse(made, have), Success):
        event("locked" if follow(made, have).unwrap().locked else "not locked")
        assert isinstance(reverse(careful, have), Success)


@many
@given(situations, host_facts)
def test_snapshots_are_taken_before_any_content_changes(
    situation: tuple[Goal, Observation], facts: HostFacts
) -> None:
    """Nothing else of the plan changes, and it leads to the same end, but for the snapshots."""
    goal, have = situation
    made = plan(goal, have).value_or(Plan(name="web"))
    careful = with_snapshots(made, have, facts, "before", 1)
    end = follow(careful.plan, have).unwrap()
    plain = [replace(volume, snapshots=()) for volume in end.volumes]
    assert replace(end, volumes=tuple(plain)) == follow(made, have).unwrap()
    for position, step in enumerate(careful.plan.steps):
        assert all(earlier < position for earlier in step.waits_for)


@many
@given(observations, observations)
def test_observations_differ_in_words_exactly_where_they_differ(
    then: Observation, now: Observation
) -> None:
    assert differences("web", then, then) == ()
    assert bool(differences("web", then, now)) == (then != now)
    assert host_differences({"web": then}, {}) == ("web: is gone",)
    assert host_differences({}, {"web": then}) == ("web: is new on the host",)


@many
@given(situations)
def test_a_plan_survives_its_file(situation: tuple[Goal, Observation]) -> None:
    goal, have = situation
    match plan_host([goal], {goal.name: have}):
        case Success(made):
            kept = saved(made, {goal.name: have}, ("a warning",))
            assert plan_from_json(to_json(kept)) == Success(kept)
            assert moved(kept, {goal.name: have}) == ()
        case Failure():
            pass


@many
@given(situations, observations)
def test_what_has_moved_is_told(situation: tuple[Goal, Observation], now: Observation) -> None:
    goal, have = situation
    kept = saved(alone(Plan(name=goal.name)), {goal.name: have})

    assert bool(moved(kept, {goal.name: now})) == (have != now)
    same = fingerprint({goal.name: now}) == fingerprint(kept.observations)
    assert same == (have == now)


@many
@given(st.dictionaries(st.sampled_from(["web", "db"]), observations), host_facts)
def test_a_recorded_host_survives_its_file(seen: dict[str, Observation], facts: HostFacts) -> None:
    recorded = Recorded(observations=seen, facts=facts)

    assert recorded_from_json(to_json(recorded)) == Success(recorded)


@many
@given(junk | mappings, mappings)
def test_reading_a_file_never_raises(raw: object, more: dict[object, object]) -> None:
    for written in (raw, {"version": 1, **more}):
        try:
            text = json.dumps(encode(written))
        except (TypeError, ValueError):
            continue  # JSON cannot express it
        assert isinstance(plan_from_json(text), Failure)
        assert isinstance(recorded_from_json(text), Failure)
