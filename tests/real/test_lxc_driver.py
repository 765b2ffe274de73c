"""The driver ``lxc`` against real containers."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn

import pytest

from geats_core.vm.observation import Power
from geats_core.vm.spec import Init, Limits
from geats_host.drivers import DriverSeen, Info, Place
from geats_host.drivers.lxc import trial
from geats_host.drivers.lxc.driver import LxcDriver, open_driver
from geats_host.drivers.lxc.library import LXC
from geats_host.errors import HostError, Refused
from tests.real.conftest import set_init, sh, spec


def started(driver: LxcDriver, root: Path, name: str, **keys: object) -> str:
    """Define and start a container."""
    want = spec(name, **keys)
    driver.define(want, {"root": Place(root)})
    driver.start(want.name)
    return want.name


def power(driver: LxcDriver, name: str) -> Power:
    return driver.observe()[name].power


def monitor_of(driver: LxcDriver, name: str) -> int:
    pid = driver.info(name).pid
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_life_from_define_to_undefine(driver: LxcDriver, busybox_rootfs: Path) -> None:
    want = spec("life")
    driver.define(want, {"root": Place(busybox_rootfs)})
    assert driver.observe() == {want.name: DriverSeen(defined=want)}
    driver.start(want.name)
    on = DriverSeen(defined=want, in_effect=want, power=Power.RUNNING)
    assert driver.observe() == {want.name: on}
    driver.freeze(want.name)
    assert driver.observe() == {want.name: replace(on, power=Power.FROZEN)}
    driver.unfreeze(want.name)
    with pytest.raises(HostError, match="runs"):
        driver.undefine(want.name)
    assert driver.observe() == {want.name: on}
    driver.shutdown(want.name, 10)
    assert driver.observe() == {want.name: DriverSeen(defined=want)}
    driver.undefine(want.name)
    driver.undefine(want.name)
    assert driver.observe() == {}


def test_one_container_is_seen_as_it_is_among_all(driver: LxcDriver, busybox_rootfs: Path) -> None:
    for name in ("on", "off"):
        driver.define(spec(name), {"root": Place(busybox_rootfs)})
    driver.start("geats-test-on")
    everything = driver.observe()

    assert {name: each.power for name, each in everything.items()} == {
        "geats-test-on": Power.RUNNING,
        "geats-test-off": Power.STOPPED,
    }
    assert {name: driver.observe(name) for name in everything} == {
        name: {name: each} for name, each in everything.items()
    }
    assert driver.observe("geats-test-none") == {}


def test_root_of_the_guest_is_nobody_on_the_host(driver: LxcDriver, busybox_rootfs: Path) -> None:
    pid = driver.info(started(driver, busybox_rootfs, "unpriv")).pid
    assert pid is not None
    assert Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", "100000", "65536"]
    assert Path(f"/proc/{pid}").stat().st_uid == 100000


def test_root_of_a_privileged_guest_is_root(driver: LxcDriver, busybox_rootfs: Path) -> None:
    pid = driver.info(started(driver, busybox_rootfs, "priv", privileged=True)).pid
    assert Path(f"/proc/{pid}").stat().st_uid == 0


def test_limits_change_while_it_runs(driver: LxcDriver, busybox_rootfs: Path) -> None:
    name = started(driver, busybox_rootfs, "limits", memory="64MiB")
    assert driver.info(name).memory_limit_bytes == 64 << 20
    limits = Limits(memory_bytes=128 << 20, cpus=0.5, processes=50)
    driver.set_limits(name, limits)
    seen = driver.observe()[name]
    assert seen.in_effect == replace(spec("limits", memory="64MiB"), limits=limits)
    assert seen.defined == spec("limits", memory="64MiB")
    assert driver.info(name).memory_limit_bytes == 128 << 20
    driver.set_limits(name, Limits())
    assert driver.info(name).memory_limit_bytes is None


def known(info: Info) -> set[str]:
    return {key for key, value in asdict(info).items() if value is not None}


def test_an_address_answers(driver: LxcDriver, busybox_rootfs: Path, bridge: str) -> None:
    nic = {"name": "eth0", "bridge": bridge, "addresses": ["10.77.0.5/24"]}
    name = started(driver, busybox_rootfs, "net", nics=[nic])
    assert "10.77.0.5" in driver.info(name).addresses
    used = driver.usage([name, "geats-test-none", ".."])
    assert used.keys() == {name, "geats-test-none"}
    assert used["geats-test-none"] == Info()
    seen = driver.info(name)  # a moment later: of what a guest uses, only some stays as it is
    assert (used[name].pid, used[name].addresses) == (seen.pid, seen.addresses)
    assert known(used[name]) == known(seen) >= {"uptime_s", "memory_used_bytes"}
    sh("ping", "-c1", "-W2", "10.77.0.5")


def test_it_survives_its_starter(driver: LxcDriver, busybox_rootfs: Path, tmp_path: Path) -> None:
    want = spec("alone")
    driver.define(want, {"root": Place(busybox_rootfs)})
    code = (
        "import sys; from pathlib import Path;"
        "from geats_host.drivers.lxc.driver import open_driver;"
        "open_driver({}, Path(sys.argv[1])).start(sys.argv[2])"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-c", code, str(tmp_path), want.name]
    subprocess.run(argv, check=True, timeout=30, env=environment)
    assert power(driver, want.name) is Power.RUNNING


def test_a_guest_that_does_not_listen_is_stopped(driver: LxcDriver, busybox_rootfs: Path) -> None:
    set_init(busybox_rootfs, "#!/bin/sh\ntrap '' USR1 PWR\nwhile :; do sleep 1; done\n")
    name = started(driver, busybox_rootfs, "deaf")
    driver.shutdown(name, 1)
    assert power(driver, name) is Power.STOPPED


@pytest.mark.parametrize("frozen", [False, True])
def test_stop(driver: LxcDriver, busybox_rootfs: Path, frozen: bool) -> None:
    name = started(driver, busybox_rootfs, "stop")
    if frozen:
        driver.freeze(name)
    driver.stop(name)
    assert power(driver, name) is Power.STOPPED


def test_a_missing_bridge_is_named(driver: LxcDriver, busybox_rootfs: Path) -> None:
    with pytest.raises(HostError, match="nobridge0"):
        started(driver, busybox_rootfs, "nb", nics=[{"name": "eth0", "bridge": "nobridge0"}])


def test_a_missing_root_is_told(driver: LxcDriver, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="rootfs"):
        started(driver, tmp_path / "absent", "nr")


def test_a_missing_init_is_named(driver: LxcDriver, busybox_rootfs: Path) -> None:
    (busybox_rootfs / "sbin/init").unlink()
    with pytest.raises(HostError, match="/sbin/init"):
        started(driver, busybox_rootfs, "ni")


def test_one_that_ends_right_away_did_not_start(driver: LxcDriver, busybox_rootfs: Path) -> None:
    set_init(busybox_rootfs, "#!/bin/sh\nsleep 0.1\n")
    with pytest.raises(HostError, match="ended right after its start"):
        started(driver, busybox_rootfs, "brief")
    assert power(driver, "geats-test-brief") is Power.STOPPED


@pytest.mark.parametrize("frozen", [False, True])
def test_a_stuck_monitor_is_seen_and_repaired(
    driver: LxcDriver, busybox_rootfs: Path, frozen: bool
) -> None:
    name = started(driver, busybox_rootfs, "stuck")
    if frozen:
        driver.freeze(name)
    os.kill(monitor_of(driver, name), signal.SIGSTOP)
    assert power(driver, name) is Power.STUCK
    driver.repair(name)
    assert power(driver, name) is Power.STOPPED
    driver.start(name)
    assert power(driver, name) is Power.RUNNING


def test_a_monitor_that_only_answered_late_is_not_killed(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    name = started(driver, busybox_rootfs, "late")
    monitor = monitor_of(driver, name)
    os.kill(monitor, signal.SIGSTOP)
    assert power(driver, name) is Power.STUCK
    os.kill(monitor, signal.SIGCONT)
    pid = driver.info(name).pid
    with pytest.raises(HostError, match="answered late"):
        driver.repair(name)
    assert (power(driver, name), driver.info(name).pid) == (Power.RUNNING, pid)


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "x" * 64, "a\nb", "a..b", "web\0"])
def test_hostile_names_are_refused(driver: LxcDriver, name: str) -> None:
    for verb in (driver.start, driver.stop, driver.freeze, driver.repair, driver.undefine):
        with pytest.raises(HostError, match="name"):
            verb(name)


def test_undefine_leaves_what_is_not_ours(driver: LxcDriver, busybox_rootfs: Path) -> None:
    want = spec("extra")
    driver.define(want, {"root": Place(busybox_rootfs)})
    (driver.options.path / want.name / "notes").write_text("mine")
    with pytest.raises(HostError, match="notes"):
        driver.undefine(want.name)
    assert driver.observe()[want.name].defined == want


def test_debian_boots_and_shuts_down(driver: LxcDriver, debian_rootfs: Path) -> None:
    want = replace(spec("debian"), init=Init.AUTO)
    driver.define(want, {"root": Place(debian_rootfs)})
    driver.start(want.name)
    assert driver.shutdown(want.name, 120) == ""
    assert power(driver, want.name) is Power.STOPPED


def test_bad_options_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        open_driver({"path": "relative", "timeout": -1, "tiemout": 3, "settle": "x"}, tmp_path)
    assert len(refused.value.problems) == 4


def test_a_volume_whose_ids_are_of_another_range_is_refused(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:

    def at(shifted_by: int) -> dict[str, Place]:
        return {"root": Place(busybox_rootfs, shifted_by=shifted_by)}

    with pytest.raises(HostError, match="contains ids from 7, and its guest has them from 100000"):
        driver.define(spec("range"), at(7))
    with pytest.raises(HostError, match="contains ids from 100000, and its guest has them from 0"):
        driver.define(spec("range", privileged=True), at(100_000))
    assert driver.observe() == {}


def full_disk() -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_small_container_is_tried_and_leaves_nothing(
    driver: LxcDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(os.listdir(driver.options.state_dir))
    whats = [(each.what, each.fix) for each in driver.trials()]
    assert whats == [("lxc for Python", ""), ("start", ""), ("attach", "")]
    assert set(os.listdir(driver.options.state_dir)) - before <= {LXC.memory}

    broken = replace(driver.options, python="/bin/false")
    assert [(each.what, bool(each.fix)) for each in LxcDriver(broken).trials()] == [
        ("lxc for Python", True),
        ("start", True),  # read-only mounts need it
    ]
    with monkeypatch.context() as full:
        full.setattr(tempfile, "TemporaryDirectory", lambda **_: full_disk())
        _, failed = driver.trials()
        assert failed.found == "a small container cannot be made: No space left on device"
    monkeypatch.setattr(trial, "INIT", "#!/bin/sh\nexit 1\n")
    _, failed = driver.trials()
    assert "a small container does not start" in failed.found
