"""Snapshots of a real container: on a btrfs, and on what has none."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from returns.result import Success

from geats_core.plans.plan_files import SavedPlan
from geats_core.vm.observation import Power
from geats_host.calls import lifecycle, snapshots
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from tests.real.conftest import sh
from tests.real.test_storage import on_btrfs

NAME = "geats-test-snap"


@dataclass
class Operator:
    """Someone with a busybox VM of two volumes, the second of them in ``pool``."""

    directory: Path
    rootfs: Path
    pool: str = "fast"

    @property
    def host(self) -> Host:
        volumes = [
            {"name": "root", "pool": "fast"},
            {"name": "data", "pool": self.pool, "mount": "/data"},
        ]
        vm = {"template": "busybox", "init": "busybox", "volumes": volumes}
        return Host.from_config(
            {
                "state_dir": f"{self.directory}/state",
                "run_dir": f"{self.directory}/run",
                "drivers": {"lxc": {"settle": 0.1}},
                "pools": {
                    "fast": {"type": "btrfs", "path": f"{self.directory}/at/pool"},
                    "plain": {"type": "directory", "path": f"{self.directory}/plain"},
                },
                "templates": {"busybox": {"path": str(self.rootfs)}},
                "vms": {NAME: vm},
            }
        )

    def do(self, planned: SavedPlan) -> None:
        assert apply_plan(self.host, planned) == Success(planned.plan.steps)

    def run(self, script: str) -> str:
        lxcpath = f"{self.directory}/state/lxc"
        return sh("lxc-attach", "-P", lxcpath, "-n", NAME, "--", "/bin/sh", "-c", script)

    def file(self, volume: str, name: str) -> str:
        pool = "at/pool" if volume == "root" or self.pool == "fast" else "plain"
        file = self.directory / pool / NAME / volume / "rootfs" / name
        return file.read_text().strip() if file.exists() else "is not there"


@pytest.fixture
def operator(own_namespaces: None, tmp_path: Path, busybox_rootfs: Path) -> Iterator[Operator]:
    (tmp_path / "at").mkdir(mode=0o711)
    with on_btrfs(tmp_path / "at"):
        someone = Operator(tmp_path, busybox_rootfs)
        yield someone
        someone.do(lifecycle.plan_verb(someone.host, "deprovision", NAME))


def test_a_running_container_goes_back_to_what_it_was(operator: Operator) -> None:
    operator.do(lifecycle.plan_to(operator.host, NAME))
    operator.run("echo then > /tmp/root; echo then > /data/data")
    operator.do(snapshots.snapshot(operator.host, NAME, "monday"))
    assert operator.host.observe(NAME).power is Power.RUNNING
    operator.run("echo now > /tmp/root; echo now > /data/data; echo new > /data/more")
    operator.do(snapshots.snapshot(operator.host, NAME, "tuesday"))

    operator.do(snapshots.restore(operator.host, NAME, "monday", allow_data_loss=True))

    assert operator.host.observe(NAME).power is Power.RUNNING
    assert operator.run("cat /tmp/root /data/data").split() == ["then", "then"]
    assert operator.file("data", "more") == "is not there"
    listed = snapshots.listed(operator.host, NAME)
    assert [(each["name"], each["together"]) for each in listed] == [
        ("monday", True),
        ("tuesday", True),
    ]
    operator.do(snapshots.restore(operator.host, NAME, "tuesday", allow_data_loss=True))
    assert operator.file("data", "more") == "new"
    operator.do(snapshots.kept(operator.host, NAME, {"last": 1})[0])
    assert [each["name"] for each in snapshots.listed(operator.host, NAME)] == ["tuesday"]


def test_what_has_no_snapshots_is_refused_or_left_as_it_is(operator: Operator) -> None:
    operator.pool = "plain"
    operator.do(lifecycle.plan_to(operator.host, NAME))
    with pytest.raises(Refused, match="the pool 'plain' has no snapshots: leave it out"):
        snapshots.snapshot(operator.host, NAME, "monday")
    operator.do(snapshots.snapshot(operator.host, NAME, "monday", partial=True))
    operator.run("echo now > /tmp/root; echo now > /data/data")
    operator.do(
        snapshots.restore(operator.host, NAME, "monday", allow_data_loss=True, partial=True)
    )
    assert (operator.file("root", "tmp/root"), operator.file("data", "data")) == (
        "is not there",
        "now",
    )
