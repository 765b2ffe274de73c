"""Which volumes move to another pool: remembered from before there is a copy until one is left.

Theory of operation
-------------------
The VM is defined with one of the two pools: what is in that one counts. The other volume is shown
as one of two (``VolumeSeen.is_moving``): before the VM is defined with the copy, it is the copy;
afterwards, it is the old one. So wherever a move is interrupted, it is worth nothing, and hinders
nobody.

A copy that is not whole has a mark of its own too, which no lost note takes away: it never counts.
A note means nothing without the definition that it was written for, and is forgotten with it; then
both volumes are as others, and only who names one destroys it.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from geats_core.vm.observation import VolumeSeen
from geats_core.vm.spec import VMSpec
from geats_host.registry import Registry

KIND = "moving"  # of the registry's notes: the key of each is VM/VOLUME, its text both pools
Noted: TypeAlias = Mapping[str, tuple[str, ...]]


def noted(registry: Registry) -> Noted:
    """The pools of each volume that moves."""
    return {key: tuple(text.split()) for key, text in registry.notes(KIND).items()}


def shown(moving: Noted, spec: VMSpec | None, seen: Iterable[VolumeSeen]) -> list[VolumeSeen]:
    """The volumes of the VM that is recorded as *spec*, as they count."""
    found = list(seen)
    if spec is None or not moving:
        return found
    counts = {(each.pool, each.name) for each in spec.volumes}
    there = {(each.pool, each.name) for each in found if not each.is_moving}
    return [
        each.as_moving()
        if _is_other(moving.get(f"{spec.name}/{each.name}", ()), each, counts & there)
        else each
        for each in found
    ]


def _is_other(pools: tuple[str, ...], seen: VolumeSeen, counts: set[tuple[str, str]]) -> bool:
    """Whether it is one of two, and the other one is there, and counts."""
    others = [pool for pool in pools if pool != seen.pool]
    return len(pools) == len(others) + 1 and any((pool, seen.name) in counts for pool in others)


def note(registry: Registry, vm: str, volume: str, old: str, new: str) -> None:
    """Remember it, durably."""
    registry.note(KIND, f"{vm}/{volume}", f"{old} {new}")


def forget(registry: Registry, vm: str, volume: str, pool: str) -> None:
    """The volume in one of the pools is gone, or about to be."""
    if pool in noted(registry).get(f"{vm}/{volume}", ()):
        registry.forget_note(KIND, f"{vm}/{volume}")


def forget_all(registry: Registry, vm: str) -> None:
    """The definition of the VM is about to be forgotten."""
    for key in noted(registry):
        if key.startswith(f"{vm}/"):
            registry.forget_note(KIND, key)


def before_define(registry: Registry, vm: str) -> None:
    """A VM whose definition was lost gets one: what its notes were written for is not known."""
    if noted(registry) and vm not in registry.definitions():
        forget_all(registry, vm)
