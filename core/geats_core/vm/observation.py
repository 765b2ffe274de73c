"""What one VM is on the host now: plain values, filled in by the adapters."""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, TypeVar

from geats_core.reading.values import dataclass
from geats_core.vm.spec import ROOT, VMSpec

if TYPE_CHECKING:
    from dataclasses import replace

    changed = replace
else:
    Seen = TypeVar("Seen")

    def changed(seen: Seen, /, **fields: object) -> Seen:
        """*seen* with other values of some fields: as ``dataclasses.replace``, and several times as
        fast, because it copies what an instance holds. So its class must have no slots."""
        if not fields.keys() <= seen.__dict__.keys():
            raise TypeError(f"no fields of {type(seen).__name__}: {fields.keys() - vars(seen)}")
        made = object.__new__(type(seen))
        made.__dict__.update(seen.__dict__, **fields)
        return made


# Stands for the template, on a volume that a copy is still to be put on; and for the guest, on one
# whose files in the guest are still those of another VM.
UNFINISHED_COPY = "(unfinished copy)"
# Stands for the template, on that of two volumes which does not count while one moves.
UNFINISHED_MOVE = "(unfinished move)"


class Power(StrEnum):
    """The power state of the VM. STUCK: its monitor no longer answers, or is gone.

    HELD is frozen too, but by geats, while it reads the volumes of the VM. If that was interrupted,
    the next plan unfreezes the VM.
    """

    STOPPED = "stopped"
    RUNNING = "running"
    FROZEN = "frozen"
    HELD = "held"
    STUCK = "stuck"


class Stage(IntEnum):
    """How far a volume is; each stage includes those before it."""

    ALLOCATED = 1  # its space is reserved
    FORMATTED = 2  # it can contain files
    FILLING = 3  # a template was being installed on it, and was not finished
    INSTALLED = 4  # a template is installed on it


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSeen:
    """A snapshot of a volume: what the volume was when it was taken.

    ``taken_s`` is seconds since the epoch. ``stage``, ``template`` and ``guest`` are the volume's.
    """

    name: str
    taken_s: int
    stage: Stage
    template: str | None = None
    guest: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)  # see ``changed``
class VolumeSeen:
    """One volume of the VM, as its pool shows it.

    ``template`` is the name of the template installed on it, ``guest`` the digest of the files that
    geats wrote into it; both are None before the stage INSTALLED. If the template is
    UNFINISHED_COPY (at the stage FILLING), the volume is reserved for a copy; if ``guest`` is, it
    is a copy whose guest is not configured yet. If the template is UNFINISHED_MOVE, it is worth
    nothing: it is a copy that is not whole, or the VM has the volume in another pool, where it
    counts. ``snapshots`` are in the
    order in which they were taken. ``unreadable`` says why this geats cannot read the records of
    the pool about it, or that these are about another volume of the same name. Then nothing else is
    known about the volume, and it may contain valuable data. ``locked`` is its own record that the
    VM is protected from deletion: see ``Observation``.
    """

    name: str
    pool: str
    stage: Stage
    active: bool = False
    size_bytes: int | None = None
    template: str | None = None
    guest: str | None = None
    snapshots: tuple[SnapshotSeen, ...] = ()
    unreadable: str = ""
    locked: bool = field(default=False, compare=False)

    @property
    def is_reserved(self) -> bool:
        """Whether it is reserved for a copy that is not complete yet."""
        return self.template == UNFINISHED_COPY

    @property
    def is_copy(self) -> bool:
        """Whether it is a copy whose guest is not configured yet."""
        return self.guest == UNFINISHED_COPY

    @property
    def is_moving(self) -> bool:
        """Whether it is one of two, and does not count: its VM moves from it, or to it."""
        return self.template == UNFINISHED_MOVE

    def as_moving(self) -> "VolumeSeen":
        """The same, as such a one."""
        return changed(self, stage=Stage.FILLING, template=UNFINISHED_MOVE, guest=None)

    def snapshot(self, name: str) -> SnapshotSeen | None:
        """The snapshot of that name, if there is one."""
        return next((snapshot for snapshot in self.snapshots if snapshot.name == name), None)

    def taken(self, name: str, taken_s: int) -> SnapshotSeen:
        """The snapshot of that name, if it is taken now."""
        return SnapshotSeen(
            name=name, taken_s=taken_s, stage=self.stage, template=self.template, guest=self.guest
        )

    def with_content_of(self, other: "SnapshotSeen | VolumeSeen") -> "VolumeSeen":
        """This volume, with the stage, template and guest of *other*."""
        return changed(self, stage=other.stage, template=other.template, guest=other.guest)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeMissing:
    """A volume that had content when geats last used it, and that is not found now.

    ``template`` is the template of a root volume; None for other volumes. ``place`` is where it
    was, for people; ``identity`` is that of its pool (see ``PoolFacts``), and ``hint`` says what
    else is known about why it is not found.
    """

    name: str
    pool: str
    template: str | None = None
    place: str = field(default="", compare=False)
    identity: str | None = field(default=None, compare=False)
    hint: str = field(default="", compare=False)

    def __str__(self) -> str:
        at = f" at {self.place}" if self.place else ""
        made = f", installed from {self.template}" if self.template else ""
        return f"in pool {self.pool}{at}{made}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignNic:
    """What the definition of a VM that geats did not make says of one of its NICs.

    ``pair`` is the interface on the host. What it does not say is empty.
    """

    mac: str = ""
    pair: str = ""
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Renaming:
    """A VM that gets another name."""

    old_name: str
    new_name: str

    def __str__(self) -> str:
        return f"{self.old_name} to {self.new_name}"


@dataclasses.dataclass(frozen=True, kw_only=True)  # see ``changed``
class Observation:
    """One VM as it is on the host.

    ``recorded`` is the spec in the registry, ``defined`` the spec of the driver's definition.
    ``in_effect`` is the spec with which the VM was started (None when it is off): if it differs
    from ``defined``, a change is pending. ``by_hand`` are lines that a person added to the driver's
    definition. A ``foreign`` VM is known to the driver, but was not made by geats; ``foreign_nics``
    are the NICs of its definition. ``unreliable`` says why its definition cannot be relied on: this
    geats cannot read it, or it leads to other directories than the VM's volumes. ``missing`` are
    volumes that are recorded but not found, for example because a disk is not mounted. A ``locked``
    VM is locked in the registry, at the driver or on a volume; a ``half_locked`` one not in all of
    them, for example because one was lost. ``to_run``: an interrupted plan powered the VM off to
    start it again; the next plan starts it, unless it should be off. ``to_freeze``: that plan was
    to freeze it again, too; it is to run, or runs. ``ended``: its guest did so by itself, and is to
    be started again when it is time. If several ``drivers`` have a VM of this name, it is that of
    the recorded driver, or else of the first one. ``copy_of`` is what the VM is going to be a copy
    of, while it is not completely so. ``renaming``: the renaming of the VM, or of another VM to its
    name, was interrupted.
    """

    recorded: VMSpec | None = None
    defined: VMSpec | None = None
    in_effect: VMSpec | None = None
    power: Power = Power.STOPPED
    volumes: tuple[VolumeSeen, ...] = ()
    locked: bool = False
    half_locked: bool = False
    by_hand: tuple[str, ...] = ()
    foreign: bool = False
    foreign_nics: tuple[ForeignNic, ...] = ()
    unreliable: str = ""
    drivers: tuple[str, ...] = ()
    missing: tuple[VolumeMissing, ...] = ()
    to_run: bool = False
    to_freeze: bool = False
    ended: bool = False
    copy_of: str = ""
    renaming: Renaming | None = None

    def volume(self, pool: str, name: str) -> VolumeSeen | None:
        """The volume of that name in that pool, if there is one."""
        for volume in self.volumes:
            if volume.name == name and volume.pool == pool:
                return volume
        return None

    def missing_of(self, names: Collection[str]) -> tuple[VolumeMissing, ...]:
        """The missing volumes that have one of these names, in whichever pools they were."""
        return tuple(volume for volume in self.missing if volume.name in names)

    @property
    def roots(self) -> tuple[VolumeSeen, ...]:
        """The root volumes, in whichever pools they are: more than one after a change of pool."""
        return tuple(volume for volume in self.volumes if volume.name == ROOT)

    @property
    def is_unfinished_copy(self) -> bool:
        """Whether a part of it is still to be copied from another VM, or from an archive."""
        empty = all(root.stage < Stage.INSTALLED for root in self.roots)
        return bool(self.copy_of and empty) or any(seen.is_reserved for seen in self.volumes)

    @property
    def is_recorded(self) -> bool:
        """Whether it has a definition, even one that cannot be relied on."""
        return self.recorded is not None or bool(self.unreliable)

    @property
    def has_power(self) -> bool:
        """Whether the VM can be on or off: not if only its volumes exist, or nothing."""
        return self.was_described or self.foreign or self.power is not Power.STOPPED

    @property
    def was_described(self) -> bool:
        """Whether geats has, or had, a description of the VM: the registry may have been lost."""
        started = self.in_effect is not None and not self.foreign
        return self.is_recorded or self.defined is not None or started

    @property
    def exists(self) -> bool:
        """Whether there is anything of this VM on the host."""
        return self != Observation()


def definitions(observations: Mapping[str, Observation]) -> dict[str, VMSpec]:
    """The definition of each VM that has one, by name: the driver's, if the registry has none."""
    known = {name: have.recorded or have.defined for name, have in observations.items()}
    return {name: spec for name, spec in known.items() if spec is not None}


def volumes_in_order(volumes: list[VolumeSeen]) -> tuple[VolumeSeen, ...]:
    """The one order in which an observation contains its volumes."""
    return tuple(sorted(volumes, key=lambda volume: (volume.pool, volume.name)))
