"""What domains of one type have, by its name: machines of QEMU, of Xen and of Virtuozzo.

QEMU's have all that ``domain_devices`` writes. The others are written by what the documentation and
the schema of libvirt say; nobody has run them with geats yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from geats_core.planning.offers import Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """One type of domains, at ``uri`` if nothing else is said.

    ``takes`` are the kinds of volumes that can be its disks, ``lacks`` the keys below ``hardware``
    that it has nothing for. Where disks have no serial numbers, the guest sees them in their order,
    each named ``disk`` and a letter.
    """

    uri: str
    takes: frozenset[Offer]
    lacks: frozenset[str] = frozenset()
    bus: str = ""
    disk: str = ""
    seed_device: str = "disk"
    seed_target: str = ""
    seed_bus: str = ""
    cdrom_target: str = ""
    cdrom_bus: str = ""
    console: str = ""
    card: str = ""
    driver: str = ""

    @property
    def is_of_qemu(self) -> bool:
        """Whether a machine of QEMU's is written for it."""
        return not self.bus


FILES = frozenset({Offer.FILE, Offer.BLOCK_DEVICE, Offer.QCOW2})
ONLY_QEMU = frozenset(
    {"agent", "cpu", "disks", "display", "firmware", "hotplug_ports", "machine", "nics", "rng"}
    | {"hugepages", "numa", "pci", "topology", "tpm", "usb", "watchdog"}
)
FLAVOURS: Mapping[str, Flavour] = {
    "kvm": Flavour(uri="qemu:///system", takes=FILES),
    "qemu": Flavour(uri="qemu:///system", takes=FILES),
    "xen": Flavour(
        uri="xen:///system",
        takes=FILES,
        lacks=ONLY_QEMU,
        bus="xen",
        disk="xvd",
        seed_target="xvdz",
        seed_bus="xen",
        cdrom_target="hdc",
        cdrom_bus="ide",
        console="xen",
        driver="qemu",
    ),
    "vz": Flavour(
        uri="vz:///system",
        takes=frozenset({Offer.BLOCK_DEVICE}),  # a file would have to be one of ploop
        lacks=ONLY_QEMU,
        bus="scsi",
        disk="sd",
        seed_device="cdrom",  # the only file that need not be one of ploop
        seed_target="hdc",
        seed_bus="ide",
        cdrom_target="hdd",
        cdrom_bus="ide",
        card="virtio",
    ),
}
