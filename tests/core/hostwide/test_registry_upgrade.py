"""The step that upgrades a registry stands before every other, in plans of one VM and of many."""

import pytest

from geats_core.deciding.planner import plan
from geats_core.hostwide.host_planner import HostPlan
from geats_core.hostwide.registry_upgrade import with_upgrade
from geats_core.planning.actions import Define, Freeze, SnapshotVolume, Start, UpgradeRegistry
from geats_core.planning.costs import Impact
from geats_core.planning.goal import Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.ordering import ordered
from geats_core.planning.plugin_facts import PoolFacts
from geats_core.planning.steps import Plan, Step
from geats_core.plans.explain import explain_step
from geats_core.plans.plan_files import alone, plan_from_json, saved, to_json
from geats_core.plans.reverse import follow, reverse
from geats_core.plans.reverse_host import reverse_host, snapshots_first
from geats_core.reading import file_formats
from geats_core.reading.file_formats import newer
from geats_core.vm.observation import Observation
from geats_core.vm.parse import parse_vm

UPGRADE = UpgradeRegistry(2, 3)
SPEC = parse_vm("web01", {"template": "debian"}).unwrap()
DEFINE = Define(SPEC)
FIRST = Step(vm="", action=UPGRADE, reason="it was written by an older geats")


def step(vm: str, *waits: int) -> Step:
    return Step(vm=vm, action=Start(), reason="so", needs=waits)


def test_every_step_waits_for_the_upgrade() -> None:
    made = Plan(name="web01", steps=(step("web01"), step("web01", 0), step("web01")))
    expected = (FIRST, step("web01", 0), step("web01", 0, 1), step("web01", 0))
    assert with_upgrade(made, UPGRADE).steps == expected
    whole = HostPlan(plans=(made,), steps=made.steps)
    assert with_upgrade(whole, UPGRADE) == HostPlan(
        plans=(with_upgrade(made, UPGRADE),), steps=expected
    )


def test_a_plan_that_does_nothing_upgrades_nothing() -> None:
    assert with_upgrade(Plan(name="web01"), UPGRADE) == Plan(name="web01")


def test_a_plan_is_as_it_was_where_no_upgrade_is_needed() -> None:
    made = Plan(name="web01", steps=(step("web01"),))
    assert with_upgrade(made, None) == made


def test_the_upgrade_is_told_in_words_and_costs_nothing() -> None:
    assert explain_step(FIRST) == (
        "upgrade the registry from schema 2 to 3, and keep a copy of it because it was written by"
        " an older geats (impact: none)"
    )
    assert FIRST.impact is Impact.NONE


def test_nothing_is_done_beside_an_upgrade() -> None:
    steps = ordered(Step(vm="web01", action=x, reason="so") for x in (UPGRADE, DEFINE, Freeze()))
    assert [each.needs for each in steps] == [(), (0,), (0,)]


def defined() -> Plan:
    return plan(Goal(name="web01", target=Target.PROVISIONED, spec=SPEC), Observation()).unwrap()


def test_a_plan_with_an_upgrade_is_saved_and_read_again() -> None:
    made = saved(alone(with_upgrade(defined(), UPGRADE)), {})
    assert plan_from_json(to_json(made)).unwrap() == made


def test_a_plan_with_an_upgrade_is_undone_like_any_other() -> None:
    """What it did to the registry stays."""
    back = reverse(defined(), Observation()).unwrap()
    assert reverse(with_upgrade(defined(), UPGRADE), Observation()).unwrap() == back
    assert reverse_host(saved(with_upgrade(alone(defined()), UPGRADE), {})) == reverse_host(
        saved(alone(defined()), {})
    )


def test_snapshots_that_are_taken_first_are_taken_after_the_upgrade() -> None:
    have = follow(defined(), Observation()).unwrap()
    changed = parse_vm("web01", {"template": "debian", "hostname": "other"}).unwrap()
    goal = Goal(name="web01", target=Target.PROVISIONED, spec=changed)
    made = saved(with_upgrade(alone(plan(goal, have).unwrap()), UPGRADE), {"web01": have})
    facts = HostFacts(pools={"default": PoolFacts(snapshots=True)}, upgrade=UPGRADE)
    steps = snapshots_first(made, facts, "before", 7).unwrap().plan.steps
    assert steps[0] == FIRST
    assert all(each.needs for each in steps[1:])
    assert any(isinstance(each.action, SnapshotVolume) for each in steps)


@pytest.mark.parametrize("found", [None, 1, 3])
def test_a_file_of_this_geats_or_an_older_one_is_read(found: object) -> None:
    assert newer(found, 3) == ""


def test_a_file_of_a_newer_geats_says_so() -> None:
    why = "was written by a newer geats (format 4, and this one knows 3)"
    assert newer(4, file_formats.REGISTRY) == why


@pytest.mark.parametrize("found", [0, -1, True, "2", 1.5, [], {}])
def test_a_format_that_never_was_is_none(found: object) -> None:
    assert newer(found, 3) == f"has a format number that geats never used: {found!r}"
