"""Guests of Debian 12 and 13 are up, and AppArmor confines them; the host has cgroup v2 alone."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from geats_core.requests.guest_requests import Command
from geats_host.calls import inventory, lifecycle
from geats_host.drivers.lxc.kernel import apparmor
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from tests.real.conftest import BRIDGE, a_bridge, sh, tmp_path
from tests.real.test_main_job import NAME, Operator, operator

__all__ = ["operator", "tmp_path"]

CACHE = Path("/var/cache/geats-test")
GUESTS = {"252": CACHE / "debian.tar.zst", "257": CACHE / "debian-13.tar.zst"}  # by their systemd
BOOTS_S = 300
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def bridge() -> Iterator[str]:
    with a_bridge():
        yield BRIDGE


@pytest.fixture
def debian() -> str:
    return f"{GUESTS['252']}"


def in_guest(operator: Operator, *argv: str) -> str:
    """What a program in the guest says, however it ends."""
    ran = operator.host.running(NAME).exec(NAME, Command(argv=argv, timeout_s=BOOTS_S))
    return ran.stdout.decode().strip()


def profile_of(pid: object) -> str:
    """The profile of AppArmor that confines a process, and how."""
    return Path(f"/proc/{pid}/attr/current").read_text().strip()


def test_the_host_has_cgroup_v2_alone_and_apparmor() -> None:
    assert Path("/sys/fs/cgroup/cgroup.controllers").exists()
    assert apparmor.is_enforced()
    assert Path("/proc/1/comm").read_text() == "systemd\n"


@pytest.mark.parametrize("version", GUESTS)
def test_a_guest_is_running_and_confined(operator: Operator, version: str) -> None:
    operator.template = f"{GUESTS[version]}"
    operator.driver["timeout"] = BOOTS_S  # it is emulated: to compile the profile takes a minute
    planned = lifecycle.plan_to(operator.host, NAME)
    apply_plan(operator.host, planned).unwrap()

    assert in_guest(operator, "systemctl", "--version").startswith(f"systemd {version} ")
    state = in_guest(operator, "systemctl", "is-system-running", "--wait")
    assert state == "running", in_guest(operator, "systemctl", "--failed", "--plain")
    profile = profile_of(inventory.info_report(operator.host, NAME)["pid"])
    assert profile.startswith(f"lxc-{NAME}_<"), profile
    assert profile.endswith("(enforce)")
    assert operator.plan() == []


def test_without_apparmors_parser_a_start_is_refused(operator: Operator) -> None:
    parser = sh("which", apparmor.PARSER).strip()
    sh("mount", "--bind", "/dev/null", parser)
    try:
        with pytest.raises(Refused, match="apparmor_parser is not installed: apt-get install"):
            operator.plan()
        assert operator.host.observe_all() == {}
        operator.apply(target="provisioned")
    finally:
        sh("umount", parser)
    operator.apply()
    assert subprocess.run(["ping", "-n", "-c1", "-W5", "10.77.0.11"], check=False).returncode == 0
