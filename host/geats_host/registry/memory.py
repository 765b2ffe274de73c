"""A registry that lives as long as its process: for tests, demos and dry exploration."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from geats_core.reading.mappings import Raw
from geats_core.vm.spec import VMSpec
from geats_host.errors import no_options
from geats_host.registry import Entry

if TYPE_CHECKING:
    from geats_core.planning.actions import UpgradeRegistry


@dataclass(slots=True)
class MemoryRegistry:
    """Definitions, locks, notes and journal in plain containers."""

    specs: dict[str, VMSpec] = field(default_factory=dict)
    locks: set[str] = field(default_factory=set)
    noted: dict[tuple[str, str], str] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def problems(self) -> Sequence[str]:
        return ()

    def outdated(self) -> "UpgradeRegistry | None":
        return None

    def upgrade(self, upgrade: "UpgradeRegistry") -> None:
        """There is never anything to upgrade."""

    def definitions(self) -> Mapping[str, VMSpec]:
        return dict(self.specs)

    def unreadable(self) -> Mapping[str, str]:
        return {}

    def record(self, spec: VMSpec) -> None:
        self.specs[spec.name] = spec

    def forget(self, name: str) -> None:
        self.specs.pop(name, None)
        self.locks.discard(name)

    def locked(self) -> frozenset[str]:
        return frozenset(self.locks)

    def set_locked(self, name: str, *, locked: bool) -> None:
        if locked:
            self.locks.add(name)
        else:
            self.locks.discard(name)

    def notes(self, kind: str) -> Mapping[str, str]:
        return {key: text for (of, key), text in sorted(self.noted.items()) if of == kind}

    def note(self, kind: str, key: str, text: str) -> None:
        self.noted[kind, key] = text

    def forget_note(self, kind: str, key: str) -> None:
        self.noted.pop((kind, key), None)

    def write(self, entry: Entry) -> None:
        self.entries.append(replace(entry, number=next(self.numbers)))

    def journal(
        self, name: str | None, limit: int = 50, *, since_s: float = 0.0, after: int = 0
    ) -> Sequence[Entry]:
        meant = [
            entry
            for entry in self.entries
            if name in (None, entry.vm) and entry.time_s >= since_s and entry.number > after
        ]
        return meant[-limit:]

    def prune(self, before_s: float, entries: int) -> None:
        young = [entry for entry in self.entries if entry.time_s >= before_s]
        self.entries[:] = young[max(0, len(young) - entries) :]

    def read_at_once(self) -> AbstractContextManager[None]:
        return nullcontext()

    def kept_open(self) -> AbstractContextManager[None]:
        return nullcontext()


_registries: dict[Path, MemoryRegistry] = {}


def open_registry(options: Raw, state_dir: Path) -> MemoryRegistry:
    """The registry of *state_dir*: the same one for as long as the process lives. No options."""
    no_options(options)
    return _registries.setdefault(state_dir, MemoryRegistry())
