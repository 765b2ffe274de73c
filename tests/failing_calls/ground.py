"""Where calls fail: a host whose storage is real and whose driver exists in memory only."""

import faulthandler
import hashlib
import json
import os
import pickle
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from geats_host.cli.main import cli
from geats_host.drivers import memory
from geats_host.host import Host
from geats_host.linux.loops import loops
from geats_host.linux.mounts import mounts_below
from geats_host.storage import VolumeId
from tests.all_loaded import ends_within, load_all
from tests.real.storage.btrfs_mounts import btrfs_in_a_file

VM, OTHER, COPY = "geats-test-vm", "geats-test-other", "geats-test-copy"
POOLS = ("plain", "layers", "fast", "files")
WITH_SNAPSHOTS = ("fast",)
NEEDING_MOUNTS = ("layers", "fast", "files")
LONGEST_S = 60.0
PASSING = ("registry.sqlite", ".registry.sqlite", "/run/", "/said", "/vms", "geats.yaml")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative is a signal), and what it said."""

    code: int
    said: str

    def __str__(self) -> str:
        return f"exit code {self.code}: {self.said[-700:]}"


@dataclass
class Ground:
    """A host below ``at``, in one of whose pools two VMs are."""

    at: Path
    pool: str
    memory_mib: int = 64
    size_mib: int = 32
    hostname: str = "first"

    @property
    def below(self) -> tuple[str, ...]:
        """All that geats keeps; but for /proc, and what the test itself writes."""
        places = ("state", "run", "plain", "layers", "fast", "images", "mnt", "exports")
        return (*(f"{self.at}/{each}" for each in places), "/dev/loop")

    @property
    def raw(self) -> dict[str, object]:
        at = self.at
        pools = {
            "plain": {"type": "directory", "path": f"{at}/plain"},
            "layers": {"type": "overlay", "path": f"{at}/layers"},
            "fast": {"type": "btrfs", "path": f"{at}/fast/mounted/pool"},
            "files": {
                "type": "filesystem",
                "mounts": f"{at}/mnt",
                "on": {"type": "sparsefile", "path": f"{at}/images"},
            },
        }
        return {
            "state_dir": f"{at}/state",
            "run_dir": f"{at}/run",
            "drivers": {"memory": {}},
            "pools": {self.pool: pools[self.pool]},
            "policy": {"exports": {"last": 3}},
            "templates": {"small": {"path": f"{at}/small.tar"}},
            "vms": {
                VM: self._vm(self.memory_mib, self.size_mib, self.hostname),
                OTHER: self._vm(64, 32, "other"),
            },
        }

    def _vm(self, memory_mib: int, size_mib: int, hostname: str) -> dict[str, object]:
        return {
            "driver": "memory",
            "template": "small",
            "hostname": hostname,
            "memory": f"{memory_mib}MiB",
            "volumes": [
                {"name": "root", "pool": self.pool, "size": "32MiB"},
                {"name": "data", "pool": self.pool, "size": f"{size_mib}MiB", "mount": "/data"},
            ],
        }

    def geats(self, *argv: str) -> Ended:
        """Run a command in a process of its own, which hands on what VMs there are in memory."""
        (self.at / "geats.yaml").write_text(yaml.safe_dump({"geats": self.raw}))
        pid = os.fork()
        if pid == 0:
            self._child(argv)
        if not ends_within(pid, LONGEST_S):
            os.kill(pid, 9)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if (self.at / "vms").exists():
            memory._drivers[self.at / "state"] = pickle.loads((self.at / "vms").read_bytes())
        return Ended(code, (self.at / "said").read_text().strip())

    def _child(self, argv: tuple[str, ...]) -> None:
        code = 70
        try:
            out = os.open(self.at / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(out, 1)
            os.dup2(out, 2)
            faulthandler.dump_traceback_later(LONGEST_S - 5)  # where it hangs
            cli.main([*argv, "--config", f"{self.at}/geats.yaml"], "geats", standalone_mode=True)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            driver = memory._drivers.get(self.at / "state")
            if driver is not None:
                (self.at / "vms").write_bytes(pickle.dumps(driver))
            os._exit(code)

    def volume(self, name: str, volume: str) -> Path:
        """Where the files of a volume are."""
        return Host.from_config(self.raw).pools[self.pool].path(VolumeId(name, volume))

    def world(self) -> Mapping[str, object]:
        """All that is there: files, mounts, loop devices, and what geats says of the VMs.

        How large their disks are is not in it: each try at an operation may ask for more.
        """
        listed = self.geats("list", "--json")
        vms = json.loads(listed.said) if listed.code == 0 else {}
        return {
            **dict(sorted(self._files())),
            "mounts": sorted(mounts_below(self.at, itself=False)),
            "loops": sorted(f"{file}" for file in loops() if file.is_relative_to(self.at)),
            "listed": {name: {**vm, "disk_bytes": None} for name, vm in vms.items()} or listed.said,
        }

    def _files(self) -> Iterator[tuple[str, object]]:
        for top, folders, files in os.walk(self.at):
            for each in (*folders, *files):
                path = f"{top}/{each}"
                if not any(part in path for part in PASSING):
                    found = os.lstat(path)
                    what = f"{found.st_mode:o} {found.st_uid}:{found.st_gid}"
                    if each == "marker":
                        what += hashlib.sha1(Path(path).read_bytes()).hexdigest()
                    yield path, what


def make_template(path: Path) -> None:
    """A small archive with what a root filesystem has."""
    root = path.with_suffix("")
    for folder in ("etc", "bin", "sbin", "dev", "proc", "sys", "tmp", "data", "var/log"):
        (root / folder).mkdir(parents=True)
    (root / "etc/hostname").write_text("template\n")
    (root / "etc/machine-id").write_text("0" * 32)
    (root / "bin/sh").write_bytes(b"x" * 100_000)
    (root / "sbin/init").symlink_to("../bin/sh")
    with tarfile.open(path, "w") as archive:
        archive.add(root, arcname=".")


@contextmanager
def a_ground(at: Path, pool: str) -> Iterator[Ground]:
    """A host of its own below *at*, with nothing on it yet."""
    load_all()
    at.chmod(0o711)
    at.mkdir(exist_ok=True)
    make_template(at / "small.tar")
    (at / "exports").mkdir()
    ground = Ground(at, pool)
    if pool != "fast":
        try:
            yield ground
        finally:
            clear(ground)
        return
    with btrfs_in_a_file(at / "fast"):
        try:
            yield ground
        finally:
            clear(ground)


def clear(ground: Ground) -> None:
    """Take all VMs away, in whatever state they are."""
    for name in (VM, OTHER, COPY):
        for verb in ("unlock", "stop"):
            ground.geats(verb, name)
        ground.geats("apply", "--to", "deprovisioned", "--allow-data-loss", name)


def make_ready(ground: Ground) -> None:
    """Both VMs run, and hold what is not to be lost."""
    for name in (VM, OTHER):
        ended = ground.geats("apply", name)
        assert ended.code == 0, ended
        for volume in ("root", "data"):
            (ground.volume(name, volume) / "marker").write_text(f"{name} {volume}")
