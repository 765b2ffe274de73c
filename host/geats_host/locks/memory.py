"""Locks that exist in one process only: for tests, demos and dry exploration."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from geats_core.hostwide.reservations import Reservation
from geats_core.reading.mappings import Raw
from geats_host.errors import Busy, HostError, no_options

LONGEST_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class MemoryLocks:
    """What is held, in plain containers; each change of them is one step for all threads."""

    held: dict[str, object] = field(default_factory=dict)  # by VM, what tells its holder apart
    kept: dict[object, Mapping[str, Reservation]] = field(default_factory=dict)  # by their holder
    one: Lock = field(default_factory=Lock)

    @contextmanager
    def operation(self, vm: str) -> Iterator[None]:
        me = object()
        if self.held.setdefault(vm, me) is not me:
            raise Busy(vm, "in this process")
        try:
            yield
        finally:
            del self.held[vm]

    def at_work(self, vm: str) -> str:
        """Nobody but this process can."""
        return ""

    def wait_for_orphans(self, only: str | None) -> None:
        """Nothing is left of a process that is gone, and all that it knew."""

    @contextmanager
    def deciding(self) -> Iterator[None]:
        if not self.one.acquire(timeout=LONGEST_WAIT_S):
            raise HostError("another thread of this process holds the lock of the host")
        try:
            yield
        finally:
            self.one.release()

    def reservations(self) -> Mapping[str, Reservation]:
        return {vm: each for wanted in tuple(self.kept.values()) for vm, each in wanted.items()}

    @contextmanager
    def reserved(self, wanted: Mapping[str, Reservation]) -> Iterator[None]:
        me = object()
        self.kept[me] = wanted
        try:
            yield
        finally:
            del self.kept[me]


_locks: dict[Path, MemoryLocks] = {}


def open_locks(options: Raw, run_dir: Path) -> MemoryLocks:
    """The locks of *run_dir*: the same ones for as long as the process lives. No options."""
    no_options(options)
    return _locks.setdefault(run_dir, MemoryLocks())
