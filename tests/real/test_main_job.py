"""The main job on real containers, through the facade that Salt and the command line use."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from returns.result import Failure, Success

from geats_core.vm.observation import Observation, Power
from geats_host.calls import inventory, lifecycle, reports
from geats_host.engine.apply_plan import apply_plan
from geats_host.engine.outcomes import Interrupted
from geats_host.errors import Refused
from geats_host.host import Host
from tests.real.conftest import DEFAULT_DEBIAN, sh

NAME = "geats-test-web01"


@dataclass
class Operator:
    """Someone who edits one VM in a configuration, and applies it."""

    directory: Path
    vm: dict[str, object]
    template: str
    driver: dict[str, object] = field(default_factory=dict)  # more of its options

    @property
    def host(self) -> Host:
        return Host.from_config(
            {
                "state_dir": str(self.directory / "state"),
                "run_dir": str(self.directory / "run"),
                "drivers": {"lxc": {"settle": 0.3, **self.driver}},
                "pools": {"default": {"type": "directory", "path": str(self.directory / "pool")}},
                "templates": {"debian": {"path": self.template}},
                "vms": {NAME: self.vm},
            }
        )

    def plan(self, **options: object) -> list[tuple[str, str]]:
        plan = lifecycle.plan_to(self.host, NAME, **options).of_vm  # type: ignore[arg-type]
        steps = reports.plan_report(plan)["steps"]
        assert isinstance(steps, list)
        return [(step["text"], step["impact"]) for step in steps]

    def apply(self, **options: object) -> None:
        planned = lifecycle.plan_to(self.host, NAME, **options)  # type: ignore[arg-type]
        assert apply_plan(self.host, planned) == Success(planned.plan.steps)

    def do(self, verb: str) -> None:
        planned = lifecycle.plan_verb(self.host, verb, NAME)
        assert apply_plan(self.host, planned) == Success(planned.plan.steps)


@pytest.fixture
def debian() -> str:
    return os.environ.get("GEATS_TEST_DEBIAN", DEFAULT_DEBIAN)


@pytest.fixture
def operator(tmp_path: Path, bridge: str, debian: str) -> Iterator[Operator]:
    nic = {"name": "eth0", "bridge": bridge, "addresses": ["10.77.0.11/24"]}
    someone = Operator(tmp_path, {"template": "debian", "memory": "128MiB", "nics": [nic]}, debian)
    yield someone
    someone.vm = {"template": "debian"}
    someone.do("unlock")
    someone.do("deprovision")
    assert someone.host.observe_all() == {}
    assert [path.name for path in tmp_path.glob("pool/*")] in ([], ["geats-pool.json"])


def answers(address: str) -> bool:
    argv = ["ping", "-n", "-c", "1", "-W", "5", address]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def memory_limit(operator: Operator) -> object:
    return inventory.info_report(operator.host, NAME)["memory_limit_bytes"]


def test_a_described_vm_lives_its_whole_life(operator: Operator, bridge: str) -> None:
    operator.apply()
    assert operator.host.observe(NAME).power is Power.RUNNING
    assert answers("10.77.0.11")
    assert operator.plan() == []

    operator.vm["memory"] = "256MiB"
    limits = f"set the limits of {NAME}: memory 256MiB, cpus no limit"
    assert operator.plan() == [(f"define {NAME}", "none"), (limits, "live")]
    pid = inventory.info_report(operator.host, NAME)["pid"]
    operator.apply()
    assert memory_limit(operator) == 256 * 2**20
    assert inventory.info_report(operator.host, NAME)["pid"] == pid

    operator.vm["nics"] = [{"name": "eth0", "bridge": bridge, "addresses": ["10.77.0.12/24"]}]
    assert [impact for _, impact in operator.plan()] == ["none", "restart", "none", "none"]
    operator.apply()
    assert answers("10.77.0.12")
    assert not answers("10.77.0.11")
    assert operator.plan() == []

    operator.do("lock")
    before = operator.host.observe(NAME)
    with pytest.raises(Refused, match="is locked"):
        operator.plan(target="deprovisioned")
    with pytest.raises(Refused, match="is locked"):
        lifecycle.plan_verb(operator.host, "reinit", NAME)
    assert operator.host.observe(NAME) == before


def test_the_verbs_walk_through_a_whole_life_on_a_real_container(operator: Operator) -> None:
    for verb, power in (
        ("provision", Power.STOPPED),
        ("start", Power.RUNNING),
        ("freeze", Power.FROZEN),
        ("unfreeze", Power.RUNNING),
        ("reboot", Power.RUNNING),
        ("shutdown", Power.STOPPED),
        ("start", Power.RUNNING),
        ("stop", Power.STOPPED),
        ("reinit", Power.STOPPED),
    ):
        operator.do(verb)
        assert operator.host.observe(NAME).power is power, verb


def test_the_guest_knows_who_it_is(operator: Operator) -> None:
    operator.vm |= {
        "hostname": "www.example.org",
        "metadata": {"ROLE": "web'; rm -rf / #"},
        "dns": {"nameservers": ["10.77.0.1"]},
    }
    operator.apply(target="provisioned")
    etc = operator.directory / "pool" / NAME / "root" / "rootfs" / "etc"
    assert (etc / "hostname").read_text() == "www.example.org\n"
    assert "nameserver 10.77.0.1\n" in (etc / "resolv.conf").read_text()
    told = f". {etc}/firstboot.config && echo $NAME $IPADDRESS $NETMASK && echo $ROLE"
    assert sh("sh", "-c", told) == "www.example.org 10.77.0.11 255.255.255.0\nweb'; rm -rf / #\n"


def test_no_other_user_of_the_host_can_reach_a_guests_programs(operator: Operator) -> None:
    operator.apply(target="provisioned")
    program = operator.directory / "pool" / NAME / "root" / "rootfs" / "usr" / "bin" / "passwd"
    assert program.exists()
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    seen = subprocess.run([*drop, "stat", str(program)], capture_output=True, check=False)
    assert b"Permission denied" in seen.stderr


def test_a_reinit_gives_a_fresh_root_and_the_same_identity(operator: Operator) -> None:
    operator.apply(target="provisioned")
    root = operator.directory / "pool" / NAME / "root" / "rootfs"
    (root / "root" / "precious").write_text("data")
    before = operator.host.observe(NAME)
    operator.do("reinit")
    assert not (root / "root" / "precious").exists()
    assert operator.host.observe(NAME) == before


def test_a_bridge_that_does_not_exist_is_refused_in_the_plan(operator: Operator) -> None:
    operator.vm["nics"] = [{"name": "eth0", "bridge": "nowhere0"}]
    with pytest.raises(Refused, match=r"nics\[eth0\]\.bridge: unknown bridge 'nowhere0'.*gtbr0"):
        operator.plan()
    assert operator.host.observe(NAME) == Observation()


@pytest.mark.parametrize("spoil", ["missing", "corrupt", "wrong sha256"])
def test_a_bad_template_is_refused_before_anything_changes(
    operator: Operator, tmp_path: Path, spoil: str
) -> None:
    spoiled = tmp_path / "spoiled.tar.zst"
    if spoil == "corrupt":
        spoiled.write_bytes(Path(operator.template).read_bytes()[:1_000_000])
    elif spoil == "wrong sha256":
        spoiled.write_bytes(b"")
    operator.template = str(spoiled)
    with pytest.raises(Refused, match="debian"):
        operator.plan()
    assert operator.host.observe(NAME) == Observation()


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Callable[[str], str]]:
    """A disk of *size* at *place*, that can be resized while it is used."""
    place.mkdir(mode=0o711)
    sh("mount", "-t", "tmpfs", "-o", f"size={size},mode=0711", "tmpfs", str(place))
    try:
        yield lambda new: sh("mount", "-o", f"remount,size={new}", str(place))
    finally:
        sh("umount", str(place))


def test_a_full_disk_fails_the_step_and_the_next_apply_carries_on(
    bridge: str, debian: str, tmp_path: Path
) -> None:
    operator = Operator(tmp_path, {"template": "debian"}, debian)
    with small_disk(tmp_path / "pool", "20m") as resize:
        planned = lifecycle.plan_to(operator.host, NAME, "provisioned")
        match apply_plan(operator.host, planned):
            case Failure(Interrupted(failed=failed)):
                ((step, error),) = ((each.step, each.error) for each in failed)
                assert "No space left on device" in error
                assert step.reason == "it is empty"
            case Success(done):
                pytest.fail(f"the disk was not full: {done}")
        assert operator.host.registry.definitions()[NAME].template == "debian"
        assert [action for action, _ in operator.plan(target="provisioned")] == [
            f"install template debian on volume {NAME}/root",
            f"configure the guest on volume {NAME}/root",
        ]
        resize("1g")
        operator.apply(target="provisioned")
        assert operator.plan(target="provisioned") == []
        operator.do("deprovision")
        assert operator.host.observe_all() == {}


def test_reports_are_plain_data(operator: Operator) -> None:
    operator.apply()
    for report in (
        inventory.status_report(operator.host),
        inventory.info_report(operator.host, NAME),
    ):
        assert json.loads(json.dumps(report)) == report


def test_a_container_in_another_network_namespace_does_not_look_stopped(operator: Operator) -> None:
    operator.apply()
    code = (
        "import sys; from pathlib import Path;"
        "from geats_host.drivers.lxc.driver import open_driver;"
        "open_driver({}, Path(sys.argv[1])).observe()"
    )
    argv = ["unshare", "-n", sys.executable, "-c", code, str(operator.directory / "state")]
    seen = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert f"{NAME}: runs in another network namespace" in seen.stderr
