"""What is to start with the host and cannot is told, for every reason that there is."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.vm.observation import Power
from geats_host.calls import lifecycle
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from geats_host.planning.plans import plan_boot, plan_halt
from tests.memory_host import memory_config
from tests.problems import in_words

Raw = dict[str, object]
AUTO: Raw = {"profile": "small", "autostart": True}
NIC = {"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.9/24"]}


def pool(directory: Path, name: str) -> Raw:
    return {"type": "memory", "path": str(directory / name)}


def before(directory: Path, bad: Mapping[str, object]) -> Raw:
    """A host with a good VM, and one that is about to be a bad one."""
    return {
        **memory_config(directory),
        "registry": "sqlite",
        "pools": {name: pool(directory, name) for name in ("default", "fast")},
        "templates": {name: {"path": "/nowhere/x.tar"} for name in ("debian", "old")},
        "vms": {
            "good": {**AUTO, "autostart": {"priority": 1}, "nics": [NIC]},
            "bad": {**AUTO, **bad},
        },
    }


def without_disk(directory: Path) -> Raw:
    place = str(directory / "disk")
    fast = {"type": "directory", "path": f"{place}/pool", "mount_point": place}
    return {"pools": {"default": pool(directory, "default"), "fast": fast}}


def moved_pool(directory: Path) -> Raw:
    return {"pools": {"default": pool(directory, "default"), "fast": pool(directory, "empty")}}


def without_pool(directory: Path) -> Raw:
    return {"pools": {"default": pool(directory, "default")}}


def wrong_pool(directory: Path) -> Raw:
    return {"pools": {"default": pool(directory, "default"), "fast": {"type": "memory", "path": 1}}}


def without_template(_: Path) -> Raw:
    return {"templates": {"debian": {"path": "/nowhere/x.tar"}}}


def nothing(_: Path) -> Raw:
    return {}


FAST: Raw = {"volumes": [{"name": "root", "pool": "fast"}]}
KINDS: Mapping[str, tuple[Raw, Callable[[Path], Raw], str]] = {
    "its pool is not mounted": (FAST, without_disk, "bad.volumes[root].pool: the pool 'fast' is n"),
    "its pool is wrong": (FAST, wrong_pool, "bad.volumes[root].pool: the pool 'fast' is not avai"),
    "its pool is no more": (FAST, without_pool, "bad.volumes[root].pool: unknown pool 'fast'"),
    "its root is gone": (FAST, moved_pool, "bad.volumes[root]: was in pool fast"),
    "its template": ({"template": "old"}, without_template, "bad.template: unknown template 'old'"),
    "its memory": ({"memory": "1PiB"}, nothing, "memory: bad (1PiB)"),
    "its address": ({"nics": [NIC]}, nothing, "bad.nics[eth0].addresses: the address 10.0.0.9"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_cannot_start_is_told_and_all_others_start(tmp_path: Path, kind: str) -> None:
    bad, change, said = KINDS[kind]
    there = Host.from_config(before(tmp_path, FAST))
    apply_plan(there, lifecycle.plan_verb(there, "provision", "good")).unwrap()
    if bad is FAST:
        apply_plan(there, lifecycle.plan_verb(there, "provision", "bad")).unwrap()
    spec = Host.from_config(before(tmp_path, bad)).declared("bad")
    assert spec is not None
    there.registry.record(spec)
    host = Host.from_config({**before(tmp_path, bad), **change(tmp_path)})
    made = plan_boot(host)
    assert {name: str(why[0])[: len(said)] for name, why in made.refused.items()} == {"bad": said}
    apply_plan(host, made).unwrap()
    assert host.observe("good").power is Power.RUNNING
    assert list(plan_boot(host).refused) == ["bad"]


def test_one_whose_driver_is_not_available_is_told_at_boot_and_at_halt(tmp_path: Path) -> None:
    there = Host.from_config(before(tmp_path, {}))
    apply_plan(there, lifecycle.plan_verb(there, "start", "good")).unwrap()
    host = Host.from_config({**before(tmp_path, {}), "drivers": {"memory": {"loud": True}}})
    for made in (plan_boot(host), plan_halt(host)):
        (why,) = made.refused["good"]
        assert str(why).startswith("good.driver: the driver 'memory' is not available: ")
        assert made.plan.is_empty


def test_one_that_is_stuck_is_told_at_boot_and_powered_off_with_the_host(tmp_path: Path) -> None:
    host = Host.from_config(before(tmp_path, {}))
    apply_plan(host, lifecycle.plan_verb(host, "start", "good")).unwrap()
    driver = host.drivers["memory"]
    assert isinstance(driver, MemoryDriver)
    driver.vms["good"] = replace(driver.vms["good"], power=Power.STUCK)
    made = plan_boot(host)
    assert in_words(made.refused) == {
        "good": ["good.restart: its monitor is stuck, and repairing it would restart the VM"]
    }
    assert made.plan.is_empty
    apply_plan(host, plan_halt(host)).unwrap()
    assert host.observe("good").power is Power.STOPPED
