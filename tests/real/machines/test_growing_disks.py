"""Disks of a guest that is on: plugged in, and grown, in each pool that has disks."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from geats_core.hostwide.host_planner import HostPlan
from geats_core.planning.actions import impact_of
from geats_core.planning.costs import Impact
from geats_core.planning.goal import Goal, Target
from geats_core.requests.guest_requests import Command
from geats_host.drivers.libvirt.driver import LibvirtDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from geats_host.planning.goals import goal_by_name
from geats_host.planning.plans import plan_vm
from tests.real.machines import agent_guest
from tests.real.machines.libvirt_daemon import a_daemon, virsh
from tests.real.storage.places import loop_device

NAME = "geats-test-grows"
MIB = 2**20
SEES = """
for disk in /sys/block/vd*; do
    echo "$(cat $disk/serial) $(cat $disk/size)"
done
"""


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    with loop_device(tmp_path / "device", 16 * MIB) as found, a_daemon(tmp_path):
        yield found
        subprocess.run(["virsh", "destroy", NAME], capture_output=True, check=False)


def host_of(folder: Path, device: Path, sizes: Mapping[str, str], **more: object) -> Host:
    """A host with one VM, whose volumes have these sizes: each is in the pool of its name."""
    volumes = [{"name": each, "pool": each, "size": size} for each, size in sizes.items()]
    vm = {"driver": "qemu", "template": "image", "memory": "128MiB", "volumes": volumes}
    return Host.from_config(
        {
            **{"state_dir": f"{folder}/state", "run_dir": f"{folder}/run"},
            "drivers": {"qemu": {"settle": 0.1, "raw_xml": True}},
            "pools": {
                **{
                    f"{each}": {"type": "sparsefile", "path": f"{folder}/{each}"}
                    for each in ("root", "later")
                },
                "copied": {"type": "qcow2", "path": f"{folder}/copied"},
                "device": {
                    "type": "blockdevice",
                    "device": f"{device}",
                    "marks": f"{folder}/marks",
                },
            },
            "templates": {"image": {"disk": {"path": f"{folder}/image", "format": "raw"}}},
            "vms": {NAME: {**vm, "hardware": agent_guest.hardware(), **more}},
        }
    )


def to_running(host: Host) -> HostPlan:
    """Apply a plan that leaves nothing to do."""
    goal = Goal(name="", target=Target.RUNNING)
    have = host.observe(NAME)
    wanted = goal_by_name(goal, NAME, host.config, {NAME: have})
    saved = plan_vm(host, wanted, have)
    apply_plan(host, saved).unwrap()
    assert plan_vm(host, wanted, host.observe(NAME)).plan.steps == ()
    return saved.plan


def seen(host: Host) -> dict[str, int]:
    """What the guest sees: MiB of each disk, by its serial."""
    driver = host.drivers["qemu"]
    assert isinstance(driver, LibvirtDriver)
    agent_guest.wait_for_agent(driver, NAME)
    lines = driver.exec(NAME, Command(argv=("sh", "-c", SEES))).stdout.decode().split()
    return {
        name: int(count) * 512 // MIB
        for name, count in zip(lines[::2], lines[1::2], strict=True)
        if name != "cidata"
    }


def test_a_guest_sees_its_disks_by_their_serials_come_and_grow(
    tmp_path: Path, device: Path
) -> None:
    """Live in each pool, and what the plan says; of a disk that is read-only, it says why not."""
    agent_guest.disk(tmp_path / "image")
    small = {"root": "8MiB", "copied": "8MiB", "device": "16MiB"}
    to_running(host_of(tmp_path, device, small))
    assert seen(host_of(tmp_path, device, small)) == {"root": 8, "copied": 8, "device": 16}
    runs = virsh("domid", NAME)

    (tmp_path / "device").open("ab").truncate(24 * MIB)
    subprocess.run(["losetup", "--set-capacity", device], check=True)
    large = {"root": "12MiB", "copied": "16MiB", "device": "24MiB", "later": "4MiB"}
    made = to_running(host_of(tmp_path, device, large))
    assert {impact_of(step.action) for step in made.steps} <= {Impact.NONE, Impact.LIVE}
    assert seen(host_of(tmp_path, device, large)) == {
        "root": 12,
        "copied": 16,
        "device": 24,
        "later": 4,
    }
    assert virsh("domid", NAME) == runs
