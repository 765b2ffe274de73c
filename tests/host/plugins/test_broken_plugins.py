"""A plugin of another package that is broken is one problem of that plugin, and of no other VM."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from geats_core.vm.observation import Power
from geats_host.calls import doctor, inventory, lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.examining.findings import Health
from geats_host.host import Host
from tests.memory_host import memory_config
from tests.problems import in_words

Raw = dict[str, object]
METADATA = "Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n"
KINDS = {"drivers": "Driver", "storage": "Pool", "registry": "Registry", "locks": "Locks"}
WAYS = ("unimportable", "absent", "wrong-type", "raising", "exiting", "asked", "answering")
CODE = """
from geats_host.drivers.memory import MemoryDriver
from geats_host.registry.memory import MemoryRegistry
from geats_host.storage.memory import MemoryPool
from tests.problems import in_words

def wrong_type(options, *_):
    return object()

def raising(options, *_):
    raise ValueError("out of luck")

def exiting(options, *_):
    raise SystemExit(3)

class Asked:
    def __getattribute__(self, name):
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        raise ZeroDivisionError("out of luck")

class AskedDriver(Asked, MemoryDriver):
    pass

class AskedPool(Asked, MemoryPool):
    pass

class AnsweringDriver(MemoryDriver):
    def observe(self, only=None):
        return ["web01"]

class AnsweringPool(MemoryPool):
    def observe(self, only=None):
        return {"web01": None}

    offers = "directory"

def asked_drivers(options, state_dir):
    return AskedDriver()

def answering_drivers(options, state_dir):
    return AnsweringDriver()

def asked_storage(options, below):
    return AskedPool("/nowhere")

def answering_storage(options, below):
    return AnsweringPool("/nowhere")
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with a broken plugin of each kind, and in each way."""
    folder = tmp_path / "packages" / "broken-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(METADATA)
    lines = []
    for kind in KINDS:
        own = {"asked": f"asked_{kind}", "answering": f"answering_{kind}"}
        own["wrong-type"] = "wrong_type"
        lines += [f"[geats.{kind}]", "unimportable = broken_parts.no_such_module:open"]
        lines += [
            f"{way} = broken_parts:{own.get(way, way)}" for way in WAYS if way != "unimportable"
        ]
    (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "packages" / "broken_parts.py").write_text(CODE)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "packages")])
    yield
    sys.modules.pop("broken_parts", None)


def config(directory: Path, kind: str, way: str) -> Raw:
    """A sound VM, and another one with a plugin that is broken in that *way*."""
    raw = memory_config(directory)
    raw["drivers"] = {"memory": {}, **({"odd": {"type": way}} if kind == "drivers" else {})}
    there = {"default": {"type": "memory", "path": str(directory / "volumes")}}
    raw["pools"] = {**there, **({"odd": {"type": way}} if kind == "storage" else {})}
    broken: Raw = (
        {"profile": "small", "driver": "odd"} if kind == "drivers" else {"profile": "small"}
    )
    if kind == "storage":
        broken["volumes"] = [{"name": "root", "pool": "odd"}]
    return {**raw, "vms": {"sound": {"profile": "small"}, "broken": broken}}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["drivers", "storage"])
def test_a_broken_driver_or_pool_is_its_own_problem_and_stops_no_other_vm(
    tmp_path: Path, kind: str, way: str
) -> None:
    raw = config(tmp_path, kind, way)
    name = "drivers.odd" if kind == "drivers" else "pools.odd"

    found = in_words(lifecycle.validate(raw))
    assert len(found[lifecycle.CONFIGURATION]) == 1
    assert found["sound"] == []
    assert found["broken"] != []
    told = [each.found for each in doctor.examine(raw) if each.health is Health.PROBLEM]
    assert found[lifecycle.CONFIGURATION][0] in told
    host = Host.from_config(raw)
    apply_plan(host, lifecycle.plan_to(host, "sound")).unwrap()
    assert host.observe("sound").power is Power.RUNNING
    with pytest.raises(Refused, match="odd"):
        lifecycle.plan_to(host, "broken")
    assert list(host.unavailable) == [name]
    assert f"{name}" in f"{inventory.status_report(host)}"
    assert "odd" in inventory.drivers_report(host) or kind == "storage"
    assert "sound" in inventory.list_report(host)


@pytest.mark.parametrize("way", ["unimportable", "absent", "wrong-type", "raising", "exiting"])
def test_broken_locks_are_one_problem(tmp_path: Path, way: str) -> None:
    raw = {**memory_config(tmp_path), "lock": {"type": way}}

    with pytest.raises(HostError) as failed:
        inventory.list_report(Host.from_config(raw))
    assert f"lock {way}: its plugin failed with" in str(failed.value)
    assert in_words(lifecycle.validate(raw))[lifecycle.CONFIGURATION] == [str(failed.value)]
    told = [each.found for each in doctor.examine(raw) if each.health is Health.PROBLEM]
    assert str(failed.value) in told


@pytest.mark.parametrize("way", ["unimportable", "absent", "wrong-type", "raising", "exiting"])
def test_a_broken_registry_is_one_problem(tmp_path: Path, way: str) -> None:
    raw = {**memory_config(tmp_path), "registry": {"type": way}}

    with pytest.raises(HostError) as failed:
        Host.from_config(raw)
    assert f"registry {way}" in str(failed.value)
    assert "\n" not in str(failed.value)
    told = [each for each in doctor.examine(raw) if each.what == "registry"]
    assert [each.health for each in told] == [Health.PROBLEM]
    found = in_words(lifecycle.validate(raw))
    assert any(f"registry {way}" in each for each in found[lifecycle.REGISTRY])
