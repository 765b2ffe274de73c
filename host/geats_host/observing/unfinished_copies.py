"""Which VMs are going to be copies: remembered from before they are defined until they are copied.

Theory of operation
-------------------
The note is written before the VM is recorded, and removed once its guest is configured, which is
the last that is done to a copy. So wherever a clone or an import is interrupted, nobody takes the
VM for one that is to be made from its template. A note of a VM that is not recorded is one that was
interrupted before anything was made: it does not count.

Of a VM that comes here as it runs, the mark of the offer is noted beside it, before any of it
comes: so what is here is known to be what was offered under that mark.
"""

from collections.abc import Container, Mapping

from geats_core.planning.then import Then
from geats_host.observing import unfinished_restarts
from geats_host.registry import Registry

KIND, MARK = "copy of", "comes as"  # of the registry's notes: the key of each is the name of a VM


def noted(registry: Registry, recorded: Container[str]) -> Mapping[str, str]:
    """What each of the *recorded* VMs that has a note is going to be a copy of."""
    return {vm: text for vm, text in registry.notes(KIND).items() if vm in recorded}


def before_define(registry: Registry, vm: str, copy_of: str, then: Then) -> None:
    """Remember, durably, what a VM is going to be a copy of, and what is to become of it *then*.

    If it is no copy, and not recorded yet, what an earlier try left does not count for it.
    """
    if copy_of:
        registry.note(KIND, vm, copy_of)
        unfinished_restarts.before_power_off(registry, vm, then)
    elif vm in registry.notes(KIND) and vm not in _recorded(registry):
        unfinished_restarts.forget(registry, [vm])
        forget(registry, vm)


def note_mark(registry: Registry, vm: str, mark: str) -> None:
    """Remember, durably, what comes of it from now on; empty if nothing does."""
    if mark:
        registry.note(MARK, vm, mark)
    else:
        registry.forget_note(MARK, vm)


def came_as(registry: Registry, vm: str) -> str:
    """The mark under which it was offered that came; empty if nothing did."""
    return registry.notes(MARK).get(vm, "")


def forget(registry: Registry, vm: str) -> None:
    """It is complete, or gone."""
    registry.forget_note(KIND, vm)


def _recorded(registry: Registry) -> Container[str]:
    return {*registry.definitions(), *registry.unreadable()}
