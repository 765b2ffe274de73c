"""The devices of a domain that is no machine of QEMU's: disks, NICs and a console."""

from collections.abc import Iterable
from xml.etree.ElementTree import Element

from geats_core.containers.nics import host_end
from geats_core.domains.domain_devices import DomainFacts, in_order, letters
from geats_core.domains.elements import of, sub
from geats_core.domains.flavours import FLAVOURS, Flavour
from geats_core.domains.machine import EMPTY, Guest, Machine
from geats_core.vm.spec import VMSpec


def plain_devices(spec: VMSpec, machine: Machine, facts: DomainFacts) -> Iterable[Element]:
    flavour = FLAVOURS[facts.kind]
    for index, volume in enumerate(in_order(spec)):
        source = facts.sources[volume.name]
        disk = Element("disk", type="block" if source.is_block else "file", device="disk")
        sub(disk, "driver", **_driver(flavour, source.format))
        sub(disk, "source", **{"dev" if source.is_block else "file": source.path})
        sub(disk, "target", dev=f"{flavour.disk}{letters(index)}", bus=flavour.bus)
        if volume.read_only:
            sub(disk, "readonly")
        yield disk
    if machine.guest is Guest.CLOUD_INIT and facts.seed:
        at = flavour.seed_target, flavour.seed_bus
        yield _image(flavour, facts.seed, flavour.seed_device, *at)
    if machine.cdrom:
        at = flavour.cdrom_target, flavour.cdrom_bus
        yield _image(flavour, machine.cdrom, "cdrom", *at)
    for index in range(len(spec.nics)):
        yield _nic(spec, index, flavour)
    console = of("console", type="pty")
    sub(console, "target", type=flavour.console or "serial", port="0")
    yield console


def in_guest(spec: VMSpec, flavour: Flavour) -> dict[str, str]:
    """The paths of the volumes in the guest, by their names."""
    found = enumerate(in_order(spec))
    return {volume.name: f"/dev/{flavour.disk}{letters(index)}" for index, volume in found}


def _driver(flavour: Flavour, form: str) -> dict[str, str]:
    return {**({"name": flavour.driver} if flavour.driver else {}), "type": form}


def _image(flavour: Flavour, path: str, device: str, target: str, bus: str) -> Element:
    element = Element("disk", type="file", device=device)
    sub(element, "driver", **_driver(flavour, "raw"))
    if path != EMPTY:
        sub(element, "source", file=path)
    sub(element, "target", dev=target, bus=bus)
    sub(element, "readonly")
    return element


def _nic(spec: VMSpec, index: int, flavour: Flavour) -> Element:
    nic = spec.nics[index]
    element = Element("interface", type="bridge")
    sub(element, "mac", address=nic.mac)
    sub(element, "source", bridge=nic.bridge)
    sub(element, "target", dev=host_end(spec.name, index, nic))
    if flavour.card:
        sub(element, "model", type=flavour.card)
    return element
