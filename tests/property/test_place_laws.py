"""The laws of what has moved: no VM is left behind without leave, and noting is a thing apart."""

from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core.deciding.planner import plan
from geats_core.hostwide.registry_upgrade import with_places
from geats_core.planning.actions import AllocateVolume, Define, Moved, NotePlaces, impact_of
from geats_core.planning.costs import Impact
from geats_core.planning.goal import DataLoss, Goal
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.steps import Plan
from geats_core.vm.observation import Observation
from tests.property.strategies import moved_lists, situations
from tests.property.test_plan_laws import carry_out, follow, many, orders_of


def made_there(planned: Plan, have: Observation) -> set[str]:
    allocated = [s.action for s in planned.steps if isinstance(s.action, AllocateVolume)]
    pools = {each.pool for each in allocated if have.volume(each.pool, each.volume) is None}
    drivers = {s.action.spec.driver for s in planned.steps if isinstance(s.action, Define)}
    new = set() if have.exists else drivers
    return {f"pools.{name}" for name in pools} | {f"drivers.{name}" for name in new}


@many
@given(situations, moved_lists)
def test_nothing_is_made_where_vms_would_be_left_behind_without_leave(
    situation: tuple[Goal, Observation], moved: tuple[Moved, ...]
) -> None:
    """Law 6, Safe, and 8, Named."""
    goal, have = situation
    left = {each.what for each in moved if each.left}
    match plan(goal, have, HostFacts(moved=moved)):
        case Success(made) if goal.data_loss is DataLoss.REFUSED:
            assert not made_there(made, have) & left
        case Success():
            pass
        case Failure(problems):
            before = plan(goal, have)
            assert any("left there" in each.message for each in problems) or before == Failure(
                problems
            )


@many
@given(situations, moved_lists, st.data())
def test_noting_changes_nothing_else_and_waits_for_nothing(
    situation: tuple[Goal, Observation], moved: tuple[Moved, ...], data: st.DataObject
) -> None:
    """Laws 1, 3 and 9: a plan leads where it led, in every order, and says what it costs."""
    goal, have = situation
    match plan(goal, have, HostFacts(moved=moved)):
        case Success(made):
            noting = with_places(made, moved, {goal.name: have}, whole_host=False)
            notes = [s.action for s in noting.steps if isinstance(s.action, NotePlaces)]
            others = [s.action for s in noting.steps if not isinstance(s.action, NotePlaces)]
            assert others == [step.action for step in made.steps]
            assert follow(have, data.draw(orders_of(noting.steps))) == carry_out(made, have)
            for note in notes:
                left = any(each.left for each in note.moved)
                assert impact_of(note) is (Impact.DATA_LOSS if left else Impact.NONE)
                assert left <= (goal.data_loss is DataLoss.ALLOWED)
        case Failure():
            pass
