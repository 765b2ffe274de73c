"""Fixtures for real LXC: namespaces of our own, a bridge, a root filesystem, and a leak check."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

import pytest

from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import VMSpec
from geats_host.drivers.lxc.driver import LxcDriver, open_driver
from geats_host.errors import HostError
from geats_host.linux.loops import loops

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
BRIDGE = "gtbr0"
CGROUPS = Path("/sys/fs/cgroup")
BESIDE = ("machines", "minions", "cloud_init")  # folders that run in processes of their own
MINIONS = "geats-test-salt-"  # what the name of each VM in minions/ begins with, and of no other
LISTENS = "00010000"  # in a column of proc(5), /proc/net/unix
DEFAULT_DEBIAN = "/var/cache/geats-test/debian.tar.zst"
APPLETS = ("sh", "sleep", "ip", "ping", "halt", "poweroff", "cat", "mount", "true", "trap")
# It powers off on SIGUSR1 as busybox's own init does, and reaps what it inherits.
INIT = "#!/bin/sh\ntrap 'exit 0' USR1 PWR\nwhile :; do sleep 0.02; done\n"


def sh(*argv: str) -> str:
    """Run a program that must succeed."""
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary directory that root of a guest can pass through, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="geats-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Override pytest's: see ``open_folder``."""
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="session", autouse=True)
def own_namespaces(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Leave the machine's network and mounts for good, then see that nothing is left behind."""
    leave_namespaces(tmp_path_factory.mktemp("cgroup"))
    folders = {item.path.parent.name for item in request.session.items}
    before = traces(folders)
    yield
    assert traces(folders) == before


def leave_namespaces(aside: Path) -> None:
    """Have a network and mounts of our own from now on; *aside* is an empty directory."""
    assert os.geteuid() == 0, "the suite for real LXC needs root"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot unshare")
    sh("mount", "--make-rprivate", "/")
    # liblxc looks for the bridge in /sys, which shows the network that it was mounted in.
    sh("mount", "--rbind", str(CGROUPS), str(aside))
    sh("umount", "-R", "-l", "/sys")
    sh("mount", "-t", "sysfs", "sysfs", "/sys")
    sh("mount", "--rbind", str(aside), str(CGROUPS))
    sh("umount", "-R", "-l", str(aside))
    sh("ip", "link", "set", "lo", "up")


def traces(folders: Set[str] = frozenset({"real"})) -> dict[str, list[str]]:
    """All that the tests in *folders* could leave on the host.

    Others may run meanwhile: ``script/chaos``, and each of ``BESIDE`` while *folders* has it not.
    """
    containers = folders - set(BESIDE)  # has loop devices too
    return {
        "mounts": sorted(
            line.split(maxsplit=3)[3]  # without its number, which another mount namespace changes
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ),
        "links": sorted(line.split("@")[0] for line in sh("ip", "-o", "link").splitlines()),
        "cgroups": sorted(
            f"{path}"
            for path in CGROUPS.glob("**/lxc.*.geats-test-*")
            if ("minions" in folders if f".{MINIONS}" in path.name else containers)
        ),
        "loop devices": sorted(
            f"{file}" for file in loops() if containers and "geats-chaos" not in str(file)
        ),
        "sockets": [
            line.split()[-1]
            for line in Path("/proc/net/unix").read_text().splitlines()
            if line.endswith("/command") and LISTENS in line.split()  # a monitor, not its callers
        ],
    }


@pytest.fixture(scope="session")
def bridge(own_namespaces: None) -> Iterator[str]:
    """A bridge with the host's address 10.77.0.1."""
    with a_bridge():
        yield BRIDGE


@contextmanager
def a_bridge() -> Iterator[None]:
    """The bridge, for a while."""
    sh("ip", "link", "add", BRIDGE, "type", "bridge")
    sh("ip", "address", "add", "10.77.0.1/24", "dev", BRIDGE)
    sh("ip", "link", "set", BRIDGE, "up")
    yield
    sh("ip", "link", "delete", BRIDGE)


@pytest.fixture
def busybox_rootfs(tmp_path: Path) -> Path:
    """A root filesystem of one program, whose init powers off when it is asked to."""
    return busybox_root(tmp_path / "root")


def busybox_root(root: Path) -> Path:
    """Make it at *root*."""
    for folder in ("bin", "sbin", "etc", "proc", "sys", "dev", "tmp", "var"):
        (root / folder).mkdir(parents=True)
    shutil.copy("/usr/bin/busybox", root / "bin/busybox")
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    set_init(root, INIT)
    return root


@pytest.fixture(scope="session")
def debian_rootfs() -> Iterator[Path]:
    """Debian with systemd, out of the tarball that the environment names; it must be there."""
    tarball = Path(os.environ.get("GEATS_TEST_DEBIAN", DEFAULT_DEBIAN))
    if not tarball.exists():
        raise FileNotFoundError(f"{tarball}: script/test makes it, or set GEATS_TEST_DEBIAN")
    with open_folder() as root:
        root.chmod(0o755)
        sh("tar", "-C", str(root), "--numeric-owner", "--exclude=./dev/*", "-xf", str(tarball))
        yield root


def set_init(root: Path, script: str) -> None:
    """Make *script* what the guest runs first."""
    (root / "sbin/init").write_text(script)
    (root / "sbin/init").chmod(0o755)


@pytest.fixture
def driver(own_namespaces: None, tmp_path: Path) -> Iterator[LxcDriver]:
    """The driver, on an lxcpath of its own; every container of it is gone afterwards."""
    opened = open_driver({"timeout": 10}, tmp_path)
    yield opened
    for name in opened.observe():
        opened.end(name)
        try:
            opened.undefine(name)
        except HostError:
            shutil.rmtree(opened.options.path / name)


def spec(name: str, **keys: object) -> VMSpec:
    """A VM for busybox; its name begins with ``geats-test-``."""
    return parse_vm(
        f"geats-test-{name}", {"template": "busybox", "init": "busybox", **keys}
    ).unwrap()
