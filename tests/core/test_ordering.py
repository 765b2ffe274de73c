"""Which actions wait for which."""

from geats_core.actions import (
    Action,
    ActivateVolume,
    AllocateVolume,
    Define,
    FormatVolume,
    Pause,
    Shutdown,
    Start,
)
from geats_core.ordering import needs
from geats_core.parse import parse_vm

SPEC = parse_vm("web", {"template": "debian"}).unwrap()


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


def test_a_pause_is_ordered_by_the_plan_of_the_host_alone() -> None:
    assert needs([Start(), Pause(5), Shutdown(1)]) == ((), (), (0,))
