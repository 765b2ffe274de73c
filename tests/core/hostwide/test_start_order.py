"""Who starts before whom, told as stories."""

from dataclasses import replace

import pytest

from geats_core import (
    Goal,
    HostFacts,
    HostPlan,
    Observation,
    Power,
    Target,
    VMSpec,
    boot_goals,
    halt_goals,
)
from geats_core.hostwide.host_planner import without_idle_probes
from geats_core.planning.actions import AwaitReady, Pause, Start
from geats_core.plans.plan_files import plan_from_json, saved, to_json
from tests.core.hosts import at, goals, order, planned, refused, vm, waits

DB = vm("db")
APP = vm("app", after=["db"])
WEB = vm("web", after=["app"])
STOP = "(power off after 60 s)"


def gates(made: HostPlan) -> list[str]:
    """Why the steps of the host itself are there."""
    return [step.reason for step in made.steps if step.vm == ""]


def test_a_vm_starts_after_those_that_its_spec_names() -> None:
    made = planned(goals(Target.RUNNING, WEB, APP, DB), at(Target.STOPPED, WEB, APP, DB))

    assert waits(made) == {"start db": [], "start app": ["start db"], "start web": ["start app"]}


def test_vms_stop_in_reverse() -> None:
    there = at(Target.RUNNING, DB, APP, WEB)

    assert waits(planned(halt_goals(there), there)) == {
        f"shut down web {STOP}": [],
        f"shut down app {STOP}": [f"after: shut down web {STOP}"],
        f"shut down db {STOP}": [f"after: shut down app {STOP}"],
    }


def test_a_vm_that_does_not_move_is_not_waited_for() -> None:
    there = at(Target.STOPPED, WEB, DB) | at(Target.RUNNING, APP)

    made = planned(goals(Target.RUNNING, WEB, APP, DB), there)

    assert waits(made) == {"start web": [], "start db": []}


def test_the_highest_priority_starts_first_and_stops_last() -> None:
    specs = [vm(f"vm{p}", autostart={"enabled": True, "priority": p}) for p in (-1, 0, 7)]
    there = at(Target.STOPPED, *specs)
    running = at(Target.RUNNING, *specs)

    assert waits(planned(boot_goals(there), there)) == {
        "start vm7": [],
        "wait for the steps before": ["after: start vm0"],
        "start vm0": ["after: wait for the steps before"],
        "start vm-1": ["after: wait for the steps before"],
    }
    assert order(planned(boot_goals(there), there)) == [
        "start vm7",
        "wait for the steps before",
        "start vm0",
        "wait for the steps before",
        "start vm-1",
    ]
    assert order(planned(halt_goals(running), running)) == [
        f"shut down vm-1 {STOP}",
        "wait for the steps before",
        f"shut down vm0 {STOP}",
        "wait for the steps before",
        f"shut down vm7 {STOP}",
    ]
    assert gates(planned(boot_goals(there), there)) == [
        "VMs of priority 7 start before those of 0",
        "VMs of priority 0 start before those of -1",
    ]
    assert gates(planned(halt_goals(running), running)) == [
        "VMs of priority -1 stop before those of 0",
        "VMs of priority 0 stop before those of 7",
    ]


def test_what_a_vm_comes_after_has_at_least_its_priority() -> None:
    low = vm("low", autostart={"priority": -5})
    specs = [vm("mid"), vm("high", after=["low"], autostart={"priority": 9}), low]

    made = planned(goals(Target.RUNNING, *specs), at(Target.STOPPED, *specs))

    assert order(made) == ["start low", "start high", "wait for the steps before", "start mid"]


def test_those_that_come_later_wait_for_the_delay() -> None:
    slow = vm("slow", autostart={"delay": 30})
    specs = [vm("app", after=["slow"]), slow, vm("other")]

    made = planned(goals(Target.RUNNING, *specs), at(Target.STOPPED, *specs))

    assert waits(made) == {
        "start slow": [],
        "start other": [],
        "wait 30 s": ["start slow"],
        "start app": ["start slow", "after: wait 30 s"],
    }
    assert [(step.vm, step.reason) for step in made.steps if step.action == Pause(30)] == [
        ("slow", "slow is given that time before others start")
    ]


def test_a_lower_priority_waits_for_the_delay_of_a_higher() -> None:
    specs = [vm("first", autostart={"priority": 1, "delay": 5}), vm("then")]

    made = planned(goals(Target.RUNNING, *specs), at(Target.STOPPED, *specs))

    assert order(made) == ["start first", "wait 5 s", "wait for the steps before", "start then"]


def probed(name: str, **raw: object) -> VMSpec:
    return vm(name, ready={"tcp": 80}, **raw)


def test_a_lower_priority_does_not_wait_until_a_higher_is_ready() -> None:
    specs = [probed("first", autostart={"priority": 1, "delay": 5}), vm("then")]

    made = planned(goals(Target.RUNNING, *specs), at(Target.STOPPED, *specs))

    assert waits(made) == {
        "start first": [],
        "wait until first is ready (tcp 80, within 60 s)": ["start first"],
        "wait 5 s": ["start first"],
        "wait for the steps before": ["after: wait 5 s"],
        "start then": ["after: wait for the steps before"],
    }


def test_the_start_of_the_host_waits_only_for_those_that_others_come_after() -> None:
    specs = [
        probed("db", autostart={"priority": 2}),
        probed("app", autostart=True, after=["db"]),
        vm("mail", autostart=True),
    ]
    there = at(Target.STOPPED, *specs)

    made = without_idle_probes(planned(boot_goals(there), there))

    ready = "wait until db is ready (tcp 80, within 60 s)"
    assert waits(made) == {
        "start db": [],
        ready: ["start db"],
        "wait for the steps before": ["after: start db"],
        "start app": [ready, "after: wait for the steps before"],
        "start mail": ["after: wait for the steps before"],
    }
    assert [[type(step.action) for step in each.steps] for each in made.plans] == [
        [Start, AwaitReady],
        [Start],
        [Start],
    ]
    kept = saved(made, there)
    assert plan_from_json(to_json(kept)).unwrap() == kept


def test_nobody_waits_for_a_delay_for_nothing() -> None:
    specs = [vm("one", autostart={"delay": 5}), vm("other", autostart={"delay": 5})]

    made = planned(goals(Target.RUNNING, *specs), at(Target.STOPPED, *specs))

    assert waits(made) == {"start one": [], "start other": []}


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    assert refused(goals(Target.RUNNING, vm("web", after=["dbs"])), at(Target.STOPPED, DB)) == [
        "web.after[0]: unknown VM 'dbs', did you mean 'db'? (there is: db, web)"
    ]
    elsewhere = HostFacts(declared=frozenset({"dbs"}))
    assert planned(goals(Target.DEFINED, vm("web", after=["dbs"])), {}, elsewhere).steps


def test_a_vm_that_is_gone_since_keeps_no_other_from_starting() -> None:
    there = at(Target.STOPPED, APP)

    assert order(planned(goals(Target.RUNNING, APP), there)) == ["start app"]


def test_a_cycle_is_refused_and_shown() -> None:
    specs = [
        vm("a", after=["c", "d"]),
        vm("b", after=["a"]),
        replace(vm("c"), after=("b", "c")),
        vm("d", after=["a"]),
        vm("e", after=["f", "a"]),
        vm("f", after=["e"]),
        vm("g", after=["e"]),
    ]

    assert refused(goals(Target.DEFINED, *specs), {}) == [
        "c.after: is a cycle: a VM cannot start after itself",
        "a.after: is a cycle: a after d after a",
        "e.after: is a cycle: e after f after e",
    ]


def test_a_longer_cycle_is_shown_in_the_order_of_after() -> None:
    specs = [vm("c", after=["b"]), vm("b", after=["a"]), vm("a", after=["c"])]

    assert refused(goals(Target.DEFINED, *specs), {}) == [
        "a.after: is a cycle: a after c after b after a"
    ]


def test_a_cycle_recorded_of_old_keeps_no_vm_from_stopping() -> None:
    specs = [vm("a", after=["b"]), vm("b", after=["a"]), vm("c", after=["a", "gone"])]
    there = at(Target.RUNNING, *specs)

    assert waits(planned(halt_goals(there), there)) == {
        f"shut down c {STOP}": [],
        f"shut down a {STOP}": [f"after: shut down c {STOP}"],
        f"shut down b {STOP}": [],
    }


def test_a_vm_of_which_nothing_is_known_has_no_order() -> None:
    bare = Observation(power=at(Target.RUNNING, DB)["db"].power)
    there = {"bare": bare} | at(Target.RUNNING, vm("web", after=["bare"]))

    off = [Goal(name=name, target=Target.OFF) for name in there]

    assert waits(planned(off, there)) == {
        f"shut down web {STOP}": [],
        f"shut down bare {STOP}": [f"after: shut down web {STOP}"],
    }


def test_cycles_that_share_a_vm_keep_none_from_stopping() -> None:
    specs = [vm("a", after=["b", "c"]), vm("b", after=["a"]), vm("c", after=["a"])]
    there = at(Target.RUNNING, *specs)

    assert all(needed == [] for needed in waits(planned(halt_goals(there), there)).values())


def test_a_cycle_with_a_cycle_in_it_is_shown_once_around() -> None:
    specs = [vm("a", after=["b"]), vm("b", after=["c"]), vm("c", after=["b", "a"])]

    assert refused(goals(Target.DEFINED, *specs), {}) == [
        "a.after: is a cycle: a after b after c after a"
    ]


@pytest.mark.parametrize("where", ["recorded", "defined", "in_effect"])
def test_vms_stop_in_reverse_wherever_their_order_is_written(where: str) -> None:
    there = {
        spec.name: replace(Observation(power=Power.RUNNING), **{where: spec})  # type: ignore[arg-type]
        for spec in (DB, APP)
    }
    off = [Goal(name=name, target=Target.OFF) for name in there]

    assert waits(planned(off, there))[f"shut down db {STOP}"] == [f"after: shut down app {STOP}"]


def test_a_vm_that_is_nowhere_has_no_order() -> None:
    assert planned([Goal(name="gone", target=Target.UNDEFINED)], {}).is_empty
