"""QEMU as Debian's libvirtd runs it: as a user, who gets the files of a VM while it is on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from geats_core.planning.goal import Target
from geats_core.vm.observation import Power
from tests.real.machines.libvirt_daemon import a_daemon
from tests.real.machines.machine_ground import NAME, Ground

DEBIANS = "libvirt-qemu"


@pytest.fixture(scope="module", autouse=True)
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with a_daemon(tmp_path_factory.mktemp("libvirt"), DEBIANS):
        yield


@pytest.mark.parametrize("pool", ["sparsefile", "qcow2"])
def test_a_vm_runs_twice_and_leaves_nothing(tmp_path: Path, pool: str) -> None:
    ground = Ground(tmp_path, pool)
    for target in (Target.RUNNING, Target.STOPPED, Target.RUNNING):
        ground.to(target)
        power = Power.STOPPED if target is Target.STOPPED else Power.RUNNING
        assert ground.host.observe(NAME).power is power
    disk = next((tmp_path / "pool" / NAME / "root").glob("disk.*"))
    assert disk.owner() == DEBIANS
    assert disk.stat().st_mode & 0o077 == 0
    ground.to(Target.DEPROVISIONED)
    assert not disk.parent.exists()
