"""Which steps of a plan wait for which: derived from what each action reads and writes.

Two steps may swap, or run side by side, when neither writes what the other reads or writes.
"""

from collections.abc import Sequence
from typing import TypeAlias, assert_never

from geats_core.actions import (
    Action,
    ActivateVolume,
    AllocateVolume,
    ConfigureGuest,
    Define,
    DestroyVolume,
    FormatVolume,
    Freeze,
    GrowVolume,
    InstallTemplate,
    Lock,
    Repair,
    SetLimits,
    Shutdown,
    Start,
    Stop,
    Undefine,
    Unfreeze,
    Unlock,
)

Resource: TypeAlias = tuple[str, ...]
DEFINITION: Resource = ("definition",)
POWER: Resource = ("power",)
VOLUMES: Resource = ("volumes",)


def needs(actions: Sequence[Action]) -> tuple[tuple[int, ...], ...]:
    """For each action, the positions of the earlier ones that it must wait for."""
    return tuple(
        tuple(earlier for earlier in range(later) if _conflict(actions[earlier], actions[later]))
        for later in range(len(actions))
    )


def _conflict(one: Action, other: Action) -> bool:
    return _overlap(_writes(one), _writes(other) | _reads(other)) or _overlap(
        _reads(one), _writes(other)
    )


def _overlap(some: frozenset[Resource], others: frozenset[Resource]) -> bool:
    """Whether a resource of *some* is, holds, or is a part of one of *others*."""
    return any(a[: len(b)] == b or b[: len(a)] == a for a in some for b in others)


def _writes(action: Action) -> frozenset[Resource]:
    match action:
        case Define() | Undefine() | Lock() | Unlock():
            return frozenset({DEFINITION})
        case (
            AllocateVolume(pool, volume)
            | FormatVolume(pool, volume)
            | ActivateVolume(pool, volume)
            | GrowVolume(pool, volume)
            | DestroyVolume(pool, volume)
            | InstallTemplate(pool, volume)
            | ConfigureGuest(pool, volume)
        ):
            return frozenset({(*VOLUMES, pool, volume)})
        case Start() | Shutdown() | Stop() | Repair() | Freeze() | Unfreeze() | SetLimits():
            return frozenset({POWER})
        case _:
            assert_never(action)


def _reads(action: Action) -> frozenset[Resource]:
    match action:
        case Start():
            return frozenset({DEFINITION, VOLUMES})
        case Undefine():
            return frozenset({POWER, VOLUMES})
        case AllocateVolume():
            return frozenset({DEFINITION})
        case DestroyVolume() | InstallTemplate() | ConfigureGuest():
            return frozenset({DEFINITION, POWER})
        case SetLimits():
            return frozenset({DEFINITION})
        case (
            Define()
            | Lock()
            | Unlock()
            | FormatVolume()
            | ActivateVolume()
            | GrowVolume()
            | Shutdown()
            | Stop()
            | Repair()
            | Freeze()
            | Unfreeze()
        ):
            return frozenset()
        case _:
            assert_never(action)
