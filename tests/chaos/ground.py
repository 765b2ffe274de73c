"""Where chaos happens: a host with a pool of each kind, and geats, which can be killed."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from geats_core.vm.observation import Observation
from geats_host.cli.main import cli
from geats_host.drivers.lxc.process import monitors
from geats_host.host import Host
from geats_host.linux.mounts import mounts_below
from tests.real.conftest import BRIDGE, CGROUPS, busybox_root, sh
from tests.real.test_storage import on_btrfs

NAME, COPY = "geats-test-chaos", "geats-test-chaos-copy"
POOLS = ("plain", "layers", "fast", "files", "shared")
WITH_SNAPSHOTS = ("fast", "shared")
LONGEST_S = 120
NOT_LEFT_OVER = (
    *("registry.sqlite", "/run/", "/templates/", "/_templates/", "/exports"),
    "/geats-pool.json",
)


@dataclass
class Wish:
    """What the configuration says of the VM, in so far as chaos changes it."""

    pool: str
    size_mib: int = 32
    memory_mib: int = 64
    hostname: str = NAME

    def vm(self) -> dict[str, object]:
        return {
            "template": "busybox",
            "init": "busybox",
            "hostname": self.hostname,
            "memory": f"{self.memory_mib}MiB",
            "autostart": True,
            "shutdown_timeout": 10,
            "nics": [{"name": "eth0", "bridge": BRIDGE, "addresses": ["10.77.0.9/24"]}],
            "volumes": [
                {"name": "root", "pool": self.pool, "size": "32MiB"},
                {
                    "name": "data",
                    "pool": self.pool,
                    "size": f"{self.size_mib}MiB",
                    "mount": "/data",
                },
            ],
        }


@dataclass
class Ground:
    """A host in ``at``, on which the VM is to be as ``wish`` says."""

    at: Path
    wish: Wish = field(default_factory=lambda: Wish("plain"))

    @property
    def raw(self) -> dict[str, object]:
        at = self.at
        pools = {
            "plain": {"type": "directory", "path": f"{at}/plain"},
            "layers": {"type": "overlay", "path": f"{at}/layers"},
            "fast": {"type": "btrfs", "path": f"{at}/on-btrfs/pool"},
            "files": {
                "type": "filesystem",
                "mounts": f"{at}/mnt",
                "on": {"type": "sparsefile", "path": f"{at}/images"},
            },
            "shared": {
                "type": "filesystem",
                "mounts": f"{at}/mnt",
                "on": {"type": "sparsefile", "path": f"{at}/on-btrfs/images"},
            },
        }
        return {
            "state_dir": f"{at}/state",
            "run_dir": f"{at}/run",
            "drivers": {"lxc": {"settle": 0.05, "timeout": 20}},
            "pools": {self.wish.pool: pools[self.wish.pool]},
            "templates": {"busybox": {"path": f"{at}/root"}},
            "vms": {NAME: self.wish.vm()},
        }

    @property
    def host(self) -> Host:
        return Host.from_config(self.raw)

    def observe(self, name: str = NAME) -> Observation:
        return self.host.observe(name)

    def geats(self, *argv: str, kill_after_s: float | None = None) -> "Ended":
        """Run a command in a process group of its own, and kill all of that after a while."""
        config = self.at / "geats.yaml"
        config.write_text(yaml.safe_dump({"geats": self.raw}))
        said = self.at / "said"
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _run(config, said, argv)
        while os.getpgid(pid) != pid:  # it has still to make a group of its own
            time.sleep(0)
        if kill_after_s is not None:
            _wait(pid, kill_after_s)
            os.killpg(pid, signal.SIGKILL)
        elif not _wait(pid, LONGEST_S):
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        return Ended(
            os.waitstatus_to_exitcode(status), time.monotonic() - began, said.read_text().strip()
        )

    def inside(self, script: str, name: str = NAME) -> str:
        """What a guest that answers says."""
        return sh(
            *("lxc-attach", "-P", f"{self.at}/state/lxc", "-n", name),
            *("--", "/bin/sh", "-c", script),
        ).strip()

    def kill_monitors(self) -> None:
        """Kill what watches over the guests; those that are not frozen end with it."""
        lxcpath = self.at / "state/lxc"
        for name, pid in list(monitors(lxcpath)):
            os.kill(pid, signal.SIGKILL)
            while name in dict(monitors(lxcpath)):
                time.sleep(0.005)

    def lose_mounts(self) -> None:
        """What a reboot of the host does to mounts, loop devices and the run directory."""
        points = mounts_below(self.at, itself=False)
        for point in sorted(points, key=len, reverse=True):
            if point != str(self.at / "on-btrfs"):
                sh("umount", point)
        shutil.rmtree(self.at / "run", ignore_errors=True)

    def traces(self) -> Mapping[str, frozenset[str]]:
        """All that an operation could leave on the host, but for what a guest wrote."""
        return {
            "mount": frozenset(
                line.split()[4]
                for line in Path("/proc/self/mountinfo").read_text().splitlines()
                if str(self.at) in line
            ),
            "link": frozenset(
                line.split(":")[1].split("@")[0].strip()
                for line in sh("ip", "-o", "link").splitlines()
            ),
            "cgroup": frozenset(map(str, CGROUPS.glob("*/lxc.*.geats-test-chaos*"))),
            "loop": frozenset(
                Path(file).read_text().strip()
                for file in Path("/sys/block").glob("loop*/loop/backing_file")
                if str(self.at) in file.read_text()
            ),
            "file": frozenset(self._files()),
            "process": frozenset(self._processes()),
        }

    def _files(self) -> Iterator[str]:
        for top, folders, files in os.walk(self.at):
            folders[:] = [each for each in folders if not each.startswith("rootfs")]
            for each in (*folders, *files):
                path = f"{top}/{each}"
                if each != "snapshots" and not any(part in path for part in NOT_LEFT_OVER):
                    yield path

    def _processes(self) -> Iterator[str]:
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if str(self.at) in words and str(os.getpid()) != entry.name:
                yield words


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative is a signal), and what it said."""

    code: int
    took_s: float
    said: str


def _run(config: Path, said: Path, argv: tuple[str, ...]) -> None:
    """The child: geats' own command line, and nothing of the parent after it."""
    code = 70
    try:
        os.setsid()
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        cli.main([*argv, "--config", str(config)], "geats", standalone_mode=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(pid: int, timeout_s: float) -> bool:
    """Whether the child ends in time; it is still there to be asked for its exit code."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return True
        time.sleep(0.0005)
    return False


@contextmanager
def a_ground(at: Path) -> Iterator[Ground]:
    """A host of its own, below *at*; at the end nothing of it is left."""
    at.chmod(0o711)
    root = busybox_root(at / "root")
    for applet in ("hostname", "cat", "sync"):
        if not (root / "bin" / applet).exists():
            (root / "bin" / applet).symlink_to("busybox")
    (at / "on-btrfs").mkdir(mode=0o711)
    with ExitStack() as stack:
        stack.enter_context(on_btrfs(at / "on-btrfs"))
        ground = Ground(at)
        for pool in POOLS:
            stack.callback(clear, Ground(at, Wish(pool)))
        yield ground


def clear(ground: Ground) -> None:
    """Take both VMs away, in whatever state they are."""
    for name in (NAME, COPY):
        ground.geats("unlock", name)
        ground.geats("stop", name)
        ground.geats("deprovision", name)
