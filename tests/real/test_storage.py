"""Unprivileged Debian on every pool that can run here, from the command line with a YAML file."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from geats_host.linux.mounts import mounts_below
from tests.real.conftest import DEFAULT_DEBIAN, sh
from tests.real.storage.places import loop_device, mounted

NAME = "geats-test-storage"
MIB = 2**20

Ground: TypeAlias = Callable[[Path], AbstractContextManager[object]]


@dataclass(frozen=True)
class Case:
    """A pool: its configuration, with ``{at}`` for a directory, and what is made there before."""

    pool: str
    ground: Ground = nullcontext


@contextmanager
def on_btrfs(at: Path) -> Iterator[None]:
    """Mount a btrfs there."""
    image = at.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(2048 * MIB)
    sh("mkfs.btrfs", "--quiet", str(image))
    with mounted(image, at, "-o", "loop"):
        yield
    image.unlink()


@contextmanager
def with_device(at: Path) -> Iterator[None]:
    """A block device, to which ``at/device`` leads."""
    with loop_device(at.with_suffix(".img"), 1024 * MIB) as device:
        (at / "device").symlink_to(device)
        yield


SPARSE = "on: {{type: sparsefile, path: {at}/images}}"
CASES = {
    "directory": Case("{{type: directory, path: {at}/pool}}"),
    "overlay": Case("{{type: overlay, path: {at}/pool}}"),
    "btrfs": Case("{{type: btrfs, path: {at}/pool, quota: true}}", on_btrfs),
    "ext4": Case(f"{{{{type: filesystem, mounts: {{at}}/mnt, {SPARSE}}}}}"),
    "xfs": Case(f"{{{{type: filesystem, fstype: xfs, mounts: {{at}}/mnt, {SPARSE}}}}}"),
    "btrfs in a file": Case(
        f"{{{{type: filesystem, fstype: btrfs, mounts: {{at}}/mnt, {SPARSE}}}}}"
    ),
    "ext4 on a device": Case(
        "{{type: filesystem, mounts: {at}/mnt,"
        " on: {{type: blockdevice, device: {at}/device, marks: {at}/marks}}}}",
        with_device,
    ),
}


@dataclass
class Operator:
    """Someone with a VM on the pool, a data volume on it or beside it, and the command line."""

    directory: Path
    pool: str
    is_single: bool

    def geats(self, *argv: str) -> str:
        command = [sys.executable, "-m", "geats_host.cli.main", "--config", str(self.config), *argv]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200"}
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def config(self) -> Path:
        return self.directory / "geats.yaml"

    def declare(self, data_size: str | None) -> None:
        """Write the configuration; without a size, neither a VM nor a template is declared."""
        pool = self.pool.format(at=self.directory / "at")
        data = f"size: {data_size}, pool: {'plain' if self.is_single else 'default'}"
        text = f"""
geats:
  state_dir: {self.directory}/state
  run_dir: {self.directory}/run
  drivers: {{lxc: {{settle: 0.3}}}}
  pools:
    default: {pool}
    plain: {{type: directory, path: {self.directory}/plain}}
"""
        if data_size is not None:
            text += f"""
  templates:
    debian: {{path: {os.environ.get("GEATS_TEST_DEBIAN", DEFAULT_DEBIAN)}}}
  vms:
    {NAME}:
      template: debian
      volumes:
        - {{name: root, size: 1000MiB}}
        - {{name: data, mount: /srv/data, {data}}}
        - {{name: fixed, mount: /srv/fixed, pool: plain, read_only: true}}
"""
        self.config.write_text(text)

    def run(self, script: str) -> str:
        lxcpath = str(self.directory / "state" / "lxc")
        return sh("lxc-attach", "-P", lxcpath, "-n", NAME, "--", "sh", "-c", script)


@pytest.fixture(params=CASES)
def operator(
    request: pytest.FixtureRequest, own_namespaces: None, tmp_path: Path
) -> Iterator[Operator]:
    case = CASES[request.param]
    at = tmp_path / "at"
    at.mkdir(mode=0o711)
    with case.ground(at):
        someone = Operator(tmp_path, case.pool, "blockdevice" in case.pool)
        someone.declare("400MiB")
        yield someone
        someone.geats("deprovision", NAME)
        someone.declare(None)
        someone.geats("templates", "prune")
        assert mounts_below(at, itself=False) == ()
        left = {path.name for path in at.rglob("*") if path.is_file()}
        assert left <= {"geats-pool.json"}


def test_an_unprivileged_guest_lives_on_it(operator: Operator) -> None:
    first = operator.geats("plan", NAME)
    operator.geats("apply", NAME)
    assert operator.geats("plan", NAME).startswith(f"{NAME} is as described")
    assert operator.run("cat /proc/self/uid_map").split() == ["0", "100000", "65536"]
    operator.run("mkdir /srv/data/mine && chown 33:34 /srv/data/mine && echo kept >/srv/data/file")
    assert operator.run("stat -c %u:%g / /srv/data /srv/data/mine") == "0:0\n0:0\n33:34\n"
    with pytest.raises(subprocess.CalledProcessError):
        operator.run("touch /srv/fixed/file")

    enforced = "does not enforce" not in first
    assert fits(operator, "500MiB") != enforced
    operator.declare("600MiB")
    assert "grow volume" in operator.geats("plan", NAME)
    operator.geats("apply", NAME)
    assert fits(operator, "500MiB")
    assert operator.run("cat /srv/data/file") == "kept\n"

    operator.geats("stop", NAME)
    operator.geats("start", NAME)
    assert operator.run("cat /srv/data/file") == "kept\n"


def fits(operator: Operator, size: str) -> bool:
    """Whether the guest can put a file so large on its data volume."""
    try:
        operator.run(f"fallocate --length {size} /srv/data/large")
    except subprocess.CalledProcessError:
        return False
    finally:
        operator.run("rm -f /srv/data/large")
    return True
