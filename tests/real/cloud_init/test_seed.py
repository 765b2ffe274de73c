"""cloud-init itself, in a guest that QEMU emulates, takes what the seed says: ``script/test --vm``.

It takes minutes, and so is no part of what runs without that.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from geats_core.planning.goal import DataLoss, Goal, Target
from geats_core.requests.guest_requests import Command
from geats_host.drivers.libvirt.driver import LibvirtDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from geats_host.planning.goals import goal_by_name
from geats_host.planning.plans import plan_vm
from tests.real.machines import agent_guest
from tests.real.machines.libvirt_daemon import a_daemon

NAME = "geats-test-cloud"
DEFAULT_GUEST = "/var/cache/geats-test/cloud-guest.raw"
BOOTS_WITHIN_S = 900
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGeatsTestGeatsTestGeatsTestGeatsTestGeat tester"


@pytest.fixture(autouse=True)
def daemon(tmp_path: Path) -> Iterator[None]:
    with a_daemon(tmp_path):
        yield
        subprocess.run(["virsh", "destroy", NAME], capture_output=True, check=False)


class Ground:
    """A host with one VM of cloud-init, whose data volumes are on two buses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image = Path(os.environ.get("GEATS_TEST_CLOUD_GUEST", DEFAULT_GUEST))
        if not self.image.exists():
            raise FileNotFoundError(f"{self.image}: script/cloud-guest makes it")

    def to(self, target: Target, **keys: object) -> None:
        """Apply a plan to the VM with these keys."""
        host = self.host(**keys)
        goal = Goal(name="", target=target, data_loss=DataLoss.ALLOWED)
        have = host.observe(NAME)
        wanted = goal_by_name(goal, NAME, host.config, {NAME: have})
        apply_plan(host, plan_vm(host, wanted, have)).unwrap()

    def host(self, **keys: object) -> Host:
        data = [
            {"name": "data", "size": "64MiB", "mount": "/srv"},
            {"name": "logs", "size": "64MiB", "mount": "/var/log/more"},
        ]
        vm = {
            **{"driver": "qemu", "template": "image", "memory": "512MiB"},
            "volumes": [{"name": "root", "size": "3GiB"}, *data],
            "hardware": agent_guest.hardware(
                disks={"logs": {"bus": "scsi"}},
                ssh_keys=[KEY],
                user_data={"write_files": [{"path": "/etc/once", "content": "once\n"}]},
            ),
        }
        return Host.from_config(
            {
                **{"state_dir": f"{self.folder}/state", "run_dir": f"{self.folder}/run"},
                "drivers": {"qemu": {"settle": 0.1, "raw_xml": True}},
                "pools": {"default": {"type": "sparsefile", "path": f"{self.folder}/pool"}},
                "templates": {"image": {"disk": {"path": f"{self.image}", "format": "raw"}}},
                "vms": {NAME: {**vm, **keys}},
            }
        )

    def says(self, script: str) -> str:
        """What a shell of the guest prints, once cloud-init has ended there."""
        driver = self.host().drivers["qemu"]
        assert isinstance(driver, LibvirtDriver)
        agent_guest.wait_for_agent(driver, NAME, BOOTS_WITHIN_S)
        return driver.exec(NAME, Command(argv=("sh", "-c", script))).stdout.decode()


def test_cloud_init_makes_and_mounts_volumes_and_takes_a_new_hostname(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.to(Target.RUNNING, hostname="first")
    assert "status: done" in ground.says("cloud-init status --long")
    for mount, name in (("/srv", "data"), ("/var/log/more", "logs")):
        told = ground.says(f"findmnt --noheadings --output FSTYPE,LABEL {mount}").split()
        assert told == ["ext4", name]
    assert ground.says("hostname; cat /etc/once") == "first\nonce\n"
    assert KEY in ground.says("cat /home/debian/.ssh/authorized_keys")
    assert int(ground.says("df --output=size --block-size=1M / | tail -1")) > 2600
    identity = ground.says("cat /etc/machine-id; echo kept >/srv/file; sync")

    ground.to(Target.RUNNING, hostname="second")
    assert ground.says("hostname; cat /srv/file") == "second\nkept\n"
    assert ground.says("cat /etc/machine-id") == identity
