"""What pools and drivers say of what interrupted operations left: see ``engine.interrupted``."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from geats_core.planning.plugin_facts import Leftover


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Something that is left over: why geats knows that, and how to ``remove`` it.

    ``vm`` is the VM that it belongs to: it is removed only while nobody else works on that VM.
    ``owner`` says who uses it, if somebody else does: then it is reported, and never removed.
    """

    kind: Leftover
    name: str
    reason: str
    remove: Callable[[], None]
    vm: str = ""
    owner: str = ""


@runtime_checkable
class Clearing(Protocol):
    """A pool or driver that can have more than volumes, or VMs, after an interruption."""

    def leftovers(self, vms: Collection[str]) -> Iterable[Left]:
        """What there is; *vms* are the names of all VMs of the host. Nothing is changed."""
        ...
