"""Guests of disks that are new: what their driver forgets for a moment is not lost."""

from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.vm.spec import VMSpec
from geats_host.calls import lifecycle
from geats_host.drivers import Place
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError
from geats_host.host import Host
from tests.host.templates.disks import qcow2_disk
from tests.memory_host import memory_config

LINES = ("<devices><sound/></devices>",)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    qcow2_disk(tmp_path / "image")
    disks = {"template": "image", "volumes": [{"name": "root", "size": "24MiB"}]}
    return Host.from_config(
        {
            **memory_config(tmp_path),
            "pools": {"default": {"type": "sparsefile", "path": f"{tmp_path}/volumes"}},
            "drivers": {"memory": {"roots": "disk"}},
            "templates": {"image": {"disk": {"path": f"{tmp_path}/image", "format": "qcow2"}}},
            "profiles": {"small": {"driver": "memory"}},
            "vms": {"web01": {"profile": "small", **disks}},
        }
    )


def driver_of(host: Host) -> MemoryDriver:
    driver = host.drivers["memory"]
    assert isinstance(driver, MemoryDriver)
    return driver


def test_lines_by_hand_survive_a_new_guest_however_that_ends(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_plan(host, lifecycle.plan_to(host, "web01", "stopped")).unwrap()
    vms = driver_of(host).vms
    vms["web01"] = replace(vms["web01"], by_hand=LINES)

    def cut(driver: MemoryDriver, spec: VMSpec, place: Place, *, new: bool) -> None:
        del driver.vms[spec.name]  # as libvirt does, until it is defined again
        raise HostError("cut")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryDriver, "configure_guest", cut)
        applied = apply_plan(host, lifecycle.plan_to(host, "web01", "reinitialised"))
        assert "cut" in str(applied.failure())
    assert host.observe("web01").by_hand == LINES
    apply_plan(host, lifecycle.plan_to(host, "web01", "stopped")).unwrap()
    assert vms["web01"].by_hand == LINES
    apply_plan(host, lifecycle.plan_to(host, "web01", "reinitialised")).unwrap()
    assert (vms["web01"].by_hand, host.registry.notes("by hand")) == (LINES, {})
