"""Which steps of a plan wait for which: derived from what each action reads and writes.

Two steps may swap, or run side by side, when neither writes what the other reads or writes. Where
they may not, the later one *needs* the earlier one if it makes use of what that writes; otherwise
it only comes *after* it. A VM that is to start again is powered off once all else is done that can
be done while it runs: so what fails then leaves it running.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias, assert_never

from geats_core.planning.actions import (
    POWER_OFFS,
    Action,
    ActivateVolume,
    Adopt,
    AdoptVolume,
    AllocateVolume,
    AwaitReady,
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
    MoveVolume,
    NotePlaces,
    OnVolume,
    Pause,
    Publish,
    Reading,
    RemoveLeftover,
    Rename,
    RenameVolume,
    Repair,
    ReserveVolume,
    RollbackVolume,
    SetDevices,
    SetDns,
    SetLimits,
    Shutdown,
    SnapshotVolume,
    Start,
    Stop,
    TakeOver,
    TakeVolumes,
    Undefine,
    Unfreeze,
    Unlock,
    UnpackVolume,
    UpgradeRegistry,
)
from geats_core.planning.dependencies import Positions, Wait, nearest
from geats_core.planning.steps import Step

Resource: TypeAlias = tuple[str, ...]
EVERYTHING: Resource = ()
DEFINITION: Resource = ("definition",)
POWER: Resource = ("power",)
VOLUMES: Resource = ("volumes",)
COPIES: Resource = ("copies",)
# What a VM starts as well without; what becomes of a destroyed volume is the next step's.
ASIDE = (GrowVolume, SnapshotVolume, DeleteSnapshot, DestroyVolume)


def ordered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """The steps of one VM, each with those before it that it waits for.

    Those that it waits for anyway, since another that it waits for does, are left out.
    """
    steps = tuple(steps)
    waits = _waits(tuple(_Touching.of(step.action) for step in steps))
    numbered = zip(steps, *waits, strict=True)
    return tuple(step.waiting(needs, after) for step, needs, after in numbered)


class _Touching(NamedTuple):
    """All of an action that says what waits for it, and for what it waits."""

    kind: type[Action]
    reads: frozenset[Resource]
    writes: frozenset[Resource]

    @classmethod
    def of(cls, action: Action) -> "_Touching":
        return cls(type(action), _reads(action), _writes(action))

    def is_a(self, *kinds: type[Action]) -> bool:
        return issubclass(self.kind, kinds)


@lru_cache(maxsize=1024)  # most VMs of a host have plans like those of others
def _waits(actions: tuple[_Touching, ...]) -> tuple[list[Positions], list[Positions]]:
    """What each needs, and what it comes after."""
    restart = _restart([action.kind for action in actions])
    ran = restart >= 0 and not any(action.is_a(InstallTemplate, Repair) for action in actions)

    def wait(earlier: int, later: int) -> Wait | None:
        one, other = actions[earlier], actions[later]
        if earlier < restart == later:  # powered off as late as possible, and only if needed
            return Wait.AFTER if one.is_a(*ASIDE) else Wait.NEEDS
        return _wait(one, other, ran=ran)

    waits = [[wait(at, later) for at in range(later)] for later in range(len(actions))]
    return nearest(
        [[at for at, wait in enumerate(each) if wait is kind] for each in waits] for kind in Wait
    )


def _wait(earlier: _Touching, later: _Touching, *, ran: bool) -> Wait | None:
    """How the *later* action waits for the *earlier* one, if it does; *ran*: the guest did."""
    if _overlap(earlier.writes, later.reads | later.writes):
        return Wait.AFTER if _is_aside(earlier, later, ran=ran) else Wait.NEEDS
    if _may_be_lost(earlier, later):
        return Wait.AFTER
    if not _overlap(earlier.reads, later.writes):
        return None
    # What was only read may change once it was, or could not be; but see ``Undefine``.
    return Wait.NEEDS if later.is_a(Undefine) else Wait.AFTER


def _may_be_lost(earlier: _Touching, later: _Touching) -> bool:
    """Whether the earlier action removes what may be left of a lost volume, and the later one makes
    another of its name."""
    of_volumes = earlier.is_a(DestroyVolume) and issubclass(later.kind, OnVolume)
    names, others = ({each[-1] for each in one.writes} for one in (earlier, later))
    return of_volumes and bool(names & others)


def _is_aside(earlier: _Touching, later: _Touching, *, ran: bool) -> bool:
    """Whether the later action is as well without what the earlier one writes."""
    if earlier.is_a(ConfigureGuest):  # a guest that ran may be as it was, a new one may not
        return later.is_a(Start) and ran
    return (later.is_a(Start) and earlier.is_a(*ASIDE)) or earlier.is_a(GrowVolume)


def _restart(kinds: Sequence[type[Action]]) -> int:
    """The position of the first step that powers a VM off which starts later; -1 for none."""
    off = next((at for at, kind in enumerate(kinds) if kind in POWER_OFFS), len(kinds))
    if Start not in kinds[off:]:
        return -1
    return off - 1 if off and kinds[off - 1] is Unfreeze else off


def _overlap(some: frozenset[Resource], others: frozenset[Resource]) -> bool:
    """Whether a resource of *some* is, contains, or is a part of one of *others*."""
    return any(a[: len(b)] == b or b[: len(a)] == a for a in some for b in others)


def _writes(action: Action) -> frozenset[Resource]:
    match action:
        case Define() | Undefine() | Adopt() | Rename() | Lock() | Unlock():
            return frozenset({DEFINITION})
        # No volume is filled before all of them are reserved, or made before one is destroyed.
        case ReserveVolume() | ForgetVolume():
            return frozenset({VOLUMES})
        case MoveVolume():  # with it, the VM is defined
            return frozenset({VOLUMES, DEFINITION})
        case UnpackVolume() if action.takes_over:  # all others are there by then
            return frozenset({VOLUMES, COPIES})
        case TakeVolumes():  # the same
            return frozenset({VOLUMES, COPIES})
        case UnpackVolume() | CloneVolume():
            place = (action.pool, action.volume)
            return frozenset({(*VOLUMES, *place), (*COPIES, *place)})
        case OnVolume():
            return frozenset({(*VOLUMES, action.pool, action.volume)})
        case Start() | Shutdown() | Stop() | Repair() | KeepOff():
            return frozenset({POWER})
        case SetLimits() | SetDevices() | SetDns() | Freeze() | Hold() | Unfreeze():
            return frozenset({POWER})
        case Export(reading=Reading.CLONES) | Publish(reading=Reading.CLONES):
            return frozenset({POWER})
        case TakeOver():  # with its volumes, which nothing else fills
            return frozenset({DEFINITION, POWER, VOLUMES, COPIES})
        case UpgradeRegistry():
            return frozenset({EVERYTHING})
        case RemoveLeftover(kind, name, place):
            return frozenset({("leftovers", kind, place, name)})
        case Export() | Publish() | AwaitReady() | Pause() | NotePlaces():
            return frozenset()
        case _:
            assert_never(action)


def _reads(action: Action) -> frozenset[Resource]:
    match action:
        case Start() | SetDevices() | SetDns() | TakeOver():
            return frozenset({DEFINITION, VOLUMES})
        case Export() | Publish():
            return frozenset({DEFINITION, VOLUMES, POWER})
        case Adopt() | Rename():
            return frozenset({VOLUMES, POWER})
        # What a VM that is off was defined as, no other needs to know. Some pools cannot grow a
        # volume while the VM is on.
        case Define() | Undefine() | GrowVolume():
            return frozenset({POWER})
        case AwaitReady():
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
            | ReserveVolume()
            | UnpackVolume()
            | TakeVolumes()
            | CloneVolume()
            | RenameVolume()
            | MoveVolume()
        ):
            return frozenset({DEFINITION, POWER})
        case ConfigureGuest():  # a copy is complete with it
            return frozenset({DEFINITION, POWER, COPIES})
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
