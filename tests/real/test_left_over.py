"""Real containers whose monitor was killed while they were frozen: a plan repairs them."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.vm.observation import Power
from geats_host.calls import lifecycle
from geats_host.drivers.lxc.driver import LxcDriver
from geats_host.drivers.lxc.process import monitors
from geats_host.errors import HostError
from tests.real.conftest import CGROUPS, sh, spec
from tests.real.test_holds import NAME, host

NIC = {"name": "eth0", "bridge": "gtbr0", "addresses": ["10.77.0.5/24"]}


def kill_monitor(driver: LxcDriver, name: str) -> None:
    """As the kernel does where memory is short."""
    found = dict(monitors(driver.options.path))
    with open(os.pidfd_open(found[name]), closefd=True) as process:
        signal.pidfd_send_signal(process.fileno(), signal.SIGKILL)


def frozen_without_monitor(driver: LxcDriver, root: Path, name: str = "held") -> str:
    want = spec(name, nics=[NIC])
    driver.define(want, {"root": root})
    driver.start(want.name)
    driver.freeze(want.name)
    kill_monitor(driver, want.name)
    return want.name


@pytest.fixture(autouse=True)
def with_bridge(bridge: str) -> None:
    """The NIC's."""


def test_it_is_stuck_and_neither_starts_nor_is_forgotten(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    name = frozen_without_monitor(driver, busybox_rootfs)
    assert driver.observe()[name].power is Power.STUCK
    assert driver.observe(name)[name].power is Power.STUCK
    with pytest.raises(HostError, match="runs: it cannot be undefined"):
        driver.undefine(name)


def test_repairing_it_leaves_nothing_and_it_starts_again(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    name = frozen_without_monitor(driver, busybox_rootfs)
    driver.repair(name)
    assert driver.observe()[name].power is Power.STOPPED
    assert list(CGROUPS.glob(f"*/lxc.*.{name}*")) == []
    driver.start(name)
    assert driver.observe()[name].power is Power.RUNNING


def test_another_container_of_that_name_is_not_taken_for_it(
    driver: LxcDriver, busybox_rootfs: Path, tmp_path: Path
) -> None:
    """Cgroups are named after containers alone, whatever lxcpath these are below."""
    name = frozen_without_monitor(driver, busybox_rootfs)
    other = replace(driver, options=replace(driver.options, path=tmp_path / "elsewhere"))
    sh("cp", "-a", str(busybox_rootfs), f"{tmp_path}/other")
    other.define(spec("held"), {"root": tmp_path / "other"})
    assert other.observe()[name].power is Power.STOPPED
    other.repair(name)
    assert driver.observe()[name].power is Power.STUCK


def test_a_container_whose_name_ends_in_a_number_is_another(
    driver: LxcDriver, busybox_rootfs: Path, tmp_path: Path
) -> None:
    for name in ("held", "held-1"):
        sh("cp", "-a", str(busybox_rootfs), f"{tmp_path}/{name}")
        driver.define(spec(name), {"root": tmp_path / name})
    driver.start("geats-test-held-1")
    driver.freeze("geats-test-held-1")
    kill_monitor(driver, "geats-test-held-1")
    powers = {name: seen.power for name, seen in driver.observe().items()}
    assert powers == {NAME: Power.STOPPED, "geats-test-held-1": Power.STUCK}


def test_cgroups_of_a_monitor_that_was_killed_go_with_the_next_start(
    driver: LxcDriver, busybox_rootfs: Path
) -> None:
    driver.define(spec("held"), {"root": busybox_rootfs})
    for _ in range(2):
        driver.start(NAME)
        kill_monitor(driver, NAME)
        while driver.observe()[NAME].power is not Power.STOPPED:
            pass
    driver.start(NAME)
    assert {each.name for each in CGROUPS.glob(f"*/lxc.*.{NAME}*")} == {
        f"lxc.monitor.{NAME}",
        f"lxc.payload.{NAME}",
    }


@pytest.mark.parametrize("target", ["running", "stopped", "deprovisioned"])
def test_a_plan_repairs_it(tmp_path: Path, busybox_rootfs: Path, target: str) -> None:
    here = host(tmp_path, busybox_rootfs, "plain")
    here.apply(lifecycle.plan_to(here, NAME)).unwrap()
    driver = here.drivers["lxc"]
    assert isinstance(driver, LxcDriver)
    driver.freeze(NAME)
    kill_monitor(driver, NAME)

    planned = lifecycle.plan_to(here, NAME, target)
    here.apply(planned).unwrap()

    assert "Repair" in [type(step.action).__name__ for step in planned.plan.steps]
    assert lifecycle.plan_to(here, NAME, target).plan.is_empty
    here.apply(lifecycle.plan_to(here, NAME, "deprovisioned")).unwrap()
