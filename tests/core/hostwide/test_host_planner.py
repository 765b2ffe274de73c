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
    VMSpec,
    boot_goals,
    halt_goals,
)
from geats_core.hostwide.step_graph import Graph
from geats_core.hostwide.strays import NO_NAME, left_alone
from geats_core.planning.actions import ActivateVolume, Start, Stop
from geats_core.planning.steps import Plan, Step
from geats_core.reading.checked import Problem
from tests.core.hosts import at, goals, nic, order, planned, refused, vm, waits

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
        "app: is not defined, and nothing describes it",
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


def never_described(*specs: VMSpec, power: Power = Power.RUNNING) -> dict[str, Observation]:
    """VMs on the host that geats never had a description of."""
    return {each.name: Observation(power=power, in_effect=each, foreign=True) for each in specs}


STOP_ALL = HostPolicy(strays=(("*", Strays.STOP),))


def test_strays_are_stopped_or_ignored_where_the_policy_says_so() -> None:
    tmp, kept = vm("tmp-1"), vm("lab")
    off = Observation(foreign=True)
    there = at(Target.RUNNING, WEB, DB) | never_described(tmp, kept) | {"tmp-2": off}
    policy = HostPolicy(strays=(("lab", Strays.IGNORE), ("tmp-*", Strays.STOP)))

    made = planned(goals(Target.RUNNING, WEB), there, HostFacts(declared=frozenset({"db"})), policy)

    assert order(made) == [f"shut down tmp-1 {STOP}"]
    assert [each.name for each in made.plans] == ["web", "tmp-1"]
    assert made.impact is Impact.RESTART
    assert [(stray.name, stray.power, stray.left_alone) for stray in made.strays] == [
        ("tmp-1", Power.RUNNING, ""),
        ("tmp-2", Power.STOPPED, ""),
    ]


def test_a_stray_that_no_vm_can_be_called_is_told_and_left_alone() -> None:
    stranger = {"my box": Observation(power=Power.RUNNING, foreign=True)}
    made = planned(goals(Target.RUNNING, WEB), at(Target.RUNNING, WEB) | stranger, None, STOP_ALL)
    assert (made.steps, [stray.left_alone for stray in made.strays]) == ((), [NO_NAME])


def test_a_frozen_stray_is_stopped_where_the_policy_says_so() -> None:
    there = at(Target.RUNNING, WEB) | never_described(DB, power=Power.FROZEN)

    made = planned(goals(Target.RUNNING, WEB), there, None, STOP_ALL)

    assert order(made) == ["unfreeze db", f"shut down db {STOP}"]


def test_a_vm_whose_description_is_gone_is_no_stray_to_stop() -> None:
    app = vm("app", hostname="new")
    there = at(Target.RUNNING, WEB, DB) | at(Target.DEFINED, vm("app"))
    unrecorded = {"db": replace(there["db"], recorded=None)}

    for host in (there, there | unrecorded):
        made = planned(goals(Target.DEFINED, WEB, app), host, None, STOP_ALL)

        assert order(made) == ["define app"]
        assert left_alone(made.strays) == [
            "db: left alone, although the policy is to stop strays: the description is gone, "
            "which is not a request to stop: describe it again, or write gone: {NAME: stopped}"
        ]


def test_strays_are_stopped_all_or_none() -> None:
    specs = [vm(f"tmp-{number}") for number in range(7)]
    there = at(Target.RUNNING, WEB) | never_described(*specs)

    made = planned(goals(Target.RUNNING, WEB), there, None, STOP_ALL)
    allowed = planned(goals(Target.RUNNING, WEB), there, None, replace(STOP_ALL, at_most=7))

    assert made.is_empty
    assert left_alone(made.strays) == [
        "tmp-0, tmp-1, tmp-2, tmp-3, tmp-4 and 2 more: left alone, although the policy is to "
        "stop strays: 7 strays would be stopped although nobody named them, and at_most 1 may "
        "be: write gone: {NAME: stopped}, or at_most: 7"
    ]
    assert len(allowed.steps) == 7


def test_no_stray_is_stopped_where_the_configuration_may_be_broken() -> None:
    there = at(Target.RUNNING, WEB, DB, vm("app")) | never_described(vm("tmp"))

    for wanted in ([], goals(Target.RUNNING, WEB)):
        made = planned(wanted, there, None, STOP_ALL)

        assert made.is_empty
        told = {stray.name: stray.left_alone for stray in made.strays}
        assert f"{len(wanted)} of the 3 VMs that geats defined here are described" in told["tmp"]
    assert planned([], never_described(DB), None, STOP_ALL).is_empty


def test_an_address_is_not_given_away_by_a_stray_that_stays() -> None:
    there = at(Target.RUNNING, WEB, vm("db", nics=nic("10.0.0.2")))
    wanted = goals(Target.RUNNING, vm("web", nics=nic("10.0.0.2")))

    (problem,) = refused(wanted, there, None, STOP_ALL)

    assert "10.0.0.2" in problem
    assert "db" in problem


def test_vms_with_autostart_are_started_with_the_host() -> None:
    auto = vm("auto", autostart=True)
    there = at(Target.STOPPED, auto, DB) | at(Target.RUNNING, vm("runs", autostart=True))
    bare = {"bare": replace(there["db"], recorded=None)}

    assert boot_goals(there | bare) == (Goal(name="auto", target=Target.RUNNING, spec=auto),)
    assert order(planned(boot_goals(there), there)) == ["start auto"]
    there["auto"] = replace(there["auto"], foreign=True)
    assert boot_goals(there) == ()


def test_a_vm_that_was_left_frozen_by_an_interrupted_operation_goes_on_at_boot() -> None:
    """Whether or not it has autostart; one that is frozen by wish is left alone."""
    there = at(Target.RUNNING, WEB) | at(Target.FROZEN, DB)
    there["web"] = replace(there["web"], power=Power.HELD)

    assert order(planned(boot_goals(there), there)) == ["unfreeze web"]


def test_a_vm_that_is_stuck_is_left_as_it_is_at_boot_and_that_is_said() -> None:
    auto = vm("auto", autostart=True)
    there = at(Target.RUNNING, auto) | at(Target.RUNNING, WEB)
    stuck = {name: replace(have, power=Power.STUCK) for name, have in there.items()}
    (goal,) = boot_goals(stuck)
    why = "its monitor is stuck, and repairing it would restart the VM"
    assert refused([goal], stuck) == [f"auto.restart: {why}"]
    assert [goal.name for goal in halt_goals(stuck)] == ["auto", "web"]


def test_vms_that_are_on_are_stopped_with_the_host() -> None:
    there = at(Target.RUNNING, WEB) | at(Target.STOPPED, DB)
    there["foreign"] = Observation(power=Power.RUNNING, foreign=True)
    there["was-ours"] = Observation(recorded=DB, power=Power.RUNNING, foreign=True)

    assert halt_goals(there) == (Goal(name="web", target=Target.OFF),)


def test_steps_that_would_wait_for_each_other_are_named() -> None:
    graph = Graph()
    first = graph.add(Step(vm="web", action=Start(), reason="it should run"))
    second = graph.add(Step(vm="db", action=Stop(), reason="it should not"))
    graph.follow(second, first)
    graph.need(graph.add(Step(vm="app", action=Start(), reason="it waits too")), second)
    free = graph.add(Step(vm="x", action=Start(), reason="nothing keeps it"))
    graph.need(first, free)
    assert [step.vm for step in graph.in_order().unwrap()] == ["x", "web", "db", "app"]

    graph.need(first, second)
    assert graph.in_order() == Failure(
        (
            Problem(
                "plan",
                "each of these steps would wait for the next, in a circle: "
                "start web (it should run); stop db (it should not)",
            ),
        )
    )


def test_a_vm_powered_off_before_its_volume_is_there_starts_only_once_it_is() -> None:
    graph = Graph()
    data = Step(vm="web", action=ActivateVolume(volume="data", pool="fast"), reason="it is new")
    off = Step(vm="web", action=Stop(), reason="it restarts", needs=(0,))
    on = Step(vm="web", action=Start(), reason="it restarts", needs=(1,))
    volume, stop, _ = graph.add_plan(Plan(name="web", steps=(data, off, on)))
    gives = graph.add(Step(vm="db", action=Stop(), reason="it gives its room"))
    graph.need(volume, gives)
    graph.need(gives, stop)

    steps = graph.in_order().unwrap()

    assert [step.action for step in steps] == [Stop(), Stop(), data.action, Start()]
    assert steps[-1].needs == (2,)
