"""Devices of a running domain, attached, changed and detached: a part of ``libvirt_calls``.

As that, it imports nothing of geats.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeAlias

libvirt: Any = import_module("libvirt")  # it has no types

LOOKS_S = 0.05
LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
Domain: TypeAlias = Any


class StillThere(Exception):
    """Why a device is not detached."""


def set_devices(domain: Domain, steps: Sequence[Mapping[str, str]], timeout_s: float) -> None:
    """Do each step; one that is done already is not asked for again (see ``live_devices``)."""
    for step in steps:
        DOING[step["doing"]](domain, step["xml"], timeout_s)


def _attach(domain: Domain, xml: str, _: float) -> None:
    domain.attachDeviceFlags(xml, LIVE)


def _change(domain: Domain, xml: str, _: float) -> None:
    domain.updateDeviceFlags(xml, LIVE)


def _detach(domain: Domain, xml: str, timeout_s: float) -> None:
    """Ask the guest to release it, and wait until it did."""
    elements: Any = import_module("xml.etree.ElementTree")  # which takes a while, and few need it
    device = elements.fromstring(xml)
    alias = device.find("alias")
    name = "" if alias is None else alias.get("name", "")
    domain.detachDeviceAlias(name, LIVE)
    until = time.monotonic() + timeout_s
    while f"<alias name='{name}'/>" in domain.XMLDesc(0):
        if time.monotonic() >= until:
            raise StillThere(f"the guest does not release the {device.tag} {name}: restart it")
        time.sleep(LOOKS_S)


DOING: Mapping[str, Callable[[Domain, str, float], None]] = {
    "attach": _attach,
    "change": _change,
    "detach": _detach,
}
