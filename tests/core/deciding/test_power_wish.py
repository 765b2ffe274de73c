"""Whether a VM is to be on, as its description says it: what plans do about that, and refuse."""

from dataclasses import replace
from functools import reduce

import pytest
from returns.result import Failure

from geats_core import (
    Asked,
    Goal,
    Observation,
    Power,
    PowerOff,
    Problem,
    Target,
    VMSpec,
    describe,
    plan,
)
from geats_core.hostwide.host_planner import boot_goals
from geats_core.planning.actions import Start
from geats_core.planning.goal import declared_target
from geats_core.planning.model import after
from geats_core.planning.verbs import VERBS, goal_of, undone_next
from geats_core.reading.checked import Code
from tests.core.hosts import at, planned, vm

SHUT_DOWN = "shut down web (power off after 60 s)"


def web(**raw: object) -> VMSpec:
    return vm("web", **raw)


def words(spec: VMSpec, have: Observation, asked: Asked = Asked.SWEPT) -> list[str]:
    goal = Goal(name="web", target=Target.DECLARED, spec=spec, asked=asked)
    return [describe(step.action, "web") for step in plan(goal, have).unwrap().steps]


def running(spec: VMSpec) -> Observation:
    """The VM as it runs, whatever its description says of that."""
    have = at(Target.RUNNING, replace(spec, enabled=True))["web"]
    return replace(have, recorded=spec, defined=spec, in_effect=spec)


@pytest.mark.parametrize(
    ("raw", "target"),
    [
        ({}, Target.RUNNING),
        ({"power": "stopped"}, Target.STOPPED),
        ({"power": "frozen"}, Target.FROZEN),
        ({"power": "defined"}, Target.DEFINED),
        ({"power": "running", "enabled": False}, Target.STOPPED),
        ({"power": "defined", "enabled": False}, Target.STOPPED),
    ],
)
def test_a_description_says_the_state_of_its_vm(raw: dict[str, object], target: Target) -> None:
    assert declared_target(web(**raw)) is target


def test_a_vm_that_nobody_named_is_powered_off_if_its_description_says_so() -> None:
    assert words(web(power="stopped"), running(web(power="stopped"))) == [SHUT_DOWN]
    assert words(web(enabled=False), running(web(enabled=False))) == [SHUT_DOWN]


def test_a_vm_that_is_to_be_frozen_is_frozen() -> None:
    assert words(web(power="frozen"), running(web(power="frozen"))) == ["freeze web"]


def test_a_vm_that_is_only_to_be_written_down_keeps_its_power() -> None:
    spec = web(power="defined")

    assert words(spec, Observation()) == ["define web"]
    assert words(spec, running(spec)) == []


def test_a_new_vm_that_is_to_be_off_is_made_and_not_started() -> None:
    made = words(web(power="stopped"), Observation())

    assert "start web" not in made
    assert any("install" in each for each in made)


def test_a_vm_of_which_nothing_is_described_but_its_end_is_still_refused() -> None:
    goal = Goal(name="web", target=Target.DECLARED)

    assert isinstance(plan(goal, Observation()), Failure)


@pytest.mark.parametrize("target", [Target.RUNNING, Target.FROZEN, Target.REBOOTED])
def test_nothing_starts_a_vm_that_is_not_enabled(target: Target) -> None:
    spec = web(enabled=False)
    message = "is false, and so nothing starts it: take that out, and apply it, to have it on"

    assert plan(Goal(name="web", target=target, spec=spec), running(spec)) == Failure(
        (Problem("web.enabled", message, Code.REFUSED),)
    )


def test_a_vm_that_is_not_enabled_stays_off_whatever_was_interrupted() -> None:
    spec = web(enabled=False)
    have = replace(at(Target.STOPPED, spec)["web"], to_run=True)

    def ends(target: Target, have: Observation) -> tuple[str, Observation]:
        made = plan(Goal(name="web", target=target, spec=spec), have).unwrap()
        said = [describe(step.action, "web") for step in made.steps]
        end = reduce(lambda state, step: after(step.action, state).unwrap(), made.steps, have)
        return said[-1], end

    for target, there in [
        (Target.PROVISIONED, have),
        (Target.REINITIALISED, have),
        (Target.REINITIALISED, running(spec)),
    ]:
        last, end = ends(target, there)
        assert last != "start web"
        assert (end.power, end.to_run) == (Power.STOPPED, False)


def test_a_vm_that_is_on_against_its_description_is_off_after_the_next_apply() -> None:
    have = at(Target.STOPPED, web(power="stopped"))["web"]

    def told(raw: VMSpec | None, verb: str = "start") -> tuple[str, ...]:
        return undone_next(goal_of(VERBS[verb], "web", raw, have).unwrap(), raw)

    assert told(web(power="stopped")) == ("web is declared stopped: the next apply powers it off",)
    assert told(web(power="frozen")) == ("web is declared frozen: the next apply freezes it",)
    assert told(web()) == told(web(power="defined")) == told(None) == ()
    assert told(web(power="stopped"), "shutdown") == ()


def test_a_host_starts_what_is_to_run_and_leaves_off_what_is_to_be_off() -> None:
    auto = {"autostart": True}
    off = {
        **at(Target.STOPPED, vm("a", **auto), vm("b", power="stopped", **auto)),
        **at(Target.STOPPED, vm("c", enabled=False, **auto), vm("d", power="frozen", **auto)),
        **at(Target.STOPPED, vm("e", power="defined", **auto)),
    }

    assert {goal.name: goal.target for goal in boot_goals(off)} == {
        "a": Target.RUNNING,
        "d": Target.FROZEN,
        "e": Target.RUNNING,
    }


def test_a_vm_that_was_off_for_a_while_starts_with_the_host_unless_it_is_not_enabled() -> None:
    to_run = {
        name: replace(have, to_run=True)
        for name, have in at(
            Target.STOPPED, vm("a", power="stopped"), vm("b", enabled=False)
        ).items()
    }

    assert [goal.name for goal in boot_goals(to_run)] == ["a"]


def test_a_vm_after_one_that_is_to_be_off_does_not_wait_for_it() -> None:
    db, app = vm("db", power="stopped"), vm("app", after=["db"])
    goals = [Goal(name=each.name, target=Target.DECLARED, spec=each) for each in (db, app)]

    made = planned(goals, {})

    starts = [s for s in made.steps if isinstance(s.action, Start)]
    assert [describe(s.action, s.vm) for s in starts] == ["start app"]


def test_a_stuck_vm_that_is_to_be_off_is_repaired() -> None:
    spec = web(power="stopped")

    assert words(spec, replace(running(spec), power=Power.STUCK)) == [
        "repair web: end its stuck monitor"
    ]


def test_a_wish_to_power_off_at_once_holds_for_what_is_declared_off() -> None:
    spec = web(power="stopped")
    goal = Goal(name="web", target=Target.DECLARED, spec=spec, power_off=PowerOff.STOP)

    assert [describe(s.action, "web") for s in plan(goal, running(spec)).unwrap().steps] == [
        "stop web"
    ]
