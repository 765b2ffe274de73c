"""A guest that UEFI boots from its own disk, emulated by QEMU: ``script/test --vm``."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from geats_core.planning.goal import DataLoss, Goal, Target
from geats_core.requests.guest_requests import Command
from geats_host.calls import copies
from geats_host.drivers.libvirt.driver import LibvirtDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from geats_host.planning.goals import goal_by_name
from geats_host.planning.plans import plan_vm
from tests.real.machines import agent_guest
from tests.real.machines.libvirt_daemon import a_daemon

NAME, COPY = "geats-test-uefi", "geats-test-uefi-copy"
DEFAULT_GUEST = "/var/cache/geats-test/uefi-guest.raw"
BOOTS_WITHIN_S = 900


@pytest.fixture(autouse=True)
def daemon(tmp_path: Path) -> Iterator[None]:
    with a_daemon(tmp_path):
        yield
        for name in (NAME, COPY):
            subprocess.run(["virsh", "destroy", name], capture_output=True, check=False)


def host_of(folder: Path) -> Host:
    image = Path(os.environ.get("GEATS_TEST_UEFI_GUEST", DEFAULT_GUEST))
    if not image.exists():
        raise FileNotFoundError(f"{image}: script/uefi-guest makes it")
    vm = {
        **{"driver": "qemu", "template": "image", "memory": "256MiB"},
        "volumes": [{"name": "root", "size": "40MiB"}],
        "hardware": {"firmware": "uefi"},
    }
    return Host.from_config(
        {
            **{"state_dir": f"{folder}/state", "run_dir": f"{folder}/run"},
            "drivers": {"qemu": {}},
            "pools": {"default": {"type": "sparsefile", "path": f"{folder}/pool"}},
            "templates": {"image": {"disk": {"path": f"{image}", "format": "raw"}}},
            "vms": {NAME: vm, COPY: vm},
        }
    )


def to(host: Host, name: str, target: Target) -> None:
    goal, have = Goal(name="", target=target, data_loss=DataLoss.ALLOWED), host.observe(name)
    wanted = goal_by_name(goal, name, host.config, {name: have})
    apply_plan(host, plan_vm(host, wanted, have)).unwrap()


def test_a_guest_boots_by_uefi_from_its_disk_and_its_clone_does_too(tmp_path: Path) -> None:
    host = host_of(tmp_path)
    driver = host.drivers["qemu"]
    assert isinstance(driver, LibvirtDriver)
    to(host, NAME, Target.RUNNING)
    asked = Command(argv=("cat", "/sys/firmware/efi/fw_platform_size"))
    for name in (NAME, COPY):
        agent_guest.wait_for_agent(driver, name, BOOTS_WITHIN_S)
        assert driver.exec(name, asked).stdout == b"64\n"
        to(host, name, Target.STOPPED)
        if name == NAME:
            copies.apply_copy(host, copies.clone(host, NAME, COPY)).unwrap()
            assert driver.remembered(COPY) == driver.remembered(NAME) != {}
            to(host, COPY, Target.RUNNING)
