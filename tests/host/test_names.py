"""Names as fleets have them, and one in the configuration that no VM can have."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from geats_core.planning.goal import Goal, Target
from geats_core.vm.observation import Power
from geats_host.calls import copies, exports, lifecycle, reports, snapshots
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.planning.goals import Wishes
from geats_host.planning.plans import plan_boot, plan_halt, plan_wishes
from tests.core.hosts import VM_RULE
from tests.memory_host import memory_config

FLEET = ("web01.example.com", "db_1", "Web02")
ALL = Wishes(Goal(name="", target=Target.RUNNING))


def host_with(tmp_path: Path, vms: Mapping[object, object]) -> Host:
    return Host.from_config({**memory_config(tmp_path), "registry": "sqlite", "vms": vms})


@pytest.mark.parametrize("name", FLEET)
def test_a_vm_of_such_a_name_lives_and_goes_as_any_other(tmp_path: Path, name: str) -> None:
    host = host_with(tmp_path, {each: {"profile": "small"} for each in FLEET})
    apply_plan(host, plan_wishes(host, ALL)).unwrap()
    assert {row["power"] for row in reports.list_report(host).values()} == {"running"}
    assert set(reports.list_report(host, {"vms": [name]})) == {name}
    for verb in ("reboot", "freeze", "unfreeze", "lock", "unlock", "shutdown"):
        apply_plan(host, lifecycle.plan_verb(host, verb, name)).unwrap()
    apply_plan(host, snapshots.snapshot(host, name, "s")).unwrap()
    exporting = copies.export(host, name)
    copies.apply_export(host, exporting).unwrap()
    assert exporting.path.name.startswith(f"{name}-")
    copies.apply_copy(host, copies.clone(host, name, f"{name}-2")).unwrap()
    with pytest.raises(Refused, match=f"the name in DNS, .*, is also that of {name}.name"):
        copies.clone(host, name, name.swapcase())
    apply_plan(host, lifecycle.plan_verb(host, "deprovision", name)).unwrap()
    assert set(host.observe_all()) == {*FLEET, f"{name}-2"} - {name}
    assert [entry.action for entry in host.journal(name)][-1] == f"undefine {name}"
    rows = exports.pruned(host, {"last": 1}, dry_run=True)
    assert [(row["vm"], row["action"]) for row in rows] == [(name, "keep")]


def test_a_name_that_is_none_is_the_problem_of_that_vm_alone(tmp_path: Path) -> None:
    bad = {"db 1": {"profile": "small"}, 7: None, "-x": {"after": ["web01"]}}
    host = host_with(tmp_path, {"web01": {"profile": "small"}, **bad})
    assert set(reports.list_report(host)) == {"web01"}
    made = plan_wishes(host, ALL)
    assert made.refused == {
        "db 1": (f"geats.vms.db 1: must be {VM_RULE}, got 'db 1'",),
        "7": ("geats.vms.7: must be text, got 7: write '7'",),
        "-x": (f"geats.vms.-x: must be {VM_RULE}, got '-x'",),
    }
    apply_plan(host, made).unwrap()
    assert host.observe("web01").power is Power.RUNNING
    assert lifecycle.plan_verb(host, "start", "web01").plan.is_empty
    apply_plan(host, plan_halt(host)).unwrap()
    apply_plan(host, plan_boot(host)).unwrap()
    with pytest.raises(Refused, match="name: must be 1 to 63"):
        lifecycle.plan_verb(host, "start", "db 1")
    for told in (lifecycle.validate({**memory_config(tmp_path), "vms": bad}, None), made.refused):
        assert sum("vms." in each for found in told.values() for each in found) == len(bad)


def test_a_name_too_much_like_another_is_refused_with_both_and_the_other_goes_on(
    tmp_path: Path,
) -> None:
    host = host_with(tmp_path, {name: {"profile": "small"} for name in ("db-1", "db_1", "web")})
    made = plan_wishes(host, ALL)
    why = "db_1.name: the name in DNS, db-1, is also that of db-1.name"
    assert made.refused == {"db_1": (why,)}
    assert {plan.name for plan in made.plan.plans} == {"db-1", "web"}
