"""Where volumes come from: the interface of storage plugins. Each other module here is one plugin.

A plugin is found by name through the entry-point group ``geats.storage``, as a function
``open_pool(options, below) -> Pool`` that raises ``Refused`` on bad options. An *adapter* is a
plugin that wraps another: *below* is the opened pool that its configuration names under ``on``
(None for a plugin that stands on its own). A pool says what its volumes are with ``offers``, so
that an adapter can refuse one that it cannot stand on.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from geats_core.planning.goal import Offer as Offer
from geats_core.planning.goal import PoolFacts
from geats_core.reading.fields import NAME
from geats_core.vm.observation import VolumeSeen
from geats_host.errors import HostError

KEY_LENGTH = 12
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
        """Whether it holds an unpacked template, for others to be cloned from."""
        return self.vm == TEMPLATES

    @property
    def is_of_vm(self) -> bool:
        """Whether it belongs to a VM, and neither to a template nor to an export."""
        return self.vm not in (TEMPLATES, COPIES)


def check_names(volume: VolumeId) -> None:
    """Raise ``HostError`` unless both parts can name what they do, in a path as well."""
    if volume.is_of_vm and not NAME.fullmatch(volume.vm):
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


def key_of(pool: "Pool") -> str:
    """Tells a pool from others, in the names of what an adapter makes for it on the host."""
    place = pool.path(VolumeId("vm", "volume"))
    return hashlib.sha256(os.fsencode(place)).hexdigest()[:KEY_LENGTH]


class Pool(Protocol):
    """What geats asks of a pool. Every method raises ``HostError`` where the host fails.

    Methods that change a volume are idempotent: called again after a cut, they finish the work.
    """

    @property
    def offers(self) -> Offer:
        """What ``path`` leads to once a volume is active."""
        ...

    def observe(self, only: VolumeId | None = None) -> Mapping[VolumeId, VolumeSeen]:
        """Every volume in the pool, in one pass; ``pool`` in the values is left to the caller.

        Given *only*, that volume alone: in no more time for a pool that holds many.
        """
        ...

    def path(self, volume: VolumeId) -> Path:
        """Where an active volume is (or will be) on the host."""
        ...

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        """Reserve the space."""
        ...

    def format(self, volume: VolumeId) -> None:
        """Make it ready to hold files."""
        ...

    def activate(self, volume: VolumeId) -> None:
        """Make it usable on the host."""
        ...

    def deactivate(self, volume: VolumeId) -> None:
        """Take it out of use on the host; its data stays."""
        ...

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        """Make it larger."""
        ...

    def destroy(self, volume: VolumeId) -> None:
        """Destroy it and all data on it, and nothing outside it."""
        ...

    @property
    def facts(self) -> PoolFacts:
        """What the planner has to know of the pool: its space, and what it can do."""
        ...

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        """Keep what the volume holds now; *taken_s* is remembered with it. Not if it can't."""
        ...

    def rollback(self, volume: VolumeId, name: str) -> None:
        """Make the volume what it was when the snapshot was taken; the snapshot stays."""
        ...

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        """Give a snapshot up; one that is not there is given up already."""
        ...

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        """Let *target*, which is formatted, hold what *source* holds, and nothing else.

        *source* is a template's volume, or any other that is not in use. Where ``facts.clones``, it
        takes no time that grows with what is held. The marks of *target* stay as they are.
        """
        ...

    def used_bytes(self, volume: VolumeId) -> int:
        """How much of the pool's space only this volume takes."""
        ...

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        """Remember the stage, template and guest of *seen*, durably; an adapter asks below."""
        ...


@runtime_checkable
class AdoptingPool(Protocol):
    """What a pool can do as well whose volumes may be directories that something else made."""

    def adopt(self, volume: VolumeId, tree: Path, seen: VolumeSeen) -> None:
        """Have a directory of the host as a volume, with the marks of *seen*, where it is."""
        ...
