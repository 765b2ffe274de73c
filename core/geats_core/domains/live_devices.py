"""What is to be done to the devices of a domain that runs, so that it has those that are wanted."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from xml.etree.ElementTree import Element

from geats_core.domains.elements import parsed, text_of
from geats_core.domains.embedding import embeds

# Of these, what is not wanted must not be there.
OPTIONAL = ("source", "link", "vlan", "mtu", "bandwidth/inbound", "bandwidth/outbound")


class Doing(StrEnum):
    """What is done to a device."""

    ATTACH = "attach"
    CHANGE = "change"
    DETACH = "detach"


@dataclass(frozen=True, slots=True)
class DeviceStep:
    """One device: its XML; if it is detached, as it is in the domain that runs."""

    doing: Doing
    xml: str


def device_steps(wanted: str, live: str, gone: Collection[str]) -> tuple[DeviceStep, ...]:
    """What brings the domain *live* to the disks and NICs of *wanted*.

    *gone* are those to detach, by their serials and MAC addresses: nobody else's is touched.
    """
    want, have = _devices(wanted), _devices(live)
    return tuple(_steps(want, have, gone))


def missing_ports(live: str, added: Collection[str], gone: Collection[str]) -> int:
    """How many PCIe ports the domain *live* has too few to get the devices *added*.

    They are known as those that are *gone* are, whose ports are free by then. Those that are there
    already need none. Machines without such ports have slots enough.
    """
    domain, there = parsed(live), _devices(live)
    devices = [] if domain is None else domain.findall("devices/*")
    ports = {each.get("index") for each in devices if each.get("model") == "pcie-root-port"}
    used = {_bus(device) for device in devices}
    needed = len([key for key in added if key not in there])
    freed = len([key for key in gone if key in there])
    return max(0, needed - freed - len(ports - used)) if ports else 0


def _bus(device: Element) -> str:
    """The number of the bus that it is on: that of a port is the index of that."""
    return f"{int(_said(device, 'address', 'bus') or '0', 0)}"


def _steps(
    want: Mapping[str, Element], have: Mapping[str, Element], gone: Collection[str]
) -> Iterable[DeviceStep]:
    for key in gone:
        if key in have and key not in want:
            yield DeviceStep(Doing.DETACH, text_of(have[key]))
    for key, device in want.items():
        if key not in have:
            yield DeviceStep(Doing.ATTACH, text_of(device))
        elif _can_change(device) and _differs(device, have[key]):
            yield DeviceStep(Doing.CHANGE, text_of(device))


def _devices(text: str) -> dict[str, Element]:
    """The disks by their serials, cdroms by their targets, and NICs by their MAC addresses."""
    domain = parsed(text)
    devices = () if domain is None else domain.iterfind("devices/*")
    found = ((_key(device), device) for device in devices)
    return {key: device for key, device in found if key}


def _key(device: Element) -> str:
    match device.tag:
        case "interface":
            return _said(device, "mac", "address").lower()
        case "disk" if device.get("device") == "cdrom":
            return _said(device, "target", "dev")
        case "disk":
            return (device.findtext("serial") or "").strip()
        case _:
            return ""


def _said(device: Element, child: str, attribute: str) -> str:
    found = device.find(child)
    return "" if found is None else found.get(attribute, "")


def _can_change(device: Element) -> bool:
    """A disk is what it is; another medium can be in a drive, and a NIC be connected elsewhere."""
    return device.tag == "interface" or device.get("device") == "cdrom"


def _differs(wanted: Element, have: Element) -> bool:
    return not embeds(wanted, have) or any(
        (wanted.find(tag) is None) != (have.find(tag) is None) for tag in OPTIONAL
    )
