"""Plans for all the VMs of a host, told as stories."""

from dataclasses import replace

from returns.result import Failure

from geats_core import (
    Goal,
    HostFacts,
    HostPlan,
    HostPolicy,
    Impact,
    Observation,
    Power,
    Stray,
    Strays,
    Target,
    boot_goals,
    halt_goals,
)
from geats_core.actions import Start, Stop
from geats_core.checked import Problem
from geats_core.graph import Graph
from geats_core.plan import Step
from tests.core.hosts import at, goals, order, planned, refused, vm, waits

WEB, DB = vm("web"), vm("db")
STOP = "(power off after 60 s)"


def test_a_host_without_vms_needs_nothing() -> None:
    assert planned([], {}) == HostPlan()
    assert (HostPlan().is_empty, HostPlan().impact) == (True, Impact.NONE)


def test_vms_that_have_nothing_to_do_with_each_other_go_side_by_side() -> None:
    made = planned(goals(Target.STOPPED, WEB, DB), {})

    assert waits(made) == {
        f"{words} {name}{more}": [f"{before} {name}{then}"] if before else []
        for name in ("web", "db")
        for words, more, before, then in (
            ("define", "", "", ""),
            ("allocate volume", "/root in pool default", "define", ""),
            (
                "format volume",
                "/root in pool default",
                "allocate volume",
                "/root in pool default",
            ),
            (
                "activate volume",
                "/root in pool default",
                "format volume",
                "/root in pool default",
            ),
            (
                "install template debian on volume",
                "/root",
                "activate volume",
                "/root in pool default",
            ),
            (
                "configure the guest on volume",
                "/root",
                "install template debian on volume",
                "/root",
            ),
        )
    }
    assert not made.is_empty


def test_two_goals_for_one_name_are_refused() -> None:
    twice = [*goals(Target.RUNNING, WEB), *goals(Target.STOPPED, WEB)]

    assert refused(twice, {}) == ["web: has two goals: a name belongs to one VM only"]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    wrong = [
        Goal(name="app", target=Target.RUNNING),
        *goals(Target.RUNNING, vm("web", after=["nowhere"])),
    ]

    assert refused(wrong, {}) == [
        "app: is not defined, and nothing says what it should be",
        "web.after[0]: unknown VM 'nowhere' (there is: app, web)",
    ]


def test_a_stray_is_reported_and_left_alone() -> None:
    there = at(Target.RUNNING, WEB, DB)
    foreign = Observation(power=Power.RUNNING, foreign=True)

    made = planned(goals(Target.RUNNING, WEB), {**there, "cdrom": foreign, "gone": Observation()})

    assert made.steps == ()
    assert made.strays == (
        Stray(name="db", power=Power.RUNNING, defined=True, policy=Strays.REPORT),
        Stray(name="cdrom", power=Power.RUNNING, defined=False, policy=Strays.REPORT),
    )


def test_strays_are_stopped_or_ignored_where_the_policy_says_so() -> None:
    tmp, off, kept = vm("tmp-1"), vm("tmp-2"), vm("lab")
    there = at(Target.RUNNING, WEB, tmp, kept, DB) | at(Target.STOPPED, off)
    policy = HostPolicy(strays=(("lab", Strays.IGNORE), ("tmp-*", Strays.STOP)))

    made = planned(goals(Target.RUNNING, WEB), there, HostFacts(declared=frozenset({"db"})), policy)

    assert order(made) == [f"shut down tmp-1 {STOP}"]
    assert [each.name for each in made.plans] == ["web", "tmp-1"]
    assert made.impact is Impact.RESTART
    assert [(stray.name, stray.power) for stray in made.strays] == [
        ("tmp-1", Power.RUNNING),
        ("tmp-2", Power.STOPPED),
    ]


def test_a_foreign_stray_is_stopped_where_the_policy_says_so() -> None:
    there = {"other": Observation(power=Power.FROZEN, foreign=True)}

    made = planned([], there, None, HostPolicy(strays=(("*", Strays.STOP),)))

    assert order(made) == ["unfreeze other", f"shut down other {STOP}"]


def test_a_stray_in_the_way_of_its_own_driver_is_refused_by_name() -> None:
    policy = HostPolicy(strays=(("*", Strays.STOP),))

    assert refused([], at(Target.RUNNING, DB), HostFacts(drivers=frozenset()), policy) == [
        "db.driver: unknown driver 'lxc' (there is none)"
    ]


def test_vms_with_autostart_are_started_with_the_host() -> None:
    auto = vm("auto", autostart=True)
    there = at(Target.STOPPED, auto, DB) | at(Target.RUNNING, vm("runs", autostart=True))
    bare = {"bare": replace(there["db"], recorded=None)}

    assert boot_goals(there | bare) == (Goal(name="auto", target=Target.RUNNING, spec=auto),)
    assert order(planned(boot_goals(there), there)) == ["start auto"]
    there["auto"] = replace(there["auto"], foreign=True)
    assert boot_goals(there) == ()


def test_vms_that_are_on_are_stopped_with_the_host() -> None:
    there = at(Target.RUNNING, WEB) | at(Target.STOPPED, DB)
    there["foreign"] = Observation(power=Power.RUNNING, foreign=True)
    there["was-ours"] = Observation(recorded=DB, power=Power.RUNNING, foreign=True)

    assert halt_goals(there) == (Goal(name="web", target=Target.OFF),)


def test_steps_that_would_wait_for_each_other_are_named() -> None:
    graph = Graph()
    first = graph.add(Step(vm="web", action=Start(), reason="it should run"))
    second = graph.add(Step(vm="db", action=Stop(), reason="it should not"), [first])
    graph.add(Step(vm="app", action=Start(), reason="it waits too"), [second])
    free = graph.add(Step(vm="x", action=Start(), reason="nothing keeps it"))
    graph.wait(first, free)
    assert [step.vm for step in graph.in_order().unwrap()] == ["x", "web", "db", "app"]

    graph.wait(first, second)
    assert graph.in_order() == Failure(
        (
            Problem(
                "plan",
                "each of these steps would wait for the next, in a circle: "
                "start web (it should run); stop db (it should not)",
            ),
        )
    )
