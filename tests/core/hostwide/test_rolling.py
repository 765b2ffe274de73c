"""VMs that stand in for each other restart in waves, told as stories."""

from dataclasses import replace

import pytest

from geats_core import (
    Goal,
    HostFacts,
    HostPolicy,
    Observation,
    Power,
    Target,
    VMSpec,
    plan_host,
)
from geats_core.declared.policy import AtOnce
from geats_core.plans.glance import in_lines
from geats_core.plans.plan_files import plan_from_json, saved, to_json
from geats_core.plans.progress import Course
from tests.core.hosts import at, order, planned, refused, vm, waits

NAMES = ("web1", "web2", "web3", "web4")
READY = {"ready": {"tcp": 80}}
HALF = HostPolicy(at_once=AtOnce(50, is_percentage=True))
ONE, TWO = (HostPolicy(at_once=AtOnce(amount)) for amount in (1, 2))
UP = "must be up again before the turn of"


def webs(**raw: object) -> list[VMSpec]:
    return [vm(name, **raw) for name in NAMES]


def rolling(*specs: VMSpec) -> list[Goal]:
    return [
        Goal(name=each.name, target=Target.RUNNING, spec=each, group="profile web")
        for each in specs
    ]


def restarted(spec: VMSpec) -> VMSpec:
    return replace(spec, privileged=True)


def gates(steps: object) -> list[str]:
    return [each for each in order(steps) if each.startswith("wait for")]  # type: ignore[arg-type]


def test_at_most_so_many_are_down_and_the_next_wave_waits_for_all_of_the_one_before() -> None:
    specs = webs(**READY)
    made = planned(rolling(*map(restarted, specs)), at(Target.RUNNING, *specs), policy=TWO)

    (gate,) = (n for n, step in enumerate(made.steps) if not step.vm)
    assert made.steps[gate].reason == f"profile web, wave 1 of 2: web1 and web2 {UP} web3 and web4"
    before = {made.steps[n].vm for n in made.steps[gate].needs}
    assert before == {"web1", "web2"}
    assert {step.vm for step in made.steps[:gate]} == {"web1", "web2"}
    assert all(gate in step.needs or step.needs for step in made.steps[gate + 1 :])
    assert in_lines(saved(made, at(Target.RUNNING, *specs)))[0] == (
        f"~ this host  profile web, wave 1 of 2: web1 and web2 {UP} web3 and web4"
    )


@pytest.mark.parametrize(
    ("policy", "count"),
    [(ONE, 3), (TWO, 1), (HALF, 1), (HostPolicy(at_once=AtOnce(30, True)), 3)],
)
def test_a_part_is_rounded_down_and_at_least_one(policy: HostPolicy, count: int) -> None:
    specs = webs()
    made = planned(rolling(*map(restarted, specs)), at(Target.RUNNING, *specs), policy=policy)

    assert sum(not step.vm for step in made.steps) == count


@pytest.mark.parametrize("policy", [HostPolicy(), HostPolicy(at_once=AtOnce(4))])
def test_where_all_may_be_down_there_are_no_waves(policy: HostPolicy) -> None:
    specs = webs(**READY)
    there = at(Target.RUNNING, *specs)
    wanted = rolling(*map(restarted, specs))

    assert planned(wanted, there, policy=policy) == planned(
        [replace(goal, group="") for goal in wanted], there
    )


def test_only_vms_that_are_on_and_would_be_down_are_counted() -> None:
    """One is new, one is off, and one changes live."""
    one, two, three, four = webs(memory=1)
    there = at(Target.RUNNING, one, four) | at(Target.STOPPED, two)
    wanted = rolling(restarted(one), restarted(two), three, replace(four, limits=one.limits))

    made = planned(wanted, there, policy=ONE)

    assert [step.reason for step in made.steps if not step.vm] == []


def test_those_that_stand_in_must_be_ready_before_others_go_down() -> None:
    one, two, three, four = webs(**READY)
    there = at(Target.RUNNING, one, two, three, four)

    made = planned(rolling(restarted(one), two, three, replace(four, ready=None)), there, None, TWO)

    assert [(s.vm, s.reason) for s in made.steps[:2]] == [
        (name, "it stands in while others of profile web are down") for name in ("web2", "web3")
    ]
    (gate,) = (step.reason for step in made.steps if not step.vm)
    assert gate == "profile web: web2 and web3 must be ready before the turn of web1"
    (define,) = (words for words in waits(made) if words.startswith("define web1"))
    assert waits(made)[define] == ["wait for the steps before"]
    lines = in_lines(saved(made, there))
    assert "~ web2       check that it is ready" in lines
    assert lines[-1] == "1 to change, 1 to restart, 2 to check"  # web4 is no longer asked


def test_what_an_interrupted_plan_left_off_comes_up_first() -> None:
    specs = webs()
    there = at(Target.RUNNING, *specs)
    there["web4"] = replace(there["web4"], power=Power.STOPPED, in_effect=None, to_run=True)

    made = planned(rolling(*map(restarted, specs)), there, policy=ONE)

    assert "start web4" in waits(made)["shut down web1 (power off after 60 s)"]


def left_off(spec: VMSpec) -> Observation:
    """As an interrupted plan left it."""
    return replace(at(Target.STOPPED, spec)[spec.name], to_run=True)


def without(refused: str, *specs: VMSpec) -> tuple[list[Goal], dict[str, str]]:
    """The goals of all but one, and the groups of all."""
    wanted = rolling(*specs)
    return [goal for goal in wanted if goal.name != refused], {g.name: g.group for g in wanted}


def test_a_refused_vm_that_was_left_off_takes_from_the_room() -> None:
    specs = webs()
    there = at(Target.RUNNING, *specs) | {"web4": left_off(specs[3])}
    wanted, groups = without("web4", *map(restarted, specs))
    declared = HostFacts(declared=frozenset(groups))

    made = plan_host(wanted, there, declared, TWO, groups).unwrap()
    assert [step.reason.partition(":")[0] for step in made.steps if not step.vm] == [
        "profile web, wave 1 of 3",
        "profile web, wave 2 of 3",
    ]
    (said,) = plan_host(wanted, there, declared, ONE, groups).failure()
    assert str(said) == (
        "at_once: cannot be kept: web4 is down, which this plan does not change, and of profile web"
        " only 1 may be down: mend that first, or allow more VMs at once"
    )
    two = {name: left_off(vm(name)) for name in ("web3", "web4")}
    few = [goal for goal in wanted if goal.name != "web3"]
    (said,) = plan_host(few, there | two, declared, TWO, groups).failure()
    assert "web3 and web4 are down" in str(said)


def test_a_refused_vm_that_is_held_is_down_and_a_foreign_one_not_of_the_group() -> None:
    specs = webs()
    there = at(Target.RUNNING, *specs)
    wanted, groups = without("web4", *map(restarted, specs))
    declared = HostFacts(declared=frozenset(groups))

    held = there | {"web4": replace(there["web4"], power=Power.HELD)}
    assert "web4 is down" in str(plan_host(wanted, held, declared, ONE, groups).failure())
    foreign = there | {"web4": replace(there["web4"], power=Power.STUCK, foreign=True)}
    made = plan_host(wanted, foreign, declared, ONE, groups).unwrap()
    assert sum(not step.vm for step in made.steps) == 2


def test_a_refused_vm_that_is_on_must_be_ready_as_well() -> None:
    specs = webs(**READY)
    there = at(Target.RUNNING, *specs)
    wanted, groups = without("web4", *map(restarted, specs))
    declared = HostFacts(declared=frozenset(groups))

    made = plan_host(wanted, there, declared, ONE, groups).unwrap()

    assert made.steps[0].vm == "web4"
    assert "web4 must be ready before the turn of web1" in made.steps[1].reason
    assert made.steps[1].needs == (0,)
    assert "~ web4       check that it is ready" in in_lines(saved(made, there))


def test_one_that_is_held_goes_on_before_it_is_asked_whether_it_is_ready() -> None:
    one, two = vm("web1", **READY), vm("web2", **READY)
    there = at(Target.RUNNING, one, two)
    there["web2"] = replace(there["web2"], power=Power.HELD)

    made = planned(rolling(restarted(one), two), there, policy=ONE)

    kept = saved(made, there)
    assert plan_from_json(to_json(kept)).unwrap() == kept
    ready = "wait until web2 is ready (tcp 80, within 60 s)"
    assert waits(made)[ready] == ["unfreeze web2"]
    assert waits(made)["wait for the steps before"] == [ready]


def test_the_turns_are_in_the_order_of_starts_and_only_they_say_who_stops_first() -> None:
    specs = [vm("web1", after=["web2"]), vm("web2", after=["web3"]), vm("web3")]
    made = planned(rolling(*map(restarted, specs)), at(Target.RUNNING, *specs), policy=ONE)

    starts = [line for line in order(made) if line.startswith("start")]
    assert starts == ["start web3", "start web2", "start web1"]


def test_a_vm_of_a_wave_goes_down_once_what_it_comes_after_is_ready() -> None:
    db, specs = vm("db", **READY), [vm(name, after=["db"]) for name in ("web1", "web2")]
    wanted = [
        Goal(name="db", target=Target.RUNNING, spec=restarted(db)),
        *rolling(*map(restarted, specs)),
    ]

    made = planned(wanted, at(Target.RUNNING, db, *specs), policy=ONE)

    ready = "wait until db is ready (tcp 80, within 60 s)"
    assert ready in waits(made)["shut down web1 (power off after 60 s)"]
    assert ready in waits(made)["start web1"] or order(made).index(ready) < order(made).index(
        "start web1"
    )


def test_where_one_is_not_ready_the_others_are_left_as_they_are() -> None:
    specs = webs(**READY)
    made = planned(rolling(*map(restarted, specs)), at(Target.RUNNING, *specs), policy=TWO)
    course = Course.of(made.steps, at(Target.RUNNING, *specs))
    words = order(made)
    failing = words.index("wait until web2 is ready (tcp 80, within 60 s)")
    while ready := course.take():
        for position in ready:
            if position == failing:
                course.fail(position, Observation())
            else:
                course.succeed(position)

    left = {made.steps[at].vm for at in course.because_of if at != failing}
    assert left == {"", "web3", "web4"}
    assert set(course.because_of.values()) == {failing}


def test_what_waves_cannot_do_is_refused_with_the_reason() -> None:
    """The first to go down takes the memory that the last one gives."""
    small, large = vm("web1", memory=1), vm("web2", memory=3)
    there = at(Target.RUNNING, small, large)
    wanted = rolling(
        replace(restarted(small), limits=large.limits),
        replace(restarted(large), limits=small.limits),
    )
    facts = HostFacts(memory_bytes=4)

    assert planned(wanted, there, facts).steps
    (said,) = refused(wanted, there, facts, ONE)
    assert said.startswith("at_once: cannot be kept: each of these steps would wait for the next")
    assert said.endswith("; allow more VMs at once, or name some VMs at a time")


def test_what_is_wrong_without_waves_is_told_as_it_is() -> None:
    specs = [vm("web1", memory=1), vm("web2", memory=1)]
    wanted = rolling(*(restarted(replace(s, limits=vm("x", memory=9).limits)) for s in specs))

    (said,) = refused(wanted, at(Target.RUNNING, *specs), HostFacts(memory_bytes=4), ONE)

    assert said.startswith("memory: ")
