"""The law of a registry that was lost: what is recorded again is what was there, and no more."""

from dataclasses import replace

from hypothesis import event, given, settings
from returns.result import Success

from geats_core import Observation, Plan, Power, follow, plan, rebuild_goals
from geats_core.planning.actions import Define, Lock, SetLimits, Unfreeze
from tests.property.strategies import observations

many = settings(max_examples=300, deadline=None)


@many
@given(observations)
def test_what_is_recorded_again_is_what_the_driver_holds_and_nothing_else_changes(
    have: Observation,
) -> None:
    """But an operation that was cut is ended, as by every plan: limits, and what was left held."""
    for goal in rebuild_goals({"web": have}):
        match plan(goal, have):
            case Success(made):
                event(f"{goal.target}")
                then = follow(made, have).unwrap()
                assert then == _whole(made, have)
                assert rebuild_goals({"web": then}) == ()
            case _:
                event(f"{goal.target}, refused")


def _whole(made: Plan, have: Observation) -> Observation:
    """What was seen, with a registry that has all of it, and what was cut brought to its end."""
    recorded = have.recorded if have.is_recorded else have.defined
    whole = replace(have, recorded=recorded, half_locked=False)
    for action in (step.action for step in made.steps):
        match action:
            case Define() | Lock():
                pass
            case SetLimits(limits):
                assert have.in_effect is not None
                whole = replace(whole, in_effect=replace(have.in_effect, limits=limits))
            case Unfreeze():
                assert have.power is Power.HELD
                whole = replace(whole, power=Power.RUNNING)
            case other:
                raise AssertionError(other)
    return whole
