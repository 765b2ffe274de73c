"""A machine without a template: its disk is empty, and it boots from a CD until that is not so."""

import io
from collections.abc import Iterator
from pathlib import Path

import pycdlib
import pytest

from geats_core.planning.goal import Target
from geats_host.drivers.libvirt.driver import LibvirtDriver
from geats_host.testing.tiny_guest import GUEST, root_disk
from tests.real.machines.libvirt_daemon import a_daemon, virsh
from tests.real.machines.machine_ground import NAME, Ground

SECTOR = 2048  # of a CD


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """A host that takes CDs out of a folder."""
    made = Ground(tmp_path, "sparsefile")
    made.raw = {
        **made.raw,
        "drivers": {"qemu": {"settle": 0.1, "media": [f"{tmp_path}"]}},
        "templates": {"image": {"empty": "disk"}},
    }
    with a_daemon(tmp_path):
        yield made
        made.to(Target.DEPROVISIONED)
        assert virsh("list", "--all", "--name").strip() == ""


def cd(path: Path) -> Path:
    """A CD that the tiny guest boots from."""
    image, code = pycdlib.PyCdlib(), GUEST.ljust(SECTOR, b"\0")
    image.new()
    image.add_fp(io.BytesIO(code), len(code), "/GUEST.;1")
    image.add_eltorito("/GUEST.;1", bootcatfile="/BOOT.CAT;1", boot_load_size=4)
    image.write(f"{path}")
    image.close()
    return path


def answers(ground: Ground, within_s: int) -> bool:
    """Whether a guest runs that hears the power button; the machine is off then."""
    ground.to(Target.RUNNING)
    driver = ground.host.drivers["qemu"]
    assert isinstance(driver, LibvirtDriver)
    return driver.shutdown(NAME, within_s) == ""


def test_a_machine_with_an_empty_disk_boots_from_its_cd(ground: Ground, tmp_path: Path) -> None:
    hardware = {"boot": ["disk", "cdrom"], "guest": "none"}
    ground.change(NAME, hardware={**hardware, "cdrom": "empty"})
    assert not answers(ground, 3)
    ground.change(NAME, hardware={**hardware, "cdrom": f"{cd(tmp_path / 'install.iso')}"})
    assert answers(ground, 60)

    (disk,) = (tmp_path / "pool" / NAME / "root").glob("disk.raw")
    assert not any(disk.read_bytes())
    disk.write_bytes(root_disk(tmp_path / "installed").read_bytes())  # as a guest does from its CD
    ground.change(NAME, hardware={**hardware, "cdrom": "empty"})
    assert answers(ground, 60)
    assert ground.begins(NAME) == GUEST
