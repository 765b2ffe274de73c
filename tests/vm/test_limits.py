"""Limits, devices and profiles of containers, as this kernel keeps them: cgroup v2, AppArmor."""

import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.requests.guest_requests import Command
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import VMSpec
from geats_host.drivers import Place
from geats_host.drivers.lxc.driver import LxcDriver, open_driver
from geats_host.guest_trees.folders import TRAVERSE
from tests.real.conftest import busybox_root, sh, tmp_path
from tests.vm.conftest import DISKS

__all__ = ["tmp_path"]

pytestmark = pytest.mark.timeout(900)
NAME = "geats-test-limits"
MIB = 1 << 20
PROFILE = """
profile lxc-geats-test-own flags=(attach_disconnected,mediate_deleted) {
  file, mount, umount, pivot_root, network, capability, signal, ptrace, unix, change_profile,
  deny /etc/secret r,
}
"""
NO_FOLDERS = "2\ndenylist\nmkdir errno 1\nmkdirat errno 1\n"  # see seccomp of lxc.container.conf(5)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A guest of busybox that can make folders and nodes, and read."""
    made = busybox_root(tmp_path / "root")
    for applet in ("mkdir", "mknod", "dd", "rm"):
        (made / "bin" / applet).symlink_to("busybox")
    (made / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (made / "etc/secret").write_text("hush\n")
    return made


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LxcDriver]:
    opened = open_driver({"timeout": 120}, tmp_path)
    yield opened
    for name in opened.observe():
        opened.end(name)
        opened.undefine(name)


def spec(**keys: object) -> VMSpec:
    return parse_vm(NAME, {"template": "t", "init": "busybox", **keys}).unwrap()


def started(driver: LxcDriver, root: Path, **keys: object) -> VMSpec:
    """It runs with these keys."""
    want = spec(**keys)
    assert driver.cannot_define(want) == ()
    driver.define(want, {"root": Place(root)})
    driver.start(NAME)
    return want


def ran(driver: LxcDriver, *argv: str) -> tuple[int | None, str]:
    """A program in the guest: its exit code, and what it complained of."""
    found = driver.exec(NAME, Command(argv=argv, timeout_s=60))
    return found.code, (found.stdout + found.stderr).decode().strip()


def kept(file: str) -> str:
    """What the kernel says in a file of the guest's cgroup."""
    return Path(f"/sys/fs/cgroup/lxc.payload.{NAME}", file).read_text().strip()


def number(disk: Path) -> str:
    seen = os.stat(disk)
    assert stat.S_ISBLK(seen.st_mode)
    return f"{os.major(seen.st_rdev)}:{os.minor(seen.st_rdev)}"


def test_the_kernel_keeps_every_limit(driver: LxcDriver, root: Path) -> None:
    """And some of them change while the guest runs."""
    disk = number(DISKS[0])
    keys: dict[str, object] = {
        **{"memory": "64MiB", "memory_soft": "48MiB", "swap": "16MiB", "cpus": 0.5},
        **{"processes": 50, "cpuset": "1", "cpu_weight": 200, "io_weight": 300},
        "hugepages": {"2MiB": "4MiB"},
        "io": [{"device": disk, "read": "1MiB", "write_ops": 100}],
        "cgroup2": {"memory.low": f"{10 * MIB}"},
    }
    want = started(driver, root, **keys)
    assert {
        "memory.max": kept("memory.max"),
        "memory.low": kept("memory.low"),
        "memory.high": kept("memory.high"),
        "memory.swap.max": kept("memory.swap.max"),
        "cpu.max": kept("cpu.max"),
        "cpu.weight": kept("cpu.weight"),
        "cpuset.cpus": kept("cpuset.cpus"),
        "pids.max": kept("pids.max"),
        "io.weight": kept("io.weight"),
        "hugetlb.2MB.max": kept("hugetlb.2MB.max"),
    } == {
        "memory.max": f"{64 * MIB}",
        "memory.low": f"{10 * MIB}",
        "memory.high": f"{48 * MIB}",
        "memory.swap.max": f"{16 * MIB}",
        "cpu.max": "50000 100000",
        "cpu.weight": "200",
        "cpuset.cpus": "1",
        "pids.max": "50",
        "io.weight": "default 300",
        "hugetlb.2MB.max": f"{4 * MIB}",
    }
    assert kept("io.max") == f"{disk} rbps={MIB} wbps=max riops=max wiops=100"
    assert ran(driver, "cat", "/proc/self/status")[1].count("Cpus_allowed_list:\t1\n") == 1

    cgroup = replace(want.limits.cgroup, cpuset="0-1", cpu_weight=50, swap_bytes=8 * MIB)
    limits = replace(want.limits, memory_bytes=96 * MIB, cpus=2.0, processes=70, cgroup=cgroup)
    driver.set_limits(NAME, limits)
    now = [kept(f) for f in ("memory.max", "memory.swap.max", "cpu.max", "pids.max", "cpuset.cpus")]
    assert now == [f"{96 * MIB}", f"{8 * MIB}", "200000 100000", "70", "0-1"]
    assert kept("cpu.weight") == "50"


def test_more_memory_than_that_is_not_had(driver: LxcDriver, root: Path) -> None:
    started(driver, root, memory="32MiB", swap=0)
    code, _ = ran(driver, "dd", "if=/dev/zero", "of=/dev/null", "bs=96M", "count=1")
    assert code == 137  # killed
    assert "oom_kill 0" not in kept("memory.events")


def test_only_a_device_that_is_given_can_be_used(driver: LxcDriver, root: Path) -> None:
    """The rules are a program of the kernel; nodes that root of the guest makes do not help."""
    given, other = (f"{each.resolve()}" for each in DISKS)
    devices = {"disk": {"source": given, "mount": "/dev/disk1", "access": "r"}}
    started(driver, root, privileged=True, devices=devices)
    read = ("bs=512", "count=1")
    assert ran(driver, "dd", "if=/dev/disk1", "of=/dev/null", *read)[0] == 0
    code, said = ran(driver, "dd", "if=/dev/zero", "of=/dev/disk1", "conv=notrunc", *read)
    assert (code, "Operation not permitted" in said) == (1, True)
    major, minor = number(Path(other)).split(":")
    ran(driver, "mknod", "/tmp/own", "b", major, minor)
    code, said = ran(driver, "dd", "if=/tmp/own", "of=/dev/null", *read)
    assert (code, "Operation not permitted" in said) == (1, True)


def test_a_profile_of_the_host_confines_a_guest(driver: LxcDriver, root: Path) -> None:
    file = root.parent / "profile"
    file.write_text(PROFILE)
    sh("apparmor_parser", "--replace", "--skip-cache", f"{file}")
    try:
        started(driver, root, apparmor="lxc-geats-test-own", privileged=True)
        confined = Path(f"/proc/{driver.info(NAME).pid}/attr/current").read_text().strip()
        assert confined == "lxc-geats-test-own (enforce)"
        assert ran(driver, "cat", "/etc/secret")[0] == 1
        assert ran(driver, "cat", "/etc/passwd")[0] == 0
        driver.end(NAME)
    finally:
        sh("apparmor_parser", "--remove", f"{file}")


def test_a_profile_that_the_host_has_not_stops_the_start(driver: LxcDriver, root: Path) -> None:
    with pytest.raises(Exception, match="geats-test-none"):
        started(driver, root, apparmor="geats-test-none")


def test_system_calls_that_are_denied_fail(driver: LxcDriver, root: Path) -> None:
    file = root.parent / "no-folders.seccomp"
    file.write_text(NO_FOLDERS)
    root.parent.chmod(TRAVERSE)
    started(driver, root, seccomp=f"{file}")
    assert ran(driver, "mkdir", "/tmp/a") == (
        1,
        "mkdir: can't create directory '/tmp/a': Operation not permitted",
    )
    assert "Seccomp:\t2\n" in ran(driver, "cat", "/proc/1/status")[1]
    assert subprocess.run(["test", "-d", f"{root}/tmp/a"], check=False).returncode == 1
