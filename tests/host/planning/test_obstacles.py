"""What is in the way of taking a VM away is a refusal of the plan, before anything is destroyed."""

from abc import ABCMeta
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.vm.observation import Stage
from geats_host.calls import copies, lifecycle, repair
from geats_host.drivers.abilities import ForeseeingDriver, RenamingDriver
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.storage import ForeseeingPool, VolumeId
from geats_host.storage.memory import MemoryPool
from tests.memory_host import memory_host

STRAY = "/lxc/web01 contains what geats did not make: notes.txt"


def stray(driver: MemoryDriver, name: str) -> str:
    return STRAY if name == "web01" else ""


def used(pool: MemoryPool, volume: VolumeId) -> str:
    return "it is in use by /dev/loop3" if volume.vm == "web01" else ""


@pytest.fixture(autouse=True)
def _unlearnt() -> Iterator[None]:
    """What Python has remembered of classes that were given a method here is forgotten."""
    yield
    for protocol in (ForeseeingDriver, RenamingDriver, ForeseeingPool):
        ABCMeta._abc_caches_clear(protocol)  # type: ignore[attr-defined]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = memory_host(tmp_path)
    for name in ("web01", "db01"):
        apply_plan(made, lifecycle.plan_to(made, name)).unwrap()
    return made


def volumes(host: Host) -> dict[VolumeId, Stage]:
    return {volume: seen.stage for volume, seen in host.pools["default"].observe().items()}


def test_a_stray_file_is_known_before_the_volumes_are_destroyed(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = lifecycle.plan_to(host, "web01", "deprovisioned")
    monkeypatch.setattr(MemoryDriver, "cannot_undefine", stray, raising=False)
    before = volumes(host)
    for refuse in (
        lambda: lifecycle.plan_to(host, "web01", "deprovisioned"),
        lambda: lifecycle.plan_to(host, "web01", "undefined"),
        lambda: apply_plan(host, planned),  # it came in between
    ):
        with pytest.raises(Refused) as refused:
            refuse()
        assert refused.value.problems == (f"web01: cannot be undefined: {STRAY}",)
    assert volumes(host) == before
    assert host.observe("web01").recorded is not None
    lifecycle.plan_to(host, "web01", "off")
    apply_plan(host, lifecycle.plan_to(host, "db01", "deprovisioned")).unwrap()


def test_what_a_driver_cannot_rename_is_known_before_a_volume_has_the_new_name(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_plan(host, lifecycle.plan_to(host, "web01", "off")).unwrap()
    without = replace(host, config=replace(host.config, vms={}))
    for method in ("cannot_rename", "cannot_undefine"):
        with monkeypatch.context() as patched:
            patched.setattr(MemoryDriver, method, stray, raising=False)
            with pytest.raises(Refused) as refused:
                copies.rename(without, "web01", "web02")
        assert refused.value.problems == (f"web01: cannot be renamed: {STRAY}",)


def test_what_uses_a_volume_is_known_once_the_vm_is_off(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryPool, "cannot_destroy", used, raising=False)
    lifecycle.plan_to(host, "web01", "deprovisioned")  # it may be the VM itself
    apply_plan(host, lifecycle.plan_to(host, "web01", "off")).unwrap()
    why = "web01.volumes[root]: cannot be destroyed: it is in use by /dev/loop3"
    for target in ("deprovisioned", "reinitialised"):
        with pytest.raises(Refused) as refused:
            lifecycle.plan_to(host, "web01", target)
        assert refused.value.problems == (why,)


def test_another_operation_that_has_not_ended_is_told_beside_what_is_in_the_way(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_plan(host, lifecycle.plan_to(host, "web01", "off")).unwrap()
    monkeypatch.setattr(MemoryPool, "cannot_destroy", used, raising=False)
    monkeypatch.setattr(type(host.locks), "at_work", lambda *_: "process 7")
    with pytest.raises(Refused) as refused:
        lifecycle.plan_to(host, "web01", "deprovisioned")
    why, who = refused.value.problems
    assert "in use by /dev/loop3" in why
    assert who == (
        "web01: another operation (process 7) works on it now: plan again when that has ended"
    )


def test_of_a_whole_host_only_the_vm_that_is_in_use_stays(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("web01", "db01"):
        apply_plan(host, lifecycle.plan_to(host, name, "off")).unwrap()
        host.pools["default"].destroy(VolumeId(name, "root"))
        host.registry.forget_note("volume", f"{name}/default/root")
        host.pools["default"].allocate(VolumeId(name, "root"), None)
    monkeypatch.setattr(MemoryPool, "cannot_destroy", used, raising=False)
    made = repair.plan(host)
    assert [each.name for each in made.plan.plans] == ["db01"]
    assert made.warnings == (
        "web01.volumes[root]: cannot be destroyed: it is in use by /dev/loop3",
    )


def test_a_driver_that_fails_to_look_keeps_nobody_from_anything(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(driver: MemoryDriver, name: str) -> str:
        raise HostError("its disk is gone")

    monkeypatch.setattr(MemoryDriver, "cannot_undefine", fail, raising=False)
    assert not lifecycle.plan_to(host, "web01", "deprovisioned").plan.is_empty
