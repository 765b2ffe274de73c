"""Law 8, told as stories: nothing is taken from a VM that nobody named."""

from dataclasses import replace

import pytest

from geats_core import (
    Asked,
    DataLoss,
    Goal,
    HostFacts,
    HostPolicy,
    Observation,
    Power,
    Stage,
    Target,
    VMSpec,
    plan,
)
from geats_core.deciding.only_named import takes_away
from geats_core.planning.actions import Lock, Stop, Unlock
from geats_core.planning.steps import Plan, Step
from geats_core.reading.checked import some_of
from geats_core.vm.spec import PowerWish
from tests.core.hosts import Hosts, at, nic, order, planned, refused, vm

WEB, DB, APP = vm("web"), vm("db"), vm("app")
ALL = (WEB, DB, APP)
STOP = "(power off after 60 s)"
AWAY = [
    Target.OFF,
    Target.STOPPED,
    Target.FROZEN,
    Target.UNDEFINED,
    Target.DEPROVISIONED,
    Target.REBOOTED,
    Target.REINITIALISED,
]


def swept(target: Target, *specs: VMSpec) -> list[Goal]:
    return [Goal(name=s.name, target=target, spec=s, asked=Asked.SWEPT) for s in specs]


def many(there: Hosts, target: Target, policy: HostPolicy | None = None) -> list[str]:
    return refused(swept(target, *ALL), there, None, policy)


@pytest.mark.parametrize("target", AWAY)
def test_a_wish_for_all_takes_nothing_from_more_than_one(target: Target) -> None:
    assert many(at(Target.RUNNING, *ALL), target) == [
        f"vms: 3 of 3 VMs would be {target} although nobody named them (web, db and app), and "
        "at_most 1 may be: name the VMs that you mean, or write at_most: 3"
    ]


@pytest.mark.parametrize("target", AWAY)
def test_a_wish_for_all_is_done_for_as_many_as_may_be(target: Target) -> None:
    there, policy = at(Target.RUNNING, *ALL), HostPolicy(at_most=3)

    made = planned(swept(target, *ALL), there, None, policy)

    assert {step.vm for step in made.steps} == {"web", "db", "app"}


def test_only_those_that_something_is_taken_from_are_counted() -> None:
    there = at(Target.STOPPED, WEB, APP) | at(Target.RUNNING, DB)

    assert order(planned(swept(Target.OFF, *ALL), there)) == [f"shut down db {STOP}"]
    assert many(there, Target.OFF, HostPolicy(at_most=0)) == [
        "vms: 1 of 3 VMs would be off although nobody named them (db), and at_most 0 may be: "
        "name the VMs that you mean, or write at_most: 1"
    ]


def test_protection_is_not_lifted_from_all() -> None:
    there = {name: replace(have, locked=True) for name, have in at(Target.RUNNING, *ALL).items()}

    assert len(many(there, Target.UNLOCKED)) == 1
    assert planned(swept(Target.LOCKED, *ALL), at(Target.RUNNING, *ALL)).steps


def test_a_count_is_no_order_where_most_descriptions_are_gone() -> None:
    others = [vm(f"vm{number}") for number in range(7)]
    there = at(Target.RUNNING, WEB, *others)

    assert refused(swept(Target.OFF, WEB), there, None, HostPolicy(at_most=100)) == [
        "vms: 1 of the 8 VMs that geats defined here are described (the description of vm0, "
        "vm1, vm2, vm3, vm4 and 2 more is gone), so nothing is done to VMs that nobody named: "
        "correct the configuration, or write gone: {NAME: stopped} for those that should be "
        "removed"
    ]
    half = HostFacts(declared=frozenset({"vm0", "vm1", "vm2"}))
    assert planned(swept(Target.OFF, WEB), there, half).steps


def test_who_is_named_may_be_many() -> None:
    there = at(Target.RUNNING, *ALL)

    made = planned([Goal(name=name, target=Target.OFF) for name in there], there)

    assert len(made.steps) == 3


def test_a_changed_description_may_restart_whom_nobody_named() -> None:
    there = at(Target.RUNNING, *ALL)
    changed = [
        vm("web", nics=nic("10.0.0.2")),
        vm("db", hostname="base"),
        vm("app", binds={"m": {"source": "/m", "mount": "/m"}}),
    ]

    made = planned(swept(Target.RUNNING, *changed), there)

    stops = [step for step in made.steps if str(step.impact) == "restart"]
    assert {step.vm: [change.field for change in step.changes] for step in stops} == {
        "web": ["nics"],
        "db": ["hostname"],
        "app": ["binds"],
    }


def test_guest_files_of_another_description_may_restart_it() -> None:
    there = at(Target.RUNNING, WEB)["web"]
    root = replace(there.volumes[0], guest="as it was before")
    have = replace(there, volumes=(root,))

    steps = plan(swept(Target.RUNNING, WEB)[0], have).unwrap().steps

    assert steps[0].reason == "its guest is not configured as described"


def test_a_stuck_monitor_is_repaired_whoever_asks() -> None:
    have = replace(at(Target.RUNNING, WEB)["web"], power=Power.STUCK)

    assert len(plan(swept(Target.RUNNING, WEB)[0], have).unwrap().steps) == 2
    assert refused(swept(Target.OFF, WEB), {"web": have}, None, HostPolicy(at_most=0))


def without_root(have: Observation) -> Observation:
    return replace(have, volumes=())


def half_made(have: Observation) -> Observation:
    return replace(have, volumes=(replace(have.volumes[0], stage=Stage.FORMATTED),))


def unknown(have: Observation) -> Observation:
    return replace(have, in_effect=None)


@pytest.mark.parametrize("seen", [without_root, half_made, unknown])
def test_what_is_missing_on_the_host_restarts_nobody_who_was_not_named(seen) -> None:  # type: ignore[no-untyped-def]
    have = seen(at(Target.RUNNING, WEB)["web"])
    goal = swept(Target.RUNNING, WEB)[0]

    problems = [str(each) for each in plan(goal, have).failure()]

    assert len(problems) == 1
    assert problems[0].startswith(f"web: would shut down web {STOP}, because ")
    assert problems[0].endswith(
        ", and no change of its description needs that: name the VM if you want that"
    )
    assert plan(replace(goal, asked=Asked.NAMED), have).unwrap().steps


def test_leave_to_lose_data_is_for_whom_is_described_otherwise() -> None:
    there = at(Target.RUNNING, WEB, DB)
    other = vm("web", template="alpine")
    goals = [replace(each, data_loss=DataLoss.ALLOWED) for each in swept(Target.RUNNING, other, DB)]

    made = planned(goals, there)

    assert {step.vm for step in made.steps} == {"web"}
    assert str(made.impact) == "data_loss"


def test_of_many_names_only_the_first_are_told() -> None:
    assert some_of([]) == "none"
    assert some_of(["a"]) == "a"
    assert some_of(["a", "b", "c"]) == "a, b and c"
    assert some_of("abcdefg") == "a, b, c, d, e and 2 more"


def test_a_description_takes_no_more_than_it_says() -> None:
    off = replace(WEB, power=PowerWish.STOPPED)
    steps = tuple(Step(vm="web", action=action, reason="") for action in (Stop(), Unlock()))
    made = Plan(name="web", steps=steps)
    assert takes_away(made, off, Observation()) == steps[1:]
    assert takes_away(made, WEB, Observation()) == steps


def described(*changed: VMSpec) -> list[Goal]:
    return swept(Target.DECLARED, *changed)


OFF = [replace(WEB, power=PowerWish.STOPPED), replace(DB, enabled=False)]


def test_one_line_that_many_descriptions_share_takes_nothing_down() -> None:
    there = at(Target.RUNNING, *ALL)
    frozen = replace(APP, power=PowerWish.FROZEN)

    def held(name: str, end: str, count: int) -> str:
        return (
            f"{name}: would be {end} by its description, as one of {count} VMs that nobody named, "
            f"and at_most 1 may be: name the VMs that you mean, or write at_most: {count}"
        )

    assert refused(described(*OFF, APP), there) == [held("web", "off", 2), held("db", "off", 2)]
    assert refused(described(*OFF, frozen), there)[2] == held("app", "frozen", 3)
    assert len(refused(described(OFF[0], DB, APP), there, None, HostPolicy(at_most=0))) == 1
    changed = [replace(each, hostname="other") for each in OFF]
    assert len(refused(described(*changed), there)) == 2


def test_what_is_described_as_off_is_done_for_as_many_as_may_be() -> None:
    there = at(Target.RUNNING, *ALL)

    assert order(planned(described(OFF[0], DB, APP), there))[-1] == f"shut down web {STOP}"
    assert planned(described(*OFF), there, None, HostPolicy(at_most=2)).steps
    named = [replace(each, asked=Asked.NAMED) for each in described(*OFF)]
    assert planned(named, there).steps


def test_a_vm_that_is_frozen_again_or_off_already_loses_nothing() -> None:
    off, held = HostPolicy(at_most=0), [replace(WEB, power=PowerWish.FROZEN)]

    assert planned(described(*held), {}, None, off).steps
    assert planned(described(*held), at(Target.STOPPED, WEB), None, off).steps
    assert planned(described(*held), at(Target.FROZEN, WEB), None, off).steps
    assert planned(described(*OFF), at(Target.STOPPED, *ALL), None, off).steps


def test_what_is_declared_off_is_not_started_to_finish_an_interrupted_restart() -> None:
    off = replace(WEB, power=PowerWish.STOPPED)
    have = replace(at(Target.STOPPED, off)["web"], to_run=True)
    made = plan(Goal(name="web", target=Target.PROVISIONED, spec=off), have).unwrap()
    assert [str(step.action) for step in made.steps] == ["KeepOff()"]
    assert made.steps[0].reason.startswith("web is declared off, and an interrupted plan")


def test_a_lock_that_is_not_in_every_place_is_marked_by_the_plan_of_the_vm() -> None:
    have = replace(at(Target.RUNNING, WEB)["web"], locked=True, half_locked=True)
    for target in (Target.RUNNING, Target.DEFINED, Target.DECLARED):
        made = plan(Goal(name="web", target=target, spec=WEB), have).unwrap()
        assert [step.action for step in made.steps] == [Lock()]
