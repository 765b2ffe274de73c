"""Where volumes come from: the interface of storage plugins. Each other module here is one plugin.

A plugin is found by name through the entry-point group ``geats.storage``, as a function
``open_pool(options, below) -> Pool`` that raises ``Refused`` on bad options. An *adapter* is a
plugin that wraps another: *below* is the opened pool that its configuration names under ``on``
(None for a plugin that is not an adapter). A pool says with ``offers`` what its volumes are, so
that an adapter can refuse a pool that it cannot use.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from geats_core.planning.offers import Offer as Offer
from geats_core.reading.fields import NAME, VM_NAME
from geats_core.reading.values import dataclass
from geats_core.vm.observation import VolumeSeen
from geats_host.errors import HostError

if TYPE_CHECKING:
    from geats_core.planning.plugin_facts import PoolFacts

KEY_LENGTH = 12
IDENTITY = "geats-pool.json"  # a pool's own file, beside the folders of VMs: see ``identity``
TEMPLATES = "_templates"  # owns the unpacked templates of a pool; no VM can have this name
COPIES = "_copies"  # owns the clones that exports read, nor can any VM have this one


@dataclass(frozen=True, slots=True)
class VolumeId:
    """Names one volume within a pool: a VM's, or one of ``TEMPLATES`` or ``COPIES``."""

    vm: str
    volume: str

    def __str__(self) -> str:
        return f"{self.vm}/{self.volume}"

    @property
    def is_template(self) -> bool:
        """Whether it contains an unpacked template, from which other volumes are cloned."""
        return self.vm == TEMPLATES

    @property
    def is_of_vm(self) -> bool:
        """Whether it belongs to a VM, and neither to a template nor to an export."""
        return self.vm not in (TEMPLATES, COPIES)


def check_names(volume: VolumeId) -> None:
    """Raise ``HostError`` unless both parts can name what they do, in a path as well."""
    if volume.is_of_vm and (not VM_NAME.fullmatch(volume.vm) or volume.vm == IDENTITY):
        raise HostError(f"{volume.vm!r} cannot name a VM or a volume")
    if not NAME.fullmatch(volume.volume):
        raise HostError(f"{volume.volume!r} cannot name a VM or a volume")


def check_snapshot(volume: VolumeId, name: str) -> None:
    """Raise ``HostError`` unless *volume* and *name* can name a volume and a snapshot of it."""
    check_names(volume)
    if not NAME.fullmatch(name):
        raise HostError(f"{name!r} cannot name a snapshot")


def check_clone(source: VolumeId, target: VolumeId) -> None:
    """Raise ``HostError`` unless both can name volumes, and not the same one."""
    check_names(source)
    check_names(target)
    if source == target:
        raise HostError(f"{source} cannot be cloned into itself")


def check_rename(pool: "Pool", volume: VolumeId, new: VolumeId) -> bool:
    """Whether it has to be renamed; raises ``HostError`` if it is not there, or both are."""
    check_names(volume)
    check_names(new)
    there, done = bool(pool.observe(volume)), bool(pool.observe(new))
    if there and done:
        raise HostError(f"{pool.path(new)}: there is a volume already")
    if not (there or done):
        raise HostError(f"{pool.path(volume)}: there is no such volume")
    return there


def key_of(pool: "Pool") -> str:
    """A name for a pool, unique on the host, for what an adapter makes for it there."""
    place = pool.path(VolumeId("vm", "volume"))
    from hashlib import sha256  # looking at a host needs none

    return sha256(os.fsencode(place)).hexdigest()[:KEY_LENGTH]


class Pool(Protocol):
    """What geats asks of a pool. Every method raises ``HostError`` if the host fails.

    Methods that change a volume are idempotent: if one is interrupted, calling it again finishes
    the work. A method must not leave a volume that ``observe`` shows as further than it is.
    """

    @property
    def offers(self) -> Offer:
        """What is found at ``path`` once a volume is active: a directory, a device or a file."""
        ...

    def observe(self, only: VolumeId | None = None) -> Mapping[VolumeId, VolumeSeen]:
        """Every volume in the pool, by its name. The caller fills in ``pool`` in the values.

        With *only*, just that volume, or nothing if it does not exist. This must not take longer if
        the pool has many others.
        """
        ...

    def path(self, volume: VolumeId) -> Path:
        """The path of the volume on the host. It need not exist before ``activate``."""
        ...

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        """Create the volume, with room for *size_bytes*; None means as much as the pool has."""
        ...

    def format(self, volume: VolumeId) -> None:
        """Prepare the volume for files, for example with an empty filesystem."""
        ...

    def activate(self, volume: VolumeId) -> None:
        """Make the volume usable at ``path``, for example by mounting it."""
        ...

    def deactivate(self, volume: VolumeId) -> None:
        """Undo ``activate``. The data stays."""
        ...

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        """Make the volume larger. The caller never asks for less than its current size."""
        ...

    def destroy(self, volume: VolumeId) -> None:
        """Delete the volume with its data and snapshots, and nothing outside it.

        If the volume does not exist, there is nothing to do.
        """
        ...

    @property
    def facts(self) -> "PoolFacts":
        """What the planner has to know of the pool: its space, and what it can do."""
        ...

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        """Take a snapshot of the volume, called *name*.

        ``observe`` shows *taken_s* (seconds since the epoch) as the time of the snapshot. Raises
        ``HostError`` if the pool has no snapshots (``facts.snapshots``) or the disk is full.
        """
        ...

    def rollback(self, volume: VolumeId, name: str) -> None:
        """Restore the content that the volume had when the snapshot was taken. The snapshot stays.

        Raises ``HostError`` if there is no such snapshot.
        """
        ...

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        """Delete a snapshot. If it does not exist, there is nothing to do."""
        ...

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        """Copy the content of *source* to *target*, which is formatted. Its old content is removed.

        *source* is a template's volume, or another one that nobody writes to. If ``facts.clones``
        is true, the time must not grow with the amount of data. The marks of *target* (see
        ``mark``) stay as they are. A template's volume may be in use afterwards: others may clone
        it at the same time, and the last of them deactivates it.
        """
        ...

    def used_bytes(self, volume: VolumeId) -> int:
        """The space that would become free if the volume were deleted, in bytes."""
        ...

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        """Store the stage, template and guest of *seen*, so that ``observe`` shows them again.

        They must survive a power failure once this returns. An adapter lets the pool below do it.
        """
        ...

    def set_locked(self, volume: VolumeId, *, locked: bool) -> None:
        """Note durably whether its VM is protected from deletion, on a volume that is formatted.

        ``observe`` shows it as ``locked``, so that the protection survives if all else is lost. It
        is not part of snapshots, and ``mark``, ``rollback`` and ``clone`` leave it as it is. It is
        taken away if the disk is full, too. An adapter lets the pool below do it.
        """
        ...


@runtime_checkable
class IdentifiedPool(Protocol):
    """A pool that has an identity, which is written into it: see ``PoolFacts``."""

    def identify(self) -> None:
        """Give it one, unless it has one already."""
        ...


@runtime_checkable
class AdoptingPool(Protocol):
    """What a pool offers if its volumes may also be directories that other programs made."""

    def adopt(self, volume: VolumeId, tree: Path, seen: VolumeSeen) -> None:
        """Take the directory *tree* of the host as a volume, with the marks of *seen*.

        It is neither moved nor copied.
        """
        ...


@runtime_checkable
class DiskAdoptingPool(Protocol):
    """What a pool of disks offers if its volumes may also be those that other programs made."""

    def cannot_adopt(self, disk: Path, form: str) -> str:
        """Why *disk*, a file or device of the format *form*, cannot be a volume; empty if it can.

        *form* is ``raw`` or ``qcow2``.
        """
        ...

    def adopt_disk(self, volume: VolumeId, disk: Path, seen: VolumeSeen) -> None:
        """Take *disk* as a volume, with the marks of *seen*; it may be in use.

        It is neither moved nor copied, and ``path`` of the volume is *disk* from then on.
        """
        ...


@runtime_checkable
class RenamingPool(Protocol):
    """What a pool offers if ``facts.renames`` is true."""

    def rename(self, volume: VolumeId, new: VolumeId) -> None:
        """Let the volume be *new*, with all that it contains, its snapshots and its marks.

        It is not active, and takes no time whatever it holds. If the volume is not there, and *new*
        is, there is nothing to do; if both are, it raises ``HostError``.
        """
        ...


@runtime_checkable
class ZeroingPool(Protocol):
    """What a pool offers if ``facts.zeroes`` can be true: guests would read what others had left.

    For pools whose volumes guests get as disks: a filesystem on top does not show it.
    """

    def zero(self, volume: VolumeId) -> None:
        """Let all of a volume be zero that is not formatted yet; one that is stays as it is."""
        ...

    def grow_zeroed(self, volume: VolumeId, size_bytes: int) -> None:
        """The same as ``grow``; but what is added is zero before the volume is seen as active."""
        ...


@runtime_checkable
class ForeseeingPool(Protocol):
    """What a pool can do as well that knows beforehand why it could not destroy a volume."""

    def cannot_destroy(self, volume: VolumeId) -> str:
        """Who uses a volume of a VM that is off; empty if nobody does. Mounts are looked for."""
        ...
