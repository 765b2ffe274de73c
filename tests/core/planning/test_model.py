"""The model: what each action makes of a VM, and why it may not be done."""

from dataclasses import replace

import pytest
from returns.result import Failure, Success

from geats_core import Observation, Power, Stage, VMSpec, VolumeSeen, after, parse_vm
from geats_core.planning.actions import (
    Action,
    ActivateVolume,
    AllocateVolume,
    ConfigureGuest,
    Define,
    DeleteSnapshot,
    DestroyVolume,
    FormatVolume,
    Freeze,
    GrowVolume,
    InstallTemplate,
    Lock,
    Pause,
    Repair,
    RollbackVolume,
    SetDevices,
    SetDns,
    SetLimits,
    Shutdown,
    SnapshotVolume,
    Start,
    Stop,
    Undefine,
    Unfreeze,
    Unlock,
)
from geats_core.planning.then import Then
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.observation import SnapshotSeen, volumes_in_order
from geats_core.vm.spec import Dns, Limits

ROOT = ("fast", "root")
NAMES: list[object] = [{"name": "root", "pool": "fast"}, {"name": "data", "mount": "/data"}]


def web(**changed: object) -> VMSpec:
    return parse_vm("web", {"template": "debian", "volumes": NAMES} | changed).unwrap()


WEB = web()
LARGER = web(hostname="other", nics=[{"name": "eth0", "bridge": "br0"}])
GUEST = guest_digest(WEB)
MONDAY = SnapshotSeen(name="monday", taken_s=1, stage=Stage.FILLING, template="old", guest="old")
DATA = VolumeSeen(name="data", pool="default", stage=Stage.FORMATTED, active=True)
DISK = VolumeSeen(
    name="root",
    pool="fast",
    stage=Stage.INSTALLED,
    active=True,
    size_bytes=10,
    template="debian",
    guest=GUEST,
    snapshots=(MONDAY,),
)
OFF = Observation(recorded=WEB, defined=WEB, volumes=(DATA, DISK))
ON = replace(OFF, power=Power.RUNNING, in_effect=WEB)
FROZEN = replace(ON, power=Power.FROZEN)
STUCK = replace(ON, power=Power.STUCK)
LOCKED = replace(OFF, locked=True)
HALF_LOCKED = replace(LOCKED, half_locked=True)
NOWHERE = Observation()
FOREIGN = Observation(foreign=True)
EMPTY = replace(OFF, volumes=())


def disk(**changed: object) -> Observation:
    """The VM, off, with another root volume."""
    return replace(OFF, volumes=(DATA, replace(DISK, **changed)))  # type: ignore[arg-type]


INACTIVE = disk(active=False)
ALLOCATED = disk(stage=Stage.ALLOCATED)
FORMATTED = disk(stage=Stage.FORMATTED)
FILLING = disk(stage=Stage.FILLING)
SNAPSHOT = SnapshotVolume(*ROOT, "tuesday", 2)
ROLLBACK = RollbackVolume(*ROOT, "monday")
DELETE = DeleteSnapshot(*ROOT, "monday")
INSTALL = InstallTemplate(*ROOT, "debian")
CONFIGURE = ConfigureGuest(*ROOT, WEB)
TUESDAY = SnapshotSeen(
    name="tuesday", taken_s=2, stage=Stage.INSTALLED, template="debian", guest=GUEST
)
SMALL = Limits(memory_bytes=1)
LAN = Dns(search=("lan",))
TOLD = replace(WEB, dns=LAN)
KNOWS = replace(DISK, guest=guest_digest(TOLD))
OTHERWISE = replace(ON, volumes=(DATA, replace(DISK, guest="old")))


@pytest.mark.parametrize(
    ("action", "have", "then"),
    [
        (Define(WEB), NOWHERE, Observation(recorded=WEB, defined=WEB)),
        (Define(WEB, ("a line",)), OFF, replace(OFF, by_hand=("a line",))),
        (Define(WEB), replace(OFF, by_hand=("a line",)), OFF),
        (Undefine(), replace(EMPTY, by_hand=("a line",)), NOWHERE),
        (Undefine(), OFF, Observation(volumes=OFF.volumes)),
        (Lock(), OFF, LOCKED),
        (Unlock(), LOCKED, OFF),
        (Unlock(), OFF, OFF),
        (Lock(), HALF_LOCKED, LOCKED),
        (Unlock(), HALF_LOCKED, OFF),
        (Define(WEB), replace(HALF_LOCKED, recorded=None), LOCKED),
        (Pause(5), ON, ON),
        (Start(), OFF, ON),
        (Shutdown(60), ON, OFF),
        (Stop(), ON, OFF),
        (Stop(), FROZEN, OFF),
        (Repair(), STUCK, OFF),
        (Freeze(), ON, FROZEN),
        (Unfreeze(), FROZEN, ON),
        (Unfreeze(Then.FROZEN), FROZEN, replace(ON, to_freeze=True)),
        (SetDevices(LARGER), ON, replace(ON, in_effect=replace(WEB, nics=LARGER.nics))),
        (SetLimits(SMALL), ON, replace(ON, in_effect=replace(WEB, limits=SMALL))),
        (SetLimits(SMALL), FROZEN, replace(FROZEN, in_effect=replace(WEB, limits=SMALL))),
        (SetDns(LAN), ON, replace(ON, in_effect=TOLD, volumes=(DATA, KNOWS))),
        (SetDns(LAN), FROZEN, replace(FROZEN, in_effect=TOLD, volumes=(DATA, KNOWS))),
        (SetDns(LAN), OTHERWISE, replace(OTHERWISE, in_effect=TOLD)),
        (FormatVolume(*ROOT), ALLOCATED, FORMATTED),
        (ActivateVolume(*ROOT), disk(stage=Stage.FORMATTED, active=False), FORMATTED),
        (ActivateVolume(*ROOT), INACTIVE, OFF),
        (GrowVolume(*ROOT, 11), OFF, disk(size_bytes=11)),
        (GrowVolume(*ROOT, 11), disk(size_bytes=None), disk(size_bytes=11)),
        (DestroyVolume(*ROOT), OFF, replace(OFF, volumes=(DATA,))),
        (SNAPSHOT, ON, replace(ON, volumes=(DATA, replace(DISK, snapshots=(MONDAY, TUESDAY))))),
        (ROLLBACK, OFF, disk(stage=Stage.FILLING, template="old", guest="old")),
        (DELETE, ON, replace(ON, volumes=(DATA, replace(DISK, snapshots=())))),
        (INSTALL, disk(stage=Stage.FORMATTED, template=None), OFF),
        (INSTALL, FILLING, OFF),
        (CONFIGURE, disk(guest=None), OFF),
    ],
)
def test_an_action_changes_this_and_nothing_else(
    action: Action, have: Observation, then: Observation
) -> None:
    assert after(action, have) == Success(then)


def test_a_new_volume_is_allocated_and_no_more() -> None:
    new = VolumeSeen(name="root", pool="fast", stage=Stage.ALLOCATED, size_bytes=10)

    assert after(AllocateVolume(*ROOT, 10), EMPTY) == Success(replace(EMPTY, volumes=(new,)))


@pytest.mark.parametrize(
    ("action", "have", "why"),
    [
        (Define(WEB), FOREIGN, "geats did not make it"),
        (Undefine(), ON, "it is running"),
        (Undefine(), LOCKED, "it is locked"),
        (Undefine(), FOREIGN, "geats did not make it"),
        (Lock(), NOWHERE, "it is not defined"),
        (Start(), ON, "it is running"),
        (Start(), FROZEN, "it is frozen"),
        (Start(), STUCK, "it is stuck"),
        (Start(), NOWHERE, "it is not defined"),
        (Start(), EMPTY, "a volume is not ready"),
        (Start(), INACTIVE, "a volume is not ready"),
        (Start(), FILLING, "a volume is not ready"),
        (Start(), replace(OFF, volumes=(DISK,)), "a volume is not ready"),
        (
            Start(),
            replace(OFF, volumes=(replace(DATA, stage=Stage.ALLOCATED), DISK)),
            "a volume is not ready",
        ),
        (Shutdown(60), OFF, "it is stopped"),
        (Shutdown(60), FROZEN, "it is frozen"),
        (Stop(), OFF, "it is stopped"),
        (Stop(), STUCK, "it is stuck"),
        (Repair(), ON, "it is running"),
        (Freeze(), FROZEN, "it is frozen"),
        (Unfreeze(), ON, "it is running"),
        (Unfreeze(Then.FROZEN), replace(FROZEN, recorded=None, defined=None), "it is not defined"),
        (SetDevices(WEB), OFF, "it is stopped"),
        (SetDevices(WEB), replace(ON, volumes=()), "a volume is not ready"),
        (SetLimits(SMALL), OFF, "it is stopped"),
        (SetLimits(SMALL), STUCK, "it is stuck"),
        (SetLimits(SMALL), replace(ON, in_effect=None), "it is running"),
        (SetDns(LAN), OFF, "it is stopped"),
        (SetDns(LAN), replace(ON, in_effect=None), "it is running"),
        (SetDns(LAN), replace(ON, volumes=(DATA,)), "its root volume is not ready"),
        (AllocateVolume(*ROOT, 10), OFF, "the volume exists"),
        (AllocateVolume(*ROOT, 10), NOWHERE, "the VM is not defined"),
        (FormatVolume(*ROOT), EMPTY, "the volume does not exist"),
        (FormatVolume(*ROOT), FORMATTED, "it is formatted"),
        (ActivateVolume(*ROOT), EMPTY, "the volume does not exist"),
        (ActivateVolume(*ROOT), disk(stage=Stage.ALLOCATED, active=False), "it is not formatted"),
        (ActivateVolume(*ROOT), OFF, "it is active"),
        (GrowVolume(*ROOT, 11), INACTIVE, "it is not active"),
        (GrowVolume(*ROOT, 10), OFF, "it is not smaller"),
        (DestroyVolume(*ROOT), ON, "the VM is running"),
        (DestroyVolume(*ROOT), LOCKED, "the VM is locked"),
        (SNAPSHOT, INACTIVE, "it is not active"),
        (replace(SNAPSHOT, snapshot="monday"), OFF, "there is a snapshot of that name"),
        (replace(ROLLBACK, snapshot="never"), OFF, "there is no such snapshot"),
        (ROLLBACK, ON, "the VM is running"),
        (ROLLBACK, LOCKED, "the VM is locked"),
        (replace(DELETE, snapshot="never"), OFF, "there is no such snapshot"),
        (DELETE, LOCKED, "the VM is locked"),
        (INSTALL, replace(FORMATTED, power=Power.STUCK), "the VM is stuck"),
        (INSTALL, disk(stage=Stage.FORMATTED, active=False), "it is not active"),
        (INSTALL, OFF, "a template is installed on it"),
        (CONFIGURE, ON, "the VM is running"),
        (CONFIGURE, INACTIVE, "it is not active"),
        (CONFIGURE, FILLING, "no template is installed on it"),
    ],
)
def test_an_action_out_of_place_says_why(action: Action, have: Observation, why: str) -> None:
    assert after(action, have) == Failure(why)


def test_volumes_are_in_order_of_pool_and_then_of_name() -> None:
    other = replace(DATA, name="abc", pool="fast")

    assert volumes_in_order([DISK, other, DATA]) == (DATA, other, DISK)
