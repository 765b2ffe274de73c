"""Which VMs geats started that are started again if they end by themselves: see
``geats_core.deciding.keeping_up``."""

from collections.abc import Mapping

from geats_core.deciding import keeping_up
from geats_core.deciding.keeping_up import Kept
from geats_core.vm.spec import Restarts, VMSpec
from geats_host.registry import Registry

KIND = "kept up"  # of the registry's notes: the key of each is the name of a VM


def noted(registry: Registry) -> Mapping[str, Kept]:
    """What is noted of each VM."""
    return {vm: keeping_up.from_text(text) for vm, text in registry.notes(KIND).items()}


def note(registry: Registry, vm: str, kept: Kept) -> None:
    """Remember it, durably."""
    registry.note(KIND, vm, keeping_up.to_text(kept))


def after_start(registry: Registry, spec: VMSpec, now_s: int) -> None:
    """It is on, by a plan: if it ends, nobody wished that."""
    if spec.restart is not Restarts.NO:
        kept = noted(registry).get(spec.name, Kept())
        note(registry, spec.name, keeping_up.started(kept, now_s))


def before_power_off(registry: Registry, vm: str) -> None:
    """If it is off from now on, that is by a plan."""
    kept = noted(registry).get(vm)
    if kept is not None:
        note(registry, vm, keeping_up.powered_off(kept))


def forget(registry: Registry, vm: str) -> None:
    """It is no more."""
    registry.forget_note(KIND, vm)
