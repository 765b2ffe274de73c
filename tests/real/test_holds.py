"""Real containers that are frozen for an operation go on whatever becomes of it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.vm.observation import Power
from geats_host.calls import copies, lifecycle
from geats_host.drivers import DriverSeen, Place
from geats_host.drivers.held import HELD
from geats_host.drivers.lxc.driver import LxcDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError
from geats_host.host import Host
from geats_host.storage import COPIES, VolumeId
from tests.real.conftest import spec
from tests.real.test_storage import on_btrfs

HOLDING = """
import sys, time
from pathlib import Path
from geats_host.drivers.lxc.driver import open_driver
open_driver({}, Path(sys.argv[1])).hold(sys.argv[2])
print("held", flush=True)
time.sleep(600)
"""
NAME = "geats-test-held"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
SOON_S = 20


def started(driver: LxcDriver, root: Path) -> DriverSeen:
    want = spec("held")
    driver.define(want, {"root": Place(root)})
    driver.start(want.name)
    return driver.observe()[NAME]


@contextmanager
def held_by_another(driver: LxcDriver) -> Iterator["subprocess.Popen[bytes]"]:
    """A process in a group of its own, which holds the container and is killed afterwards."""
    argv = [sys.executable, "-c", HOLDING, str(driver.options.path.parent), NAME]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, env=ENVIRONMENT, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        os.killpg(process.pid, signal.SIGKILL)


def holder(driver: LxcDriver) -> int:
    return int((driver.options.path / NAME / HELD).read_text().split()[0])


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def soon(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + SOON_S
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def test_it_goes_on_when_all_processes_of_the_operation_are_killed(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    on = started(driver, busybox_rootfs)
    with held_by_another(driver):
        assert driver.observe()[NAME] == replace(on, power=Power.HELD)
        pid = holder(driver)
    assert driver.observe()[NAME] == on
    assert soon(lambda: not is_alive(pid))
    assert driver.options.path.joinpath(NAME, HELD).exists() is False


def test_where_nothing_is_left_to_let_it_go_on_that_shows(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    on = started(driver, busybox_rootfs)
    with held_by_another(driver):
        os.kill(holder(driver), signal.SIGKILL)
    assert driver.observe()[NAME] == replace(on, power=Power.HELD)
    driver.unfreeze(NAME)
    assert driver.observe()[NAME] == on


def test_one_that_is_frozen_by_wish_stays_frozen(driver: LxcDriver, busybox_rootfs: Path) -> None:
    on = started(driver, busybox_rootfs)
    frozen = replace(on, power=Power.FROZEN)
    with held_by_another(driver):
        pid = holder(driver)
        driver.freeze(NAME)
        assert driver.observe()[NAME] == frozen
        assert soon(lambda: not is_alive(pid))
    assert driver.observe()[NAME] == frozen


@pytest.mark.parametrize("end", [LxcDriver.unfreeze, LxcDriver.stop, LxcDriver.end])
def test_no_process_stays_where_there_is_nothing_to_let_go_on(
    driver: LxcDriver, busybox_rootfs: Path, end: Callable[[LxcDriver, str], None]
) -> None:
    started(driver, busybox_rootfs)
    driver.hold(NAME)
    pid = holder(driver)
    assert "hold_child" in Path(f"/proc/{pid}/cmdline").read_text()
    end(driver, NAME)
    assert soon(lambda: not is_alive(pid))
    assert not driver.options.path.joinpath(NAME, HELD).exists()


def test_the_process_that_lets_it_go_on_is_in_no_group_and_no_session_of_ours(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    started(driver, busybox_rootfs)
    driver.hold(NAME)
    pid = holder(driver)
    assert os.getsid(pid) == os.getpgid(pid) == pid
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    groups = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    assert {line.split(":", 2)[2] for line in groups} == {"/"}
    driver.unfreeze(NAME)


def test_one_that_is_off_is_not_held(driver: LxcDriver, busybox_rootfs: Path) -> None:
    driver.define(spec("held"), {"root": Place(busybox_rootfs)})
    with pytest.raises(HostError, match="does not run"):
        driver.hold(NAME)
    assert driver.observe()[NAME].power is Power.STOPPED


def host(at: Path, rootfs: Path, pool: str) -> Host:
    volumes = [
        {"name": "root", "pool": pool},
        {"name": "data", "pool": pool, "mount": "/data"},
    ]
    return Host.from_config(
        {
            "state_dir": f"{at}/state",
            "run_dir": f"{at}/run",
            "drivers": {"lxc": {"settle": 0.1}},
            "pools": {
                "fast": {"type": "btrfs", "path": f"{at}/at/pool"},
                "plain": {"type": "directory", "path": f"{at}/plain"},
            },
            "templates": {"busybox": {"path": str(rootfs)}},
            "vms": {NAME: {"template": "busybox", "init": "busybox", "volumes": volumes}},
        }
    )


@pytest.fixture
def ground(own_namespaces: None, tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "at").mkdir(mode=0o711)
    with on_btrfs(tmp_path / "at"):
        yield tmp_path


EXPORTING = """
import sys
from pathlib import Path
from geats_host.archives import vm_archives
from geats_host.calls import copies
from tests.real.test_holds import host
def told(*args, **named):
    print("writing", flush=True)
    sys.stdin.read()
vm_archives.write = told
here = host(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
copies.apply_export(here, copies.export(here, sys.argv[4], sys.argv[5]))
"""


@contextmanager
def killed_export(at: Path, rootfs: Path, pool: str) -> Iterator[None]:
    """An export that is about to write its archive, and is killed afterwards."""
    argv = [sys.executable, "-c", EXPORTING, str(at), str(rootfs), pool, NAME, f"{at}/it.tar"]
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        yield
        os.killpg(process.pid, signal.SIGKILL)


def clones(here: Host, pool: str) -> list[VolumeId]:
    return [volume for volume in here.pools[pool].observe() if volume.vm == COPIES]


@pytest.mark.parametrize(("pool", "meanwhile"), [("fast", Power.RUNNING), ("plain", Power.HELD)])
def test_an_export_that_is_killed_leaves_it_running_and_the_same_again_leaves_nothing(
    ground: Path, busybox_rootfs: Path, pool: str, meanwhile: Power
) -> None:
    """While the archive is written, the VM runs where its volumes are cloned in no time."""
    here = host(ground, busybox_rootfs, pool)
    apply_plan(here, lifecycle.plan_to(here, NAME)).unwrap()
    on = here.observe(NAME)
    with killed_export(ground, busybox_rootfs, pool):
        assert here.observe(NAME) == replace(on, power=meanwhile)
    assert here.observe(NAME) == on

    again = copies.export(here, NAME, f"{ground}/it.tar")
    copies.apply_export(here, again).unwrap()

    assert here.observe(NAME) == on
    assert (ground / "it.tar").exists()
    assert clones(here, pool) == []
    apply_plan(here, lifecycle.plan_to(here, NAME, "deprovisioned")).unwrap()


def test_what_a_killed_export_left_goes_with_the_volumes(
    ground: Path, busybox_rootfs: Path
) -> None:
    here = host(ground, busybox_rootfs, "fast")
    apply_plan(here, lifecycle.plan_to(here, NAME)).unwrap()
    with killed_export(ground, busybox_rootfs, "fast"):
        pass
    assert len(clones(here, "fast")) == 2

    apply_plan(here, lifecycle.plan_to(here, NAME, "deprovisioned")).unwrap()

    assert clones(here, "fast") == []
