"""Which VMs a plan powered off to start them again: remembered until they are on, or stay off.

Theory of operation
-------------------
A note is written before such a VM is powered off, and removed once it was started: so wherever a
plan is interrupted, a VM that is off and has a note is one that nobody wished to be off. It counts
only while the VM is off, and a plan for a VM that is on removes what an earlier one left. Before a
VM is powered off to stay so, its note is removed, so that a wish for it to be off is never
forgotten. A note of a VM that is to be frozen again says so, and counts until it is frozen.
"""

from collections.abc import Iterable, Mapping

from geats_core.planning.then import Then
from geats_host.registry import Registry

KIND = "to run"  # of the registry's notes: the key of each is the name of a VM


def noted(registry: Registry) -> Mapping[str, Then]:
    """The VMs that have a note, and what is to become of each."""
    notes = registry.notes(KIND)
    return {vm: Then.FROZEN if text == Then.FROZEN else Then.ON for vm, text in notes.items()}


def before_power_off(registry: Registry, vm: str, then: Then) -> None:
    """Remember, durably, what is to become of a VM that is about to be powered off, or to come."""
    if then is Then.OFF:
        forget(registry, [vm])
    else:
        registry.note(KIND, vm, then if then is Then.FROZEN else "")


def started(registry: Registry, vm: str) -> None:
    """It is on, and may still have to be frozen."""
    if noted(registry).get(vm) is Then.ON:
        registry.forget_note(KIND, vm)


def forget(registry: Registry, vms: Iterable[str]) -> None:
    """They are as they are to be, or are to stay off."""
    for vm in vms:
        registry.forget_note(KIND, vm)
