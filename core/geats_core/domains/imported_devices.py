"""The devices of a domain that something else made, as keys of a VM."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from geats_core.domains.domain_devices import AGENT, SEED
from geats_core.domains.domain_parts import OF_GEATS, OF_LIBVIRT, Parts, child, value_of
from geats_core.domains.imported_host_parts import card_of, nic_of, take_host_devices
from geats_core.domains.machine import Bus, Cache, Display, Guest, Watchdog
from geats_core.domains.machine_keys import LONGEST_SERIAL
from geats_core.foreign.lxc_import import free_name
from geats_core.foreign.notes import Plain
from geats_core.foreign.settings import root_template
from geats_core.reading.sizes import format_size
from geats_core.vm.spec import ROOT

FORMATS = ("raw", "qcow2")
SERIAL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
COPY = "the root volume is a copy of it: power the old VM off first"
KEPT_LOG = "2MiB"  # the least that virtlogd has of a log, as it comes, once that was as long
OWN_LOG = "geats has it in a file of its own from the first start on"
CONVERT = "qemu-img convert -n -f"


@dataclass(slots=True)
class Devices:
    """What the devices of one VM become: keys of the VM, of its ``hardware``, and its template."""

    volumes: list[Plain] = field(default_factory=list)
    nics: list[Plain] = field(default_factory=list)
    hardware: Plain = field(default_factory=dict)
    console_log: str = ""
    template: Plain = field(default_factory=dict)


def devices_of(parts: Parts, name: str, sizes: Mapping[str, int]) -> Devices:
    """Take the devices of the VM *name*; *sizes* are those of disks, by their paths."""
    made = Devices()
    found = parts.domain.findall("devices/disk")
    disks = [each for each in found if each.get("device", "disk") == "disk" and not _is_seed(each)]
    made.hardware["guest"] = f"{_guest(parts, found, f'vms.{name}.hardware.guest')}"
    called = _called(disks)
    for disk in disks:
        _disk(parts, made, name, disk, called[disk], sizes)
    for disk in found:
        if disk.get("device") == "cdrom":
            _cdrom(parts, made, f"vms.{name}.hardware.cdrom", disk)
    for interface in parts.domain.findall("devices/interface"):
        _interface(parts, made, name, interface)
    _consoles(parts, made, f"vms.{name}.console_log")
    _others(parts, made.hardware, f"vms.{name}.hardware")
    take_host_devices(parts, made.hardware, f"vms.{name}.hardware")
    return made


def disk_sources(domain: Element) -> Sequence[tuple[str, str]]:
    """The path and the format of each disk that is a file or a block device."""
    return [
        (disk_path(disk), _format(disk))
        for disk in domain.findall("devices/disk")
        if disk_path(disk)
    ]


def _is_seed(disk: Element) -> bool:
    return value_of(child(disk, "serial")) == SEED


def _guest(parts: Parts, disks: Sequence[Element], to: str) -> Guest:
    for disk in filter(_is_seed, disks):
        parts.left_whole(disk, "is a seed for cloud-init: geats writes one at each start")
        return Guest.CLOUD_INIT
    parts.taken.went("devices", to, "nothing in the guest changes; cloud-init, if it is there")
    return Guest.NONE


def _called(disks: Sequence[Element]) -> Mapping[Element, str]:
    """The name of each volume: the serial number if it can be one, or else that of the target."""
    names: dict[Element, str] = {}
    taken: set[str] = set()
    by_boot = sorted(disks, key=_boot_order)
    roots = [disk for disk in disks if value_of(child(disk, "serial")) == ROOT]
    for disk in (*roots, *by_boot)[:1]:
        names[disk] = ROOT
        taken.add(ROOT)
    for disk in disks:
        serial, target = value_of(child(disk, "serial")), value_of(child(disk, "target"), "dev")
        fits = [each for each in (serial, target) if _is_name(each)]
        if disk not in names:
            names[disk] = free_name([*fits, "disk"][0], taken)
            taken.add(names[disk])
    return names


def _is_name(text: str) -> bool:
    return SERIAL.fullmatch(text) is not None and len(text) <= LONGEST_SERIAL


def _boot_order(device: Element) -> int:
    order = value_of(child(device, "boot"), "order")
    return int(order) if re.fullmatch("[0-9]{1,6}", order) else 10**6


def disk_path(disk: Element) -> str:
    """Where it is on the host; empty if it is neither a file nor a block device."""
    source = child(disk, "source")
    name = {"file": "file", "block": "dev"}.get(disk.get("type", "file"))
    return value_of(source, name) if name else ""


def _format(disk: Element) -> str:
    return value_of(child(disk, "driver"), "type")


def _disk(
    parts: Parts, made: Devices, vm: str, disk: Element, name: str, sizes: Mapping[str, int]
) -> None:
    path, form = disk_path(disk), _format(disk)
    to = f"vms.{vm}.volumes[{name}]"
    volume: Plain = {"name": name}
    made.volumes.append(volume)
    if path in sizes:
        volume["size"] = format_size(sizes[path])
    _known(parts, disk, "type", "device")
    driver, source = child(disk, "driver"), child(disk, "source")
    if not path or form not in FORMATS:
        why = "geats takes disks from files and block devices, in the format raw or qcow2"
        parts.refuse(disk, "type", f"{why}: convert this one by qemu-img")
    elif name == ROOT:
        made.template = {"disk": {"path": path, "format": form}}
        where = f"templates.{root_template(vm)}.disk"
        parts.went(driver, "type", f"{where}.format")
        parts.went(source, _source_key(disk), f"{where}.path", COPY)
    else:
        why = f"copy it in while both VMs are off: {CONVERT} {form} -O FORMAT OLD NEW"
        why += "" if path in sizes else "; its size is not known here, so give it"
        parts.went(source, _source_key(disk), to, why)
        kept = "a pool of the type qcow2 has this format, every other pool has raw"
        parts.left(driver, "type", kept if form == "qcow2" else OF_GEATS)
    backing = disk.find("backingStore")
    if backing is not None and len(backing):
        parts.refuse(backing, "", "is a part of this disk in another file: flatten it first")
    if disk.find("readonly") is not None and name != ROOT:
        volume["read_only"] = True
        parts.went(child(disk, "readonly"), "", f"{to}.read_only")
    _serial(parts, disk, name, to)
    key = f"vms.{vm}.hardware.disks.{name}"
    _set(made.hardware, "disks", name, _attached(parts, disk, driver, key))


def _source_key(disk: Element) -> str:
    return "dev" if disk.get("type") == "block" else "file"


def _serial(parts: Parts, disk: Element, name: str, to: str) -> None:
    serial = disk.find("serial")
    if serial is not None:
        why = "" if value_of(serial) == name else "is another one now: the guest finds it by that"
        parts.went(serial, "", f"{to}.name", why)


def _attached(parts: Parts, disk: Element, driver: Element, key: str) -> Plain:
    made: Plain = {"discard": value_of(driver, "discard") == "unmap"}
    target = child(disk, "target")
    bus = value_of(target, "bus")
    if bus in [*Bus]:
        made["bus"] = bus
        parts.went(target, "bus", f"{key}.bus")
    else:
        parts.refuse(disk, "bus", f"must be one of {', '.join(Bus)}: say which, below {key}")
    cache = value_of(driver, "cache")
    if cache in [*Cache]:
        made["cache"] = cache
        parts.went(driver, "cache", f"{key}.cache")
    if "iothread" in driver.attrib:
        made["iothread"] = True
        parts.went(driver, "iothread", f"{key}.iothread")
    if "discard" in driver.attrib:
        parts.went(driver, "discard", f"{key}.discard")
    if driver.get("name") == "qemu":
        parts.left(driver, "name", OF_GEATS)
    if "dev" in target.attrib:
        parts.left(target, "dev", OF_LIBVIRT)
    return made


def _cdrom(parts: Parts, made: Devices, to: str, disk: Element) -> None:
    path = disk_path(disk)
    if not path:
        parts.left_whole(disk, "is empty: there is a cdrom once hardware.cdrom names a file")
    elif "cdrom" in made.hardware:
        parts.left_whole(disk, "geats has one cdrom for a VM, and this is another")
    else:
        made.hardware["cdrom"] = path
        parts.went(child(disk, "source"), _source_key(disk), to, "media of the driver must have it")
        _known(parts, disk, "type", "device")
        for tag in ("driver", "target", "readonly"):
            for each in disk.findall(tag):
                parts.left_whole(each, OF_GEATS)


def _interface(parts: Parts, made: Devices, vm: str, interface: Element) -> None:
    nic = nic_of(parts, interface, f"vms.{vm}.nics[{len(made.nics)}]")
    if nic is None:
        return
    name = f"eth{len(made.nics)}"
    made.nics.append({"name": name, **nic})
    card = card_of(parts, interface, f"vms.{vm}.hardware.nics.{name}")
    _set(made.hardware, "nics", name, card)


def _consoles(parts: Parts, made: Devices, to: str) -> None:
    """Whether what the guest says is kept; a serial console is there under two names."""
    for tag in ("serial", "console"):
        for log in parts.domain.findall(f"devices/{tag}/log"):
            if made.console_log:
                parts.left_whole(log, "geats keeps one console of a VM")
                continue
            made.console_log = KEPT_LOG
            parts.went(log, "file", to, OWN_LOG)
            _known(parts, log, "append")


def _set(hardware: Plain, key: str, name: str, value: Plain) -> None:
    there = hardware.get(key)
    hardware[key] = {**(there if isinstance(there, dict) else {}), name: value}


def _others(parts: Parts, hardware: Plain, at: str) -> None:
    hardware |= {"rng": False, "agent": False}
    for device in parts.domain.findall("devices/*"):
        match device.tag:
            case "rng":
                hardware["rng"] = True
                parts.went(device, "model", f"{at}.rng", "its source is /dev/urandom")
                _known(parts, child(device, "backend"), "model", "")
            case "channel" if value_of(child(device, "target"), "name") == AGENT:
                hardware["agent"] = True
                parts.went(child(device, "target"), "name", f"{at}.agent")
                _known(parts, device, "type")
                _known(parts, child(device, "target"), "type", "state")
            case "watchdog" if device.get("action") in [*Watchdog]:
                hardware["watchdog"] = value_of(device, "action")
                parts.went(device, "action", f"{at}.watchdog", "its model is i6300esb")
                _known(parts, device, "model")
            case "tpm" if value_of(child(device, "backend"), "type") == "emulator":
                hardware["tpm"] = True
                why = "it is a new one: it has nothing of the old one, such as keys of disks"
                parts.went(child(device, "backend"), "type", f"{at}.tpm", why)
                _known(parts, device, "model")
                _known(parts, child(device, "backend"), "version")
            case "graphics" if device.get("type") in (Display.VNC, Display.SPICE):
                _screen(parts, hardware, at, device)
            case "video":
                parts.left_whole(device, "with a display, geats gives the guest a card of virtio")
            case "memballoon" if device.get("model") == "virtio":
                parts.left_whole(device, OF_GEATS)
            case _:
                pass


def _screen(parts: Parts, hardware: Plain, at: str, device: Element) -> None:
    if "display" in hardware:
        parts.left_whole(device, "geats has one display for a VM, and this is another")
        return
    hardware["display"] = value_of(device, "type")
    parts.went(device, "type", f"{at}.display")
    for name in ("port", "autoport", "listen", "socket"):
        if name in device.attrib:
            parts.left(device, name, "geats shows it on a UNIX socket")


def _known(parts: Parts, element: Element, *names: str) -> None:
    """What geats writes as well, or differently for a reason that is noted with the device."""
    for name in names:
        if value_of(element, name):
            parts.left(element, name, OF_GEATS)
