"""The locks of a host as locks on files, by flock(2): they end with the process that holds them."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from geats_core.reading.mappings import Raw
from geats_core.reading.values import dataclass
from geats_host.errors import no_options
from geats_host.lazy import later
from geats_host.locks import operation_lock

if TYPE_CHECKING:
    from geats_core.hostwide.reservations import Reservation
    from geats_host.locks import reservations
else:
    reservations = later("geats_host.locks.reservations")


@dataclass(frozen=True, slots=True)
class FlockLocks:
    """The files are below ``run_dir``, in directories that only their owner can enter."""

    run_dir: Path

    def operation(self, vm: str) -> AbstractContextManager[None]:
        """Hold the lock of the VM; it waits for children of an operation that was killed."""
        return operation_lock.operation_lock(self.run_dir, vm)

    def at_work(self, vm: str) -> str:
        """Which process holds it."""
        return operation_lock.at_work(self.run_dir, vm)

    def wait_for_orphans(self, only: str | None) -> None:
        """Wait for children of operations that were killed."""
        operation_lock.wait_for_orphans(self.run_dir, only)

    def deciding(self) -> AbstractContextManager[None]:
        """Hold the lock of the whole host."""
        return reservations.alone(self.run_dir)

    def reservations(self) -> "Mapping[str, Reservation]":
        """What files hold that a process keeps locked."""
        return reservations.of_others(self.run_dir)

    def reserved(self, wanted: "Mapping[str, Reservation]") -> AbstractContextManager[None]:
        """Keep a file with what is *wanted* locked."""
        return reservations.reserved(self.run_dir, wanted)


def open_locks(options: Raw, run_dir: Path) -> FlockLocks:
    """The locks of the hosts that share *run_dir*. No options."""
    no_options(options)
    return FlockLocks(run_dir)
