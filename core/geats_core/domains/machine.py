"""The emulated machine of one VM: what its spec says below ``hardware``, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from geats_core.domains.host_parts import HostParts
from geats_core.vm.spec import VMSpec

LEAST_MEMORY = 1 << 20
EMPTY = "empty"  # a cdrom drive without a medium


class Firmware(StrEnum):
    """What the machine starts with."""

    BIOS = "bios"
    UEFI = "uefi"
    UEFI_SECURE = "uefi-secure"


class Display(StrEnum):
    """How the screen of the guest is shown, on a UNIX socket of the host; NONE is without."""

    NONE = "none"
    VNC = "vnc"
    SPICE = "spice"


class Boot(StrEnum):
    """What the guest is started from, in the order of the list that names them."""

    DISK = "disk"
    CDROM = "cdrom"
    NETWORK = "network"


class Bus(StrEnum):
    """How the guest sees a disk; IDE is for machines of the kind ``pc`` only."""

    VIRTIO = "virtio"
    SCSI = "scsi"
    SATA = "sata"
    IDE = "ide"


class Cache(StrEnum):
    """How the host caches a disk: see the ``cache`` of libvirt's disk drivers."""

    NONE = "none"
    WRITEBACK = "writeback"
    WRITETHROUGH = "writethrough"
    DIRECTSYNC = "directsync"
    UNSAFE = "unsafe"


class Model(StrEnum):
    """Which card the guest sees as a NIC."""

    VIRTIO = "virtio"
    E1000E = "e1000e"
    E1000 = "e1000"
    RTL8139 = "rtl8139"


class Watchdog(StrEnum):
    """What happens if the guest does not report for too long; NONE is without a watchdog."""

    NONE = "none"
    RESET = "reset"
    POWEROFF = "poweroff"
    SHUTDOWN = "shutdown"
    PAUSE = "pause"


class Guest(StrEnum):
    """What configures the guest: cloud-init, from a seed; or nobody."""

    CLOUD_INIT = "cloud-init"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """How the guest sees its CPUs: the product is how many there can be at most."""

    sockets: int = 1
    cores: int = 1
    threads: int = 1

    @property
    def cpus(self) -> int:
        """How many CPUs that are."""
        return self.sockets * self.cores * self.threads


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """How one volume is attached."""

    bus: Bus = Bus.VIRTIO
    cache: Cache | None = None
    discard: bool = True
    iothread: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """How one NIC is attached. Without ``link``, its cable is pulled.

    ``rate_in`` and ``rate_out`` are what the guest gets and sends at most, in bytes per second.
    Instead of a bridge it is connected to a ``network`` of libvirt, or by ``macvtap`` to an
    interface of the host: then it does not reach the host itself. ``vlan`` is the tag of
    its frames, on a network that can do that.
    """

    model: Model = Model.VIRTIO
    queues: int = 1
    link: bool = True
    rate_in: int | None = None
    rate_out: int | None = None
    network: str = ""
    macvtap: str = ""
    vlan: int | None = None
    mtu: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a VM has below ``hardware``; ``disks`` and ``nics`` are by names of volumes and NICs.

    ``cpu`` is empty for what the driver finds best. ``xml`` are elements of libvirt, each within
    ``<devices>`` or whatever else it belongs to below ``<domain>``.
    """

    max_memory_bytes: int | None = None
    max_cpus: int | None = None
    topology: Topology | None = None
    cpu: str = ""
    machine: str = "q35"
    firmware: Firmware = Firmware.BIOS
    tpm: bool = False
    display: Display = Display.NONE
    disks: Mapping[str, Disk] = field(default_factory=dict)
    nics: Mapping[str, Card] = field(default_factory=dict)
    cdrom: str = ""
    boot: tuple[Boot, ...] = (Boot.DISK,)
    watchdog: Watchdog = Watchdog.NONE
    rng: bool = True
    hotplug_ports: int = 4
    agent: bool = True
    guest: Guest = Guest.CLOUD_INIT
    user_data: Mapping[object, object] = field(default_factory=dict)
    ssh_keys: tuple[str, ...] = ()
    xml: tuple[str, ...] = ()
    host: HostParts = field(default_factory=HostParts)

    def disk(self, volume: str) -> Disk:
        """How the volume of that name is attached."""
        return self.disks.get(volume, Disk())

    def card(self, nic: str) -> Card:
        """How the NIC of that name is attached."""
        return self.nics.get(nic, Card())


def max_memory_bytes(spec: VMSpec, machine: Machine) -> int:
    """The memory that the guest can have without a restart."""
    return machine.max_memory_bytes or spec.limits.memory_bytes or LEAST_MEMORY


def cpus(spec: VMSpec) -> int:
    """The CPUs that the guest starts with."""
    return int(spec.limits.cpus or 1)


def max_cpus(spec: VMSpec, machine: Machine) -> int:
    """The CPUs that the guest can have without a restart."""
    return machine.max_cpus or (machine.topology.cpus if machine.topology else cpus(spec))
