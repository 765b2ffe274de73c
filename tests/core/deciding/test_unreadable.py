"""What this geats cannot read concerns one VM: nothing is done to it but what is safe."""

from dataclasses import replace

import pytest

from geats_core.deciding.planner import plan
from geats_core.declared.policy import HostPolicy
from geats_core.fleet.movable import movable
from geats_core.fleet.placement import Candidate
from geats_core.hostwide.host_planner import boot_goals, halt_goals
from geats_core.jobs.exports import plan_export
from geats_core.jobs.snapshots import plan_delete, plan_snapshot
from geats_core.planning.actions import CloneVolume, Define, DeleteSnapshot, Lock, Undefine
from geats_core.planning.goal import Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.model import after
from geats_core.plans.observation_changes import differences
from geats_core.plans.reverse import reverse
from geats_core.reading import file_formats
from geats_core.reading.checked import Problem
from geats_core.vm.observation import Observation, Power, SnapshotSeen, Stage, VolumeSeen
from geats_core.vm.parse import parse_vm

WHY = "it was written by a newer geats (format 9, and this one knows 1)"
SPEC = parse_vm("web01", {"template": "debian", "autostart": True}).unwrap()
ROW = Observation(unreliable=WHY, defined=SPEC)
SNAPSHOT = SnapshotSeen(name="old", taken_s=1, stage=Stage.INSTALLED)
MARKS = VolumeSeen(
    name="root",
    pool="default",
    stage=Stage.INSTALLED,
    active=True,
    unreadable=WHY,
    snapshots=(SNAPSHOT,),
)
VOLUME = Observation(recorded=SPEC, defined=SPEC, volumes=(MARKS,))
ROW_PROBLEM = Problem(
    "web01",
    f"its definition cannot be relied on: {WHY}, or define it again as it is described",
)
VOLUME_PROBLEM = Problem(
    "web01.volumes[default/root]",
    f"is left alone: {WHY}",
)


def goal(target: Target) -> Goal:
    return Goal(name="web01", target=target, spec=SPEC)


@pytest.mark.parametrize("target", [Target.RUNNING, Target.UNDEFINED, Target.DEPROVISIONED])
def test_a_plan_is_refused_with_the_reason_and_what_to_do(target: Target) -> None:
    assert plan(goal(target), ROW).failure() == (ROW_PROBLEM,)
    assert plan(goal(target), VOLUME).failure() == (VOLUME_PROBLEM,)


def test_all_that_cannot_be_read_is_told_at_once() -> None:
    both = Observation(unreliable=WHY, volumes=(MARKS,))
    assert plan(goal(Target.RUNNING), both).failure() == (ROW_PROBLEM, VOLUME_PROBLEM)
    assert plan(goal(Target.DEFINED), both).failure() == (VOLUME_PROBLEM,)


def test_a_definition_is_written_anew_where_that_is_asked_for() -> None:
    made = plan(goal(Target.DEFINED), ROW).unwrap()
    assert [step.action for step in made.steps] == [Define(SPEC)]
    assert made.steps[0].reason.startswith(f"its definition cannot be relied on ({WHY})")
    end = after(Define(SPEC), ROW).unwrap()
    assert (end.recorded, end.unreliable) == (SPEC, "")


def test_a_definition_that_leads_elsewhere_is_written_anew_though_it_says_the_same() -> None:
    astray = Observation(recorded=SPEC, defined=SPEC, unreliable="it leads elsewhere")
    assert plan(goal(Target.RUNNING), astray).failure()
    made = plan(goal(Target.DEFINED), astray).unwrap()
    assert [step.action for step in made.steps] == [Define(SPEC)]


def test_a_vm_that_the_registry_has_lost_is_recorded_again_by_a_plan_that_says_so() -> None:
    (step,) = plan(goal(Target.DEFINED), Observation(defined=SPEC)).unwrap().steps
    assert step.action == Define(SPEC)
    assert step.reason.startswith("its driver has it, but the registry does not")


def test_nothing_is_written_anew_where_nothing_says_what_it_should_be() -> None:
    assert plan(Goal(name="web01", target=Target.DEFINED), ROW).failure() == (ROW_PROBLEM,)


def test_what_cannot_be_read_cannot_be_brought_back() -> None:
    made = plan(goal(Target.DEFINED), ROW).unwrap()
    why = "its old definition could not be relied on, and cannot be restored"
    assert reverse(made, ROW).failure() == (Problem("web01", why),)


def test_it_is_locked_and_never_undefined() -> None:
    assert after(Lock(), ROW).unwrap().locked
    assert after(Undefine(), ROW).failure() == "its definition cannot be relied on"


def test_no_snapshot_copy_or_move_is_made_of_it() -> None:
    facts = HostFacts()
    assert plan_snapshot("web01", "s", 1, ROW, facts).failure() == (ROW_PROBLEM,)
    assert plan_export("web01", "/x", ROW).failure() == (ROW_PROBLEM,)
    assert plan_export("web01", "/x", VOLUME).failure() == (VOLUME_PROBLEM,)
    here = Candidate(goals=(), observations={"web01": ROW}, facts=facts, policy=HostPolicy())
    assert movable("web01", here).failure() == (ROW_PROBLEM,)


def test_a_snapshot_of_such_a_volume_is_not_given_up() -> None:
    why = f"it is left alone: {WHY}"
    assert after(DeleteSnapshot("default", "root", "old"), VOLUME).failure() == why
    assert after(CloneVolume("default", "root", "x", None), VOLUME).failure() == why
    assert why in plan_delete("web01", "old", VOLUME).failure()[0].message


def test_it_is_wanted_at_boot_so_that_it_is_told_and_off_before_the_end() -> None:
    assert boot_goals({"web01": ROW}) == (goal(Target.RUNNING),)
    assert boot_goals({"web01": Observation(unreliable=WHY)}) == ()
    running = Observation(unreliable=WHY, power=Power.RUNNING)
    assert halt_goals({"web01": running}) == (Goal(name="web01", target=Target.OFF),)


def test_a_vm_that_the_registry_has_lost_starts_and_ends_with_the_host() -> None:
    lost = Observation(defined=SPEC)
    assert boot_goals({"web01": lost}) == (goal(Target.RUNNING),)
    assert halt_goals({"web01": replace(lost, power=Power.RUNNING)}) == (
        Goal(name="web01", target=Target.OFF),
    )


def test_a_vm_that_runs_as_geats_started_it_was_described_whatever_was_lost() -> None:
    runs = Observation(in_effect=SPEC, power=Power.RUNNING)
    assert runs.was_described
    assert not replace(runs, foreign=True).was_described


def test_it_is_told_when_something_can_no_longer_be_read() -> None:
    before = Observation(recorded=SPEC, defined=SPEC)
    assert f"web01.unreliable: was no, is {WHY}" in differences("web01", before, ROW)


def test_formats_begin_at_one() -> None:
    assert file_formats.SPEC >= 1
