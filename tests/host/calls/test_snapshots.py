"""Snapshots on a host in memory: what is asked for, what fails on the way, and what is left."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner
from returns.result import Failure, Success

from geats_core.jobs.snapshots import name_at
from geats_core.planning.actions import DeleteSnapshot
from geats_core.planning.goal import DataLoss, Goal, Target
from geats_core.vm.observation import Power, Renaming
from geats_host.calls import lifecycle, snapshots
from geats_host.cli.main import cli
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.observing import kept_memories, unfinished_renames
from geats_host.planning.plans import plan_vm
from geats_host.plugins.opened import Opened
from geats_host.storage import VolumeId
from geats_host.storage.memory import MemoryPool
from tests.memory_host import memory_config, memory_host

VOLUMES = [
    {"name": "root", "pool": "default"},
    {"name": "data", "pool": "default", "mount": "/data"},
]
WEB = {"profile": "small", "volumes": VOLUMES}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host on which web01 runs, with two volumes."""
    host = memory_host(tmp_path, {"vms": {"web01": WEB}})
    apply_plan(host, lifecycle.plan_to(host, "web01")).unwrap()
    return host


def taken(host: Host, name: str = "monday") -> None:
    apply_plan(host, snapshots.snapshot(host, "web01", name)).unwrap()


def test_a_snapshot_is_taken_listed_gone_back_to_and_given_up(host: Host) -> None:
    taken(host)
    (listed,) = snapshots.listed(host, "web01")
    assert (listed["name"], listed["volumes"], listed["together"]) == (
        "monday",
        ["data", "root"],
        True,
    )
    apply_plan(host, snapshots.restore(host, "web01", "monday", allow_data_loss=True)).unwrap()
    assert host.observe("web01").power is Power.RUNNING
    apply_plan(host, snapshots.delete(host, "web01", "monday")).unwrap()
    assert snapshots.listed(host, "web01") == []


def machine_of(host: Host) -> MemoryDriver:
    driver = host.drivers["memory"]
    assert isinstance(driver, MemoryDriver)
    return driver


def kept(host: Host) -> Mapping[str, str]:
    return host.registry.notes(kept_memories.KIND)


def test_what_the_machine_remembered_comes_back_with_the_root(host: Host) -> None:
    """Also if that is asked for again, or the snapshot is; and it goes with the snapshot."""
    old, new = {"firmware.fd": "old entries", "tpm2": "old keys"}, {"firmware.fd": "new entries"}
    memories = machine_of(host).memories
    memories["web01"] = old
    taken(host)
    memories["web01"] = new
    apply_plan(host, snapshots.snapshot(host, "web01", "monday", present=True)).unwrap()
    taken(host, "tuesday")
    for _ in range(2):
        apply_plan(host, snapshots.restore(host, "web01", "monday", allow_data_loss=True)).unwrap()
        assert memories["web01"] == old
    apply_plan(host, snapshots.restore(host, "web01", "tuesday", allow_data_loss=True)).unwrap()
    assert memories["web01"] == new
    apply_plan(host, snapshots.delete(host, "web01", "monday")).unwrap()
    assert [*kept(host)] == ["web01/default/tuesday"]
    goal = Goal(name="web01", target=Target.DEPROVISIONED, data_loss=DataLoss.ALLOWED)
    apply_plan(host, plan_vm(host, goal)).unwrap()
    assert kept(host) == {}


def test_where_nothing_was_kept_the_machine_remembers_what_it_does_now(host: Host) -> None:
    taken(host)
    assert kept(host) == {}
    machine_of(host).memories["web01"] = {"firmware.fd": "now"}
    for text in ("", "no JSON", "[]"):
        if text:
            host.registry.note(kept_memories.KIND, "web01/default/monday", text)
        apply_plan(host, snapshots.restore(host, "web01", "monday", allow_data_loss=True)).unwrap()
        assert machine_of(host).memories["web01"] == {"firmware.fd": "now"}


def test_without_a_name_it_is_called_after_the_time(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1763881200.5)
    apply_plan(host, snapshots.snapshot(host, "web01")).unwrap()
    (listed,) = snapshots.listed(host, "web01")
    assert (listed["name"], listed["taken"]) == (name_at(1763881200), "2025-11-23T07:00:00+00:00")


def test_a_clock_that_is_set_back_gives_another_name(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1763881200.5)
    for _ in range(3):
        apply_plan(host, snapshots.snapshot(host, "web01")).unwrap()
    names = {each["name"] for each in snapshots.listed(host, "web01")}
    assert names == {f"2025-11-23-070000{number}" for number in ("", "-2", "-3")}


def test_a_name_is_taken_once_unless_it_only_has_to_be_there(host: Host) -> None:
    taken(host)
    with pytest.raises(Refused, match=r"web01\.snapshot: there is a snapshot 'monday' already"):
        snapshots.snapshot(host, "web01", "monday")
    assert snapshots.snapshot(host, "web01", "monday", present=True).plan.is_empty


def test_all_that_is_wrong_with_the_words_is_said_at_once(host: Host) -> None:
    with pytest.raises(Refused) as refused:
        snapshots.restore(host, "web01", "../x", allow_data_loss="yes", partial=1)
    assert [problem.partition(":")[0] for problem in refused.value.problems] == [
        "snapshot",
        "partial",
        "allow_data_loss",
    ]
    with pytest.raises(Refused, match="keep: would keep no snapshot"):
        snapshots.kept(host, "web01", {})
    with pytest.raises(Refused, match=r"keep\.dayly: unknown key 'dayly', did you mean 'daily'"):
        snapshots.kept(host, "web01", {"dayly": 3})
    with pytest.raises(Refused, match="name: unknown VM 'web1', did you mean 'web01'"):
        snapshots.snapshot(host, "web1", "monday")


def test_what_no_rule_keeps_is_given_up_and_the_rest_says_why_it_stays(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(3):
        monkeypatch.setattr("time.time", lambda day=day: 86400 * day)
        taken(host, f"day-{day}")
    rules = {"last": 1, "daily": 2}
    assert [each["kept_by"] for each in snapshots.listed(host, "web01", rules)] == [
        [],
        ["daily 1970-01-02"],
        ["last 1 of 1", "daily 1970-01-03"],
    ]
    planned, retention = snapshots.kept(host, "web01", rules)
    assert snapshots.kept_report(retention) == {
        "kept": {"day-2": ["last 1 of 1", "daily 1970-01-03"], "day-1": ["daily 1970-01-02"]},
        "gone": ["day-0"],
    }
    apply_plan(host, planned).unwrap()
    assert [each["name"] for each in snapshots.listed(host, "web01")] == ["day-1", "day-2"]
    assert snapshots.kept(host, "web01", rules)[0].plan.is_empty


@dataclass(slots=True)
class Breaking(MemoryPool):
    """A pool on which a snapshot of the root volume fails, with this."""

    error: BaseException = field(default_factory=HostError)

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        if volume.volume == "root":
            raise self.error
        MemoryPool.snapshot(self, volume, name, taken_s)


def broken(host: Host, error: BaseException) -> Host:
    pool = host.pools["default"]
    assert isinstance(pool, MemoryPool)
    pools = {"default": Breaking(pool.root, pool.volumes, error=error)}
    return Host(host.config, host.registry, host.drivers, Opened.of("pool", pools))


def test_a_vm_goes_on_where_a_snapshot_fails_and_asking_again_completes_it(host: Host) -> None:
    failing = broken(host, HostError("no space left on device"))
    made = snapshots.snapshot(failing, "web01", "monday")
    applied = apply_plan(failing, made)
    assert isinstance(applied, Failure)
    interrupted = applied.failure()
    assert [type(step.action).__name__ for step in interrupted.done] == [
        "Hold",
        "SnapshotVolume",
        "Unfreeze",
    ]
    assert interrupted.not_tried == ()
    assert host.observe("web01").power is Power.RUNNING

    again = snapshots.snapshot(host, "web01", "monday")
    assert [type(step.action).__name__ for step in again.plan.steps] == [
        "Hold",
        "SnapshotVolume",
        "Unfreeze",
    ]
    assert apply_plan(host, again) == Success(again.plan.steps)


def test_a_vm_goes_on_where_the_call_is_ended_from_outside(host: Host) -> None:
    failing = broken(host, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        apply_plan(failing, snapshots.snapshot(failing, "web01", "monday"))
    assert host.observe("web01").power is Power.RUNNING


def test_what_another_vm_mounts_is_not_rolled_back(tmp_path: Path) -> None:
    data = {**VOLUMES[1], "shared": True}
    web = {"profile": "small", "volumes": [VOLUMES[0], data]}
    mounts = {"other": {"vm": "web01", "volume": "data", "mount": "/other"}}
    mail = {"profile": "small", "shared_volumes": mounts}
    host = memory_host(tmp_path, {"vms": {"web01": web, "mail": mail}})
    apply_plan(host, lifecycle.plan_to(host, "web01")).unwrap()
    taken(host)
    apply_plan(host, lifecycle.plan_to(host, "mail", "defined")).unwrap()
    with pytest.raises(Refused, match="is mounted by mail, and so its data stays as it is"):
        snapshots.restore(host, "web01", "monday", allow_data_loss=True)


OLD, NEWER = "2025-11-23-070000", "2025-11-24-070000"


def test_every_vm_keeps_what_a_rule_or_a_name_of_somebody_keeps(host: Host, tmp_path: Path) -> None:
    for name in (OLD, "before-upgrade", NEWER):
        taken(host, name)
    made = snapshots.pruned(host, {"last": 1})
    assert {step.action for step in made.plan.steps} == {
        DeleteSnapshot("default", volume, OLD) for volume in ("data", "root")
    }
    by_policy = {"vms": {"web01": WEB}, "policy": {"snapshots": {"last": 1}}}
    assert snapshots.pruned(memory_host(tmp_path, by_policy), {}).plan == made.plan
    apply_plan(host, made).unwrap()
    left = {each["name"] for each in snapshots.listed(host, "web01")}
    assert left == {"before-upgrade", NEWER}
    assert snapshots.pruned(host, {"last": 1}).plan.is_empty


def test_a_locked_vm_keeps_all_of_its_snapshots_which_is_no_refusal(host: Host) -> None:
    for name in (OLD, NEWER):
        taken(host, name)
    apply_plan(host, lifecycle.plan_verb(host, "lock", "web01")).unwrap()
    made = snapshots.pruned(host, {"last": 1})
    assert (made.plan.is_empty, made.refused) == (True, {})
    assert made.warnings == (f"web01: is locked, and so keeps its snapshots {OLD}",)
    shown = run("prune-snapshots", "--last", "1", directory=Path(host.config.state_dir).parent)
    assert "is locked" in shown


def test_a_vm_that_cannot_be_relied_on_is_refused_alone(host: Host) -> None:
    for name in (OLD, NEWER):
        taken(host, name)
    unfinished_renames.note(host.registry, Renaming("web01", "web02"))
    made = snapshots.pruned(host, {"last": 1})
    assert made.plan.is_empty
    assert "geats rename web01 web02" in str(made.refused["web01"])


def test_how_many_to_keep_has_to_be_said(host: Host) -> None:
    with pytest.raises(Refused, match=r"policy\.snapshots"):
        snapshots.pruned(host, {})


def test_the_command_says_if_nothing_goes_and_deletes_what_goes(tmp_path: Path, host: Host) -> None:
    for name in (OLD, NEWER):
        taken(host, name)
    assert "Every snapshot is kept." in run("prune-snapshots", "--last", "2", directory=tmp_path)
    run("prune-snapshots", "--last", "1", directory=tmp_path)
    assert [each["name"] for each in snapshots.listed(host, "web01")] == [NEWER]


def run(*words: str, directory: Path) -> str:
    file = directory / "geats.yaml"
    vms = {"vms": {"web01": WEB}}
    file.write_text(json.dumps({"geats": {**memory_config(directory), **vms}}))
    done = CliRunner().invoke(cli, ["--config", str(file), *words])
    assert done.exit_code == 0, done.output
    return done.output
