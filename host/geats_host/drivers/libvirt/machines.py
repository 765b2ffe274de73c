"""The machine of a VM, and where its disks are: what may be defined on this host."""

import os
from collections.abc import Iterator, Mapping

from returns.result import Failure, Success

from geats_core.domains.domain_devices import Source
from geats_core.domains.machine import EMPTY, Bus, Machine
from geats_core.domains.machine_keys import problems, read_machine
from geats_core.planning.offers import Offer
from geats_core.reading.checked import Code, Problem, Problems, unknown
from geats_core.reading.paths import allowed_by, is_within
from geats_core.vm.hardware import HARDWARE
from geats_core.vm.spec import VMSpec
from geats_host.drivers import Place
from geats_host.drivers.libvirt.daemon import Daemon
from geats_host.drivers.libvirt.needs import Needs
from geats_host.drivers.libvirt.options import Options
from geats_host.errors import HostError

FORMATS = {Offer.FILE: "raw", Offer.BLOCK_DEVICE: "raw", Offer.QCOW2: "qcow2"}


def cannot_define(options: Options, spec: VMSpec, needs: Needs | None = None) -> Problems:
    """What is wrong between the keys of the VM, not allowed on this host, or lacking on it."""
    match read_machine(spec):
        case Success(machine):
            shares = bool(spec.binds)
            lacking = () if needs is None else needs.lacking(options, machine, shares=shares)
            unkept = () if needs is None else needs.no_console_log(options, spec)
            return (*_not_allowed(options, machine), *lacking, *unkept)
        case Failure(found):
            return found


def unconnected(spec: VMSpec, daemon: Daemon) -> Iterator[Problem]:
    """The NICs whose networks are not active, or whose interface is not there."""
    cards = read_machine(spec).map(lambda machine: machine.nics).value_or({})
    if any(card.network for card in cards.values()):
        found = daemon.ask("networks", None)["active"]
        active = [f"{name}" for name in found] if isinstance(found, list) else []
        for name, card in cards.items():
            if card.network and card.network not in active:
                at = f"{HARDWARE}.nics.{name}.network"
                yield unknown(at, "active network of libvirt", card.network, active)
    for name, card in cards.items():
        if card.macvtap and not os.path.exists(f"/sys/class/net/{card.macvtap}"):
            at = f"{HARDWARE}.nics.{name}.macvtap"
            yield Problem(at, f"the host has no interface {card.macvtap}", Code.UNKNOWN)


def machine_of(options: Options, spec: VMSpec) -> Machine:
    """The machine of *spec*, which may be defined here; else ``HostError``."""
    wrong = cannot_define(options, spec) or problems(spec)
    match read_machine(spec):
        case Success(machine) if not wrong:
            return machine
        case _:
            raise HostError(f"{spec.name}: {'; '.join(map(str, wrong))}")


def on_ports(spec: VMSpec) -> set[str]:
    """The devices that take a port each if they are plugged in: see ``missing_ports``."""
    machine = read_machine(spec).value_or(Machine())
    disks = {each.name for each in spec.volumes if machine.disk(each.name).bus is Bus.VIRTIO}
    return {nic.mac for nic in spec.nics} | disks


def source_of(spec: VMSpec, volume: str, places: Mapping[str, Place]) -> Source:
    """Where the disk of a volume is, and in which format."""
    place = places.get(volume)
    path = "" if place is None else f"{place.path}"
    if place is None or not path.startswith("/") or not path.isprintable():
        raise HostError(f"the volume {volume} of {spec.name} has no usable path: {path!r}")
    if place.offers not in FORMATS:
        raise HostError(f"the volume {volume} of {spec.name} is a {place.offers}, and no disk")
    is_block = place.offers is Offer.BLOCK_DEVICE
    return Source(path=path, is_block=is_block, format=FORMATS[place.offers])


def _not_allowed(options: Options, machine: Machine) -> Iterator[Problem]:
    if machine.xml and not options.raw_xml:
        why = f"is only for hosts whose driver {options.kind!r} has the option raw_xml"
        yield Problem(f"{HARDWARE}.xml", why, Code.REFUSED)
    if machine.cdrom not in ("", EMPTY) and not is_within(machine.cdrom, options.media):
        why = allowed_by("the driver's option media", options.media)
        yield Problem(f"{HARDWARE}.cdrom", why, Code.REFUSED)
    for device in machine.host.devices:
        if device not in options.devices:
            kind = "pci" if device in machine.host.pci else "usb"
            why = f"{device} is not among the driver's option devices"
            yield Problem(f"{HARDWARE}.{kind}", why, Code.REFUSED)
