"""What a host offers, as values: its drivers, its pools, and the rest of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from geats_core.planning.actions import Moved, UpgradeRegistry
from geats_core.planning.spec_changes import Cost


class Offer(StrEnum):
    """What a volume is for its users: a directory, or a disk of one kind or another.

    FILE holds the disk byte by byte; QCOW2 is a file in that format, which only QEMU can read.
    """

    DIRECTORY = "directory"
    BLOCK_DEVICE = "block device"
    FILE = "file"
    QCOW2 = "qcow2 file"
    NOTHING = "nothing"  # it exists in memory only: there is nothing to put files on


@dataclass(frozen=True, slots=True, kw_only=True)
class NoStart:
    """Why a driver can start no VM now, and what to do; a VM that has a line by hand that begins
    with ``unless`` can be started all the same.
    """

    why: str
    unless: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverFacts:
    """What a driver can do; None if it is not known, and therefore not checked.

    ``roots`` are what the root volume of its VMs may be, and ``volumes`` what all others may be.
    ``costs`` say what a change of a field costs that is not as in ``COST``: a driver that can
    change the memory, cpus or processes of a VM that is on says so with ``Impact.LIVE``.
    ``no_start`` is why none of its VMs can be started now.
    ``location`` is where its VMs are: two drivers at one location would be one. ``keys`` are those
    that its VMs have below ``hardware``, each with the JSON Schema of its value; ``lacks`` names
    keys of a VM that it can do nothing with, such as ``privileged``.
    """

    roots: frozenset[Offer] | None = None
    volumes: frozenset[Offer] | None = None
    costs: Mapping[str, Cost] = field(default_factory=dict)
    no_start: NoStart | None = None
    location: str | None = None
    keys: Mapping[str, object] | None = None
    lacks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFacts:
    """What a pool offers; None if it is not known, and therefore not checked.

    ``offers`` is what its volumes are. ``location`` is the location of a volume, with ``{vm}`` and
    ``{volume}`` for its names: two volumes at one location are a conflict, and so
    are two pools, unless each has another ``part`` of it. ``size_bytes`` is the space of the whole
    pool, and ``free_bytes`` what was free when it was observed. ``clones``: it
    copies a volume in no time. ``enforces_size``: a volume cannot become larger than its size;
    otherwise the pool only records the size. No volume is made smaller than ``least_bytes``. If
    ``shifted_by`` is not 0, a volume shows its files with ids that are higher by that number, as
    unprivileged VMs need them; other VMs cannot use it. ``identity`` distinguishes the pool from
    another one at the same place, for example on another disk; it is None until the first volume is
    made, and if the pool has none.
    """

    offers: Offer | None = None
    location: str | None = None
    part: str = ""
    size_bytes: int | None = None
    free_bytes: int | None = None
    snapshots: bool = False
    grows_online: bool = True
    clones: bool = False
    enforces_size: bool = True
    least_bytes: int = 0
    shifted_by: int = 0
    identity: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What a host offers; None if it is not known, and therefore not checked.

    ``declared`` are the VMs that the configuration describes or lists under ``gone``, whether or
    not there is a goal for them. ``bind_sources`` are the directories that VMs may bind, including
    everything below them. ``upgrade`` is the upgrade that its registry needs before anything can be
    written to it. ``unavailable`` says why configured drivers, pools and templates cannot be used
    now, by names such as ``pools.fast``. ``elsewhere`` says, by name, where on this host there are
    VMs in places that this configuration does not look at. ``moved`` are the pools and drivers that
    are no longer where the host recorded them.
    """

    drivers: Mapping[str, DriverFacts] | None = None
    pools: Mapping[str, PoolFacts] | None = None
    templates: frozenset[str] | None = None
    bridges: frozenset[str] | None = None
    memory_bytes: int | None = None
    cpus: float | None = None
    declared: frozenset[str] = frozenset()
    bind_sources: frozenset[str] | None = None
    upgrade: UpgradeRegistry | None = None
    unavailable: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    moved: tuple[Moved, ...] = ()

    def driver(self, name: str) -> DriverFacts:
        """What is known of the driver *name*."""
        return (self.drivers or {}).get(name, DriverFacts())

    def pool(self, name: str) -> PoolFacts:
        """What is known of the pool *name*."""
        return (self.pools or {}).get(name, PoolFacts())
