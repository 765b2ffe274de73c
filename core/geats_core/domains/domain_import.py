"""The pillar out of domains of libvirt that something else made, such as virt-manager.

The opposite of ``domain_xml``: what that writes is read back as the same keys. The root disk is the
template of the new VM, which gets a copy of it.
"""

import re
from collections.abc import Mapping
from xml.etree.ElementTree import Element

from returns.result import Failure, Success

from geats_core.domains import machine_keys
from geats_core.domains.domain_parts import OF_GEATS, Parts, child, read_file, value_of
from geats_core.domains.domain_xml import BOOT_DEVICES, CPU_MODES
from geats_core.domains.imported_devices import devices_of, disk_sources
from geats_core.domains.imported_host_parts import binds_of, take_hugepages
from geats_core.domains.machine import Boot, Firmware
from geats_core.foreign.lxc_import import free_name
from geats_core.foreign.notes import Imported, Note, Pillar, Plain, Taken
from geats_core.foreign.pillar_problems import problems_of_pillar
from geats_core.foreign.settings import root_template
from geats_core.reading.checked import Problem, Problems
from geats_core.reading.sizes import format_size
from geats_core.vm.parse import parse_vm

KINDS = ("kvm", "qemu")  # types of domains, which are the names of their drivers
UNITS: Mapping[str, int] = {
    **dict.fromkeys(("b", "bytes"), 1),
    **{f"{unit}B": 1000**power for power, unit in enumerate("KMGT", 1)},
    **{unit: 1024**power for power, unit in enumerate("kMGT", 1)},
    **{f"{unit}iB": 1024**power for power, unit in enumerate("KMGT", 1)},
}
BOOTS = {device: boot for boot, device in BOOT_DEVICES.items()}
ORDERED = {"disk": Boot.DISK, "cdrom": Boot.CDROM, "interface": Boot.NETWORK}
EVENTS = {"on_poweroff": "destroy", "on_reboot": "restart", "on_crash": "destroy"}


def import_libvirt(files: Mapping[str, str], sizes: Mapping[str, int] | None = None) -> Imported:
    """The pillar for the domains in *files*, by their texts; *sizes* are those of disks."""
    geats: Pillar = {"templates": {}, "vms": {}}
    notes: list[Note] = []
    problems: list[Problem] = []
    for file, text in files.items():
        match read_file(file, text):
            case Success(domain) if domain.get("type") in KINDS:
                parts = Parts(domain, Taken(file))
                called = free_name(parts.get("name"), geats["vms"])
                vm, template = vm_of(parts, called, sizes or {})
                parts.rest()
                geats["vms"][called] = vm
                geats["templates"] |= {root_template(called): template} if template else {}
                notes += parts.taken.notes
                problems += [Problem(f"vms.{called}", f"{at}: {why}") for at, why in parts.wrong]
            case Success(domain):
                wrong = f"must be one of {', '.join(KINDS)}, got {domain.get('type')!r}"
                problems.append(Problem(file, f"the type of the domain {wrong}"))
            case Failure(found):
                problems += found
    kept: Plain = {key: value for key, value in geats.items() if value}
    wrong_now = problems_of_pillar(kept) or problems_of_machines(geats["vms"])
    return Imported(geats=kept, notes=tuple(notes), problems=(*problems, *wrong_now))


def disks_of(file: str, text: str) -> tuple[tuple[str, str], ...]:
    """The path and format of each disk of a domain that is a file or a block device."""
    match read_file(file, text):
        case Success(domain):
            return tuple(disk_sources(domain))
        case Failure():  # which the import tells
            return ()


def problems_of_machines(vms: Mapping[str, object]) -> Problems:
    """What is wrong below ``hardware`` in VMs that are right as specs."""
    return tuple(
        Problem(f"vms.{name}.{each.path}", each.message)
        for name, vm in vms.items()
        if isinstance(vm, Mapping) and vm.get("driver") in KINDS
        for each in parse_vm(name, vm).map(machine_keys.problems).value_or(())
    )


def vm_of(parts: Parts, name: str, sizes: Mapping[str, int]) -> tuple[Plain, Plain]:
    """The VM, and its template; *sizes* are those of disks in bytes, by their paths."""
    at = f"vms.{name}"
    domain = parts.domain
    parts.went(domain, "type", f"{at}.driver")
    if (named := domain.find("name")) is not None:
        parts.went(named, "", at, "" if value_of(named) == name else "another has this name")
    vm: Plain = {"driver": domain.get("type")}
    made = devices_of(parts, name, sizes)
    hardware: Plain = {}
    _memory(parts, vm, hardware, at)
    _cpus(parts, vm, hardware, at)
    _firmware(parts, hardware, f"{at}.hardware")
    _boot(parts, hardware, f"{at}.hardware.boot", "cdrom" in made.hardware)
    _cpu(parts, hardware, f"{at}.hardware.cpu")
    take_hugepages(parts, hardware, f"{at}.hardware")
    for tag, value in EVENTS.items():
        if parts.get(tag) == value:
            parts.left(child(domain, tag), "", OF_GEATS)
    if made.template:
        vm["template"] = root_template(name)
    vm |= {"volumes": made.volumes, "nics": made.nics, "hardware": {**hardware, **made.hardware}}
    if made.console_log:
        vm["console_log"] = made.console_log
    if binds := binds_of(parts, at):
        vm["binds"] = binds
    return vm, made.template


def _memory(parts: Parts, vm: Plain, hardware: Plain, at: str) -> None:
    most, now = (child(parts.domain, tag) for tag in ("memory", "currentMemory"))
    most_bytes, now_bytes = bytes_of(most), bytes_of(now)
    if most_bytes is None:
        return
    if now_bytes is None or now_bytes == most_bytes:
        vm["memory"] = format_size(most_bytes)
        _all_went(parts, most, f"{at}.memory")
    else:
        vm["memory"] = format_size(now_bytes)
        hardware["max_memory"] = format_size(most_bytes)
        _all_went(parts, most, f"{at}.hardware.max_memory")
    if now_bytes is not None:
        _all_went(parts, now, f"{at}.memory")


def _all_went(parts: Parts, element: Element, to: str) -> None:
    parts.went(element, "", to)
    parts.touched.add((element, "unit"))


def bytes_of(element: Element) -> int | None:
    """The size that an element says, with its unit; None if it says none."""
    unit = UNITS.get(element.get("unit", "KiB"))
    count = _count(value_of(element))
    return count * unit if count and unit else None


def _count(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,15}", text) else None


def _cpus(parts: Parts, vm: Plain, hardware: Plain, at: str) -> None:
    vcpu, topology = (parts.domain.find(tag) for tag in ("vcpu", "cpu/topology"))
    shaped = 0
    if topology is not None:
        shape = _shape(topology)
        if shape is None:
            parts.refuse(topology, "", "must be sockets, cores and threads, and nothing else")
        else:
            hardware["topology"] = shape
            shaped = shape["sockets"] * shape["cores"] * shape["threads"]
            for name in topology.attrib:
                parts.went(topology, name, f"{at}.hardware.topology")
    most = _count(parts.get("vcpu"))
    if vcpu is None or most is None:
        return
    some = _count(value_of(vcpu, "current"))
    vm["cpus"] = most if some is None else some
    if most != (shaped or vm["cpus"]):
        hardware["max_cpus"] = most
    parts.went(vcpu, "", f"{at}.{'cpus' if most == vm['cpus'] else 'hardware.max_cpus'}")
    if some is not None:
        parts.went(vcpu, "current", f"{at}.cpus")
    if vcpu.get("placement") == "static":
        parts.left(vcpu, "placement", OF_GEATS)


def _shape(topology: Element) -> dict[str, int] | None:
    counts = {name: _count(value) for name, value in topology.attrib.items()}
    shape = {name: counts.pop(name, None) or 0 for name in ("sockets", "cores", "threads")}
    is_other = any(count != 1 for count in counts.values())  # dies and clusters
    return None if is_other or not all(shape.values()) else shape


def _firmware(parts: Parts, hardware: Plain, at: str) -> None:
    os = child(parts.domain, "os")
    kind, loader = child(os, "type"), child(os, "loader")
    if value_of(kind, "machine"):
        hardware["machine"] = value_of(kind, "machine")
        parts.went(kind, "machine", f"{at}.machine")
    if "arch" in kind.attrib:
        parts.left(kind, "arch", "geats runs guests of the architecture of the host")
    if value_of(kind) == "hvm":
        parts.left(kind, "", OF_GEATS)
    is_by_loader = loader.get("type") == "pflash"
    if os.get("firmware") != "efi" and not is_by_loader:
        return
    firmware = child(os, "firmware")
    secure = firmware.find("feature[@name='secure-boot'][@enabled='yes']") is not None
    is_secure = secure or loader.get("secure") == "yes"
    hardware["firmware"] = f"{Firmware.UEFI_SECURE if is_secure else Firmware.UEFI}"
    carrier, name = (os, "firmware") if "firmware" in os.attrib else (loader, "type")
    parts.went(carrier, name, f"{at}.firmware", "libvirt finds its files")
    known = [*os.findall("firmware"), *parts.domain.findall("features/smm")]
    for each in (*known, *os.findall("loader"), *os.findall("nvram")):
        why = "boot entries and keys in it are new ones" if each.tag == "nvram" else OF_GEATS
        parts.left_whole(each, why)


def _boot(parts: Parts, hardware: Plain, to: str, has_cdrom: bool) -> None:
    boots: dict[Boot, None] = {}
    for boot in _boot_elements(parts):
        device, element, name = boot
        if device is None:
            continue
        if device is Boot.CDROM and not has_cdrom:
            parts.left(element, name, "there is no file in the cdrom")
        else:
            boots[device] = None
            parts.went(element, name, to)
    if boots:
        hardware["boot"] = [f"{each}" for each in boots]


def _boot_elements(parts: Parts) -> list[tuple[Boot | None, Element, str]]:
    """What the guest is started from, in order, with the attribute that says it."""
    listed = [(BOOTS.get(value_of(b, "dev")), b, "dev") for b in parts.domain.findall("os/boot")]
    orders = {
        boot: device
        for device in parts.domain.findall("devices/*")
        if (boot := device.find("boot")) is not None
    }
    in_order = sorted(orders, key=lambda boot: _count(value_of(boot, "order")) or 10**6)
    return [
        *listed,
        *((ORDERED.get(orders[b].get("device") or orders[b].tag), b, "order") for b in in_order),
    ]


def _cpu(parts: Parts, hardware: Plain, to: str) -> None:
    cpu = child(parts.domain, "cpu")
    model = child(cpu, "model")
    mode = value_of(cpu, "mode")
    if mode in CPU_MODES:
        hardware["cpu"] = mode
        parts.went(cpu, "mode", to)
    elif value_of(model):
        hardware["cpu"] = value_of(model)
        parts.went(model, "", to)
    for element, names in ((cpu, ("match", "check", "migratable", "mode")), (model, ("fallback",))):
        for name in names:
            if name in element.attrib and (element, name) not in parts.touched:
                parts.left(element, name, OF_GEATS)
