"""The laws of another name: all of the VM or nothing of it, resumable, and never in the way."""

from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core import (
    Goal,
    HostFacts,
    Impact,
    Observation,
    PoolFacts,
    Power,
    Problem,
    Target,
    VMSpec,
    follow,
    plan,
    plan_rename,
)
from geats_core.jobs.renames import renamed
from geats_core.planning.actions import ConfigureGuest, Rename, RenameVolume
from geats_core.vm.observation import Renaming
from tests.property.strategies import host_facts, observations, specs

many = settings(max_examples=200, deadline=None)
FACTS = HostFacts(pools={name: PoolFacts(renames=True) for name in ("fast", "slow")})
NEW = "www"


def off(spec: VMSpec, by_hand: tuple[str, ...] = ()) -> Observation:
    goal = Goal(name=spec.name, target=Target.STOPPED, spec=spec)
    made = plan(goal, Observation()).unwrap()
    return replace(follow(made, Observation()).unwrap(), by_hand=by_hand)


@many
@given(specs, st.sampled_from([(), ("lxc.environment = A=1",)]), st.booleans())
def test_every_volume_and_every_line_gets_the_new_name_and_nothing_is_lost(
    spec: VMSpec, lines: tuple[str, ...], locked: bool
) -> None:
    have = replace(off(spec, lines), locked=locked)
    made = plan_rename(spec.name, NEW, {spec.name: have}, FACTS).unwrap()
    handed = [s.action for s in made.steps if isinstance(s.action, RenameVolume)]
    assert {(each.pool, each.volume) for each in handed} == {
        (each.pool, each.name) for each in have.volumes
    }
    wanted = renamed(spec, NEW).unwrap()
    assert made.steps[-1].action == Rename(wanted, lines)
    assert replace(wanted, name=spec.name, hostname=spec.hostname) == spec
    assert {type(step.action) for step in made.steps} <= {ConfigureGuest, RenameVolume, Rename}
    assert made.impact is Impact.NONE
    assert follow(made, have) == Success(Observation())


@many
@given(specs, st.integers(0, 6), st.sampled_from(Target))
def test_a_renaming_that_was_cut_is_finished_and_meanwhile_nothing_else_is_done(
    spec: VMSpec, cut: int, target: Target
) -> None:
    have = off(spec)
    made = plan_rename(spec.name, NEW, {spec.name: have}, FACTS).unwrap()
    left = follow(replace(made, steps=made.steps[:cut]), have).unwrap()
    if left == Observation():
        event("done")
        return
    moved = {spec.name: left, NEW: Observation(renaming=left.renaming)}
    rest = plan_rename(spec.name, NEW, moved, FACTS).unwrap()
    assert [step.action for step in rest.steps] == [step.action for step in made.steps[cut:]]
    if left.renaming and target not in (Target.OFF, Target.LOCKED, Target.UNLOCKED):
        event("cut between volumes")
        for name, seen in moved.items():
            named = replace(spec, name=name)
            assert isinstance(plan(Goal(name=name, target=target, spec=named), seen), Failure)


@many
@given(observations, observations, host_facts)
def test_a_renaming_is_refused_or_can_be_done_whatever_is_there(
    have: Observation, there: Observation, facts: HostFacts
) -> None:
    """Only a VM that is off and whole, and only to a name that nothing has."""
    match plan_rename("web", NEW, {"web": have, NEW: there}, facts):
        case Success(made):
            goes_on = Renaming("web", NEW) in (have.renaming, there.renaming)
            event("goes on" if goes_on else "new")
            assert have.power is Power.STOPPED
            assert goes_on or not (there.exists or have.missing or have.unreliable)
            assert isinstance(follow(made, have), Success)
        case Failure(problems):
            assert problems
            assert all(isinstance(each, Problem) for each in problems)
