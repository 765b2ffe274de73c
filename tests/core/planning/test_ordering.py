"""Which actions wait for which."""

from geats_core.planning.actions import (
    Action,
    ActivateVolume,
    AllocateVolume,
    Define,
    DestroyVolume,
    FormatVolume,
    Pause,
    Shutdown,
    Start,
)
from geats_core.planning.ordering import ordered
from geats_core.planning.steps import Step
from geats_core.vm.parse import parse_vm

SPEC = parse_vm("web", {"template": "debian"}).unwrap()


def needs(actions: list[Action]) -> tuple[tuple[int, ...], ...]:
    return tuple(each.needs for each in steps(actions))


def after(actions: list[Action]) -> tuple[tuple[int, ...], ...]:
    return tuple(each.after for each in steps(actions))


def steps(actions: list[Action]) -> tuple[Step, ...]:
    return ordered(Step(vm="web", action=each, reason="a test") for each in actions)


def test_what_one_action_waits_for_through_another_is_left_out() -> None:
    chain: list[Action] = [
        Define(SPEC),
        AllocateVolume("p", "root", None),
        FormatVolume("p", "root"),
    ]

    assert needs(chain) == ((), (0,), (1,))


def test_volumes_wait_for_each_other_only_where_they_are_the_same() -> None:
    actions: list[Action] = [
        ActivateVolume("p", "root"),
        ActivateVolume("p", "data"),
        ActivateVolume("q", "root"),
    ]

    assert needs(actions) == ((), (), ())
    assert needs([*actions, Start()])[-1] == (0, 1, 2)


def test_what_is_left_of_a_volume_goes_before_another_of_its_name_is_made() -> None:
    """It may be what is left of one that is missing: done or not, as others do not need it."""
    actions: list[Action] = [
        DestroyVolume("p", "root"),
        AllocateVolume("q", "root", None),
        AllocateVolume("q", "data", None),
    ]

    assert after(actions) == ((), (0,), ())
    assert needs(actions) == ((), (), ())


def test_a_pause_is_ordered_by_the_plan_of_the_host_alone() -> None:
    assert needs([Start(), Pause(5), Shutdown(1)]) == ((), (), (0,))
