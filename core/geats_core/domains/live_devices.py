"""What is to be done to the devices of a domain that runs, so that it has those that are wanted."""

from collections.abc import Collection, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from enum import StrEnum
from xml.etree.ElementTree import Element

from geats_core.domains.elements import parsed, text_of
from geats_core.domains.embedding import embeds
from geats_core.vm import hardware
from geats_core.vm.spec import VMSpec

NOTHING: Mapping[str, str] = {}
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

    *gone* are those to detach, by their serials and MAC addresses: nobody else's is touched. A
    domain that was adopted has other serials, or none, until it restarts: so a disk is known by its
    source as well, and the host's end of a NIC is called as it is.
    """
    want = _devices(wanted)
    return tuple(_steps(want, _devices(live, _by_source(want)), gone))


def lost_sight_of(wanted: str, live: str, gone: Collection[str]) -> tuple[str, ...]:
    """Those of *gone* that nobody can tell: none has their serial, and there are disks without."""
    by_source = _by_source(_devices(wanted))
    domain = parsed(live)
    disks = [] if domain is None else domain.findall("devices/disk[@device='disk']")
    nameless = any(not _key(disk) and _source(disk) not in by_source for disk in disks)
    there = _devices(live, by_source)
    return tuple(sorted(key for key in gone if nameless and key not in there))


def as_it_runs(spec: VMSpec, defined: str, live: str) -> VMSpec:
    """*spec* with the links and limits of its NICs as they are, if somebody changed them.

    That is, if the domain *live* has other ones than the one that is *defined* by the same spec.
    """
    have, usual = (
        {mac: _traffic(each) for mac, each in _devices(text).items()} for text in (live, defined)
    )
    keys = hardware.to_plain(spec.hardware)
    cards = _mapping(keys.get("nics"))
    for nic in spec.nics:
        now, before = (seen.get(nic.mac.lower(), {}) for seen in (have, usual))
        if now and before and now != before:
            card = _mapping(cards.get(nic.name)) | dict(now.items() - before.items())
            cards[nic.name] = {key: value for key, value in card.items() if value is not None}
    read = hardware.read_hardware(hardware.HARDWARE, {**keys, "nics": cards} if cards else keys)
    return replace(spec, hardware=read.value_or(spec.hardware))


def _mapping(value: object) -> dict[object, object]:
    return dict(value.items()) if isinstance(value, Mapping) else {}


def _traffic(nic: Element) -> dict[str, object]:
    """What a NIC may carry, as keys below ``hardware.nics``."""
    rates = {"rate_in": "bandwidth/inbound", "rate_out": "bandwidth/outbound"}
    averages = {key: _said(nic, path, "average") for key, path in rates.items()}
    return {
        "link": _said(nic, "link", "state") != "down",
        **{key: f"{kib}KiB" if kib.isdecimal() else None for key, kib in averages.items()},
    }


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
        elif _can_change(device):
            device = _as_called(device, have[key])
            if _differs(device, have[key]):
                yield DeviceStep(Doing.CHANGE, text_of(device))


def _devices(text: str, by_source: Mapping[str, str] = NOTHING) -> dict[str, Element]:
    """The disks by their serials, cdroms by their targets, and NICs by their MAC addresses.

    A disk whose source is in *by_source* has the serial there.
    """
    domain = parsed(text)
    devices = () if domain is None else domain.iterfind("devices/*")
    found = ((by_source.get(_source(device), _key(device)), device) for device in devices)
    return {key: device for key, device in found if key}


def _by_source(devices: Mapping[str, Element]) -> dict[str, str]:
    disks = {key: each for key, each in devices.items() if each.get("device") == "disk"}
    return {_source(each): key for key, each in disks.items() if _source(each)}


def _source(device: Element) -> str:
    """Where a disk is; empty for what is none."""
    if device.get("device") != "disk":
        return ""
    return _said(device, "source", "file") or _said(device, "source", "dev")


def _as_called(wanted: Element, have: Element) -> Element:
    """*wanted*; a NIC with the name of the host's end that it has, which cannot change."""
    called = have.find("target")
    if wanted.tag != "interface" or called is None:
        return wanted
    same = deepcopy(wanted)
    for target in same.findall("target"):
        target.attrib |= called.attrib
    return same


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
