"""A guest's file after the disk of its pool was not mounted and came back, on each kind of pool."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from returns.result import Success

from geats_core.vm.observation import Power
from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.planning.plans import plan_boot
from tests.real.conftest import sh

NAME = "geats-test-disk"
MIB = 2**20
POOLS = {
    "directory": ("ext4", {"type": "directory", "path": "{disk}/pool"}),
    "overlay": ("ext4", {"type": "overlay", "path": "{disk}/pool"}),
    "btrfs": ("btrfs", {"type": "btrfs", "path": "{disk}"}),
    "ext4 in a file": (
        "ext4",
        {"type": "filesystem", "on": {"type": "sparsefile", "path": "{disk}/images"}},
    ),
}


@dataclass(frozen=True)
class Operator:
    """Someone with a VM of busybox, whose pool is on a disk of its own."""

    directory: Path
    fstype: str
    pool: object
    rootfs: Path

    @property
    def host(self) -> Host:
        vm = {
            "template": "busybox",
            "init": "busybox",
            "volumes": [{"name": "root", "size": "64MiB"}],
        }
        return Host.from_config(
            {
                "state_dir": str(self.directory / "state"),
                "run_dir": str(self.directory / "run"),
                "drivers": {"lxc": {"settle": 0.1}},
                "pools": {"default": self.pool},
                "templates": {"busybox": {"path": str(self.rootfs)}},
                "vms": {NAME: vm},
            }
        )

    @property
    def disk(self) -> Path:
        return self.directory / "disk"

    def mount(self) -> None:
        self.disk.mkdir(exist_ok=True)
        sh("mount", "-o", "loop", str(self.directory / "disk.img"), str(self.disk))

    def unmount(self) -> None:
        """As after a restart of the host: nothing of the VM is mounted, and the disk is not."""
        sh("umount", "--recursive", str(self.disk))

    def apply(self, target: str, *, allow_data_loss: bool = False) -> None:
        planned = lifecycle.plan_to(self.host, NAME, target, allow_data_loss=allow_data_loss)
        assert apply_plan(self.host, planned) == Success(planned.plan.steps)

    def run(self, script: str) -> str:
        lxcpath = str(self.directory / "state" / "lxc")
        return sh("lxc-attach", "-P", lxcpath, "-n", NAME, "--", "sh", "-c", script)


@pytest.fixture(params=POOLS)
def operator(
    request: pytest.FixtureRequest, tmp_path: Path, busybox_rootfs: Path
) -> Iterator[Operator]:
    fstype, options = POOLS[request.param]
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(512 * MIB)
    sh(f"mkfs.{fstype}", "-q", str(image))
    someone = Operator(tmp_path, fstype, _at(options, tmp_path), busybox_rootfs)
    someone.mount()
    yield someone
    someone.apply("deprovisioned")
    for volume in someone.host.pools["default"].observe():  # the unpacked template
        someone.host.pools["default"].deactivate(volume)
        someone.host.pools["default"].destroy(volume)
    someone.unmount()


def _at(options: object, directory: Path) -> object:
    match options:
        case dict():
            return {
                **{key: _at(value, directory) for key, value in options.items()},
                **({"mounts": f"{directory}/mnt"} if options["type"] == "filesystem" else {}),
            }
        case text:
            return f"{text}".replace("{disk}", f"{directory / 'disk'}")


def test_a_guests_file_is_there_after_its_disk_was_away(operator: Operator) -> None:
    operator.apply("running")
    operator.run("echo mine > /root-file && sync")
    operator.apply("stopped")
    pool = operator.host.pools["default"]
    for volume in pool.observe():
        pool.deactivate(volume)
    operator.unmount()

    for target in ("running", "stopped", "provisioned", "reinitialised", "deprovisioned"):
        with pytest.raises(Refused, match=r"disk|not available"):
            lifecycle.plan_to(operator.host, NAME, target)
    with pytest.raises(Refused, match=r"disk|not available"):
        lifecycle.plan_verb(operator.host, "start", NAME)
    boot = plan_boot(operator.host)
    assert boot.plan.is_empty
    assert not list(operator.disk.iterdir())

    operator.mount()
    operator.apply("running")
    assert operator.host.observe(NAME).power is Power.RUNNING
    assert operator.run("cat /root-file") == "mine\n"
