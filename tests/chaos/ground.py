"""Where chaos happens: a host with a pool of each kind, and geats, which can be killed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from geats_core.vm.observation import Observation
from geats_host.calls import lifecycle, snapshots
from geats_host.cli.main import cli
from geats_host.drivers.lxc.process import monitors
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.linux.loops import loops
from geats_host.linux.mounts import mounts_below
from tests.all_loaded import ends_within, load_all
from tests.chaos import moves
from tests.real.conftest import BRIDGE, CGROUPS, busybox_root, sh
from tests.real.test_storage import on_btrfs

CHAOS = "geats-chaos"  # other tests, which may run meanwhile, look at nothing that is named so
NAME = f"{CHAOS}-p{os.getpid()}"
COPY = f"{NAME}-copy"
POOLS = ("plain", "layers", "fast", "files", "shared", "xfs")
WITH_SNAPSHOTS = ("fast", "shared", "xfs")
LEAST_MIB = {"xfs": 304}
RETENTION = "retention"  # no command, but a call: see ``_retain``
MOVE = "move"  # no command either, but what a runner of Salt does: see ``moves``
LONGEST_S = 60
NOT_LEFT_OVER = (
    *("registry.sqlite", "lxc-python.json", "/run/", "/templates/", "/_templates/", "/exports"),
    "/geats-pool.json",
)
OF_GUESTS = ("rootfs", "upper", "work")
EMPTY = ("snapshots", "work")  # folders that are there from the first use on


@dataclass
class Wish:
    """What the configuration says of the VM, in so far as chaos changes it."""

    pool: str
    grown_mib: int = 0
    memory_mib: int = 64
    hostname: str = NAME

    def vm(self) -> dict[str, object]:
        least_mib = LEAST_MIB.get(self.pool, 32)
        return {
            "template": "busybox",
            "init": "busybox",
            "hostname": self.hostname,
            "memory": f"{self.memory_mib}MiB",
            "autostart": True,
            "shutdown_timeout": 10,
            "nics": [{"name": "eth0", "bridge": BRIDGE, "addresses": ["10.77.0.9/24"]}],
            "volumes": [
                {"name": "root", "pool": self.pool, "size": f"{least_mib}MiB"},
                {
                    "name": "data",
                    "pool": self.pool,
                    "size": f"{least_mib + self.grown_mib}MiB",
                    "mount": "/data",
                },
            ],
        }


@dataclass
class Ground:
    """A host in ``at``, on which the VM is to be as ``wish`` says."""

    at: Path
    wish: Wish = field(default_factory=lambda: Wish("plain"))
    name: str = NAME

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
            "xfs": {
                "type": "filesystem",
                "fstype": "xfs",
                "mounts": f"{at}/mnt",
                "on": {"type": "sparsefile", "path": f"{at}/on-btrfs/xfs"},
            },
        }
        return {
            "state_dir": f"{at}/state",
            "run_dir": f"{at}/run",
            "drivers": {"lxc": {"settle": 0.05, "timeout": 20}},
            "pools": {self.wish.pool: pools[self.wish.pool]},
            "templates": {"busybox": {"path": f"{at}/root"}},
            "vms": {self.name: self.wish.vm()},
        }

    @property
    def host(self) -> Host:
        return Host.from_config(self.raw)

    @property
    def away(self) -> Host:
        """The host that the VM moves to, and comes back from."""
        return Host.from_config(moves.away(self.raw))

    def observe(self, name: str = NAME) -> Observation:
        return self.host.observe(name)

    def geats(
        self, *argv: str, kill_after_s: float | None = None, when_held: float = 0.0
    ) -> "Ended":
        """Run a command in a process group of its own, and kill all of that after a while.

        With *when_held*, the while begins when the VM is frozen.
        """
        child = self.begin(*argv)
        if when_held:
            child.wait_until(self._is_frozen)
        return child.end(LONGEST_S if kill_after_s is None else kill_after_s)

    def begin(self, *argv: str, gate: int | None = None) -> "Child":
        """Have a command run, as soon as there is nothing more to come through *gate*."""
        config, said = self.at / f"{self.name}.yaml", self.at / f"{self.name}.said"
        config.write_text(yaml.safe_dump({"geats": self.raw}))
        has_group, ready = os.pipe()
        began, pid = time.monotonic(), os.fork()
        if pid == 0:
            os.setsid()
            os.close(has_group)
            os.close(ready)
            if gate is not None:
                os.read(gate, 1)
            _run(config, said, argv, self.raw)
        os.close(ready)
        os.read(has_group, 1)
        os.close(has_group)
        return Child(pid, said, began)

    def inside(self, script: str, name: str = NAME) -> str:
        """What a guest that answers says; into a file: a pipe would wait for one that is frozen."""
        said = self.at / "inside"
        argv = ["lxc-attach", "-P", f"{self.at}/state/lxc", "-n", name, "--", "/bin/sh", "-c"]
        with said.open("w") as out:
            subprocess.run([*argv, script], check=True, stdout=out, timeout=LONGEST_S)
        return said.read_text().strip()

    def _is_frozen(self) -> bool:
        """Cheaper than to observe: a VM is frozen for a moment only."""
        payloads = CGROUPS.glob(f"freezer/lxc.payload.{NAME}*/freezer.state")
        return any(each.read_text().strip() != "THAWED" for each in payloads)

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
            "cgroup": frozenset(_cgroups()),
            "loop": frozenset(f"{file}" for file in loops() if file.is_relative_to(self.at)),
            "file": frozenset(self._files()),
            "process": frozenset(self._processes()),
        }

    def _files(self) -> Iterator[str]:
        for top, folders, files in os.walk(self.at):
            for each in (*folders, *files):
                path = f"{top}/{each}"
                if each not in EMPTY and not any(part in path for part in NOT_LEFT_OVER):
                    yield path
            folders[:] = [each for each in folders if not each.startswith(OF_GUESTS)]

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


@dataclass(frozen=True)
class Child:
    """A command that runs."""

    pid: int
    said: Path
    began: float

    def wait(self, timeout_s: float) -> bool:
        """Whether it ends in time; it is still there to be asked for its exit code."""
        return ends_within(self.pid, timeout_s)

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Until that holds, or it has ended."""
        end = time.monotonic() + LONGEST_S
        while time.monotonic() < end and not holds() and not self.wait(0.0005):
            pass

    def end(self, timeout_s: float) -> Ended:
        """Kill its whole group, if it has not ended by itself in time."""
        has_ended = self.wait(timeout_s)
        took_s = time.monotonic() - self.began
        if not has_ended:
            os.killpg(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        return Ended(os.waitstatus_to_exitcode(status), took_s, self.said.read_text().strip())


def _cgroups() -> Iterator[str]:
    """Whatever number liblxc gave each, where an earlier one had still to go."""
    found = sorted(CGROUPS.glob(f"*/lxc.*.{NAME}*"))
    named = [re.sub(r"-[0-9]+$", "", str(each)) for each in found]
    yield from (f"{name}, {named[:at].count(name) + 1}" for at, name in enumerate(named))


def _run(config: Path, said: Path, argv: tuple[str, ...], raw: dict[str, object]) -> None:
    """The child: geats' own command line, and nothing of the parent after it."""
    code = 70
    try:
        sys.stdout = sys.stderr = said.open("w")  # also where pytest has its own
        os.dup2(sys.stdout.fileno(), 1)
        os.dup2(sys.stdout.fileno(), 2)
        if argv[0] == RETENTION:
            _retain(Host.from_config(raw), argv[1])
            code = 0
        elif argv[0] == MOVE:
            code = 0 if moves.move(raw, *argv[1:]) else 1
        else:
            at = argv.index("--") if "--" in argv else len(argv)
            told = [*argv[:at], "--config", str(config), *argv[at:]]
            cli.main(told, "geats", standalone_mode=True)
    except Refused as refused:
        print(refused)
        code = 2
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # a bug, of which nobody else would tell
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _retain(host: Host, name: str) -> None:
    """What ``geats.keep_snapshots`` of Salt does."""
    apply_plan(host, snapshots.kept(host, name, {"last": 1})[0]).unwrap()


@contextmanager
def a_ground(below: Path) -> Iterator[Ground]:
    """A host of its own, below a directory, in memory; at the end nothing of it is left."""
    load_all()
    with in_memory(below):
        # Whoever sees its loop devices from other mounts sees the path from here on.
        at = below / NAME
        at.mkdir(mode=0o711)
        root = busybox_root(at / "root")
        for applet in ("hostname", "cat", "sync"):
            if not (root / "bin" / applet).exists():
                (root / "bin" / applet).symlink_to("busybox")
        (at / "on-btrfs").mkdir(mode=0o711)
        with ExitStack() as stack:
            stack.enter_context(on_btrfs(at / "on-btrfs"))
            ground = Ground(at)
            for pool in POOLS:
                stack.callback(prune, Ground(at, Wish(pool)))
                stack.callback(clear, Ground(at, Wish(pool)))
            yield ground
        assert list(_cgroups()) == []


@contextmanager
def in_memory(at: Path) -> Iterator[None]:
    """Nothing waits for a disk there."""
    at.chmod(0o711)
    sh("mount", "-t", "tmpfs", "-o", "mode=711", "geats-chaos", str(at))
    try:
        yield
    finally:
        sh("umount", str(at))


def clear(ground: Ground) -> None:
    """Take both VMs away, in whatever state they are."""
    for name in (ground.name, COPY):
        ground.geats("unlock", name)
        ground.geats("stop", name)
        ground.geats("deprovision", name)
    for verb in ("stop", "deprovision"):
        with suppress(Refused):
            apply_plan(ground.away, lifecycle.plan_verb(ground.away, verb, ground.name))


def prune(ground: Ground) -> None:
    """Take the unpacked templates of the pool away, which hold it."""
    host = Host.from_config({**ground.raw, "templates": {}, "vms": {}})
    assert all(each["action"] == "destroy" for each in host.templates.pruned(dry_run=False))
