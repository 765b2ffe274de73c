"""What drivers and pools offer, as values; and what interrupted operations leave of theirs."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from geats_core.planning.costs import Cost, Costs, EntryCost
from geats_core.planning.offers import Offer as Offer
from geats_core.reading.values import dataclass
from geats_core.vm.spec import RootKind


@dataclass(frozen=True, slots=True, kw_only=True)
class NoStart:
    """Why a driver can start no VM now, and what to do; a VM that has a line by hand that begins
    with ``unless`` can be started all the same. If that is empty, there is none.
    """

    why: str
    unless: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubordinateIds:
    """The ids of a host that guests can have, as ranges of a first id and a number of ids.

    ``ranges`` are all of them, equal for users and groups. ``shared`` is the one that all VMs have
    which say nothing of ids.
    """

    ranges: tuple[tuple[int, int], ...] = ()
    shared: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverFacts:
    """What a driver can do; None if it is not known, and therefore not checked.

    ``roots`` are what the root volume of its VMs may be, and ``volumes`` what all others may be.
    ``root_kind`` is what its templates must be. If ``guests_mount`` is true, guests can mount
    volumes themselves: a volume may have no ``mount``. With ``whole_cpus``, no VM has a part of a
    CPU.
    ``costs`` say what a change of a field costs that is not as in ``COST``: a driver that can
    change the memory, cpus or processes of a VM that is on says so with ``Impact.LIVE``.
    ``entries`` are the fields of which it can change named entries, such as NICs, while a VM is on.
    ``no_start`` is why none of its VMs can be started now.
    ``location`` is where its VMs are: two drivers at one location would be one. ``keys`` are those
    that its VMs have below ``hardware``, each with the JSON Schema of its value; ``lacks`` names
    keys of a VM that it can do nothing with, such as ``privileged``.
    ``lacks_of_nics`` are those of a NIC, each with the key below ``hardware.nics`` that says the
    same, or nothing.
    ``at_first_start`` are the fields that a guest takes at its first start only: to change them,
    it has to be recreated.
    ``grows_online`` are the disks that its guests see grow while they are on, unless they can only
    read them; None for a driver whose guests have no disks of their own.
    ``renames``: a VM that gets another name keeps what the guest is known by, such as the UUID of
    its machine. ``configures_nics``: a NIC that comes while the VM is on has its addresses at once.
    ``ids`` are those of the host that its VMs can have.
    """

    roots: frozenset[Offer] | None = None
    volumes: frozenset[Offer] | None = None
    costs: Mapping[str, Cost] = field(default_factory=dict)
    entries: Mapping[str, EntryCost] = field(default_factory=dict)
    no_start: NoStart | None = None
    location: str | None = None
    keys: Mapping[str, object] | None = None
    lacks: frozenset[str] = frozenset()
    lacks_of_nics: Mapping[str, str] = field(default_factory=dict)
    at_first_start: frozenset[str] = frozenset()
    grows_online: frozenset[Offer] | None = None
    root_kind: RootKind | None = None
    guests_mount: bool | None = None
    whole_cpus: bool = False
    renames: bool = False
    configures_nics: bool = False
    ids: SubordinateIds | None = None

    @property
    def all_costs(self) -> Costs:
        """What a change of any field costs that is not as in ``COST``."""
        return {**self.costs, **self.entries}


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFacts:
    """What a pool offers; None if it is not known, and therefore not checked.

    ``offers`` is what its volumes are. ``grows_online``: one can grow while its VM is on; if not,
    ``growth_lacks`` is what that takes, if it is known. ``location`` is the location of a volume,
    with ``{vm}`` and ``{volume}`` for its names: two volumes at one location are a conflict, and so
    are two pools, unless each has another ``part`` of it. ``size_bytes`` is the space of the whole
    pool, and ``free_bytes`` what was free when it was observed. ``clones``: it copies a volume in
    no time. If ``works_online`` is false, no snapshot is taken of a volume while its VM is on, and
    it is not copied or read then. ``enforces_size``: a volume cannot become larger than its size;
    otherwise the pool only records the size. No volume is made smaller than ``least_bytes``, and a
    disk for which no size is given has ``default_bytes``. If ``shifted_by`` is not 0, a volume
    shows its files with ids that are higher by that number, as unprivileged VMs need them; other
    VMs cannot use it. ``identity`` distinguishes the pool from another one at the same place, for
    example on another disk; it is None until the first volume is made, and if the pool has none.
    ``renames``: it can hand a volume over to another name of its VM. ``zeroes``: it may get space
    in which others left data, and overwrites that, which takes time. Several hosts use a ``shared``
    pool; ``elsewhere`` says which other host has which VM there, by the names of both.
    """

    offers: Offer | None = None
    location: str | None = None
    part: str = ""
    size_bytes: int | None = None
    free_bytes: int | None = None
    snapshots: bool = False
    grows_online: bool = True
    growth_lacks: str = ""
    clones: bool = False
    works_online: bool = True
    enforces_size: bool = True
    least_bytes: int = 0
    default_bytes: int | None = None
    shifted_by: int = 0
    identity: str | None = None
    renames: bool = False
    zeroes: bool = False
    shared: bool = False
    elsewhere: Mapping[str, str] = field(default_factory=dict)


class Leftover(StrEnum):
    """What an interrupted operation can leave on a host, besides the parts of VMs."""

    TEMPLATE = "half-unpacked template"
    CLONE = "clone"
    FILE = "file"
    FOLDER = "folder"
    INTERFACE = "interface"
    LOOP_DEVICE = "loop device"
    MOUNT = "mount"
    OWNER = "claim"  # of a VM in a shared pool
