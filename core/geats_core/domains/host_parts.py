"""What a machine has of its host: devices, directories, and memory as the host keeps it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from geats_core.domains.elements import of, sub
from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problem
from geats_core.reading.fields import Reader, each, of_mapping
from geats_core.reading.sizes import parse_size
from geats_core.vm.spec import Bind

PCI = re.compile(r"([0-9a-f]{4}):([0-9a-f]{2}):([01][0-9a-f])\.([0-7])")
USB = re.compile(r"([0-9a-f]{4}):([0-9a-f]{4})")
RANGES = re.compile(r"\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One NUMA node of the guest: its CPUs, its memory, and the node of the host that has it."""

    cpus: str
    memory_bytes: int
    node: int | None = None

    @property
    def numbers(self) -> tuple[int, ...]:
        """The CPUs one by one."""
        ends = [part.partition("-") for part in self.cpus.split(",")]
        return tuple(
            number
            for first, _, last in ends
            for number in range(int(first), int(last or first) + 1)  # of at most four digits
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HostParts:
    """``pci`` are addresses such as 0000:01:00.0, ``usb`` are vendor and product: 046d:c52b."""

    hugepages: bool = False
    numa: tuple[Cell, ...] = ()
    pci: tuple[str, ...] = ()
    usb: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices of the host that the guest gets, by which a host allows them."""
        return (*self.pci, *self.usb)


def read_host_parts(read: Reader) -> HostParts:
    """Those of the keys below ``hardware``."""
    return HostParts(
        hugepages=read.take("hugepages", fields.boolean, False),
        numa=read.take("numa", each(_cell), ()),
        pci=read.take("pci", each(pci_address), ()),
        usb=read.take("usb", each(usb_device), ()),
    )


pci_address = fields.matching(PCI, "the address of a PCI device, such as 0000:01:00.0")
usb_device = fields.matching(USB, "vendor and product of a USB device, such as 046d:c52b")
_ranges = fields.matching(RANGES, "numbers of CPUs, such as 0-3")


@of_mapping
def _cell(read: Reader) -> Checked[Cell]:
    return read.done(
        Cell(
            cpus=read.need("cpus", _ranges, "0"),
            memory_bytes=read.need("memory", parse_size, 0),
            node=read.take("node", fields.whole_number(0, 1023), None),
        )
    )


def numa_problems(cells: tuple[Cell, ...], cpus: int, memory_bytes: int) -> Iterable[Problem]:
    """Whether the cells have each CPU once, and all of the memory."""
    if not cells:
        return
    if sorted(n for cell in cells for n in cell.numbers) != [*range(cpus)]:
        wrong = f"must have each CPU from 0 to {cpus - 1} once, as there can be {cpus}"
        yield Problem("hardware.numa", wrong)
    if sum(cell.memory_bytes for cell in cells) != memory_bytes:
        yield Problem("hardware.numa", "its memory must be max_memory in all")


def bind_problems(binds: Iterable[Bind]) -> Iterable[Problem]:
    """What virtiofs cannot do: libvirt has it share all below a directory, writable."""
    for bind in binds:
        at = f"binds.{bind.name}"
        if bind.file or bind.optional:
            key = "file" if bind.file else "optional"
            yield Problem(f"{at}.{key}", "is not for virtual machines: share a directory")
        if bind.read_only:
            yield Problem(f"{at}.read_only", "must be false: libvirt shares directories writable")
        if not bind.recursive:
            yield Problem(f"{at}.recursive", "must be true: what is mounted below is shared too")


def memory_backing(parts: HostParts, binds: Iterable[Bind]) -> Iterable[Element]:
    """Guests that share directories share their memory with the process that serves these."""
    kinds = [Element("hugepages")] if parts.hugepages else []
    if any(True for _ in binds):
        kinds += [Element("source", type="memfd"), Element("access", mode="shared")]
    if kinds:
        yield of("memoryBacking", *kinds)


def numa_cells(cells: tuple[Cell, ...]) -> Iterable[Element]:
    """What stands below ``<cpu>``."""
    if cells:
        numa = Element("numa")
        for index, cell in enumerate(cells):
            memory = f"{-(-cell.memory_bytes // 1024)}"
            sub(numa, "cell", id=f"{index}", cpus=cell.cpus, memory=memory, unit="KiB")
        yield numa


def numa_nodes(cells: tuple[Cell, ...]) -> Iterable[Element]:
    """Which node of the host has the memory of which cell."""
    bound = [(index, cell.node) for index, cell in enumerate(cells) if cell.node is not None]
    if bound:
        yield of(
            "numatune",
            *(
                Element("memnode", cellid=f"{index}", mode="strict", nodeset=f"{node}")
                for index, node in bound
            ),
        )


def host_devices(parts: HostParts) -> Iterable[Element]:
    """What is passed through: libvirt takes a PCI device from the host's driver, and gives it
    back."""
    for address in parts.pci:
        names = ("domain", "bus", "slot", "function")
        values = re.split("[:.]", address)
        device = Element("hostdev", mode="subsystem", type="pci", managed="yes")
        where = {name: f"0x{value}" for name, value in zip(names, values, strict=True)}
        device.append(of("source", Element("address", where)))
        yield device
    for name in parts.usb:
        vendor, _, product = name.partition(":")
        ids = Element("vendor", id=f"0x{vendor}"), Element("product", id=f"0x{product}")
        yield of("hostdev", of("source", *ids), mode="subsystem", type="usb")


def shared_directories(binds: Iterable[Bind]) -> Iterable[Element]:
    """Directories of the host, which the guest knows by their names."""
    for bind in binds:
        shared = Element("filesystem", type="mount", accessmode="passthrough")
        sub(shared, "driver", type="virtiofs")
        sub(shared, "source", dir=bind.source)
        sub(shared, "target", dir=bind.name)
        yield shared
