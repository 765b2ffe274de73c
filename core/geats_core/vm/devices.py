"""The devices of a VM that can change while it is on: its NICs, its volumes, devices of the host,
and what the driver says of them below ``hardware``.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from geats_core.containers.devices import device_differences
from geats_core.vm import hardware
from geats_core.vm.hardware import HARDWARE
from geats_core.vm.spec import Nic, VMSpec, Volume

NICS, VOLUMES, DEVICES = "nics", "volumes", "devices"
OF_NICS = f"{HARDWARE}.{NICS}"
LATER = "its guest configures it at its next start"


def is_device(field: str) -> bool:
    """Whether a change of this field changes devices."""
    return field in (NICS, VOLUMES, DEVICES) or field.startswith(f"{HARDWARE}.")


def with_devices(runs: VMSpec, want: VMSpec, fields: Collection[str]) -> VMSpec:
    """*runs*, with the devices of *want* that these *fields* of ``COST`` stand for."""
    own = {volume.name: volume for volume in runs.volumes}
    keys = dict(runs.hardware)
    for key in {*keys, *dict(want.hardware)}:
        if f"{HARDWARE}.{key}" in fields:
            keys.pop(key, None)
            keys |= {k: value for k, value in want.hardware if k == key}
    return replace(
        runs,
        nics=want.nics if NICS in fields else runs.nics,
        volumes=tuple(own.get(v.name, v) for v in want.volumes)
        if VOLUMES in fields
        else runs.volumes,
        devices=want.devices if DEVICES in fields else runs.devices,
        hardware=tuple(sorted(keys.items())),
    )


def differences(old: VMSpec, new: VMSpec, *, configured: bool = False) -> Iterable[str]:
    """What is done to bring a VM from the devices of *old* to those of *new*, in words.

    If they are *configured* by the driver, NICs that come have their addresses at once.
    """
    nics, others = _by_name(old.nics), _by_name(new.nics)
    was, said = hardware.to_plain(old.hardware), hardware.to_plain(new.hardware)
    for name, nic in others.items():
        if name not in nics:
            later = isinstance(nic, Nic) and nic.addresses and not configured
            told = f" ({LATER})" if later else ""
            yield f"attach NIC {name}{told}"
        elif nic != nics[name] or _of(was, name) != _of(said, name):
            yield f"change NIC {name}"
    yield from (f"detach NIC {name}" for name in nics if name not in others)
    had, has = _by_name(old.volumes), _by_name(new.volumes)
    for name, volume in has.items():
        if name not in had:
            told = f" ({LATER})" if isinstance(volume, Volume) and volume.mount else ""
            yield f"attach volume {name}{told}"
    yield from (f"detach volume {name}" for name in had if name not in has)
    yield from device_differences(old.devices, new.devices)
    for key in sorted((was.keys() | said.keys()) - {NICS, "disks"}):
        if was.get(key) != said.get(key):
            yield f"change {key}"


def _by_name(devices: Iterable[Nic] | Iterable[Volume]) -> dict[str, Nic | Volume]:
    return {device.name: device for device in devices}


def _of(said: Mapping[str, object], nic: str) -> object:
    """What the driver is told of a NIC."""
    all_nics = said.get(NICS)
    return all_nics.get(nic) if isinstance(all_nics, Mapping) else None
