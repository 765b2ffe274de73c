"""The host's store of definitions, locks and journal: the interface. Each other module is one.

A registry is found by name through the entry-point group ``geats.registry``, as a function
``open_registry(state_dir) -> Registry``.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from geats_core.planning.actions import UpgradeRegistry
from geats_core.vm.spec import VMSpec


class Outcome(StrEnum):
    """How far a journaled step came; INTENT that is never followed by another was cut.

    A power cut may take the last DONE with it, and what was done then seems cut; never an INTENT.
    """

    INTENT = "intent"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the journal; ``time_s`` is seconds since the epoch.

    ``origin`` is who asked for it: a job of Salt, or a user of the command line.
    """

    time_s: float
    vm: str
    action: str
    outcome: Outcome
    detail: str = ""
    origin: str = ""


class Registry(Protocol):
    """What geats asks of a registry. Every method raises ``HostError`` where the store fails."""

    def problems(self) -> Sequence[str]:
        """What is wrong with the store as a whole; nothing where it can be relied on."""
        ...

    def outdated(self) -> UpgradeRegistry | None:
        """What has to be done before anything is written: where an older geats wrote the store."""
        ...

    def upgrade(self, upgrade: UpgradeRegistry) -> None:
        """Do that, and keep a copy of what was there; nothing where it is done already."""
        ...

    def definitions(self) -> Mapping[str, VMSpec]:
        """Every recorded definition that can be read, by name."""
        ...

    def unreadable(self) -> Mapping[str, str]:
        """The names of all others, and why each cannot be read: one concerns its VM alone."""
        ...

    def record(self, spec: VMSpec) -> None:
        """Store a definition, durably, in place of an earlier one of that name."""
        ...

    def forget(self, name: str) -> None:
        """Remove a definition and its lock; one that is not there is forgotten already."""
        ...

    def locked(self) -> frozenset[str]:
        """The names of all VMs that are protected from deletion."""
        ...

    def set_locked(self, name: str, *, locked: bool) -> None:
        """Protect a VM from deletion, or lift the protection."""
        ...

    def notes(self, kind: str) -> Mapping[str, str]:
        """What the host remembers of *kind*, by key; nothing where nothing was ever noted."""
        ...

    def note(self, kind: str, key: str, text: str) -> None:
        """Remember *text* under *kind* and *key*, durably, in place of an earlier one."""
        ...

    def forget_note(self, kind: str, key: str) -> None:
        """Remove a note; one that is not there is forgotten already."""
        ...

    def write(self, entry: Entry) -> None:
        """Append to the journal: DONE may become durable with the next entry, others at once."""
        ...

    def journal(self, name: str, limit: int = 50) -> Sequence[Entry]:
        """The newest *limit* entries of one VM, oldest first."""
        ...

    def prune(self, before_s: float, entries: int) -> None:
        """Forget what the journal has from before that time, and all but its newest *entries*."""
        ...

    def kept_open(self) -> AbstractContextManager[None]:
        """While this lasts, many writes follow each other; a registry may use that to be fast."""
        ...


@runtime_checkable
class CopiedRegistry(Registry, Protocol):
    """A registry that can be kept in a file, and brought back from it, with all that is in it."""

    def is_there(self) -> bool:
        """Whether anything was ever written."""
        ...

    def back_up(self, path: Path) -> None:
        """Write a copy that only its owner can read, whole or not at all, and durably."""
        ...

    def at(self, path: Path) -> Registry:
        """The copy at *path*, to be read."""
        ...

    def restore(self, path: Path) -> None:
        """Be again what the copy at *path* is; what there was is kept beside the store first."""
        ...
