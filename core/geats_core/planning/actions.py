"""The actions: each is one change to the host, and they are all there are."""

from dataclasses import replace
from enum import StrEnum
from typing import TypeAlias, assert_never

from geats_core.planning.costs import Impact
from geats_core.planning.plugin_facts import Leftover
from geats_core.planning.then import Then
from geats_core.reading.values import dataclass
from geats_core.vm.observation import VolumeSeen
from geats_core.vm.readiness import Ready
from geats_core.vm.spec import ROOT, Dns, Limits, VMSpec


class Identity(StrEnum):
    """Whether a copy is the same VM elsewhere, or a new VM with its own identity."""

    KEPT = "kept"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class Define:
    """Record the definition in the registry, then make it known to the driver.

    ``keep`` are the lines that a person added to the driver's definition, and that stay in it.
    ``copy_of`` says what the VM is going to be a copy of, which is remembered until it is, and
    ``then`` what is to become of it afterwards. ``copy_of`` is empty if it is no copy, or if that
    is remembered already.
    """

    spec: VMSpec
    keep: tuple[str, ...] = ()
    copy_of: str = ""
    then: Then = Then.OFF


@dataclass(frozen=True, slots=True)
class Undefine:
    """Make the driver, then the registry, forget the VM; its volumes stay.

    ``keep`` are the lines that a person added to the driver's definition, and that are remembered
    for when the VM is defined again.
    """

    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OnVolume:
    """A change of one volume of the VM, in the pool that it is in."""

    pool: str
    volume: str


@dataclass(frozen=True, slots=True)
class AllocateVolume(OnVolume):
    """Reserve the space of a volume; ``size_bytes`` None is as much as the pool has."""

    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class FormatVolume(OnVolume):
    """Make a volume ready for files."""


@dataclass(frozen=True, slots=True)
class ActivateVolume(OnVolume):
    """Make a volume usable on the host: mounted, attached."""


@dataclass(frozen=True, slots=True)
class GrowVolume(OnVolume):
    """Make a volume larger."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class DestroyVolume(OnVolume):
    """Destroy a volume, its snapshots, and all data on it."""


@dataclass(frozen=True, slots=True)
class ForgetVolume:
    """Forget a volume that is not found, and all data on it, so that it can be recreated."""

    pool: str
    volume: str


@dataclass(frozen=True, slots=True)
class SnapshotVolume(OnVolume):
    """Take a snapshot of a volume; ``taken_s`` is seconds since the epoch."""

    snapshot: str
    taken_s: int


@dataclass(frozen=True, slots=True)
class RollbackVolume(OnVolume):
    """Make a volume what it was when a snapshot was taken; what came after is lost."""

    snapshot: str


@dataclass(frozen=True, slots=True)
class DeleteSnapshot(OnVolume):
    """Delete a snapshot, and free the space that only it uses."""

    snapshot: str


@dataclass(frozen=True, slots=True)
class InstallTemplate(OnVolume):
    """Fill the root volume from a template; what an interrupted try left is removed first."""

    template: str


@dataclass(frozen=True, slots=True)
class ConfigureGuest(OnVolume):
    """Write the files that identify the guest: hostname, DNS, firstboot.config.

    With them, a copy is complete.
    """

    spec: VMSpec


@dataclass(frozen=True, slots=True)
class ReserveVolume(OnVolume):
    """Reserve a volume for a copy: the VM cannot start until the copy is complete."""


@dataclass(frozen=True, slots=True)
class UnpackVolume(OnVolume):
    """Fill a reserved volume from an archive that ``Export`` wrote, or from another host.

    ``archive`` is a path, or says which host, such as ``ssh://root@host-a/web01``. ``sha256`` is
    the checksum of the volume's part of the archive, or the mark of what the other host offers.
    ``template`` is the template from which the root volume was installed, and None for other
    volumes. If it ``waits``, there are volumes that come over later, with the VM: ``TakeVolumes``.
    """

    archive: str
    sha256: str
    template: str | None
    identity: Identity
    waits: bool = False

    @property
    def is_from_host(self) -> bool:
        """Whether another host has the volume."""
        return not self.archive.startswith("/")

    @property
    def takes_over(self) -> bool:
        """Whether the other host forgets the VM then: its root is the last volume to arrive."""
        return self.is_from_host and self.volume == ROOT and not self.waits


@dataclass(frozen=True, slots=True)
class TakeVolumes:
    """Take over, from another host, the volumes that are in pools of both hosts, and with them the
    VM: the other host forgets it. Nothing is copied.

    ``source`` says which host, and ``mark`` is that of what it offers; ``volumes`` are as they are
    there, but each in the pool of that host's that it is in here.
    """

    source: str
    mark: str
    volumes: tuple[VolumeSeen, ...]


@dataclass(frozen=True, slots=True)
class CloneVolume(OnVolume):
    """Fill a reserved volume with a copy of the volume of the same name of the VM ``source``.

    Both are in one pool. ``template`` is as in ``UnpackVolume``. The copy gets a new identity.
    """

    source: str
    template: str | None


@dataclass(frozen=True, slots=True)
class AdoptVolume(OnVolume):
    """Take over a directory or a disk of the host as a volume, in its place and with its content.

    ``tree`` is its path. The volume counts as installed from ``template``, and ``guest`` is the
    digest of the guest files that count as configured; both are empty for a volume that is no root.
    The tree is of the VM itself, or of one that is ``called`` otherwise and is adopted under the
    name of the VM.
    """

    size_bytes: int | None
    tree: str
    template: str
    guest: str
    called: str = ""


@dataclass(frozen=True, slots=True)
class Adopt:
    """Record a VM that something else made, and replace its definition with one from geats.

    ``running`` is the spec that it runs with, if it is on; ``keep`` are the lines of the old
    definition that stay, and ``sha256`` is the checksum of the old definition. If it is adopted
    under another name, which it must be off for, ``called`` is the old one.
    """

    spec: VMSpec
    running: VMSpec
    keep: tuple[str, ...]
    sha256: str
    called: str = ""


@dataclass(frozen=True, slots=True)
class RenameVolume(OnVolume):
    """Hand a volume over to the new name of its VM, in its pool, with its snapshots and marks."""

    old_name: str
    new_name: str


@dataclass(frozen=True, slots=True)
class MoveVolume(OnVolume):
    """Bring a volume of the VM into ``pool``, from the pool ``from_pool``.

    It is made there, with ``size_bytes``, filled, and compared with the old one. Then the VM is
    defined with it, as ``spec`` says, and the old one is destroyed. If that was all that an earlier
    try left to do, nothing else is done.
    """

    from_pool: str
    size_bytes: int | None
    spec: VMSpec


@dataclass(frozen=True, slots=True)
class Rename:
    """Define the VM under the name that ``spec`` has, then forget the old one; its volumes are
    handed over already.

    ``keep`` are the lines that a person added to the driver's definition, and that stay in it.
    """

    spec: VMSpec
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Take over, from another host, a VM that goes on running: its volumes are copied while it
    runs there, then its memory; then the other host forgets it.

    ``source`` says which host, such as ``ssh://root@host-a/web01``, and ``mark`` is that of what it
    offers. ``template`` is the template from which the root volume was installed. The volumes
    ``along`` are not copied: they are in pools of both hosts, as in ``TakeVolumes``.
    """

    source: str
    mark: str
    template: str
    along: tuple[VolumeSeen, ...] = ()


class Reading(StrEnum):
    """What an export reads: the volumes themselves, or clones made of them all at one moment."""

    VOLUMES = "volumes"
    CLONES = "clones"


@dataclass(frozen=True, slots=True)
class Export:
    """Write the VM and the content of its volumes to an archive at this path.

    If it reads clones, the VM may run: it is frozen only until these are made. They are removed
    afterwards.
    """

    archive: str
    reading: Reading = Reading.VOLUMES


class OfOneGuest(StrEnum):
    """What a guest has that no two should have."""

    MACHINE_ID = "machine-id"
    SSH_HOST_KEYS = "ssh-host-keys"
    HOSTNAME = "hostname"
    MINION_KEYS = "minion-keys"
    METADATA = "metadata"
    CLOUD_INIT = "cloud-init"
    DHCP_LEASES = "dhcp-leases"


@dataclass(frozen=True, slots=True)
class Publish:
    """Write the root volume of the VM to a file that can be declared as a template.

    A tree of files becomes a tarball, ``without`` what others must not have; a disk becomes an
    image, as it is. Clones are read as by ``Export``.
    """

    file: str
    without: tuple[OfOneGuest, ...] = ()
    reading: Reading = Reading.VOLUMES


@dataclass(frozen=True, slots=True)
class SetLimits:
    """Change the limits of a running VM."""

    limits: Limits


@dataclass(frozen=True, slots=True)
class SetDevices:
    """Attach, detach and change devices of a running VM: from then on it has those of ``spec``,
    and nothing else of it.

    ``tells`` says of each what is done.
    """

    spec: VMSpec
    tells: tuple[str, ...] = ()

    def in_effect(self, runs: VMSpec) -> VMSpec:
        """With what a VM runs afterwards that ran with *runs*."""
        to = self.spec
        return replace(
            runs, nics=to.nics, volumes=to.volumes, devices=to.devices, hardware=to.hardware
        )


@dataclass(frozen=True, slots=True)
class SetDns:
    """Write the file of a running guest that says which servers it asks for names.

    If ``dns`` says nothing, the file is the guest's from then on, and stays as it is.
    """

    dns: Dns


@dataclass(frozen=True, slots=True)
class Start:
    """Power on."""


@dataclass(frozen=True, slots=True)
class AwaitReady:
    """Wait until a running VM is ready; it changes nothing, and fails if that takes too long."""

    ready: Ready


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Ask the guest to power off, wait up to ``timeout_s`` seconds, then power off."""

    timeout_s: int
    then: Then = Then.OFF


@dataclass(frozen=True, slots=True)
class Stop:
    """Power off at once."""

    then: Then = Then.OFF


@dataclass(frozen=True, slots=True)
class KeepOff:
    """Keep a VM off that an interrupted plan would have started again, or that ended by itself."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """Suspend every process of the VM."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Freeze a running VM for this operation. If the operation is interrupted, the VM is
    unfrozen."""


@dataclass(frozen=True, slots=True)
class Unfreeze:
    """Resume the processes of a VM that is frozen or held.

    One that runs, and that an interrupted plan was to freeze again, is left running; unless it is
    only to be powered off, and ``then`` to be frozen again.
    """

    then: Then = Then.ON


@dataclass(frozen=True, slots=True)
class Repair:
    """End a monitor that no longer answers, and with it the VM."""

    then: Then = Then.OFF


@dataclass(frozen=True, slots=True)
class Lock:
    """Protect the VM from deletion."""


@dataclass(frozen=True, slots=True)
class Unlock:
    """Lift the protection from deletion."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for the steps before, and then for so many seconds; it changes nothing."""

    seconds: int = 0


@dataclass(frozen=True, slots=True)
class UpgradeRegistry:
    """Write the host's registry in the form that this geats writes, and keep a copy of it as it is.

    The forms are numbers, as in ``HostFacts.upgrade``. It concerns the whole host, and no VM.
    """

    found: int
    wanted: int


@dataclass(frozen=True, slots=True)
class RemoveLeftover:
    """Remove what an interrupted operation left; it stays if it is used by then, or not geats' own.

    ``name`` says which one, such as a path. ``place`` is the pool or driver that it is a matter of,
    and empty if it is a matter of neither.
    """

    kind: Leftover
    name: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """A pool or a driver, such as ``pools.fast``, that is no longer where the host recorded it.

    ``was`` and ``now`` describe the places. ``left`` are the VMs that are found only in the old
    place, and that would be left behind there.
    """

    what: str
    was: str
    now: str
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotePlaces:
    """Record where the host has its pools and drivers now. This is about the host, not about a
    VM."""

    moved: tuple[Moved, ...]


VolumeAction: TypeAlias = (
    AllocateVolume
    | FormatVolume
    | ActivateVolume
    | GrowVolume
    | DestroyVolume
    | SnapshotVolume
    | RollbackVolume
    | DeleteSnapshot
    | InstallTemplate
    | ConfigureGuest
    | ReserveVolume
    | UnpackVolume
    | CloneVolume
    | AdoptVolume
    | RenameVolume
    | MoveVolume
)
PowerOffAction: TypeAlias = Shutdown | Stop | Repair
PowerAction: TypeAlias = (
    PowerOffAction
    | Start
    | TakeOver
    | TakeVolumes
    | AwaitReady
    | KeepOff
    | Freeze
    | Hold
    | Unfreeze
    | SetLimits
    | SetDevices
    | SetDns
)
DefinitionAction: TypeAlias = Define | Undefine | Adopt | Rename | Lock | Unlock | ForgetVolume
HostAction: TypeAlias = Pause | UpgradeRegistry | RemoveLeftover | NotePlaces
Action: TypeAlias = DefinitionAction | VolumeAction | PowerAction | Export | Publish | HostAction
POWER_OFFS = (Shutdown, Stop, Repair)


def impact_of(action: Action) -> Impact:
    """What *action* costs a user of the VM."""
    match action:
        case DestroyVolume() | ForgetVolume() | RollbackVolume() | DeleteSnapshot():
            return Impact.DATA_LOSS
        case NotePlaces(moved) if any(each.left for each in moved):
            return Impact.DATA_LOSS
        case Shutdown() | Stop() | Repair():
            return Impact.RESTART
        case Export(reading=Reading.CLONES) | Publish(reading=Reading.CLONES):
            return Impact.LIVE
        case SetLimits() | SetDevices() | SetDns() | GrowVolume():
            return Impact.LIVE
        case Freeze() | Hold() | Unfreeze() | TakeOver():
            return Impact.LIVE
        case (
            Define()
            | Undefine()
            | AllocateVolume()
            | FormatVolume()
            | ActivateVolume()
            | SnapshotVolume()
            | InstallTemplate()
            | ConfigureGuest()
            | ReserveVolume()
            | UnpackVolume()
            | TakeVolumes()
            | CloneVolume()
            | AdoptVolume()
            | Adopt()
            | RenameVolume()
            | MoveVolume()
            | Rename()
            | Export()
            | Publish()
            | Start()
            | AwaitReady()
            | KeepOff()
            | Lock()
            | Unlock()
            | Pause()
            | UpgradeRegistry()
            | RemoveLeftover()
            | NotePlaces()
        ):
            return Impact.NONE
        case _:
            assert_never(action)
