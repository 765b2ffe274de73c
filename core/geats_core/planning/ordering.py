"""Which steps of a plan wait for which: derived from what each action reads and writes.

Two steps may swap, or run side by side, when neither writes what the other reads or writes. Where
they may not, the later one *needs* the earlier one if it makes use of what that writes; otherwise
it only comes *after* it. A VM that is to start again is powered off once all else is done that can
be done while it runs: so what fails then leaves it running.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias, assert_never

from geats_core.planning.actions import (
    POWER_OFFS,
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
    ForgetVolume,
    FormatVolume,
    Freeze,
    GrowVolume,
    Hold,
    InstallTemplate,
    KeepOff,
    Lock,
    NotePlaces,
    OnVolume,
    Pause,
    Reading,
    RemoveLeftover,
    Rename,
    RenameVolume,
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
from geats_core.planning.dependencies import Wait, nearest
from geats_core.planning.steps import Step

Resource: TypeAlias = tuple[str, ...]
Touched: TypeAlias = tuple[frozenset[Resource], frozenset[Resource]]  # what it reads, and writes
EVERYTHING: Resource = ()
DEFINITION: Resource = ("definition",)
POWER: Resource = ("power",)
VOLUMES: Resource = ("volumes",)
# What a VM starts as well without; what becomes of a destroyed volume is the next step's.
ASIDE = (GrowVolume, SnapshotVolume, DeleteSnapshot, DestroyVolume)


def ordered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """The steps of one VM, each with those before it that it waits for.

    Those that it waits for anyway, since another that it waits for does, are left out.
    """
    steps = tuple(steps)
    actions = _Actions([step.action for step in steps])
    waits = [[actions.wait(at, later) for at in range(later)] for later in range(len(steps))]
    needs, after = nearest(
        [[at for at, wait in enumerate(each) if wait is kind] for each in waits] for kind in Wait
    )
    numbered = zip(steps, needs, after, strict=True)
    return tuple(replace(step, needs=n, after=a) for step, n, a in numbered)


class _Actions:
    """The actions of one plan, with what each touches."""

    def __init__(self, actions: Sequence[Action]) -> None:
        self.actions = actions
        self.touched = [(_reads(action), _writes(action)) for action in actions]
        self.restart = _restart(actions)
        fresh = any(isinstance(action, InstallTemplate | Repair) for action in actions)
        self.ran = self.restart >= 0 and not fresh

    def wait(self, earlier: int, later: int) -> Wait | None:
        """How the step *later* waits for the step *earlier*, if it does."""
        if earlier < self.restart == later:  # powered off as late as can be, and not in vain
            return Wait.AFTER if isinstance(self.actions[earlier], ASIDE) else Wait.NEEDS
        (_, writes), (reads, also_writes) = self.touched[earlier], self.touched[later]
        if _overlap(writes, reads | also_writes):
            return Wait.AFTER if self._is_aside(earlier, later) else Wait.NEEDS
        if not _overlap(self.touched[earlier][0], also_writes):
            return None
        # What was only read may change once it was, or could not be; but see ``Undefine``.
        return Wait.NEEDS if isinstance(self.actions[later], Undefine) else Wait.AFTER

    def _is_aside(self, earlier: int, later: int) -> bool:
        """Whether the later step is as well without what the earlier one writes."""
        one, other = self.actions[earlier], self.actions[later]
        if isinstance(one, ConfigureGuest):  # a guest that ran may be as it was, a new one may not
            return isinstance(other, Start) and self.ran
        starts = isinstance(other, Start) and isinstance(one, ASIDE)
        return starts or isinstance(one, GrowVolume)


def _restart(actions: Sequence[Action]) -> int:
    """The position of the first step that powers a VM off which starts later; -1 for none."""
    kinds = [type(action) for action in actions]
    off = next((at for at, kind in enumerate(kinds) if kind in POWER_OFFS), len(kinds))
    if Start not in kinds[off:]:
        return -1
    return off - 1 if off and kinds[off - 1] is Unfreeze else off


def _overlap(some: frozenset[Resource], others: frozenset[Resource]) -> bool:
    """Whether a resource of *some* is, holds, or is a part of one of *others*."""
    return any(a[: len(b)] == b or b[: len(a)] == a for a in some for b in others)


def _writes(action: Action) -> frozenset[Resource]:
    match action:
        case Define() | Undefine() | Adopt() | Rename() | Lock() | Unlock():
            return frozenset({DEFINITION})
        # No volume is filled before all of them are reserved, or made before one is given up.
        case ReserveVolume() | ForgetVolume():
            return frozenset({VOLUMES})
        case OnVolume():
            return frozenset({(*VOLUMES, action.pool, action.volume)})
        case Start() | Shutdown() | Stop() | Repair() | KeepOff() | SetLimits():
            return frozenset({POWER})
        case Freeze() | Hold() | Unfreeze() | Export(reading=Reading.CLONES):
            return frozenset({POWER})
        case UpgradeRegistry():
            return frozenset({EVERYTHING})
        case RemoveLeftover(kind, name, place):
            return frozenset({("leftovers", kind, place, name)})
        case Export() | Pause() | NotePlaces():
            return frozenset()
        case _:
            assert_never(action)


def _reads(action: Action) -> frozenset[Resource]:
    match action:
        case Start():
            return frozenset({DEFINITION, VOLUMES})
        case Export():
            return frozenset({DEFINITION, VOLUMES, POWER})
        case Adopt() | Rename():
            return frozenset({VOLUMES, POWER})
        # What a VM that is off was defined as, no other needs to know. Some pools cannot grow a
        # volume while the VM is on.
        case Define() | Undefine() | GrowVolume():
            return frozenset({POWER})
        case SnapshotVolume():  # it is taken of what is on the disk before, or after, a start
            return frozenset({POWER})
        case AllocateVolume() | DeleteSnapshot():
            return frozenset({DEFINITION})
        case (
            DestroyVolume()
            | ForgetVolume()
            | RollbackVolume()
            | InstallTemplate()
            | ConfigureGuest()
            | ReserveVolume()
            | UnpackVolume()
            | CloneVolume()
            | RenameVolume()
        ):
            return frozenset({DEFINITION, POWER})
        case SetLimits():
            return frozenset({DEFINITION})
        case (
            AdoptVolume()
            | Lock()
            | Unlock()
            | FormatVolume()
            | ActivateVolume()
            | Shutdown()
            | Stop()
            | Repair()
            | KeepOff()
            | Freeze()
            | Hold()
            | Unfreeze()
            | Pause()
            | UpgradeRegistry()
            | RemoveLeftover()
            | NotePlaces()
        ):
            return frozenset()
        case _:
            assert_never(action)
