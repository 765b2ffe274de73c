"""A registry that is lost while VMs are there: locks stay, and a plan records all of it again."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from returns.result import Success

from geats_core.planning.actions import Define, Lock, Unlock
from geats_core.planning.goal import Goal, Target
from geats_core.vm.observation import Observation, Power
from geats_host.calls import lifecycle
from geats_host.calls.registry.registry_health import troubles
from geats_host.cli.main import cli
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.planning.goals import Wishes
from geats_host.planning.plans import plan_boot, plan_halt, plan_rebuild, plan_wishes
from geats_host.storage import VolumeId
from tests.memory_host import memory_config, memory_host
from tests.problems import in_words

SQLITE = {"registry": "sqlite"}
DIFFERS = "differs from drivers or volumes in the locks of db01"
LOST = "its driver has it, but the registry does not: the registry may have lost it"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host on which web01 and db01 run, and db01 is locked."""
    made = memory_host(tmp_path, SQLITE)
    for name in ("web01", "db01"):
        apply_plan(made, lifecycle.plan_to(made, name, "running")).unwrap()
    apply_plan(made, lifecycle.plan_verb(made, "lock", "db01")).unwrap()
    return made


@pytest.fixture
def before(host: Host, tmp_path: Path) -> Mapping[str, Observation]:
    """What was there before the registry of that host was lost."""
    seen = host.observe_all()
    lose(tmp_path)
    return seen


def lose(directory: Path) -> None:
    for part in (directory / "state").glob("registry.sqlite*"):
        part.unlink()


def raw(directory: Path, **change: object) -> dict[str, object]:
    return {**memory_config(directory), **SQLITE, **change}


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize("verb", ["undefine", "deprovision", "reinit"])
def test_a_vm_that_was_locked_is_kept_though_the_registry_is_lost(host: Host, verb: str) -> None:
    with pytest.raises(Refused, match="is locked"):
        lifecycle.plan_verb(host, verb, "db01")


def test_a_lock_is_lifted_where_it_is_kept_in_one_place_only(host: Host, tmp_path: Path) -> None:
    lose(tmp_path)
    assert host.observe("db01").half_locked
    apply_plan(host, lifecycle.plan_verb(host, "unlock", "db01")).unwrap()
    assert (host.observe("db01").locked, host.observe("db01").half_locked) == (False, False)
    host.registry.set_locked("db01", locked=True)
    assert (host.observe("db01").locked, host.observe("db01").half_locked) == (True, True)
    apply_plan(host, lifecycle.plan_verb(host, "unlock", "db01")).unwrap()
    assert (host.observe("db01").locked, host.observe("db01").half_locked) == (False, False)


def test_a_vm_that_was_locked_without_a_mark_gets_it_by_lock(host: Host, tmp_path: Path) -> None:
    whole = host.observe("db01")
    host.drivers["memory"].set_locked("db01", locked=False)
    assert troubles(raw(tmp_path))[0].found == DIFFERS
    planned = lifecycle.plan_verb(host, "lock", "db01")
    assert [step.action for step in planned.plan.steps] == [Lock()]
    apply_plan(host, planned).unwrap()
    assert host.observe("db01") == whole
    assert lifecycle.plan_verb(host, "lock", "db01").plan.is_empty
    assert troubles(raw(tmp_path)) == ()


def test_a_vm_stays_locked_while_one_of_its_volumes_says_so(host: Host, tmp_path: Path) -> None:
    whole = host.observe("db01")
    lose(tmp_path)
    host.drivers["memory"].set_locked("db01", locked=False)
    assert (host.observe("db01").locked, host.observe("db01").half_locked) == (True, True)
    with pytest.raises(Refused, match="is locked"):
        lifecycle.plan_verb(host, "deprovision", "db01")
    apply_plan(host, plan_rebuild(host)).unwrap()
    assert host.observe("db01") == whole
    apply_plan(host, lifecycle.plan_verb(host, "unlock", "db01")).unwrap()
    assert not any(each.locked for each in host.pools["default"].observe().values())


def test_the_volumes_of_a_vm_without_registry_and_driver_stay_locked(
    host: Host, tmp_path: Path
) -> None:
    lose(tmp_path)
    apply_plan(host, lifecycle.plan_verb(host, "stop", "db01")).unwrap()
    host.drivers["memory"].undefine("db01")
    for verb in ("undefine", "deprovision"):
        with pytest.raises(Refused, match="is locked"):
            lifecycle.plan_verb(host, verb, "db01")
    apply_plan(host, lifecycle.plan_verb(host, "unlock", "db01")).unwrap()
    apply_plan(host, lifecycle.plan_verb(host, "deprovision", "db01")).unwrap()
    assert set(host.observe_all()) == {"web01"}


def test_a_volume_that_a_locked_vm_gets_is_marked_as_well(host: Host, tmp_path: Path) -> None:
    volumes = [{"name": "root"}, {"name": "data", "mount": "/data"}]
    described = {"profile": "small", "volumes": volumes}
    more = Host.from_config(raw(tmp_path, vms={"db01": described}))
    apply_plan(more, lifecycle.plan_to(more, "db01", "running")).unwrap()
    found = more.pools["default"].observe()
    assert {str(at): seen.locked for at, seen in found.items()} == {
        "web01/root": False,
        "db01/root": True,
        "db01/data": True,
    }
    assert not more.observe("db01").half_locked


TARGETS = ("running", "defined", "declared")


def test_a_volume_that_lost_its_mark_gets_it_by_the_plan_of_its_vm(host: Host) -> None:
    """As after a kill between a new volume and its mark."""
    whole = host.observe("db01")
    host.pools["default"].set_locked(VolumeId("db01", "root"), locked=False)
    assert host.observe("db01").half_locked
    planned = {target: lifecycle.plan_to(host, "db01", target) for target in TARGETS}
    for each in planned.values():
        assert [step.action for step in each.plan.steps] == [Lock()]
    apply_plan(host, planned["running"]).unwrap()
    assert host.observe("db01") == whole
    assert lifecycle.plan_to(host, "db01", "running").plan.is_empty


def test_a_volume_that_lost_its_mark_gets_it_by_lock(host: Host, tmp_path: Path) -> None:
    host.pools["default"].set_locked(VolumeId("db01", "root"), locked=False)
    assert troubles(raw(tmp_path))[0].found == DIFFERS
    apply_plan(host, lifecycle.plan_verb(host, "lock", "db01")).unwrap()
    assert troubles(raw(tmp_path)) == ()


def test_each_vm_that_is_declared_is_recorded_again_with_its_lock(
    host: Host, before: Mapping[str, Observation]
) -> None:
    made = plan_wishes(host, Wishes(Goal(name="", target=Target.RUNNING)))
    assert {step.vm: step.reason for step in made.plan.steps} == {"web01": LOST, "db01": LOST}
    apply_plan(host, made).unwrap()
    assert host.observe_all() == before
    assert host.registry.locked() == {"db01"}


@pytest.mark.usefixtures("before")
def test_no_vm_is_stopped_as_a_stray_because_the_registry_is_lost(
    host: Host, tmp_path: Path
) -> None:
    policy = {"strays": "stop", "at_most": 9}
    for vms in ({}, {"web01": {"profile": "small"}}):
        less = Host.from_config(raw(tmp_path, vms=vms, policy=policy))
        made = plan_wishes(less, Wishes(Goal(name="", target=Target.RUNNING)))
        assert {step.vm for step in made.plan.steps} <= vms.keys()
        left = {stray.name for stray in made.plan.strays if stray.left_alone}
        assert left == {"web01", "db01"} - vms.keys()
    assert all(have.power is Power.RUNNING for have in host.observe_all().values())


def test_a_host_starts_and_ends_with_what_the_registry_lost(host: Host, tmp_path: Path) -> None:
    described = {"profile": "small", "autostart": True}
    more = Host.from_config(raw(tmp_path, vms={"db01": described}))
    apply_plan(more, lifecycle.plan_to(more, "db01", "running")).unwrap()
    lose(tmp_path)
    apply_plan(host, plan_halt(host)).unwrap()
    assert all(have.power is Power.STOPPED for have in host.observe_all().values())
    started, lost = plan_boot(host), host.observe("db01").defined
    assert lost is not None
    assert started.plan.steps[0].action == Define(lost)
    apply_plan(host, started).unwrap()
    assert host.observe("db01").power is Power.RUNNING
    assert host.observe("db01").recorded == host.observe("db01").defined


def test_the_command_line_shows_what_is_recorded_again_and_records_it(
    host: Host, before: Mapping[str, Observation], tmp_path: Path
) -> None:
    config = tmp_path / "geats.json"
    config.write_text(json.dumps({"geats": raw(tmp_path, vms={})}))
    command = ["--config", f"{config}", "registry", "rebuild"]
    shown = CliRunner().invoke(cli, [*command, "--dry-run"])
    assert shown.exit_code == 0
    assert [line.split()[:3] for line in shown.output.splitlines() if "define" in line] == [
        ["1.", "define", "db01"],
        ["2.", "define", "web01"],
    ]
    assert host.registry.definitions() == {}
    assert CliRunner().invoke(cli, command).exit_code == 0
    assert host.observe_all() == before
    assert [entry.action for entry in host.journal("web01")] == ["define web01", "define web01"]
    assert plan_rebuild(host).plan.is_empty
    assert troubles(raw(tmp_path)) == ()


def test_one_that_cannot_be_recorded_again_keeps_no_other_from_it(
    host: Host, before: Mapping[str, Observation], tmp_path: Path
) -> None:
    db01 = before["db01"].recorded
    assert db01 is not None
    host.registry.record(db01)
    assert troubles(raw(tmp_path))[0].found == "has lost the definitions of web01"
    poor = Host.from_config(raw(tmp_path, templates={}))
    made = plan_rebuild(poor)
    assert [(step.vm, step.action) for step in made.plan.steps] == [("db01", Lock())]
    why = ["web01.template: unknown template 'debian' (there is none)"]
    assert in_words(made.refused) == {"web01": why}


def test_a_lock_of_a_vm_whose_driver_is_away_is_marked_later(host: Host, tmp_path: Path) -> None:
    away = Host.from_config(raw(tmp_path, drivers={"memory": {"loud": True}}))
    apply_plan(away, lifecycle.plan_verb(away, "lock", "web01")).unwrap()
    assert away.observe("web01").locked
    assert host.observe("web01").half_locked
    made = plan_rebuild(host)
    assert apply_plan(host, made) == Success(made.plan.steps)
    assert not host.observe("web01").half_locked
    planned = lifecycle.plan_verb(away, "unlock", "web01")
    assert [step.action for step in planned.plan.steps] == [Unlock()]
    assert "unknown key 'loud'" in apply_plan(away, planned).failure().failed[0].error
    assert host.observe("web01").locked
