"""What a domain that something else made has of its host, as keys of a VM: its networks, devices
and directories."""

import re
from collections.abc import Mapping
from xml.etree.ElementTree import Element

from geats_core.domains.domain_parts import OF_GEATS, Parts, child, value_of
from geats_core.domains.host_parts import PCI
from geats_core.foreign.lxc_import import free_name
from geats_core.foreign.notes import Plain

PORT_ID = "interfaceid"
ON_BRIDGES = "geats has NICs on bridges, on networks of libvirt and by macvtap in the mode bridge"
OTHER_NETWORK = "has no key here, and without it the guest is in another network"
ALLOWED = "the driver's option devices must list it"
MOUNT_IT = "say where the guest mounts it; bind_sources must allow the directory"
SHARED = "it is shared writable, with what is mounted below"


def nic_of(parts: Parts, interface: Element, to: str) -> Plain | None:
    """The keys of a NIC at *to*; None if geats has none like it."""
    kind, source = interface.get("type", ""), child(interface, "source")
    is_other = kind == "direct" and value_of(source, "mode") != "bridge"
    if kind not in ("bridge", "network", "direct") or is_other:
        got = f"{kind} {source.get('mode', 'vepa')}" if is_other else kind
        parts.refuse(interface, "", f"{ON_BRIDGES}, got {got!r}")
        return None
    nic: Plain = {}
    if kind == "bridge":
        nic["bridge"] = value_of(source, "bridge")
        parts.went(source, "bridge", f"{to}.bridge")
    parts.left(interface, "type", OF_GEATS)
    mac = child(interface, "mac")
    if value_of(mac, "address"):
        nic["mac"] = value_of(mac, "address")
        parts.went(mac, "address", f"{to}.mac")
    if (port := interface.find("virtualport")) is not None:
        _port(parts, port, is_bridge=kind == "bridge")
    target = child(interface, "target")
    if "dev" in target.attrib:
        parts.left(target, "dev", "geats names the host's end by itself")
    return nic


def _port(parts: Parts, port: Element, *, is_bridge: bool) -> None:
    """One of a bridge of Open vSwitch is as geats makes it, unless it has a profile there."""
    parameters = child(port, "parameters")
    if is_bridge and port.get("type") == "openvswitch" and parameters.attrib.keys() <= {PORT_ID}:
        parts.left(port, "type", "geats sees that the bridge is one of Open vSwitch")
        if PORT_ID in parameters.attrib:
            parts.left(parameters, PORT_ID, "libvirt gives the port a new one")
    else:
        parts.refuse(port, "", OTHER_NETWORK)


def card_of(parts: Parts, interface: Element, key: str) -> Plain:
    """The keys of a NIC below ``hardware``, which are at *key*."""
    card: Plain = {}
    source, model, driver = (child(interface, tag) for tag in ("source", "model", "driver"))
    if interface.get("type") == "network":
        card["network"] = value_of(source, "network")
        parts.went(source, "network", f"{key}.network")
    if interface.get("type") == "direct":
        card["macvtap"] = value_of(source, "dev")
        parts.went(source, "dev", f"{key}.macvtap")
        parts.left(source, "mode", OF_GEATS)
    if value_of(model, "type"):
        card["model"] = value_of(model, "type")
        parts.went(model, "type", f"{key}.model")
    if re.fullmatch("[0-9]{1,4}", value_of(driver, "queues")):
        card["queues"] = int(value_of(driver, "queues"))
        parts.went(driver, "queues", f"{key}.queues")
    if driver.get("name") == "vhost":
        parts.left(driver, "name", OF_GEATS)
    _traffic(parts, interface, card, key)
    return card


def _traffic(parts: Parts, interface: Element, card: Plain, key: str) -> None:
    """The state of its cable, its VLAN, and how much it sends and gets at most."""
    link, mtu, vlan = (child(interface, tag) for tag in ("link", "mtu", "vlan"))
    if value_of(link, "state") == "down":
        card["link"] = False
    if "state" in link.attrib:
        parts.went(link, "state", f"{key}.link")
    if re.fullmatch("[0-9]{1,5}", value_of(mtu, "size")):
        card["mtu"] = int(value_of(mtu, "size"))
        parts.went(mtu, "size", f"{key}.mtu")
    tags = [value_of(tag, "id") for tag in vlan]
    is_one = len(tags) == 1 and not vlan.attrib and not len(vlan[0])
    if is_one and "network" in card and re.fullmatch("[0-9]{1,4}", tags[0]):
        card["vlan"] = int(tags[0])
        parts.went(vlan[0], "id", f"{key}.vlan")
    elif interface.find("vlan") is not None:
        parts.refuse(vlan, "", OTHER_NETWORK)
    for way, rate in (("inbound", "rate_in"), ("outbound", "rate_out")):
        limit = child(child(interface, "bandwidth"), way)
        if re.fullmatch("[0-9]{1,9}", value_of(limit, "average")):
            card[rate] = f"{value_of(limit, 'average')}KiB"
            parts.went(limit, "average", f"{key}.{rate}")


def take_host_devices(parts: Parts, hardware: Plain, at: str) -> None:
    """What is passed through, by its address or by what it is."""
    found: dict[str, list[str]] = {"pci": [], "usb": []}
    for device in parts.domain.findall("devices/hostdev"):
        kind, name = device.get("type", ""), _device(device)
        if name:
            found[kind].append(name)
            parts.left_whole(child(device, "source"), OF_GEATS)
            parts.went(child(device, "source"), "", f"{at}.{kind}", ALLOWED)
            for attribute in ("mode", "type", "managed"):
                if attribute in device.attrib:
                    parts.left(device, attribute, OF_GEATS)
    hardware |= {kind: names for kind, names in found.items() if names}


def _device(device: Element) -> str:
    """What a host allows it by; empty if geats cannot pass it through so."""
    source = child(device, "source")
    if device.get("mode") != "subsystem":
        return ""
    match device.get("type"):
        case "pci" if device.get("managed") == "yes":
            numbers = _numbers(child(source, "address"), ("domain", "bus", "slot", "function"))
            name = "{:04x}:{:02x}:{:02x}.{:x}".format(*numbers) if numbers else ""
            return name if PCI.fullmatch(name) else ""
        case "usb":
            ids = [_numbers(child(source, tag), ("id",)) for tag in ("vendor", "product")]
            return ":".join(f"{number:04x}" for each in ids for number in each) if all(ids) else ""
        case _:
            return ""


def _numbers(element: Element, names: tuple[str, ...]) -> tuple[int, ...]:
    """Those attributes as numbers, the first of several being 0 without one; else nothing."""
    said = [value_of(element, name) for name in names]
    if len(said) > 1:
        said = [each or "0" for each in said] if any(said) else said
    if not all(re.fullmatch("0x[0-9a-fA-F]{1,4}|[0-9]{1,4}", each) for each in said):
        return ()
    return tuple(int(each, 0) if "x" in each else int(each) for each in said)


def binds_of(parts: Parts, at: str) -> Mapping[str, Plain]:
    """What is shared by virtiofs: binds, each named by its tag."""
    binds: dict[str, Plain] = {}
    for shared in parts.domain.findall("devices/filesystem"):
        driver, source, target = (child(shared, tag) for tag in ("driver", "source", "target"))
        tag = value_of(target, "dir")
        if driver.get("type") != "virtiofs" or "dir" not in source.attrib or not tag:
            continue
        is_plain = re.fullmatch("[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", tag)
        name = free_name(tag if is_plain else "shared", binds)
        where = {"source": value_of(source, "dir"), "mount": f"/mnt/{name}"}
        binds[name] = {**where, "read_only": False, "recursive": True}
        to = f"{at}.binds.{name}"
        parts.went(source, "dir", f"{to}.source", SHARED)
        renamed = "" if tag == name else "; the guest knows it by the name of the bind now"
        parts.went(target, "dir", f"{to}.mount", f"{MOUNT_IT}{renamed}")
        for element, attribute in ((shared, "type"), (shared, "accessmode"), (driver, "type")):
            if attribute in element.attrib:
                parts.left(element, attribute, OF_GEATS)
    backing = child(parts.domain, "memoryBacking")
    for each in backing if binds else ():
        if each.tag in ("source", "access"):
            parts.left_whole(each, OF_GEATS)
    return binds


def take_hugepages(parts: Parts, hardware: Plain, at: str) -> None:
    """Whether the memory is in huge pages of the host's default size."""
    pages = parts.domain.find("memoryBacking/hugepages")
    if pages is not None and not len(pages):
        hardware["hugepages"] = True
        parts.went(pages, "", f"{at}.hugepages")
