"""``geats rename``: all of a VM under another name, whatever interrupts it."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from returns.result import Success

from geats_core.planning.goal import Goal, Target
from geats_core.vm.observation import Observation
from geats_core.vm.spec import VMSpec
from geats_host.calls import copies, snapshots
from geats_host.cli.main import cli
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.observing import kept_memories, unfinished_renames
from geats_host.planning.plans import plan_vm
from tests.faults import Fault, Killed, Manner, Moment
from tests.memory_host import memory_config, memory_host

MOST_CALLS = 39  # of adapters, while a renaming is applied
LINES = ("lxc.environment = A=1",)
WEB: Mapping[object, object] = {
    "driver": "memory",
    "template": "debian",
    "memory": "512MiB",
    "volumes": [{"name": "root"}, {"name": "data", "mount": "/data", "size": "1GiB"}],
    "nics": [{"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.2/24"]}],
}


def reach(host: Host, name: str, target: Target, spec: VMSpec | None = None) -> None:
    known = spec or host.observe(name).recorded if target is Target.RUNNING else spec
    apply_plan(host, plan_vm(host, Goal(name=name, target=target, spec=known))).unwrap()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return host_with_web01(tmp_path)


def host_with_web01(directory: Path) -> Host:
    """The VM is off, locked, with a snapshot and lines by hand, and not described."""
    host = memory_host(directory, {"vms": {}})
    spec = host.declared("web01", WEB)
    assert spec is not None
    reach(host, "web01", Target.STOPPED, spec)
    apply_plan(host, snapshots.snapshot(host, "web01", "monday")).unwrap()
    host.drivers["memory"].define(spec, {}, LINES)
    reach(host, "web01", Target.LOCKED)
    return host


def under_its_new_name(have: Observation) -> Observation:
    """What *have* is once it is web02."""

    def named(spec: VMSpec | None) -> VMSpec:
        assert spec is not None
        return replace(spec, name="web02", hostname="web02")

    spec = named(have.recorded)
    volumes = tuple(replace(each, guest=None) for each in have.volumes)
    return replace(have, recorded=spec, defined=named(have.defined), volumes=volumes)


def without_guests(have: Observation) -> Observation:
    return replace(have, volumes=tuple(replace(each, guest=None) for each in have.volumes))


def uuids(host: Host) -> Mapping[str, str]:
    """What the driver gave each of its VMs when that was new."""
    driver = host.drivers["memory"]
    assert isinstance(driver, MemoryDriver)
    return driver.uuids


def test_all_of_a_vm_gets_the_new_name(host: Host) -> None:
    before = host.observe("web01")
    assert before.locked
    assert before.by_hand == LINES
    kept_memories.note(host.registry, "web01", "default", "monday", {"firmware.fd": "entries"})
    apply_plan(host, copies.rename(host, "web01", "web02")).unwrap()
    assert host.observe_all().keys() == {"web02"}
    after = host.observe("web02")
    assert without_guests(after) == under_its_new_name(before)
    assert all(each.snapshot("monday") for each in after.volumes)
    assert [*host.registry.notes(kept_memories.KIND)] == ["web02/default/monday"]
    assert [each.guest for each in after.volumes] != [each.guest for each in before.volumes]
    reach(host, "web02", Target.RUNNING)
    assert unfinished_renames.noted(host.registry, {"web01", "web02"}) == {}


def test_its_volumes_are_missed_under_the_new_name_only(host: Host) -> None:
    apply_plan(host, copies.rename(host, "web01", "web02")).unwrap()
    pool = host.pools["default"]
    for volume in list(pool.observe()):
        pool.deactivate(volume)
        pool.set_locked(volume, locked=False)
        pool.destroy(volume)
    seen = host.observe_all()
    assert seen.keys() == {"web02"}
    assert {each.name for each in seen["web02"].missing} == {"root", "data"}


@pytest.mark.parametrize("manner", Manner)
@pytest.mark.parametrize("moment", Moment)
def test_whatever_interrupts_it_the_same_call_finishes_it(
    tmp_path: Path, moment: Moment, manner: Manner
) -> None:
    """And there is one VM at the end, with all that it had; meanwhile nothing can be done to it."""
    for at in range(1, MOST_CALLS):
        host = host_with_web01(tmp_path / f"{at}")
        before, uuid = host.observe("web01"), uuids(host)["web01"]
        fault = Fault(at, moment, manner)
        with suppress(Killed, HostError):
            apply_plan(fault.host(host), copies.rename(host, "web01", "web02"))
        seen = host.observe_all()
        assert_refused_if_renaming(host, seen)
        if "web01" in seen:
            apply_plan(host, copies.rename(host, "web01", "web02")).unwrap()
        assert host.observe_all().keys() == {"web02"}, at
        assert without_guests(host.observe("web02")) == under_its_new_name(before), at
        assert uuids(host) == {"web02": uuid}, at
        reach(host, "web02", Target.RUNNING)


def assert_refused_if_renaming(host: Host, seen: Mapping[str, Observation]) -> None:
    if any(each.renaming for each in seen.values()):
        for name in seen.keys() & {"web01", "web02"}:
            with pytest.raises(Refused, match="geats rename web01 web02"):
                reach(host, name, Target.RUNNING, host.declared(name, WEB))


def test_the_faults_are_enough_to_strike_every_call(host: Host) -> None:
    fault = Fault(10_000, Moment.BEFORE, Manner.FAILS)
    assert isinstance(apply_plan(fault.host(host), copies.rename(host, "web01", "web02")), Success)
    assert MOST_CALLS - 5 < fault.calls < MOST_CALLS


def test_a_volume_that_appears_under_the_new_name_stops_the_plan(host: Host) -> None:
    made = copies.rename(host, "web01", "web02")
    reach(host, "web02", Target.DEFINED, host.declared("web02", {**WEB, "nics": []}))
    with pytest.raises(Refused, match="web02: is new on the host"):
        apply_plan(host, made)
    assert host.observe("web01").recorded is not None


def test_a_description_under_the_new_name_is_compared(tmp_path: Path, host: Host) -> None:
    described = memory_host(tmp_path, {"vms": {"web02": {**WEB, "memory": "1GiB"}}})
    told = copies.rename(described, "web01", "web02").warnings
    assert any("memory changed 512MiB → 1GiB" in each for each in told)
    assert any("nics changed" in each for each in told)  # which have the old MAC address


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vms": {"web01": WEB}}, "the configuration still has this name"),
        ({"vms": {}, "gone": {"web02": "stopped"}}, "web02: the configuration has it under gone"),
    ],
)
def test_the_configuration_must_not_want_otherwise(
    tmp_path: Path, host: Host, change: Mapping[str, object], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        copies.rename(memory_host(tmp_path, change), "web01", "web02")


@pytest.mark.parametrize("name", ["web 2", "-x", "../web", "", None, 3])
def test_a_new_name_is_one_that_a_vm_can_have(host: Host, name: object) -> None:
    with pytest.raises(Refused, match="new_name"):
        copies.rename(host, "web01", name)


def test_a_vm_that_nobody_knows_has_no_other_name(host: Host) -> None:
    with pytest.raises(Refused, match="unknown VM"):
        copies.rename(host, "db01", "db02")


def test_the_command_line_shows_and_does_it(tmp_path: Path, host: Host) -> None:
    file = tmp_path / "geats.yaml"
    file.write_text(json.dumps({"geats": {**memory_config(tmp_path), "vms": {}}}))
    run = CliRunner().invoke
    shown = run(cli, ["--config", str(file), "rename", "web01", "web02", "--dry-run"])
    assert "rename web01 to web02" in shown.output
    assert host.observe_all().keys() == {"web01"}
    done = run(cli, ["--config", str(file), "--json", "rename", "web01", "web02"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert "rename web01 to web02" in str(report["vms"]["web01"])
    assert host.observe_all().keys() == {"web02"}
    again = run(cli, ["--config", str(file), "rename", "web01", "web02"])
    assert again.exit_code == 0
    assert "nothing to do" in again.output
    other = run(cli, ["--config", str(file), "rename", "web01", "web03"])
    assert other.exit_code == 2


def test_a_name_that_ended_otherwise_is_unknown(tmp_path: Path, host: Host) -> None:
    """That there is a VM of the new name says nothing of who it was."""
    apply_plan(host, copies.rename(host, "web01", "web02")).unwrap()
    assert copies.rename(host, "web01", "web02").plan.is_empty
    described = memory_host(tmp_path, {"vms": {"web01": WEB}})
    with pytest.raises(Refused, match="web01: is not defined"):
        copies.rename(described, "web01", "web02")
    for target in (Target.DEFINED, Target.UNDEFINED):
        reach(host, "web01", target, host.declared("web01", {**WEB, "nics": []}))
    with pytest.raises(Refused, match="unknown VM"):
        copies.rename(host, "web01", "web02")
