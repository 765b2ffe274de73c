"""A volume that is remembered and not found: it is a refusal, until somebody gives it up."""

from dataclasses import replace

import pytest
from returns.result import Success

from geats_core import (
    DataLoss,
    Goal,
    HostFacts,
    Impact,
    Observation,
    Restart,
    Target,
    VolumeMissing,
    after,
    describe,
    parse_vm,
    plan,
    reverse,
    with_snapshots,
)
from geats_core.jobs.copies import in_the_way, not_there
from geats_core.jobs.snapshots import plan_snapshot
from geats_core.planning.actions import ForgetVolume
from geats_core.planning.steps import Plan
from geats_core.plans.observation_changes import differences
from tests.core.hosts import at, vm

WEB = vm("web", volumes=[{"name": "root", "pool": "fast"}])
DATA = vm("web", volumes=[{"name": "root", "pool": "fast"}, {"name": "data", "mount": "/data"}])
GONE = VolumeMissing(name="root", pool="fast", template="debian", place="/srv/fast/web/root")
OFF = replace(at(Target.STOPPED, WEB)["web"], volumes=(), missing=(GONE,))
ON = replace(at(Target.RUNNING, WEB)["web"], volumes=(), missing=(GONE,))
LOOK = (
    "web.volumes[root]: was in pool fast at /srv/fast/web/root, installed from debian, and is "
    "not found there: check whether its disk is mounted, and whether the path of pool fast is "
    "right; "
)
NEEDING = (
    *(Target.RUNNING, Target.FROZEN, Target.STOPPED, Target.PROVISIONED),
    *(Target.REBOOTED, Target.REINITIALISED),
)


def goal(target: Target, **policy: object) -> Goal:
    return replace(Goal(name="web", target=target, spec=WEB), **policy)  # type: ignore[arg-type]


def leave(target: Target, **policy: object) -> Goal:
    return goal(target, data_loss=DataLoss.ALLOWED, **policy)


def reasons(wanted: Goal, have: Observation) -> list[str]:
    return [str(each) for each in plan(wanted, have).failure()]


def steps(wanted: Goal, have: Observation) -> list[str]:
    return [describe(step.action, "web") for step in plan(wanted, have).unwrap().steps]


@pytest.mark.parametrize("have", [OFF, ON], ids=["off", "on"])
@pytest.mark.parametrize("target", NEEDING)
def test_a_root_that_is_gone_is_not_a_root_to_make(target: Target, have: Observation) -> None:
    advice = "allow data loss to recreate it, without its data"

    assert reasons(goal(target), have) == [f"{LOOK}{advice}"]


@pytest.mark.parametrize("have", [OFF, ON], ids=["off", "on"])
@pytest.mark.parametrize("target", NEEDING)
def test_what_a_locked_vm_misses_is_never_made_anew(target: Target, have: Observation) -> None:
    told = f"{LOOK}it is not recreated because the VM is locked"

    assert told in reasons(leave(target), replace(have, locked=True))


def test_with_leave_it_is_given_up_in_a_step_of_its_own_before_it_is_made_anew() -> None:
    made = plan(leave(Target.STOPPED), OFF).unwrap()
    first = made.steps[0]

    assert first.action == ForgetVolume("fast", "root")
    assert first.reason == f"it was {GONE}, and is not found there"
    assert first.impact is Impact.DATA_LOSS
    assert steps(leave(Target.STOPPED), OFF) == [
        "forget volume web/root in pool fast, which is not found",
        "allocate volume web/root in pool fast",
        "format volume web/root in pool fast",
        "activate volume web/root in pool fast",
        "install template debian on volume web/root",
        "configure the guest on volume web/root",
    ]


def test_one_that_is_on_is_off_before_anything_is_made_anew() -> None:
    assert steps(leave(Target.RUNNING), ON)[:2] == [
        "shut down web (power off after 60 s)",
        "forget volume web/root in pool fast, which is not found",
    ]


@pytest.mark.parametrize(
    "wanted",
    [leave(Target.PROVISIONED), leave(Target.RUNNING, restart=Restart.NEVER)],
    ids=["provisioned", "never"],
)
def test_one_that_has_to_stay_on_gets_no_new_root(wanted: Goal) -> None:
    assert reasons(wanted, ON) == [f"{LOOK}it is not recreated while the VM is on"]


def test_a_root_that_is_gone_from_another_pool_is_gone_all_the_same() -> None:
    moved = vm("web", volumes=[{"name": "root", "pool": "slow"}])

    assert reasons(goal(Target.RUNNING, spec=moved), OFF)[0].startswith(LOOK)


def test_what_the_spec_has_no_use_for_is_not_in_its_way() -> None:
    old = VolumeMissing(name="old", pool="fast")
    have = replace(at(Target.STOPPED, WEB)["web"], missing=(old,))

    assert steps(goal(Target.RUNNING), have) == ["start web"]


@pytest.mark.parametrize("target", [Target.OFF, Target.LOCKED, Target.UNLOCKED])
def test_what_needs_no_volume_is_done(target: Target) -> None:
    assert isinstance(plan(goal(target), ON), Success)


def test_a_definition_is_written_without_its_volumes() -> None:
    assert steps(goal(Target.DEFINED, spec=vm("web", memory="1GiB")), OFF) == ["define web"]


def test_a_vm_is_not_deprovisioned_without_the_volumes_that_it_had() -> None:
    assert reasons(goal(Target.DEPROVISIONED), OFF) == [f"{LOOK}allow data loss to forget it"]
    assert steps(leave(Target.DEPROVISIONED), OFF) == [
        "forget volume web/root in pool fast, which is not found",
        "undefine web",
    ]


def test_a_vm_that_is_undefined_is_still_missed() -> None:
    made = plan(goal(Target.UNDEFINED), OFF).unwrap()

    assert [step.reason for step in made.steps] == [
        f"web should be undefined (its volume root, {GONE}, is not found: its record is kept)"
    ]
    assert after(made.steps[0].action, OFF).unwrap() == Observation(missing=(GONE,))


def test_a_transient_vm_is_not_undefined_without_the_volumes_that_go_with_it() -> None:
    transient = parse_vm("web", {"template": "debian", "transient": True}).unwrap()
    have = replace(OFF, recorded=transient, defined=transient)

    assert reasons(goal(Target.UNDEFINED), have) == [f"{LOOK}allow data loss to forget it"]


def test_a_vm_is_neither_kept_nor_copied_without_a_volume_of_it() -> None:
    told = f"{LOOK}then try again"
    nothing = Observation(missing=(GONE,))

    assert told in [str(each) for each in plan_snapshot("web", "a", 1, OFF, HostFacts()).failure()]
    assert [str(each) for each in not_there("web", OFF)] == [told]
    for have in (OFF, nothing):
        assert [str(each) for each in in_the_way(WEB, have, "an archive")][1:] == [told]


def test_a_volume_is_given_up_only_where_it_is_missing_and_the_vm_is_off() -> None:
    forget = ForgetVolume("fast", "root")

    assert after(forget, replace(OFF, missing=())).failure() == "it is not missing"
    assert after(forget, ON).failure() == "the VM is running"
    assert after(forget, replace(OFF, locked=True)).failure() == "the VM is locked"
    assert after(forget, OFF) == Success(replace(OFF, missing=()))


def test_what_was_given_up_comes_back_by_no_plan() -> None:
    made = plan(leave(Target.STOPPED), OFF).unwrap()

    assert with_snapshots(made, OFF, HostFacts(), "before", 1).warnings == (
        "forgetting volume web/root, which is not found, cannot be undone",
    )
    assert reverse(made, OFF).unwrap().warnings == (
        "volume web/root, which was not found, is forgotten",
        "web.volumes[fast/root]: is new",
        "web.volumes[fast/root]: was not found, and is no longer missed",
    )


def test_to_undo_something_else_is_no_leave_to_give_it_up() -> None:
    shut_down = Plan(name="web", steps=plan(goal(Target.OFF), ON).unwrap().steps)

    assert [str(each) for each in reverse(shut_down, ON).failure()] == [
        f"{LOOK}allow data loss to recreate it, without its data"
    ]


def test_a_disk_that_is_gone_meanwhile_is_told() -> None:
    there = at(Target.STOPPED, WEB)["web"]

    assert differences("web", there, OFF) == (
        "web.volumes[fast/root]: is gone",
        f"web.volumes[fast/root]: is not found any more: was {GONE}",
    )


def test_why_it_is_not_found_is_told_if_that_is_known() -> None:
    hint = "what is there has no mark of geats: is the disk mounted?"
    have = replace(OFF, missing=(replace(GONE, hint=hint),))

    (told,) = reasons(goal(Target.RUNNING), have)
    assert f"and is not found there ({hint}): check whether its disk is mounted" in told
