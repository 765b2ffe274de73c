"""The devices of a domain: disks, NICs, and what a machine has beside them."""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never
from xml.etree.ElementTree import Element

from geats_core.containers.nics import host_end
from geats_core.domains.elements import of, sub
from geats_core.domains.host_parts import host_devices, shared_directories
from geats_core.domains.machine import (
    EMPTY,
    Bus,
    Card,
    Disk,
    Display,
    Guest,
    Machine,
    Model,
    Watchdog,
)
from geats_core.vm.spec import Nic, VMSpec, Volume

SEED = "cidata"  # the serial of the disk that contains the seed
# Of what libvirt calls a disk:
PREFIXES = {Bus.VIRTIO: "vd", Bus.SCSI: "sd", Bus.SATA: "sd", Bus.IDE: "hd"}
SEED_TARGET = "vdzz"  # the letters of disks never reach this
AGENT = "org.qemu.guest_agent.0"
ROOM_OF_ITS_OWN = re.compile(r"(pc-)?q35(-.*)?")  # machines where each device needs a PCIe port


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a disk is on the host, whether it is a file or a block device, and its QEMU format."""

    path: str
    is_block: bool = False
    format: str = "raw"


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainFacts:
    """What the XML needs to know of the host.

    ``kind`` is the type of the domain, see ``flavours``. ``sources`` are the volumes by name;
    ``seed`` is the path of the seed's image, and ``console`` that of the file that has what the
    guest says on its serial console, if that is kept. ``uuid`` and ``machine`` are those that the
    domain has already: its UUID, and its versioned machine type; both empty if there is none yet.
    ``emulator`` is the program that runs it, empty where libvirt decides. ``switches`` are those of
    the host's bridges that are of Open vSwitch: libvirt makes their ports in another way. ``key``
    is that of the host for ``spec_digest``.
    """

    kind: str
    sources: Mapping[str, Source] = field(default_factory=dict)
    seed: str = ""
    console: str = ""
    uuid: str = ""
    machine: str = ""
    emulator: str = ""
    arch: str = "x86_64"
    switches: frozenset[str] = frozenset()
    key: str = ""


def pinned(wanted: str, known: str) -> str:
    """The machine type to write: the *known* version, if it is of the wanted kind.

    A guest that was installed on one version may not start, or not be activated, on the next.
    """
    family = {"q35": "pc-q35-", "pc": "pc-i440fx-"}.get(wanted, "")
    return known if family and known.startswith(family) else wanted


def devices(spec: VMSpec, machine: Machine, facts: DomainFacts) -> Iterable[Element]:
    disks = [*_disks(spec, machine, facts)]
    nics = [_nic(spec, index, machine, facts.switches) for index in range(len(spec.nics))]
    others = [*_controllers(spec, machine), *_extras(machine)]
    others += [*host_devices(machine.host), *shared_directories(spec.binds)]
    on_pci = [each for each in (*disks, *nics, *others) if _takes_a_port(each)]
    yield from _ports(machine, facts, len(on_pci))
    yield from disks
    yield from nics
    yield from others
    yield from (*_consoles(spec, facts), *_agent(machine), *_screen(machine))


def _consoles(spec: VMSpec, facts: DomainFacts) -> Iterable[Element]:
    """The serial console, which libvirt has under both names."""
    for tag, target in (("serial", {}), ("console", {"type": "serial"})):
        element = of(tag, type="pty")
        if spec.program.console_log is not None and facts.console:
            sub(element, "log", file=facts.console, append="on")
        sub(element, "target", **target, port="0")
        yield element


def _takes_a_port(device: Element) -> bool:
    target = device.find("target")
    on_other_bus = device.tag == "disk" and target is not None and target.get("bus") != "virtio"
    is_usb = device.tag == "hostdev" and device.get("type") == "usb"
    return not (on_other_bus or is_usb or device.tag == "tpm" or device.get("model") == "none")


def _ports(machine: Machine, facts: DomainFacts, used: int) -> Iterable[Element]:
    """PCIe ports for the devices, and free ones for hot-plug."""
    known = pinned(machine.machine, facts.machine)
    if machine.hotplug_ports == 0 or not ROOM_OF_ITS_OWN.fullmatch(known):
        return
    yield Element("controller", type="pci", index="0", model="pcie-root")
    for _ in range(used + machine.hotplug_ports):
        yield Element("controller", type="pci", model="pcie-root-port")


def _disks(spec: VMSpec, machine: Machine, facts: DomainFacts) -> Iterable[Element]:
    """The volumes in their order, the root first; then the seed and the cdrom."""
    counts = dict.fromkeys(PREFIXES.values(), 0)
    threads = 0
    for volume in in_order(spec):
        disk = machine.disk(volume.name)
        prefix = PREFIXES[disk.bus]
        target = f"{prefix}{letters(counts[prefix])}"
        counts[prefix] += 1
        threads += disk.iothread
        thread = {"iothread": f"{threads}"} if disk.iothread else {}
        yield _disk(volume, disk, facts.sources[volume.name], target, thread)
    if machine.guest is Guest.CLOUD_INIT and facts.seed:
        yield _image(facts.seed, "disk", SEED_TARGET, Bus.VIRTIO, SEED)
    if machine.cdrom:
        yield _image(machine.cdrom, "cdrom", f"sd{letters(counts['sd'])}", Bus.SATA)


def in_order(spec: VMSpec) -> Sequence[Volume]:
    """The volumes as the guest sees them: the root first."""
    return sorted(spec.volumes, key=lambda each: each is not spec.root)


def letters(index: int) -> str:
    """``a`` to ``z``, then ``aa``: how libvirt counts disks."""
    first, last = divmod(index, 26)
    return (letters(first - 1) if first else "") + chr(ord("a") + last)


def _disk(
    volume: Volume, disk: Disk, source: Source, target: str, thread: Mapping[str, str]
) -> Element:
    element = Element("disk", type="block" if source.is_block else "file", device="disk")
    driver = sub(element, "driver", name="qemu", type=source.format, **thread)
    if disk.cache is not None:
        driver.set("cache", disk.cache)
    if disk.discard:
        driver.set("discard", "unmap")
    sub(element, "source", **{"dev" if source.is_block else "file": source.path})
    sub(element, "target", dev=target, bus=disk.bus)
    if volume.read_only:
        sub(element, "readonly")
    sub(element, "serial", volume.name)
    return element


def _image(path: str, device: str, target: str, bus: Bus, serial: str = "") -> Element:
    element = Element("disk", type="file", device=device)
    sub(element, "driver", name="qemu", type="raw")
    if path != EMPTY:
        sub(element, "source", file=path)
    sub(element, "target", dev=target, bus=bus)
    sub(element, "readonly")
    if serial:
        sub(element, "serial", serial)
    return element


def _nic(spec: VMSpec, index: int, machine: Machine, switches: Container[str]) -> Element:
    nic = spec.nics[index]
    card = machine.card(nic.name)
    kind, where = _connected(nic, card)
    element = Element("interface", type=kind)
    sub(element, "mac", address=nic.mac)
    sub(element, "source", **where)
    if where.get("bridge", "") in switches:
        sub(element, "virtualport", type="openvswitch")
    sub(element, "target", dev=host_end(spec.name, index, nic))
    sub(element, "model", type=card.model)
    if card.queues > 1 and card.model is Model.VIRTIO:
        sub(element, "driver", name="vhost", queues=f"{card.queues}")
    element.extend(_traffic(card))
    return element


def _connected(nic: Nic, card: Card) -> tuple[str, dict[str, str]]:
    """The kind of network that the NIC is connected to, and its name."""
    if card.network:
        return "network", {"network": card.network}
    if card.macvtap:
        return "direct", {"dev": card.macvtap, "mode": "bridge"}
    return "bridge", {"bridge": nic.bridge}


def _traffic(card: Card) -> Iterable[Element]:
    if not card.link:
        yield Element("link", state="down")
    if card.mtu is not None:
        yield Element("mtu", size=f"{card.mtu}")
    if card.vlan is not None:
        yield of("vlan", Element("tag", id=f"{card.vlan}"))
    rates = {"inbound": card.rate_in, "outbound": card.rate_out}
    if any(rate is not None for rate in rates.values()):
        yield of(
            "bandwidth",
            *(
                Element(way, average=f"{-(-rate // 1024)}")
                for way, rate in rates.items()
                if rate is not None
            ),
        )


def _controllers(spec: VMSpec, machine: Machine) -> Iterable[Element]:
    yield Element("controller", type="usb", model="qemu-xhci" if machine.host.usb else "none")
    if machine.agent:
        yield Element("controller", type="virtio-serial")
    if any(machine.disk(volume.name).bus is Bus.SCSI for volume in spec.volumes):
        yield Element("controller", type="scsi", model="virtio-scsi")


def _extras(machine: Machine) -> Iterable[Element]:
    yield Element("memballoon", model="virtio")
    if machine.rng:
        rng = Element("rng", model="virtio")
        sub(rng, "backend", "/dev/urandom", model="random")
        yield rng
    if machine.watchdog is not Watchdog.NONE:
        yield Element("watchdog", model="i6300esb", action=machine.watchdog)
    if machine.tpm:
        tpm = Element("tpm", model="tpm-crb")
        sub(tpm, "backend", type="emulator", version="2.0")
        yield tpm


def _agent(machine: Machine) -> Iterable[Element]:
    if machine.agent:
        channel = Element("channel", type="unix")
        sub(channel, "target", type="virtio", name=AGENT)
        yield channel


def _screen(machine: Machine) -> Iterable[Element]:
    match machine.display:
        case Display.NONE:
            return
        case Display.VNC | Display.SPICE:
            graphics = Element("graphics", type=machine.display)
            sub(graphics, "listen", type="socket")
            video = Element("video")
            sub(video, "model", type="virtio")
            yield from (graphics, video)
        case _:
            assert_never(machine.display)
