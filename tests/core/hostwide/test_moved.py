"""What a host has elsewhere than it remembers is noted, or refused if VMs would be left behind."""

from dataclasses import replace

import pytest

from geats_core.deciding.planner import plan
from geats_core.hostwide.host_planner import HostPlan, plan_host
from geats_core.hostwide.registry_upgrade import ELSEWHERE, with_places, with_upgrade
from geats_core.planning.actions import AllocateVolume, Define, Moved, NotePlaces, UpgradeRegistry
from geats_core.planning.costs import Impact
from geats_core.planning.goal import DataLoss, Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.steps import Plan
from geats_core.plans.explain import explain_step
from geats_core.plans.plan_files import alone, plan_from_json, saved, to_json
from geats_core.reading.checked import Problem
from geats_core.vm.observation import Observation, Stage, VolumeMissing, VolumeSeen
from geats_core.vm.parse import parse_vm

SPEC = parse_vm("web02", {"template": "debian"}).unwrap()
GONE = ("web01",)
POOL = Moved("pools.default", "directory at /srv/a", "directory at /srv/b")
DRIVER = Moved("drivers.lxc", "with state_dir: /a", "with state_dir: /b")
LEFT = [replace(each, left=GONE) for each in (POOL, DRIVER)]
ROOT = VolumeSeen(name="root", pool="default", stage=Stage.INSTALLED, template="debian")
MAKING = [Target.RUNNING, Target.FROZEN, Target.STOPPED, Target.PROVISIONED, Target.REINITIALISED]


def goal(target: Target = Target.PROVISIONED, loss: DataLoss = DataLoss.REFUSED) -> Goal:
    return Goal(name="web02", target=target, spec=SPEC, data_loss=loss)


def made(*moved: Moved, have: Observation | None = None, loss: DataLoss = DataLoss.REFUSED) -> Plan:
    have = have or Observation()
    without = plan(goal(loss=loss), have, HostFacts(moved=moved)).unwrap()
    return with_places(without, moved, {"web02": have}, whole_host=False)


@pytest.mark.parametrize("target", MAKING)
def test_nothing_is_made_in_a_pool_that_would_leave_a_vm_behind(target: Target) -> None:
    message = (
        "pools.default is now directory at /srv/b; it was directory at /srv/a, and web01 is "
        "left there: check whether its disk is mounted, and whether its path, its type and "
        "state_dir are right; allow data loss to go on here, and leave web01 behind"
    )
    refused = plan(goal(target), Observation(), HostFacts(moved=(LEFT[0],))).failure()
    assert refused == (Problem("web02.volumes[root].pool", message),)


@pytest.mark.parametrize("target", [*MAKING, Target.DEFINED, Target.REBOOTED])
def test_no_vm_is_made_by_a_driver_that_would_leave_one_behind(target: Target) -> None:
    (problem,) = plan(goal(target), Observation(), HostFacts(moved=(LEFT[1],))).failure()
    assert problem.path == "web02.driver"
    assert problem.message.startswith("drivers.lxc is now with state_dir: /b; it was with state_")


@pytest.mark.parametrize("moved", LEFT)
@pytest.mark.parametrize("target", [Target.RUNNING, Target.OFF, Target.LOCKED, Target.UNDEFINED])
def test_a_vm_that_is_here_goes_on(moved: Moved, target: Target) -> None:
    have = Observation(recorded=SPEC, defined=SPEC, volumes=(ROOT,))
    with_it = plan(goal(target), have, HostFacts(moved=(moved,)))
    assert with_it == plan(goal(target), have)


def test_what_is_missing_is_refused_for_a_reason_of_its_own() -> None:
    gone = VolumeMissing(name="root", pool="default", template="debian", place="/srv/a")
    have = Observation(recorded=SPEC, missing=(gone,))
    facts = HostFacts(moved=(LEFT[0],))
    assert plan(goal(), have, facts).failure() == plan(goal(), have).failure()


def test_leave_goes_no_further_than_the_impact_that_is_allowed() -> None:
    wanted = replace(goal(loss=DataLoss.ALLOWED), max_impact=Impact.RESTART)
    assert plan(wanted, Observation(), HostFacts(moved=(LEFT[0],))).failure()


@pytest.mark.parametrize("moved", [POOL, DRIVER])
def test_what_leaves_nothing_behind_is_noted_by_a_step_that_nothing_waits_for(moved: Moved) -> None:
    steps = made(moved).steps
    others = plan(goal(), Observation()).unwrap().steps
    assert steps[0].action == NotePlaces((moved,))
    assert [(s.action, s.needs) for s in steps[1:]] == [
        (s.action, tuple(at + 1 for at in s.needs)) for s in others
    ]
    assert all(0 not in step.waits_for for step in steps)


@pytest.mark.parametrize("moved", LEFT)
def test_with_leave_the_step_says_who_is_left_behind_and_costs_their_data(moved: Moved) -> None:
    first = made(moved, loss=DataLoss.ALLOWED).steps[0]
    assert first.action == NotePlaces((moved,))
    assert explain_step(first) == (
        f"remember that {moved.what} is now {moved.now} (was: {moved.was}), and web01 left behind"
        f" because {ELSEWHERE} (impact: data_loss)"
    )


def test_a_plan_that_makes_nothing_there_leaves_nobody_behind() -> None:
    have = Observation(recorded=SPEC, volumes=(ROOT,))
    steps = made(*LEFT, have=have, loss=DataLoss.ALLOWED).steps
    assert [type(step.action) for step in steps if not step.vm] == []
    assert {Define} < {type(step.action) for step in steps}


def test_a_plan_that_does_nothing_notes_nothing_unless_it_is_for_the_whole_host() -> None:
    assert with_places(Plan(name="web02"), [POOL], {}, whole_host=False) == Plan(name="web02")
    noted = with_places(HostPlan(plans=(Plan(name="web02"),)), [POOL], {}, whole_host=True)
    assert [step.action for step in noted.steps] == [NotePlaces((POOL,))]
    assert noted.plans == (Plan(name="web02"),)
    assert with_places(HostPlan(), LEFT, {}, whole_host=True) == HostPlan()


def test_a_plan_for_several_notes_once_and_says_so_to_each_vm() -> None:
    whole = plan_host([goal()], {}).unwrap()
    noted = with_upgrade(
        with_places(whole, [POOL, DRIVER], {}, whole_host=True), UpgradeRegistry(2, 3)
    )
    kinds = [type(step.action) for step in noted.steps if not step.vm]
    assert kinds == [UpgradeRegistry, NotePlaces]
    assert [s.action for s in noted.plans[0].steps] == [s.action for s in noted.steps]
    assert noted.steps[1].needs == (0,)
    assert plan_from_json(to_json(saved(noted, {}))).unwrap().plan == noted


def test_a_plan_of_one_vm_is_saved_with_it_and_read_again() -> None:
    kept = saved(alone(made(POOL)), {})
    assert plan_from_json(to_json(kept)).unwrap() == kept
    assert AllocateVolume("default", "root", None) in [step.action for step in made(POOL).steps]
