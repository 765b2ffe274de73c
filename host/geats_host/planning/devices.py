"""Devices of the host that VMs have: they are there, they are devices, and they are allowed."""

import os
import stat
from collections.abc import Collection, Iterable
from pathlib import Path

from geats_core.containers.devices import Device
from geats_core.reading.checked import Code, Problem
from geats_core.reading.paths import allowed_by, is_within
from geats_core.vm.spec import VMSpec

NO_DEVICE = "is no device, nor a directory of devices"


def problems(spec: VMSpec, allowed: Collection[str]) -> Iterable[Problem]:
    """What is wrong with the devices of *spec*, where only those within *allowed* may be had."""
    for device in spec.devices:
        try:
            why = _wrong_with(device, allowed)
        except OSError as error:
            absent = device.optional and isinstance(error, FileNotFoundError)
            why = "" if absent else f"{device.source!r} cannot be had: {error.strerror}"
        if why:
            yield Problem(f"devices.{device.name}.source", why, Code.REFUSED)


def _wrong_with(device: Device, allowed: Collection[str]) -> str:
    """A link, such as those of udev, must lead to what is allowed as well."""
    source = device.source
    real = os.path.realpath(source, strict=True)
    for path in dict.fromkeys((source, real)):
        if not is_within(path, allowed):
            what = f"{source!r}" if path == source else f"{source!r} leads to {path!r}, which"
            return f"{what} {allowed_by('device_sources', allowed)}"
    mode = Path(real).stat().st_mode
    is_device = any(kind(mode) for kind in (stat.S_ISCHR, stat.S_ISBLK, stat.S_ISDIR))
    return "" if is_device else f"{source!r} {NO_DEVICE}"
