"""What people make and change by hand: geats keeps it, says it, or leaves it alone."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from returns.result import Success

from geats_core.planning.actions import Define
from geats_core.planning.steps import Plan
from geats_core.vm.observation import ForeignNic, Power
from geats_host.calls import lifecycle
from geats_host.drivers import DriverSeen, Place
from geats_host.drivers.lxc.driver import LxcDriver
from geats_host.drivers.lxc.kernel.sockets import address
from geats_host.drivers.lxc.monitor import Listener, listener, power
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.planning.plans import plan_rebuild
from tests.real.conftest import spec

NAME = "geats-test-byhand"
LINE = "lxc.environment = BY_HAND=1"
NOBODY = 65534
HAND_MADE_NIC = (
    "# for the backup network",
    "lxc.net.9.type = veth",
    "lxc.net.9.flags = up",
    "lxc.net.9.name = byhand9",
    "lxc.net.9.ipv4.address = 10.77.9.9/24",
)


@dataclass
class Operator:
    """Someone who edits both the configuration of geats, and what geats made of it."""

    directory: Path
    template: Path
    vm: dict[str, object] = field(
        default_factory=lambda: {"template": "busybox", "init": "busybox"}
    )

    @property
    def host(self) -> Host:
        return Host.from_config(
            {
                "state_dir": str(self.directory / "state"),
                "run_dir": str(self.directory / "run"),
                "drivers": {"lxc": {"settle": 0.2, "timeout": 10}},
                "pools": {"default": {"type": "directory", "path": str(self.directory / "pool")}},
                "templates": {"busybox": {"path": str(self.template)}},
                "vms": {NAME: self.vm},
            }
        )

    @property
    def config(self) -> Path:
        return self.directory / "state" / "lxc" / NAME / "config"

    def apply(self, target: str = "running", by_hand: str = "kept") -> Plan:
        planned = lifecycle.plan_to(self.host, NAME, target, by_hand=by_hand)
        assert apply_plan(self.host, planned) == Success(planned.plan.steps)
        return planned.of_vm

    def environment(self) -> str:
        pid = self.host.info(NAME).pid
        return Path(f"/proc/{pid}/environ").read_text()

    def add(self, *lines: str) -> None:
        text = self.config.read_text().split("\n")
        self.config.write_text("\n".join([*text[:6], *lines, *text[6:]]))


@pytest.fixture
def operator(busybox_rootfs: Path, tmp_path: Path) -> Iterator[Operator]:
    template = tmp_path / "busybox.tar"
    subprocess.run(["tar", "-C", busybox_rootfs, "-cf", template, "."], check=True, timeout=60)
    someone = Operator(tmp_path, template)
    yield someone
    planned = lifecycle.plan_verb(someone.host, "deprovision", NAME)
    assert apply_plan(someone.host, planned) == Success(planned.plan.steps)
    assert someone.host.observe_all() == {}


def test_a_line_added_by_hand_stays_and_is_in_effect_after_a_restart(operator: Operator) -> None:
    operator.apply()
    operator.add(LINE)
    assert operator.apply() == Plan(name=NAME, by_hand=(LINE,))
    assert "BY_HAND=1" not in operator.environment()

    operator.vm["memory"] = "64MiB"
    assert operator.apply("rebooted").by_hand == (LINE,)
    assert operator.config.read_text().endswith(f"\n{LINE}\n")
    assert "BY_HAND=1" in operator.environment()
    assert operator.apply() == Plan(name=NAME, by_hand=(LINE,))


def test_a_lock_outlives_edits_by_hand_and_a_registry_that_is_lost(operator: Operator) -> None:
    operator.apply()
    host = operator.host
    apply_plan(host, lifecycle.plan_verb(host, "lock", NAME)).unwrap()
    before = host.observe(NAME)
    operator.add(LINE)
    for part in (operator.directory / "state").glob("registry.sqlite*"):
        part.unlink()
    assert operator.host.observe(NAME).half_locked
    for verb in ("undefine", "deprovision", "reinit"):
        with pytest.raises(Refused, match="is locked"):
            lifecycle.plan_verb(operator.host, verb, NAME)

    made = plan_rebuild(operator.host)
    assert [(step.vm, type(step.action)) for step in made.plan.steps] == [(NAME, Define)]
    apply_plan(operator.host, made).unwrap()
    assert operator.host.observe(NAME) == replace(before, by_hand=(LINE,))
    apply_plan(host, lifecycle.plan_verb(host, "unlock", NAME)).unwrap()
    assert not (operator.config.parent / "geats.locked").exists()
    assert not operator.host.observe(NAME).locked


def test_lines_added_by_hand_are_removed_where_the_policy_says_so(operator: Operator) -> None:
    operator.apply("defined")
    clean = operator.config.read_text()
    operator.add(LINE, "# a note")
    plan = operator.apply("defined", by_hand="removed")
    assert [step.reason for step in plan.steps] == [
        "lines added by hand should be removed: lxc.environment = BY_HAND=(hidden); # a note"
    ]
    assert operator.config.read_text() == clean
    assert operator.apply("defined", by_hand="removed") == Plan(name=NAME)


def test_a_line_of_geats_that_was_changed_by_hand_is_written_again(operator: Operator) -> None:
    operator.apply("defined")
    changed = "lxc.uts.name = by-hand"
    text = operator.config.read_text().replace(f"lxc.uts.name = {NAME}", changed)
    operator.config.write_text(text)
    plan = operator.apply("defined")
    assert [step.reason for step in plan.steps] == [
        ("what the driver has differs from what is recorded")
    ]
    lines = operator.config.read_text().split("\n")
    assert lines.index(f"lxc.uts.name = {NAME}") < lines.index(changed)
    wins = ((changed, "hostname"),)
    assert operator.apply("defined") == Plan(name=NAME, by_hand=(changed,), wins=wins)


def test_a_nic_that_is_gone_takes_its_own_lines_only(operator: Operator, bridge: str) -> None:
    operator.vm["nics"] = [{"name": "eth0", "bridge": bridge, "addresses": ["10.77.0.21/24"]}]
    operator.apply()
    operator.add(*HAND_MADE_NIC)
    operator.vm["nics"] = []
    assert operator.apply().by_hand == HAND_MADE_NIC
    lines = operator.config.read_text().split("\n")
    assert [line for line in lines if line.startswith("lxc.net.")] == [*HAND_MADE_NIC[1:]]
    assert operator.host.info(NAME).addresses == ("10.77.9.9",)


def test_a_line_that_cannot_be_kept_is_named_and_nothing_is_lost(operator: Operator) -> None:
    operator.apply("defined")
    operator.config.write_bytes(operator.config.read_bytes() + b"lxc.environment = N=J\xfcrgen\n")
    before = operator.config.read_bytes()
    operator.vm["memory"] = "64MiB"
    planned = lifecycle.plan_to(operator.host, NAME, "defined")
    assert "cannot be kept: 'lxc.environment = N=J\ufffdrgen'" in str(
        apply_plan(operator.host, planned).failure()
    )
    assert operator.config.read_bytes() == before
    operator.apply("defined", by_hand="removed")


@pytest.fixture
def foreign(driver: LxcDriver, busybox_rootfs: Path) -> str:
    """A container that somebody made beside geats, in the lxcpath of geats."""
    folder = driver.options.path / NAME
    folder.mkdir(parents=True)
    text = (
        "lxc.include = /usr/share/lxc/config/common.conf\n"
        f"lxc.uts.name = {NAME}\n"
        "lxc.apparmor.profile = unconfined\n"
        "lxc.net.0.type = empty\n"
        f"lxc.rootfs.path = dir:{busybox_rootfs}\n"
    )
    (folder / "config").write_text(text)
    return text


def start_by_hand(driver: LxcDriver, *options: str) -> None:
    """As a person does."""
    argv = ["lxc-start", "-P", str(driver.options.path), "-n", NAME, *options]
    subprocess.run(argv, check=True, timeout=30, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("on", [False, True])
def test_a_foreign_container_is_seen_and_left_alone(
    driver: LxcDriver, foreign: str, on: bool, tmp_path: Path
) -> None:
    if on:
        start_by_hand(driver)
    seen = DriverSeen(power=Power.RUNNING if on else Power.STOPPED, foreign=True)
    assert driver.observe() == {NAME: seen}

    host = open_host(driver, tmp_path)
    for target in ("running", "stopped", "off", "defined", "undefined", "deprovisioned", "locked"):
        with pytest.raises(Refused, match="geats did not make"):
            lifecycle.plan_to(host, NAME, target, {"template": "busybox"})
    with pytest.raises(HostError, match=r"geats did not make|runs"):
        driver.undefine(NAME)
    with pytest.raises(HostError, match="is not defined"):
        driver.start(NAME)
    with pytest.raises(HostError, match="geats did not make"):
        driver.define(spec("byhand"), {"root": Place(tmp_path)})
    assert driver.observe() == {NAME: seen}
    assert (driver.options.path / NAME / "config").read_text() == foreign


def open_host(driver: LxcDriver, directory: Path) -> Host:
    """A host whose containers are those of *driver*."""
    return Host.from_config(
        {
            "state_dir": str(directory / "state"),
            "run_dir": str(directory / "run"),
            "drivers": {"lxc": {"path": str(driver.options.path)}},
            "templates": {"busybox": {"path": str(directory / "none")}},
        }
    )


def test_the_addresses_of_a_foreign_container_are_seen_in_what_it_includes(
    driver: LxcDriver, foreign: str, tmp_path: Path
) -> None:
    site = tmp_path / "site.conf"
    nic = "lxc.net.0.type = veth\nlxc.net.0.ipv4.address = 10.77.0.9/24\n"
    site.write_text(f"{nic}lxc.net.0.hwaddr = 02:00:00:00:00:09\n")
    config = driver.options.path / NAME / "config"
    config.write_text(foreign.replace("lxc.net.0.type = empty", f"lxc.include = {site}"))
    seen = ForeignNic(mac="02:00:00:00:00:09", addresses=("10.77.0.9",))
    assert driver.observe()[NAME].foreign_nics == (seen,)


def test_a_copy_of_a_container_is_foreign(driver: LxcDriver, busybox_rootfs: Path) -> None:
    want = spec("byhand")
    driver.define(want, {"root": Place(busybox_rootfs)})
    copy = driver.options.path / f"{NAME}-copy"
    copy.mkdir(parents=True)
    (copy / "config").write_text((driver.options.path / NAME / "config").read_text())
    assert driver.observe() == {
        NAME: DriverSeen(defined=want),
        f"{NAME}-copy": DriverSeen(foreign=True),
    }


@pytest.mark.parametrize("kind", ["directory", "symlink", "pipe", "huge"])
def test_a_config_that_geats_cannot_have_written_is_foreign(
    driver: LxcDriver, kind: str, tmp_path: Path
) -> None:
    config = driver.options.path / NAME / "config"
    config.parent.mkdir(parents=True)
    if kind == "directory":
        config.mkdir()
    elif kind == "symlink":
        config.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(config)
    else:
        config.write_text(f"# geats-spec: {NAME} {{}}\n" + "#" * (1 << 20))
    assert driver.observe() == {NAME: DriverSeen(foreign=True)}


def test_one_that_runs_without_any_directory_is_foreign(
    driver: LxcDriver, foreign: str, tmp_path: Path
) -> None:
    folder = driver.options.path / NAME
    folder.rename(tmp_path / "aside")
    start_by_hand(driver, "-f", str(tmp_path / "aside" / "config"))
    if folder.exists():
        folder.rmdir()
    try:
        assert driver.observe() == {NAME: DriverSeen(power=Power.RUNNING, foreign=True)}
    finally:
        driver.end(NAME)


def test_one_of_geats_that_lost_its_config_while_it_runs_is_still_of_geats(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    want = spec("byhand")
    driver.define(want, {"root": Place(busybox_rootfs)})
    driver.start(NAME)
    (driver.options.path / NAME / "config").unlink()
    assert driver.observe() == {NAME: DriverSeen(in_effect=want, power=Power.RUNNING)}
    driver.define(want, {"root": Place(busybox_rootfs)})
    assert driver.observe()[NAME].defined == want


@contextmanager
def bound_by(uid: int, lxcpath: Path, *, full: bool) -> Iterator[None]:
    """A process of the user *uid* that listens at the address of a container, and never answers."""
    name = address(str(lxcpath), NAME)
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setuid(uid)
            with socket.socket(socket.AF_UNIX) as stranger, socket.socket(socket.AF_UNIX) as own:
                stranger.bind(name)
                stranger.listen(0)
                if full:
                    own.connect(name)
                os.write(told, b"x")
                time.sleep(60)
        finally:
            os._exit(1)
    os.close(told)
    try:
        assert os.read(ready, 1) == b"x"
        yield
    finally:
        os.close(ready)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.parametrize("full", [False, True])
def test_only_root_can_be_a_monitor(driver: LxcDriver, busybox_rootfs: Path, full: bool) -> None:
    want = spec("byhand")
    driver.define(want, {"root": Place(busybox_rootfs)})
    with bound_by(NOBODY, driver.options.path, full=full):
        begin = time.monotonic()
        assert driver.observe() == {NAME: DriverSeen(defined=want)}
        assert listener(str(driver.options.path), NAME) is Listener.STRANGER
        assert driver.info(NAME).pid is None
        with pytest.raises(HostError, match="taken by a process that is not root"):
            driver.start(NAME)
        driver.repair(NAME)
        assert time.monotonic() - begin < 1
    driver.start(NAME)
    assert driver.observe()[NAME].power is Power.RUNNING


def test_an_address_taken_by_another_user_is_no_container(driver: LxcDriver) -> None:
    with bound_by(NOBODY, driver.options.path, full=False):
        assert driver.observe() == {}


def test_a_stuck_monitor_stays_stuck_however_often_it_is_asked(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    """At last its queue is full, and it takes no more connections."""
    driver.define(spec("byhand"), {"root": Place(busybox_rootfs)})
    driver.start(NAME)
    init = driver.info(NAME).pid
    monitor = int(Path(f"/proc/{init}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(monitor, signal.SIGSTOP)
    lxcpath = str(driver.options.path)
    asked = [power(lxcpath, NAME, 0.001) for _ in range(300)]
    assert set(asked) == {Power.STUCK}
    assert listener(lxcpath, NAME) is Listener.FULL_MONITOR
    driver.repair(NAME)
    assert driver.observe()[NAME].power is Power.STOPPED
