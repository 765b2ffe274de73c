"""Locks on names, between processes and threads: see ``geats_host.locks.file_locks``."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geats_core.reading.values import dataclass
from geats_host.locks import file_locks

LIMIT_S = 3600.0  # who has one may be unpacking, or downloading


@dataclass(frozen=True, slots=True)
class NamedLock:
    """A lock that may be shared, or held alone; to change it is to give it up in between."""

    descriptor: int
    name: str

    def share(self) -> None:
        """Wait until nobody holds it exclusively; raises ``HostError`` if that takes too long."""
        self._take(fcntl.LOCK_SH)

    def hold(self) -> None:
        """Wait until nobody else has it; raises ``HostError`` if that takes too long."""
        self._take(fcntl.LOCK_EX)

    def try_hold(self) -> bool:
        """Hold it, unless somebody else has it."""
        return file_locks.is_taken(self.descriptor)

    def _take(self, how: int) -> None:
        file_locks.take(self.descriptor, f"templates ({self.name})", how, LIMIT_S)


@contextmanager
def named_lock(run_dir: Path, name: str) -> Iterator[NamedLock]:
    """The lock *name*, not yet taken; released at the end."""
    with file_locks.opened(run_dir, "templates", name) as descriptor:
        yield NamedLock(descriptor, name)


@contextmanager
def one_of_slots(run_dir: Path, name: str, count: int) -> Iterator[None]:
    """Wait for one of *count* slots: so many, and no more, are in here at a time on this host."""
    for slot in range(count):
        with named_lock(run_dir, f"{name}-{slot}") as lock:
            if lock.try_hold():
                yield
                return
    with named_lock(run_dir, f"{name}-{os.getpid() % count}") as lock:
        lock.hold()
        yield
