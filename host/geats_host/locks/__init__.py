"""What keeps two operations apart: the interface of locks, and files that are locked.

Locks are found by name through the entry-point group ``geats.locks``, as a function
``open_locks(options, run_dir) -> Locks`` that raises ``Refused`` on bad options. It is called
whenever locks are needed: what is held must not depend on what it gives staying alive.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from geats_core.hostwide.reservations import Reservation


class Locks(Protocol):
    """What geats asks of the locks of a host. Every method raises ``HostError`` if they fail.

    Threads and processes use them at the same time, each through locks that it opened itself. What
    is held ends with the process that holds it, however that ends. No wait is without end.
    """

    def operation(self, vm: str) -> AbstractContextManager[None]:
        """Hold the lock of one VM while a plan is applied to it.

        Entering it raises ``Busy`` if somebody else holds it, in this process or another one.
        """
        ...

    def at_work(self, vm: str) -> str:
        """Who holds the lock of a VM, in words; empty if that is this process, or nobody."""
        ...

    def wait_for_orphans(self, only: str | None) -> None:
        """Wait until nothing is left of operations that were killed: on all VMs, or on *only* one.

        A child that such an operation started may still change its VM. There is nothing to do for
        locks that have no such children.
        """
        ...

    def deciding(self) -> AbstractContextManager[None]:
        """Be the only one that decides what a plan takes of the host.

        Entering it waits until no one else decides; ``HostError`` says who did not end in time.
        """
        ...

    def reservations(self) -> "Mapping[str, Reservation]":
        """What plans that are being applied reserve, by the name of the VM.

        It is called while ``deciding``. What a process reserved that has ended is not in it.
        """
        ...

    def reserved(self, wanted: "Mapping[str, Reservation]") -> AbstractContextManager[None]:
        """Reserve what is *wanted*: entered while ``deciding``, and left at any time."""
        ...
