"""Which steps of a plan wait for which: derived from what each action reads and writes.

Two steps may swap, or run side by side, when neither writes what the other reads or writes.
"""

from collections.abc import Sequence
from typing import TypeAlias, assert_never

from geats_core.actions import (
    Action,
    ActivateVolume,
    Adopt,
    AdoptVolume,
    AllocateVolume,
    CloneVolume,
    ConfigureGuest,
    Define,
    DeleteSnapshot,
    DestroyVolume,
    Export,
    FormatVolume,
    Freeze,
    GrowVolume,
    Hold,
    InstallTemplate,
    Lock,
    Pause,
    Reading,
    Repair,
    ReserveVolume,
    RollbackVolume,
    SetLimits,
    Shutdown,
    SnapshotVolume,
    Start,
    Stop,
    Undefine,
    Unfreeze,
    Unlock,
    UnpackVolume,
    UpgradeRegistry,
)

Resource: TypeAlias = tuple[str, ...]
Touched: TypeAlias = tuple[frozenset[Resource], frozenset[Resource]]  # what it reads, and writes
EVERYTHING: Resource = ()
DEFINITION: Resource = ("definition",)
POWER: Resource = ("power",)
VOLUMES: Resource = ("volumes",)


def needs(actions: Sequence[Action]) -> tuple[tuple[int, ...], ...]:
    """For each action, the positions of the earlier ones that it must wait for.

    Those that it waits for anyway, since another that it waits for does, are left out.
    """
    touched = [(_reads(action), _writes(action)) for action in actions]
    direct: list[tuple[int, ...]] = []
    all_before: list[frozenset[int]] = []
    for later in range(len(actions)):
        nearest: list[int] = []
        before: frozenset[int] = frozenset()
        for earlier in reversed(range(later)):
            if earlier not in before and _conflict(touched[earlier], touched[later]):
                nearest.append(earlier)
                before |= all_before[earlier] | {earlier}
        direct.append(tuple(reversed(nearest)))
        all_before.append(before)
    return tuple(direct)


def _conflict(one: Touched, other: Touched) -> bool:
    (reads, writes), (other_reads, other_writes) = one, other
    return _overlap(writes, other_writes | other_reads) or _overlap(reads, other_writes)


def _overlap(some: frozenset[Resource], others: frozenset[Resource]) -> bool:
    """Whether a resource of *some* is, holds, or is a part of one of *others*."""
    return any(a[: len(b)] == b or b[: len(a)] == a for a in some for b in others)


def _writes(action: Action) -> frozenset[Resource]:
    match action:
        case Define() | Undefine() | Adopt() | Lock() | Unlock():
            return frozenset({DEFINITION})
        case (
            AllocateVolume(pool, volume)
            | FormatVolume(pool, volume)
            | ActivateVolume(pool, volume)
            | GrowVolume(pool, volume)
            | DestroyVolume(pool, volume)
            | SnapshotVolume(pool, volume)
            | RollbackVolume(pool, volume)
            | DeleteSnapshot(pool, volume)
            | InstallTemplate(pool, volume)
            | ConfigureGuest(pool, volume)
            | UnpackVolume(pool, volume)
            | CloneVolume(pool, volume)
            | AdoptVolume(pool, volume)
        ):
            return frozenset({(*VOLUMES, pool, volume)})
        case ReserveVolume():  # no volume is filled before all of them are reserved
            return frozenset({VOLUMES})
        case Start() | Shutdown() | Stop() | Repair() | SetLimits():
            return frozenset({POWER})
        case Freeze() | Hold() | Unfreeze() | Export(reading=Reading.CLONES):
            return frozenset({POWER})
        case UpgradeRegistry():
            return frozenset({EVERYTHING})
        case Export() | Pause():
            return frozenset()
        case _:
            assert_never(action)


def _reads(action: Action) -> frozenset[Resource]:
    match action:
        case Start():
            return frozenset({DEFINITION, VOLUMES})
        case Export():
            return frozenset({DEFINITION, VOLUMES, POWER})
        case Adopt():
            return frozenset({VOLUMES, POWER})
        case Undefine() | GrowVolume():  # some pools cannot grow a volume while the VM is on
            return frozenset({POWER})
        case SnapshotVolume():  # it is taken of what is on the disk before, or after, a start
            return frozenset({POWER})
        case AllocateVolume() | DeleteSnapshot():
            return frozenset({DEFINITION})
        case (
            DestroyVolume()
            | RollbackVolume()
            | InstallTemplate()
            | ConfigureGuest()
            | ReserveVolume()
            | UnpackVolume()
            | CloneVolume()
        ):
            return frozenset({DEFINITION, POWER})
        case SetLimits():
            return frozenset({DEFINITION})
        case (
            Define()
            | AdoptVolume()
            | Lock()
            | Unlock()
            | FormatVolume()
            | ActivateVolume()
            | Shutdown()
            | Stop()
            | Repair()
            | Freeze()
            | Hold()
            | Unfreeze()
            | Pause()
            | UpgradeRegistry()
        ):
            return frozenset()
        case _:
            assert_never(action)
