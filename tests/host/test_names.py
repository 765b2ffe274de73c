"""Names as fleets have them, and one in the configuration that no VM can have."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.hostwide.strays import NO_NAME
from geats_core.planning.action_words import describe
from geats_core.planning.goal import Goal, Target
from geats_core.vm.observation import Power
from geats_host.calls import adopt, copies, exports, inventory, lifecycle, snapshots
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.planning.goals import Wishes
from geats_host.planning.plans import plan_boot, plan_halt, plan_wishes
from tests.core.hosts import VM_RULE
from tests.memory_host import memory_config
from tests.problems import in_words

FLEET = ("web01.example.com", "db_1", "Web02")
ALL = Wishes(Goal(name="", target=Target.RUNNING))


def host_with(tmp_path: Path, vms: Mapping[object, object]) -> Host:
    return Host.from_config({**memory_config(tmp_path), "registry": "sqlite", "vms": vms})


@pytest.mark.parametrize("name", FLEET)
def test_a_vm_of_such_a_name_lives_and_goes_as_any_other(tmp_path: Path, name: str) -> None:
    host = host_with(tmp_path, {each: {"profile": "small"} for each in FLEET})
    apply_plan(host, plan_wishes(host, ALL)).unwrap()
    assert {row["power"] for row in inventory.list_report(host).values()} == {"running"}
    assert set(inventory.list_report(host, {"vms": [name]})) == {name}
    for verb in ("reboot", "freeze", "unfreeze", "lock", "unlock", "shutdown"):
        apply_plan(host, lifecycle.plan_verb(host, verb, name)).unwrap()
    apply_plan(host, snapshots.snapshot(host, name, "s")).unwrap()
    exporting = copies.export(host, name)
    copies.apply_export(host, exporting).unwrap()
    assert copies.archive_of(exporting).name.startswith(f"{name}-")
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
    assert set(inventory.list_report(host)) == {"web01"}
    made = plan_wishes(host, ALL)
    assert in_words(made.refused) == {
        "db 1": [f"geats.vms.db 1: must be {VM_RULE}, got 'db 1'"],
        "7": ["geats.vms.7: must be text, got 7: write '7'"],
        "-x": [f"geats.vms.-x: must be {VM_RULE}, got '-x'"],
    }
    apply_plan(host, made).unwrap()
    assert host.observe("web01").power is Power.RUNNING
    assert lifecycle.plan_verb(host, "start", "web01").plan.is_empty
    apply_plan(host, plan_halt(host)).unwrap()
    apply_plan(host, plan_boot(host)).unwrap()
    with pytest.raises(Refused, match="name: must be 1 to 63"):
        lifecycle.plan_verb(host, "start", "db 1")
    for told in (lifecycle.validate({**memory_config(tmp_path), "vms": bad}, None), made.refused):
        assert sum("vms." in str(each) for found in told.values() for each in found) == len(bad)


def test_a_name_too_much_like_another_is_refused_with_both_and_the_other_goes_on(
    tmp_path: Path,
) -> None:
    host = host_with(tmp_path, {name: {"profile": "small"} for name in ("db-1", "db_1", "web")})
    made = plan_wishes(host, ALL)
    why = "db_1.name: the name in DNS, db-1, is also that of db-1.name"
    assert in_words(made.refused) == {"db_1": [why]}
    assert {plan.name for plan in made.plan.plans} == {"db-1", "web"}


@pytest.fixture
def lxc_host(tmp_path: Path) -> Host:
    """With containers that something else made: one that no VM can be called, and a good name."""
    for name in ("my old box", "web"):
        rootfs = tmp_path / f"lxc/{name}/rootfs"
        (rootfs / "etc").mkdir(parents=True)
        text = f"lxc.rootfs.path = dir:{tmp_path}/lxc/{name}/rootfs\nlxc.uts.name = box\n"
        (rootfs.parent / "config").write_text(text + "lxc.environment = A=1\n")
    return Host.from_config(
        {
            **memory_config(tmp_path),
            "registry": "sqlite",
            "drivers": {"lxc": {"path": f"{tmp_path}/lxc"}},
            "pools": {"default": {"type": "directory", "path": f"{tmp_path}/pool"}},
            "vms": {},
        }
    )


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="adopts trees of root")


def test_a_container_that_no_vm_can_be_called_is_a_stray_that_nothing_acts_on(
    lxc_host: Host,
) -> None:
    rows = inventory.strays_report(lxc_host)
    assert {name: row["problem"] for name, row in rows.items()} == {
        "my old box": NO_NAME,
        "web": None,
    }
    assert "my old box" in inventory.list_report(lxc_host)
    for verb in ("stop", "undefine", "lock", "deprovision"):
        with pytest.raises(Refused, match="name: must be 1 to 63"):
            lifecycle.plan_verb(lxc_host, verb, "my old box")
    with pytest.raises(Refused, match=f"my old box: {NO_NAME}"):
        adopt.adopt(lxc_host, "my old box", template="debian")
    assert plan_halt(lxc_host).plan.is_empty


@needs_root
@pytest.mark.parametrize(("old", "new"), [("my old box", "box_1.example"), ("web", "Web02")])
def test_a_container_is_adopted_under_a_name_that_is_given(
    lxc_host: Host, tmp_path: Path, old: str, new: str
) -> None:
    planned, _ = adopt.adopt(lxc_host, old, template="debian", new_name=new)
    said = [describe(step.action, step.vm) for step in planned.of_vm.steps]
    assert said[-1] == f"adopt {old!r} as {new}: its config is written by geats from now on"
    apply_plan(lxc_host, planned).unwrap()
    have = lxc_host.observe(new)
    assert have.recorded is not None
    assert have.recorded == have.defined
    assert (have.recorded.hostname, have.recorded.program.environment) == ("box", (("A", "1"),))
    assert old not in lxc_host.observe_all()
    assert (tmp_path / f"lxc/{old}/config.before-geats").exists()
    with pytest.raises(Refused, match="unknown container"):
        adopt.adopt(lxc_host, old, template="debian", new_name=new)


@needs_root
def test_an_adoption_under_another_name_is_finished_by_the_same_call(lxc_host: Host) -> None:
    steps = len(
        adopt.adopt(lxc_host, "my old box", template="debian", new_name="box")[0].of_vm.steps
    )
    for cut in range(steps):
        planned, _ = adopt.adopt(lxc_host, "my old box", template="debian", new_name="box")
        made = planned.plan
        some = replace(made, plans=(), steps=made.steps[:1] if cut < steps - 1 else made.steps)
        plans = tuple(replace(each, steps=some.steps) for each in made.plans)
        apply_plan(lxc_host, replace(planned, plan=replace(some, plans=plans))).unwrap()
    assert lxc_host.observe("box").defined
    assert set(lxc_host.observe_all()) == {"box", "web"}


@needs_root
def test_a_name_that_is_taken_is_given_to_no_container(lxc_host: Host) -> None:
    apply_plan(lxc_host, adopt.adopt(lxc_host, "web", template="debian")[0]).unwrap()
    with pytest.raises(Refused, match="web"):
        adopt.adopt(lxc_host, "my old box", template="debian", new_name="web")
