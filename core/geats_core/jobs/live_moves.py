"""A domain that moves to another host while it runs: why it cannot, and as what it arrives there.

Theory of operation
-------------------
What the guest sees of its machine must be the same on both hosts. What it does not see, such as
where its disks are, is as the target has it: so a domain arrives as it is on its source, but each
of its disks and NICs with the source that the target wrote for it. A disk that is no volume would
have the same path there, and libvirt would write over whatever is at it: such a domain stays.
"""

from collections.abc import Collection, Iterable, Iterator
from xml.etree.ElementTree import Element

from geats_core.domains.domain_xml import CPU_MODES
from geats_core.domains.elements import parsed, text_of
from geats_core.domains.machine import Machine
from geats_core.reading.checked import Code, Problem
from geats_core.vm.hardware import HARDWARE

OF_ONE_HOST = {  # devices that stay where they are
    "hostdev": "a device of this host (pci, usb)",
    "filesystem": "a directory of this host (binds)",
    "shmem": "memory that it shares with this host",
}
NOTHING = ("", "")
UNCACHED = ("none", "directsync")
STOP_FIRST = "move it without `live`"
NO_VOLUME = "restart it if it was adopted, and remove a disk that is by hand"


def cannot_move(
    machine: Machine, kind: str, live: str, volumes: Collection[str]
) -> Iterator[Problem]:
    """Why a domain of that *kind*, with that *live* XML, cannot go on elsewhere.

    Its disks must be known by their serials, which are the names of its *volumes*.
    """
    cpu = machine.cpu or ("host-model" if kind == "kvm" else "")
    if cpu in CPU_MODES:
        why = f"is {cpu}, which another host may not have: name a model that both have, and restart"
        yield Problem(f"{HARDWARE}.cpu", why, Code.REFUSED)
    running = parsed(live)
    devices = () if running is None else running.findall("devices/*")
    for tag in sorted({each.tag for each in devices} & OF_ONE_HOST.keys()):
        yield Problem(HARDWARE, f"it has {OF_ONE_HOST[tag]}: {STOP_FIRST}", Code.REFUSED)
    yield from _not_moved([each for each in devices if each.tag == "disk"], volumes)


def _not_moved(disks: Iterable[Element], volumes: Collection[str]) -> Iterator[Problem]:
    """Those that libvirt does not copy, or of which nobody knows where they are to be there."""
    left = {*volumes}
    for disk in disks:
        serial, at = (disk.findtext("serial") or "").strip(), disk.find("target")
        is_read = disk.get("device") == "cdrom" or disk.find("readonly") is not None
        if serial in left and is_read:
            why = f"its volume {serial} is read-only, and is not copied while it runs"
            yield Problem("volumes", f"{why}: {STOP_FIRST}", Code.REFUSED)
        elif serial not in left and not is_read:
            called = "?" if at is None else at.get("dev", "?")
            why = f"its disk {called} has the serial of no volume, or one that another has too"
            yield Problem(HARDWARE, f"{why}: {NO_VOLUME}", Code.REFUSED)
        left.discard(serial)


def cached(live: str) -> tuple[str, ...]:
    """The volumes, by their serials, of which the host may have more in memory than on the disk.

    QEMU has a cache of the host's unless another is said.
    """
    domain = parsed(live)
    disks = () if domain is None else domain.iterfind("devices/disk")
    return tuple(
        (disk.findtext("serial") or "").strip()
        for disk in disks
        if disk.find("readonly") is None and _cache(disk) not in UNCACHED
    )


def _cache(disk: Element) -> str:
    driver = disk.find("driver")
    return "" if driver is None else driver.get("cache", "")


def as_there(xml: str, there: str) -> str:
    """The domain *xml*, but where its disks are and what its NICs are connected to as in *there*.

    Disks are told by their serials, and NICs by their MAC addresses. What is kept of consoles is
    kept where it is kept there.
    """
    domain, wanted = parsed(xml), parsed(there)
    if domain is None or wanted is None:
        return xml
    new = {_key(element): element for element in _attached(wanted)}
    new.pop(NOTHING, None)
    for element in _attached(domain):
        if (as_wanted := new.get(_key(element))) is not None:
            _connect(element, as_wanted)
    for tag in ("serial", "console"):
        log, new_log = (each.find(f"devices/{tag}/log") for each in (domain, wanted))
        if log is not None and new_log is not None:
            log.attrib |= new_log.attrib
    return text_of(domain)


def _attached(domain: Element) -> Iterable[Element]:
    return (each for tag in ("disk", "interface") for each in domain.iterfind(f"devices/{tag}"))


def _key(element: Element) -> tuple[str, str]:
    """By which a device is known on both hosts; of some there is nothing."""
    mac = element.find("mac")
    serial = (element.findtext("serial") or "").strip()
    known = serial if mac is None else mac.get("address", "").lower()
    return (element.tag, known) if known else NOTHING


def _connect(element: Element, wanted: Element) -> None:
    """Let a disk or a NIC have the source of *wanted*, and be of its type."""
    element.set("type", wanted.get("type", ""))
    for tag in ("source", "backingStore"):
        for each in element.findall(tag):
            element.remove(each)
    element.extend(wanted.findall("source"))
    driver, new = element.find("driver"), wanted.find("driver")
    if driver is not None and new is not None and "type" in new.attrib:
        driver.set("type", new.attrib["type"])
