"""Mounts of one VM and the processes of others, where ``/`` is private, as in these tests."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from returns.result import Failure

from geats_core.vm.observation import Power
from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.examining.tried import stays_mounted
from geats_host.host import Host
from geats_host.linux.mounts import mounts_below
from tests.real.conftest import sh
from tests.real.test_storage import MIB

OTHER, APART = "geats-test-other", "geats-test-apart"


def host(at: Path, rootfs: Path, size: str = "32MiB") -> Host:
    def vm(**data: object) -> dict[str, object]:
        root = {"name": "root", "pool": "files", "size": "32MiB"}
        volumes = [root, {"name": "data", "pool": "files", "mount": "/data", **data}]
        return {"template": "busybox", "init": "busybox", "volumes": volumes}

    below = {"type": "sparsefile", "path": f"{at}/images"}
    return Host.from_config(
        {
            "state_dir": f"{at}/state",
            "run_dir": f"{at}/run",
            "drivers": {"lxc": {"settle": 0.1}},
            "pools": {"files": {"type": "filesystem", "mounts": f"{at}/mnt", "on": below}},
            "templates": {"busybox": {"path": str(rootfs)}},
            "vms": {OTHER: vm(size=size), APART: vm(size="32MiB", read_only=True)},
        }
    )


@pytest.fixture
def here(own_namespaces: None, tmp_path: Path, busybox_rootfs: Path) -> Iterator[Host]:
    """A host on which one VM has volumes mounted, and is off."""
    made = host(tmp_path, busybox_rootfs)
    apply_plan(made, lifecycle.plan_to(made, OTHER, "stopped")).unwrap()
    yield made
    for name in (OTHER, APART):
        apply_plan(made, lifecycle.plan_to(made, name, "deprovisioned")).unwrap()


def test_a_vm_whose_mounts_are_set_apart_keeps_none_of_another_busy(
    here: Host, tmp_path: Path, busybox_rootfs: Path
) -> None:
    apply_plan(here, lifecycle.plan_to(here, APART)).unwrap()
    grown = host(tmp_path, busybox_rootfs, "40MiB")
    apply_plan(grown, lifecycle.plan_to(grown, OTHER, "stopped")).unwrap()
    data = grown.observe(OTHER).volume("files", "data")
    assert data is not None
    assert data.size_bytes == 40 * MIB

    apply_plan(here, lifecycle.plan_to(here, OTHER, "deprovisioned")).unwrap()

    assert not any(OTHER in point for point in mounts_below(tmp_path, itself=False))
    assert here.observe(APART).power is Power.RUNNING
    inside = ["lxc-attach", "-P", f"{tmp_path}/state/lxc", "-n", APART, "--", "/bin/sh", "-c"]
    said = subprocess.run([*inside, "cat /proc/mounts"], capture_output=True, text=True, check=True)
    assert [line.split()[3][:2] for line in said.stdout.splitlines() if " /data " in line] == ["ro"]


def test_who_keeps_a_volume_busy_is_named(here: Host) -> None:
    argv = ["unshare", "--mount", "--propagation", "private", "sleep", "600"]
    with subprocess.Popen(argv) as holder:
        while Path(f"/proc/{holder.pid}/comm").read_text() != "sleep\n":
            pass
        applied = apply_plan(here, lifecycle.plan_to(here, OTHER, "deprovisioned"))
        holder.kill()
    assert isinstance(applied, Failure)
    errors = [failed.error for failed in applied.failure().failed]
    assert any(f"process {holder.pid} (sleep 600)" in error for error in errors), errors


def test_the_doctor_tells_whether_mounts_stay_for_others(
    own_namespaces: None, tmp_path: Path
) -> None:
    assert stays_mounted(tmp_path)
    sh("mount", "-t", "tmpfs", "tmpfs", f"{tmp_path}")
    sh("mount", "--make-shared", f"{tmp_path}")
    assert not stays_mounted(tmp_path)
    assert list(tmp_path.iterdir()) == []
    sh("umount", f"{tmp_path}")
