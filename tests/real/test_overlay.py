"""Real unprivileged containers whose roots are overlays of one unpacked template."""

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from returns.result import Success

from geats_core.vm.observation import Observation, Power
from geats_host.calls import lifecycle
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.linux.mounts import mounts_below
from geats_host.plugins.opened import Opened
from geats_host.storage import TEMPLATES, Pool
from geats_host.storage.directory import open_pool as open_directory
from geats_host.storage.overlay import open_pool as open_overlay
from tests.real.conftest import DEFAULT_DEBIAN, open_folder, sh

ONE, TWO = "geats-test-overlay1", "geats-test-overlay2"
FIRST = 100_000


@dataclass(frozen=True)
class Operator:
    """Someone whose VMs are Debian, on one pool of overlays and one of directories."""

    directory: Path
    bridge: str
    pool: Path

    @property
    def host(self) -> Host:
        template = os.environ.get("GEATS_TEST_DEBIAN", DEFAULT_DEBIAN)
        opened = Host.from_config(
            {
                "state_dir": str(self.directory / "state"),
                "run_dir": str(self.directory / "run"),
                "drivers": {"lxc": {"settle": 0.3}},
                "templates": {"debian": {"path": template}},
                "vms": {name: self.vm(name) for name in (ONE, TWO)},
            }
        )
        pools: dict[str, Pool] = {
            "fast": open_overlay({"path": str(self.pool)}, None),
            "plain": open_directory({"path": str(self.directory / "plain")}, None),
        }
        return replace(opened, pools=Opened.of("pool", pools))

    def vm(self, name: str) -> dict[str, object]:
        nic = {"name": "eth0", "bridge": self.bridge, "addresses": [f"{address(name)}/24"]}
        volumes = [
            {"name": "root", "pool": "fast"},
            {"name": "data", "pool": "fast", "mount": "/srv/data"},
            {"name": "plain", "pool": "plain", "mount": "/srv/plain"},
        ]
        return {"template": "debian", "nics": [nic], "volumes": volumes}

    def apply(self, name: str, target: str = "running") -> float:
        """Bring the VM there; how many seconds that took."""
        began = time.monotonic()
        planned = lifecycle.plan_to(self.host, name, target)
        assert apply_plan(self.host, planned) == Success(planned.plan.steps)
        return time.monotonic() - began

    def do(self, verb: str, name: str) -> None:
        planned = lifecycle.plan_verb(self.host, verb, name)
        assert apply_plan(self.host, planned) == Success(planned.plan.steps)

    def run(self, name: str, script: str) -> str:
        lxcpath = str(self.directory / "state" / "lxc")
        return sh("lxc-attach", "-P", lxcpath, "-n", name, "--", "sh", "-c", script)


@pytest.fixture(scope="module")
def pool_path(own_namespaces: None) -> Iterator[Path]:
    """Where the pool is: Debian is unpacked in it once."""
    with open_folder() as folder:
        yield folder / "pool"
        pool = open_overlay({"path": str(folder / "pool")}, None)
        for template in pool.observe():
            assert template.is_template
            pool.deactivate(template)
            pool.destroy(template)
        assert [path.name for path in folder.glob("pool/*")] == ["geats-pool.json"]


@pytest.fixture
def operator(tmp_path: Path, bridge: str, pool_path: Path) -> Iterator[Operator]:
    someone = Operator(tmp_path, bridge, pool_path)
    yield someone
    for name in (ONE, TWO):
        someone.do("deprovision", name)
    assert someone.host.observe_all() == {}
    for path in (tmp_path, pool_path):
        assert mounts_below(path, itself=True) == ()
    assert {path.name for path in pool_path.glob("*")} <= {TEMPLATES, "geats-pool.json"}


def address(name: str) -> str:
    return f"10.77.0.{20 + int(name[-1])}"


def answers(name: str) -> bool:
    argv = ["ping", "-n", "-c", "1", "-W", "5", address(name)]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def owner(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid


def test_unprivileged_containers_share_a_template(operator: Operator) -> None:
    first = operator.apply(ONE)
    second = operator.apply(TWO)
    assert second < first
    assert all(operator.host.observe(name).power is Power.RUNNING for name in (ONE, TWO))
    assert answers(ONE)
    assert answers(TWO)

    operator.run(ONE, "touch /root/new && chown 33:34 /root/new && rm /etc/issue")
    for at in ("data", "plain"):
        operator.run(ONE, f"touch /srv/{at}/mine && chown 33 /srv/{at}/mine")
    upper = operator.pool / ONE / "root/upper"
    assert owner(upper / "root/new") == (FIRST + 33, FIRST + 34)
    assert owner(operator.pool / ONE / "data/upper/mine") == (FIRST + 33, FIRST)
    assert owner(operator.directory / "plain" / ONE / "plain/rootfs/mine") == (33, 0)
    assert owner(upper / "etc/hostname") == (FIRST, FIRST)
    seen = "stat -c %u:%g /root/new /etc/hostname /usr/bin/passwd; cat /etc/hostname"
    assert operator.run(ONE, seen) == f"33:34\n0:0\n0:0\n{ONE}\n"
    assert operator.run(TWO, "ls /root; test -e /etc/issue") == ""
    template = next(v for v in operator.host.pools["fast"].observe() if v.is_template)
    tree = operator.host.pools["fast"].path(template)
    assert owner(tree / "usr/bin/passwd") == (0, 0)
    assert not (tree / "etc/hostname").exists() or ONE not in (tree / "etc/hostname").read_text()


def test_a_reinit_is_a_fresh_root_with_the_data_kept(operator: Operator) -> None:
    operator.apply(ONE)
    operator.run(ONE, "echo x >/root/new; echo kept >/srv/data/file")
    before = operator.host.observe(ONE)
    operator.do("reinit", ONE)
    assert operator.host.observe(ONE) == before
    assert operator.run(ONE, "ls /root; cat /srv/data/file") == "kept\n"
    assert answers(ONE)


def test_after_the_hosts_restart_volumes_are_mounted_again(operator: Operator) -> None:
    operator.apply(ONE)
    operator.run(ONE, "echo kept >/root/file; sync")
    operator.do("stop", ONE)
    for point in mounts_below(operator.pool, itself=False):
        sh("umount", point)
    plan = lifecycle.plan_to(operator.host, ONE).plan
    assert [step.reason for step in plan.steps][:2] == ["it is not active"] * 2
    operator.apply(ONE)
    assert operator.run(ONE, "cat /root/file") == "kept\n"


def test_a_privileged_vm_is_refused_in_the_plan(operator: Operator) -> None:
    raw: dict[object, object] = {"privileged": True}
    raw.update(operator.vm(ONE))
    with pytest.raises(Refused) as refused:
        lifecycle.plan_to(operator.host, ONE, raw=raw)
    assert [text.split(":")[0] for text in refused.value.problems] == [
        f"{ONE}.volumes[root].pool",
        f"{ONE}.volumes[data].pool",
    ]
    assert operator.host.observe(ONE) == Observation()
