"""What a host remembers of volumes, and what becomes of a VM whose disk is not mounted."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Success

from geats_core.planning.actions import ForgetVolume
from geats_core.planning.goal import Goal, Target
from geats_core.vm.observation import VolumeMissing
from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.observing.known_volumes import KIND, remembered
from geats_host.planning.plans import plan_vm
from geats_host.storage.memory import MemoryPool
from tests.memory_host import memory_config, memory_host

ROOT = VolumeMissing(name="root", pool="default", template="debian")


def provisioned(directory: Path, change: Mapping[str, object] | None = None) -> Host:
    host = memory_host(directory, change)
    apply(host, "stopped")
    return host


def apply(host: Host, target: str, *, allow_data_loss: bool = False) -> None:
    planned = lifecycle.plan_to(host, "web01", target, allow_data_loss=allow_data_loss)
    assert apply_plan(host, planned) == Success(planned.plan.steps)


def pool_of(host: Host) -> MemoryPool:
    pool = host.pools["default"]
    assert isinstance(pool, MemoryPool)
    return pool


def test_what_is_filled_is_remembered_with_its_place(tmp_path: Path) -> None:
    host = provisioned(tmp_path)

    (found,) = remembered(host.registry)["web01"]
    assert found == ROOT
    assert found.place == f"{tmp_path}/volumes/web01/root"


def test_what_is_destroyed_is_forgotten(tmp_path: Path) -> None:
    host = provisioned(tmp_path)
    apply(host, "deprovisioned")

    assert remembered(host.registry) == {}
    assert host.observe("web01").exists is False


def test_a_volume_that_is_not_found_is_no_volume_to_make(tmp_path: Path) -> None:
    host = provisioned(tmp_path)
    there = dict(pool_of(host).volumes)
    pool_of(host).volumes.clear()

    assert host.observe("web01").missing == (ROOT,)
    for target in ("running", "stopped", "provisioned", "reinitialised", "deprovisioned"):
        with pytest.raises(Refused, match=f"at {tmp_path}/volumes/web01/root, installed from"):
            lifecycle.plan_to(host, "web01", target)
    assert pool_of(host).volumes == {}

    pool_of(host).volumes |= there
    assert lifecycle.plan_to(host, "web01", "stopped").plan.is_empty


def test_a_pool_that_leads_elsewhere_is_no_empty_pool(tmp_path: Path) -> None:
    provisioned(tmp_path, {"registry": "sqlite"})
    elsewhere = {"default": {"type": "memory", "path": f"{tmp_path}/elsewhere"}}
    host = memory_host(tmp_path, {"registry": "sqlite", "pools": elsewhere})

    with pytest.raises(Refused, match=f"at {tmp_path}/volumes/web01/root"):
        lifecycle.plan_to(host, "web01", "running")


def test_with_leave_it_is_made_anew_and_remembered_again(tmp_path: Path) -> None:
    host = provisioned(tmp_path)
    pool_of(host).volumes.clear()

    planned = lifecycle.plan_to(host, "web01", "stopped", allow_data_loss=True)
    assert planned.plan.steps[0].action == ForgetVolume("default", "root")
    apply(host, "stopped", allow_data_loss=True)
    assert host.observe("web01").missing == ()
    assert remembered(host.registry)["web01"] == (ROOT,)


def test_an_undefined_vm_whose_disk_is_away_is_not_gone(tmp_path: Path) -> None:
    host = provisioned(tmp_path)
    pool_of(host).volumes.clear()
    apply(host, "undefined")

    assert host.observe_all()["web01"].missing == (ROOT,)
    with pytest.raises(Refused, match="is not found there"):
        lifecycle.plan_to(host, "web01", "running")


def test_a_registry_of_an_older_geats_learns_with_the_next_plan(tmp_path: Path) -> None:
    host = provisioned(tmp_path)
    host.registry.forget_note(KIND, "web01/default/root")
    assert remembered(host.registry) == {}

    apply(host, "running")
    assert remembered(host.registry)["web01"] == (ROOT,)


def test_a_vm_that_is_on_has_a_root_whether_or_not_it_is_remembered(tmp_path: Path) -> None:
    host = provisioned(tmp_path)
    apply(host, "running")
    host.registry.forget_note(KIND, "web01/default/root")
    pool_of(host).volumes.clear()

    assert host.observe("web01").missing == (ROOT,)
    with pytest.raises(Refused, match="is not found there"):
        lifecycle.plan_to(host, "web01", "running")
    apply_plan(host, plan_vm(host, Goal(name="web01", target=Target.OFF)))
    assert host.observe("web01").missing == (ROOT,)  # it was noted before it was powered off


@pytest.mark.parametrize("text", ["", "{}", '{"name": "data", "pool": "default"}', "[1]"])
def test_a_note_that_makes_no_sense_still_says_that_there_was_a_volume(
    tmp_path: Path, text: str
) -> None:
    host = provisioned(tmp_path)
    host.registry.note(KIND, "web01/default/root", text)

    assert remembered(host.registry)["web01"] == (replace(ROOT, template=None),)


def test_a_pool_that_is_no_longer_configured_still_held_the_volume(tmp_path: Path) -> None:
    provisioned(tmp_path, {"registry": "sqlite"})
    config = memory_config(tmp_path)
    config["registry"] = "sqlite"
    config["pools"] = {"other": {"type": "memory", "path": f"{tmp_path}/other"}}
    config["vms"] = {"web01": {"profile": "small", "volumes": [{"name": "root", "pool": "other"}]}}

    with pytest.raises(Refused, match="was in pool default"):
        lifecycle.plan_to(Host.from_config(config), "web01", "running")
