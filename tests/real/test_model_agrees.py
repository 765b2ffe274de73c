"""The driver does to a real container what the model of the core says."""

from dataclasses import replace
from pathlib import Path

from geats_core.planning.actions import (
    Action,
    Define,
    Freeze,
    Hold,
    Lock,
    Repair,
    SetLimits,
    Shutdown,
    Start,
    Stop,
    Undefine,
    Unfreeze,
    Unlock,
)
from geats_core.planning.model import after
from geats_core.vm.observation import Observation, Stage, VolumeSeen
from geats_core.vm.spec import Limits
from geats_host.drivers import DriverSeen, Place
from geats_host.drivers.lxc.driver import LxcDriver
from tests.real.conftest import spec

WANT = spec("model", memory="64MiB")
CHANGED = replace(WANT, hostname="changed")
ROOT = VolumeSeen(
    name="root", pool="default", stage=Stage.INSTALLED, active=True, template="busybox"
)
ACTIONS: tuple[Action, ...] = (
    Define(WANT),
    Start(),
    SetLimits(Limits(memory_bytes=96 << 20)),
    Lock(),
    Define(CHANGED, ("lxc.environment = BY=HAND", "# why")),
    Freeze(),
    SetLimits(Limits(processes=40)),
    Unfreeze(),
    Hold(),
    SetLimits(Limits(processes=50)),
    Freeze(),
    Unfreeze(),
    Hold(),
    Unfreeze(),
    Shutdown(10),
    Define(CHANGED, ("lxc.environment = BY=HAND",)),
    Start(),
    Freeze(),
    Stop(),
    Start(),
    Hold(),
    Stop(),
    Define(CHANGED),
    Unlock(),
    Undefine(),
)


def test_the_driver_agrees_with_the_model(driver: LxcDriver, busybox_rootfs: Path) -> None:
    """All that the driver knows is as foretold after every action."""
    model = Observation(volumes=(ROOT,))
    for action in ACTIONS:
        perform(driver, action, busybox_rootfs)
        model = after(action, model).unwrap()
        seen = driver.observe().get(WANT.name, DriverSeen())
        foretold = DriverSeen(
            defined=model.defined,
            in_effect=model.in_effect,
            power=model.power,
            by_hand=model.by_hand,
            foreign=model.foreign,
            locked=model.locked,
        )
        assert seen == foretold, action


def perform(driver: LxcDriver, action: Action, root: Path) -> None:
    """One action by the driver."""
    match action:
        case Define(want, keep):
            driver.define(want, {"root": Place(root)}, keep)
        case Undefine():
            driver.undefine(WANT.name)
        case Lock():
            driver.set_locked(WANT.name, locked=True)
        case Unlock():
            driver.set_locked(WANT.name, locked=False)
        case Start():
            driver.start(WANT.name)
        case Shutdown(timeout_s):
            driver.shutdown(WANT.name, timeout_s)
        case Stop():
            driver.stop(WANT.name)
        case Repair():
            driver.repair(WANT.name)
        case Freeze():
            driver.freeze(WANT.name)
        case Hold():
            driver.hold(WANT.name)
        case Unfreeze():
            driver.unfreeze(WANT.name)
        case SetLimits(limits):
            driver.set_limits(WANT.name, limits)
        case _:
            raise AssertionError(action)
