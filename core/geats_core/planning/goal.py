"""The planner's words: goal, facts of the host, step, plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from geats_core.planning.actions import Action, Impact, Moved, UpgradeRegistry, impact_of
from geats_core.planning.spec_changes import Change, Cost
from geats_core.vm.spec import VMSpec


class Target(StrEnum):
    """The state in which a VM should end.

    OFF is powered off and otherwise left as it is; STOPPED is provisioned *and* off. PROVISIONED
    and DEFINED leave the power as it is. REBOOTED and REINITIALISED are requests, not states: if
    you ask twice, they are done twice.
    """

    RUNNING = "running"
    FROZEN = "frozen"
    STOPPED = "stopped"
    OFF = "off"
    PROVISIONED = "provisioned"
    DEFINED = "defined"
    UNDEFINED = "undefined"
    DEPROVISIONED = "deprovisioned"
    LOCKED = "locked"
    UNLOCKED = "unlocked"
    REBOOTED = "rebooted"
    REINITIALISED = "reinitialised"

    @property
    def takes_spec(self) -> bool:
        """Whether the VM is brought to what is described of it."""
        return not self.takes_vm_away and self not in (Target.LOCKED, Target.UNLOCKED)

    @property
    def takes_vm_away(self) -> bool:
        """Whether nothing of the VM runs at the end, whatever is described of it."""
        return self is Target.OFF or self.is_gone

    @property
    def is_gone(self) -> bool:
        """Whether the VM is not defined at the end."""
        return self in (Target.UNDEFINED, Target.DEPROVISIONED)

    @property
    def is_met_by_none(self) -> bool:
        """Whether there is nothing to do if there is no such VM, even one that nobody knows."""
        return self.is_gone or self is Target.UNLOCKED

    @property
    def is_for_those_there(self) -> bool:
        """Whether it is no wish for a VM that is declared, and not on the host yet."""
        return self in (Target.OFF, Target.LOCKED)

    @property
    def is_as_described(self) -> bool:
        """Whether a VM comes to it by its description alone: it may be wished for all of a host."""
        return self in (Target.RUNNING, Target.PROVISIONED, Target.DEFINED, Target.LOCKED)

    @property
    def says_power(self) -> bool:
        """Whether it says if the VM is on or off, once that is provisioned."""
        return self in (Target.RUNNING, Target.FROZEN, Target.STOPPED)

    @property
    def is_on(self) -> bool:
        """Whether the VM is on at the end."""
        return self in (Target.RUNNING, Target.FROZEN)


class Restart(StrEnum):
    """Whether a plan may restart a VM: if a change needs it, for any change, or never."""

    IF_NEEDED = "if_needed"
    ALWAYS = "always"
    NEVER = "never"


class PowerOff(StrEnum):
    """How a VM is powered off: asked first, or at once."""

    SHUTDOWN = "shutdown"
    STOP = "stop"


class DataLoss(StrEnum):
    """Whether a plan may destroy data that a changed spec has no more use for."""

    REFUSED = "refused"
    ALLOWED = "allowed"


class ByHand(StrEnum):
    """What to do with lines that a person added to the driver's definition."""

    KEPT = "kept"
    REMOVED = "removed"


class Asked(StrEnum):
    """How a VM came to have a goal: by its name, or with every other VM of its host."""

    NAMED = "named"
    SWEPT = "swept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The state in which one VM should end, and what may be done on the way.

    ``spec`` is None for targets that need none: OFF, UNDEFINED, DEPROVISIONED, LOCKED, UNLOCKED. A
    plan with a step of a higher impact than ``max_impact`` is refused. ``foreign`` allows acting on
    a VM that geats did not make. ``asked`` says whether the VM was named; what may be done to one
    that was not is in ``only_named``.
    """

    name: str
    target: Target
    spec: VMSpec | None = None
    restart: Restart = Restart.IF_NEEDED
    power_off: PowerOff = PowerOff.SHUTDOWN
    data_loss: DataLoss = DataLoss.REFUSED
    by_hand: ByHand = ByHand.KEPT
    max_impact: Impact = Impact.DATA_LOSS
    foreign: bool = False
    asked: Asked = Asked.NAMED


class Offer(StrEnum):
    """What a volume is for its users: a directory, a file or a block device."""

    DIRECTORY = "directory"
    BLOCK_DEVICE = "block device"
    FILE = "file"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An action in a plan, on the VM ``vm`` (empty for a step that is about the whole host).

    ``changes`` are the fields that make it necessary. ``needs`` are the positions of the steps that
    must be done before it, ``after`` those of steps that must have ended, done or not. None is in
    both.
    """

    vm: str
    action: Action
    reason: str
    changes: tuple[Change, ...] = ()
    needs: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    @property
    def waits_for(self) -> tuple[int, ...]:
        """The positions of all steps that must have ended before it."""
        return tuple(sorted((*self.needs, *self.after)))

    @property
    def impact(self) -> Impact:
        """What the step costs a user of the VM."""
        return impact_of(self.action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps that bring one VM to its goal, in an order in which they may run.

    ``changes`` are the fields whose recorded value the plan replaces; ``pending`` are those that
    will be written, but not in effect until the VM restarts. ``by_hand`` are lines that a person
    added to the definition, and that stay in it.
    """

    name: str
    steps: tuple[Step, ...] = ()
    changes: tuple[Change, ...] = ()
    pending: tuple[Change, ...] = ()
    by_hand: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.steps

    @property
    def impact(self) -> Impact:
        """The highest impact among the steps."""
        return max((step.impact for step in self.steps), default=Impact.NONE)
