"""The host's store of definitions, locks and journal: the interface of registries.

A registry is found by name through the entry-point group ``geats.registry``, as a function
``open_registry(options, state_dir) -> Registry`` that raises ``Refused`` on bad options.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from geats_core.reading.values import dataclass
from geats_core.vm.spec import VMSpec

if TYPE_CHECKING:
    from geats_core.planning.actions import UpgradeRegistry

WHOLE_HOST = ""  # stands for the VM in entries of the journal that are about none of them


class Outcome(StrEnum):
    """How far a step in the journal came. An INTENT that nothing follows was interrupted.

    A power failure may lose the last DONE, so that a finished step looks interrupted. It never
    loses an INTENT.
    """

    INTENT = "intent"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of the journal; ``time_s`` is seconds since the epoch.

    ``vm`` is its name, or ``WHOLE_HOST``; ``origin`` is who asked for it: a Salt job, or a user of
    the command line. ``number`` counts up in the order of the journal, and is 0 until it is there.
    """

    time_s: float
    vm: str
    action: str
    outcome: Outcome
    detail: str = ""
    origin: str = ""
    number: int = field(default=0, compare=False)


class Registry(Protocol):
    """What geats asks of a registry. Every method raises ``HostError`` if the store fails.

    Several threads and processes use a registry at the same time. What a method wrote must survive
    a power failure once it returns, unless it says otherwise.
    """

    def problems(self) -> Sequence[str]:
        """What is wrong with the store as a whole; empty if it is sound."""
        ...

    def outdated(self) -> "UpgradeRegistry | None":
        """The upgrade that the store needs before it can be written to; None if it needs none."""
        ...

    def upgrade(self, upgrade: "UpgradeRegistry") -> None:
        """Upgrade the store, and keep a copy of the old one. A second call does nothing."""
        ...

    def definitions(self) -> Mapping[str, VMSpec]:
        """Every recorded definition that can be read, by name."""
        ...

    def unreadable(self) -> Mapping[str, str]:
        """Why each of the other definitions cannot be read, by name."""
        ...

    def record(self, spec: VMSpec) -> None:
        """Store a definition; it replaces an earlier one of that name."""
        ...

    def forget(self, name: str) -> None:
        """Delete a definition and its lock. If there are none, nothing is written."""
        ...

    def locked(self) -> frozenset[str]:
        """The names of all VMs that are protected from deletion."""
        ...

    def set_locked(self, name: str, *, locked: bool) -> None:
        """Protect a VM from deletion, or remove the protection.

        If there is no protection to remove, nothing is written.
        """
        ...

    def notes(self, kind: str) -> Mapping[str, str]:
        """All notes of this *kind*, by key; empty if there are none."""
        ...

    def note(self, kind: str, key: str, text: str) -> None:
        """Store a note; it replaces an earlier one of that *kind* and *key*."""
        ...

    def forget_note(self, kind: str, key: str) -> None:
        """Delete a note. If there is none, nothing is written."""
        ...

    def write(self, entry: Entry) -> None:
        """Append to the journal. A DONE need not survive a power failure before the next entry."""
        ...

    def journal(
        self, name: str | None, limit: int = 50, *, since_s: float = 0.0, after: int = 0
    ) -> Sequence[Entry]:
        """The newest *limit* entries of one VM, oldest first; or of ``WHOLE_HOST``; None: all.

        Only those from *since_s* on, and with a higher number than *after*.
        """
        ...

    def prune(self, before_s: float, entries: int) -> None:
        """Delete entries of the journal that are older, and all but the newest *entries*."""
        ...

    def read_at_once(self) -> AbstractContextManager[None]:
        """While this lasts, many reads follow each other; a registry may use that to be fast."""
        ...

    def kept_open(self) -> AbstractContextManager[None]:
        """A context for many writes in a row, which a registry may use to be faster."""
        ...


@runtime_checkable
class CopiedRegistry(Registry, Protocol):
    """A registry that can be backed up to a file, and restored from it."""

    def is_there(self) -> bool:
        """Whether the store exists."""
        ...

    def back_up(self, path: Path) -> None:
        """Write a copy with mode 0600. The file appears whole or not at all."""
        ...

    def at(self, path: Path) -> Registry:
        """The copy at *path*, opened for reading."""
        ...

    def restore(self, path: Path) -> None:
        """Replace the store with the copy at *path*, and keep the old store beside it."""
        ...
