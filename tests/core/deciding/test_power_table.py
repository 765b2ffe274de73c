"""Which power actions are valid from which power; all others are refused."""

import pytest
from returns.result import Failure, Success

from geats_core import Observation, Power, Stage, VMSpec, VolumeSeen, after, parse_vm
from geats_core.planning.actions import (
    Action,
    DestroyVolume,
    Freeze,
    Hold,
    Repair,
    SetDevices,
    SetDns,
    SetLimits,
    Shutdown,
    Start,
    Stop,
    Undefine,
    Unfreeze,
)
from geats_core.vm.spec import Dns, Limits

WEB = parse_vm("web", {"template": "debian"}).unwrap()
ROOT = VolumeSeen(name="root", pool="default", stage=Stage.INSTALLED, active=True)
DEVICES = SetDevices(WEB)
DNS = SetDns(Dns(search=("lan",)))
VALID: dict[tuple[Action, Power], Power] = {
    (Start(), Power.STOPPED): Power.RUNNING,
    (Shutdown(60), Power.RUNNING): Power.STOPPED,
    (Stop(), Power.RUNNING): Power.STOPPED,
    (Stop(), Power.FROZEN): Power.STOPPED,
    (Stop(), Power.HELD): Power.STOPPED,
    (Freeze(), Power.RUNNING): Power.FROZEN,
    (Freeze(), Power.HELD): Power.FROZEN,
    (Hold(), Power.RUNNING): Power.HELD,
    (Unfreeze(), Power.FROZEN): Power.RUNNING,
    (Unfreeze(), Power.HELD): Power.RUNNING,
    (Repair(), Power.STUCK): Power.STOPPED,
    (SetLimits(Limits()), Power.RUNNING): Power.RUNNING,
    (SetLimits(Limits()), Power.FROZEN): Power.FROZEN,
    (SetLimits(Limits()), Power.HELD): Power.HELD,
    (DEVICES, Power.RUNNING): Power.RUNNING,
    (DEVICES, Power.FROZEN): Power.FROZEN,
    (DEVICES, Power.HELD): Power.HELD,
    (DNS, Power.RUNNING): Power.RUNNING,
    (DNS, Power.FROZEN): Power.FROZEN,
    (DNS, Power.HELD): Power.HELD,
    (Undefine(), Power.STOPPED): Power.STOPPED,
}
ACTIONS = sorted({action for action, _ in VALID}, key=str)


def web(power: Power, in_effect: VMSpec | None = WEB) -> Observation:
    return Observation(
        recorded=WEB,
        defined=WEB,
        in_effect=None if power is Power.STOPPED else in_effect,
        power=power,
        volumes=(ROOT,),
    )


@pytest.mark.parametrize("power", Power)
@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_the_table_says_which_power_actions_are_valid(action: Action, power: Power) -> None:
    have = web(power)
    match after(action, have):
        case Success(state):
            assert state.power is VALID[action, power]
        case Failure(why):
            assert (action, power) not in VALID
            assert why == f"it is {power}"
    assert have == web(power)


def test_limits_cannot_be_set_where_it_is_not_known_what_is_in_effect() -> None:
    assert after(SetLimits(Limits()), web(Power.RUNNING, None)) == Failure("it is running")


@pytest.mark.parametrize(
    ("have", "why"),
    [
        (Observation(), "it is not defined"),
        (Observation(defined=WEB), "a volume is not ready"),
        (
            Observation(
                defined=WEB,
                volumes=(VolumeSeen(name="root", pool="default", stage=Stage.FORMATTED),),
            ),
            "a volume is not ready",
        ),
    ],
)
def test_a_vm_that_is_not_ready_does_not_start(have: Observation, why: str) -> None:
    assert after(Start(), have) == Failure(why)


def test_a_locked_vm_cannot_be_undefined() -> None:
    assert after(Undefine(), Observation(recorded=WEB, locked=True)) == Failure("it is locked")


@pytest.mark.parametrize(
    ("have", "why"),
    [
        (Observation(volumes=(ROOT,), locked=True), "the VM is locked"),
        (web(Power.RUNNING), "the VM is running"),
    ],
)
def test_a_volume_of_a_locked_or_running_vm_cannot_be_destroyed(
    have: Observation, why: str
) -> None:
    assert after(DestroyVolume("default", "root"), have) == Failure(why)
