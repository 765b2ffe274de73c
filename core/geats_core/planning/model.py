"""The model of a host: what each action needs, and what the VM is after it.

Theory of operation
-------------------
An observation is a point, an action an arrow. ``after`` follows one arrow: it returns the next
point, or, if the precondition of the action is not met, the reason. The planner looks for a way
through this space, and the adapters must agree with it on the real host.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias, assert_never

from returns.result import Failure, Success

from geats_core.planning.actions import (
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
    VolumeAction,
)
from geats_core.planning.then import Then
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.observation import (
    UNFINISHED_COPY,
    Observation,
    Power,
    Renaming,
    Stage,
    VolumeSeen,
    changed,
    volumes_in_order,
)
from geats_core.vm.spec import ROOT, Dns, VMSpec, Volume

After: TypeAlias = Success[Observation] | Failure[str]

ON = frozenset({Power.RUNNING, Power.FROZEN, Power.HELD})
SUSPENDED = frozenset({Power.FROZEN, Power.HELD})


def after(action: Action, have: Observation) -> After:
    """The VM after *action*; or, if the action may not be done, the reason."""
    match action:
        case Define(spec, keep, copy_of, then):
            return _need(
                (not have.foreign, "geats did not make it"),
                then=changed(
                    have,
                    recorded=spec,
                    defined=spec,
                    by_hand=keep,
                    unreliable="",
                    half_locked=False,
                    copy_of=copy_of or have.copy_of,
                    to_run=have.to_run or then is not Then.OFF,
                    ended=have.ended and spec.is_kept_up,
                ),
            )
        case Undefine(keep):
            return _need(
                (have.power is Power.STOPPED, f"it is {have.power}"),
                (not have.locked, "it is locked"),
                (not have.foreign, "geats did not make it"),
                (not have.unreliable, "its definition cannot be relied on"),
                then=changed(
                    _stays_off(have), recorded=None, defined=None, by_hand=keep, copy_of=""
                ),
            )
        case Adopt(spec, running, keep, _, called):
            root = have.volume(spec.root.pool, ROOT)
            return _need(
                (have.foreign or bool(called), "geats made it"),
                (not called or _can_become(spec, have), "there is another VM of its new name"),
                (not have.unreliable, "its definition cannot be relied on"),
                (have.power is not Power.STUCK, f"it is {have.power}"),
                (root is not None and _is_filled(root), "its root volume is not ready"),
                then=changed(
                    have,
                    recorded=spec,
                    defined=spec,
                    in_effect=running if have.power in ON else None,
                    by_hand=keep,
                    foreign=False,
                    foreign_nics=(),
                ),
            )
        case Rename():
            return _need(
                (have.power is Power.STOPPED, f"it is {have.power}"),
                (not have.foreign, "geats did not make it"),
                (not (have.volumes or have.missing), "a volume of it has the old name"),
                then=Observation(),
            )
        case ForgetVolume(pool, volume):
            return _need(
                (_is_missing(have, pool, volume), "it is not missing"),
                (have.power is Power.STOPPED, f"the VM is {have.power}"),
                (not have.locked, "the VM is locked"),
                then=_found(have, pool, volume),
            )
        case Pause() | UpgradeRegistry() | RemoveLeftover() | NotePlaces():
            return Success(have)
        case Export(reading=reading) | Publish(reading=reading):
            ready = have.recorded is not None and is_ready(have.recorded, have)
            still = have.power in (Power.STOPPED, *SUSPENDED)
            runs = reading is Reading.CLONES and have.power is Power.RUNNING
            return _need(
                (still or runs, f"it is {have.power}"),
                (ready, "it is not defined, or a volume is not ready"),
                then=have,
            )
        case Lock():
            return _need(
                (have.is_recorded, "it is not defined"),
                then=changed(have, locked=True, half_locked=False),
            )
        case Unlock():
            return Success(changed(have, locked=False, half_locked=False))
        case Start():
            return _need(
                (have.power is Power.STOPPED, f"it is {have.power}"),
                (have.defined is not None, "it is not defined"),
                (not have.copy_of, f"it is an unfinished copy of {have.copy_of}"),
                (
                    have.defined is not None and is_ready(have.defined, have),
                    "a volume is not ready",
                ),
                then=changed(
                    have,
                    power=Power.RUNNING,
                    in_effect=have.defined,
                    to_run=False,
                    ended=False,
                ),
            )
        case AwaitReady():
            return _need((have.power is Power.RUNNING, f"it is {have.power}"), then=have)
        case TakeOver(template=template, along=along):
            if have.recorded is None or not have.copy_of:
                return Failure("it is no copy of a VM of another host")
            came = _come_along(have, along)
            return _need(
                (have.power is not Power.STUCK, f"it is {have.power}"),
                (_can_arrive(have.recorded, came), "a volume is not ready"),
                then=_arrived(have.recorded, template, came),
            )
        case TakeVolumes(volumes=volumes):
            if have.recorded is None or not have.copy_of:
                return Failure("it is no copy of a VM of another host")
            came = _come_along(have, volumes)
            return _need(
                (have.power is Power.STOPPED, f"it is {have.power}"),
                (are_usable(have.recorded.volumes, came), "a volume is not ready"),
                then=changed(came, copy_of=""),
            )
        case Shutdown(_, then):
            return _need(
                (have.power is Power.RUNNING, f"it is {have.power}"), then=_powered_off(have, then)
            )
        case Stop(then):
            return _need((have.power in ON, f"it is {have.power}"), then=_powered_off(have, then))
        case Repair(then):
            return _need(
                (have.power is Power.STUCK, f"it is {have.power}"), then=_powered_off(have, then)
            )
        case KeepOff():
            again = have.to_run or have.ended
            return _need((again, "it is not to be started again"), then=_stays_off(have))
        case Freeze():
            return _need(
                (have.power in (Power.RUNNING, Power.HELD), f"it is {have.power}"),
                then=changed(have, power=Power.FROZEN, to_freeze=False),
            )
        case Hold():
            return _need(
                (have.power is Power.RUNNING, f"it is {have.power}"),
                then=changed(have, power=Power.HELD),
            )
        case Unfreeze(then):
            held = have.to_freeze and have.power is Power.HELD
            to_freeze = held or then is Then.FROZEN
            runs = have.power is Power.RUNNING and have.to_freeze
            known = have.recorded is not None or have.defined is not None
            return _need(
                (known or then is not Then.FROZEN, "it is not defined"),
                (not have.copy_of, f"it is an unfinished copy of {have.copy_of}"),
                (have.power in SUSPENDED or runs, f"it is {have.power}"),
                then=changed(have, power=Power.RUNNING, to_freeze=to_freeze),
            )
        case SetLimits(limits):
            if have.power not in ON or have.in_effect is None:
                return Failure(f"it is {have.power}")
            return Success(changed(have, in_effect=replace(have.in_effect, limits=limits)))
        case SetDevices():
            if have.power not in ON or have.in_effect is None:
                return Failure(f"it is {have.power}")
            return _need(
                (are_usable(action.spec.volumes, have), "a volume is not ready"),
                then=changed(have, in_effect=action.in_effect(have.in_effect)),
            )
        case SetDns(dns):
            if have.power not in ON or have.in_effect is None:
                return Failure(f"it is {have.power}")
            return _need(
                (are_usable([have.in_effect.root], have), "its root volume is not ready"),
                then=_told(dns, have.in_effect, have),
            )
        case OnVolume():
            return _volume_after(action, have)
        case _:
            assert_never(action)


def is_ready(spec: VMSpec, have: Observation) -> bool:
    """Whether every volume of *spec* exists and is usable, and a template is installed on the
    root."""
    return are_usable(spec.volumes, have)


def are_usable(volumes: Iterable[Volume], have: Observation) -> bool:
    """Whether each exists and is usable, and a template is installed on the root."""
    for volume in volumes:
        seen = have.volume(volume.pool, volume.name)
        needed = Stage.INSTALLED if volume.name == ROOT else Stage.FORMATTED
        if (
            seen is None
            or not seen.active
            or seen.stage < needed
            or seen.is_reserved
            or seen.is_moving
        ):
            return False
    return True


def _powered_off(have: Observation, then: Then) -> Observation:
    """Off, and to run again if so wished; not if nobody knows how to start it."""
    known = have.recorded is not None or have.defined is not None
    to_run, to_freeze = known and then is not Then.OFF, known and then is Then.FROZEN
    off = changed(have, power=Power.STOPPED, in_effect=None)
    return changed(off, to_run=to_run, to_freeze=to_freeze)


def _told(dns: Dns, runs: VMSpec, have: Observation) -> Observation:
    """The guest that runs knows of *dns*; and so does its root, if it was as what runs."""
    told = replace(runs, dns=dns)
    root = have.volume(runs.root.pool, runs.root.name)
    if root is not None and root.guest == guest_digest(runs):
        have = _with_volume(have, changed(root, guest=guest_digest(told)))
    return changed(have, in_effect=told)


def _come_along(have: Observation, volumes: Iterable[VolumeSeen]) -> Observation:
    """They are its own now; the guest on a root is configured anew."""
    for seen in volumes:
        guest = UNFINISHED_COPY if seen.name == ROOT else seen.guest
        have = _with_volume(have, changed(seen, active=True, guest=guest))
    return have


def _can_arrive(spec: VMSpec, have: Observation) -> bool:
    """Whether every volume is reserved for what comes from the other host, or has it already."""
    seen = [have.volume(volume.pool, volume.name) for volume in spec.volumes]
    return all(
        each is not None and each.active and not each.unreadable and each.stage >= Stage.FORMATTED
        for each in seen
    )


def _arrived(spec: VMSpec, template: str, have: Observation) -> Observation:
    """It runs here, with all of its volumes."""
    runs = changed(
        have,
        power=Power.RUNNING,
        defined=spec,
        in_effect=spec,
        copy_of="",
        to_run=False,
        ended=False,
    )
    for volume in spec.volumes:
        seen = have.volume(volume.pool, volume.name)
        if seen is not None:
            runs = _with_volume(runs, filled(seen, spec, template))
    return runs


def filled(seen: VolumeSeen, spec: VMSpec, template: str) -> VolumeSeen:
    """A volume that has all that it had on the host that the VM *spec* came from."""
    if seen.name != ROOT:
        return changed(seen, stage=Stage.FORMATTED, template=None)
    guest = guest_digest(spec)
    return changed(seen, stage=Stage.INSTALLED, template=template, guest=guest)


def _stays_off(have: Observation) -> Observation:
    """What no later plan is to start again, or to freeze."""
    return changed(have, to_run=False, to_freeze=False, ended=False)


def _can_become(spec: VMSpec, have: Observation) -> bool:
    """Whether nothing but what an interrupted adoption under this name left is in its way."""
    known = {have.recorded, have.defined} - {None, spec}
    return not known and not have.foreign and have.power is Power.STOPPED


def _is_missing(have: Observation, pool: str, volume: str) -> bool:
    return any((each.pool, each.name) == (pool, volume) for each in have.missing)


def _found(have: Observation, pool: str, volume: str) -> Observation:
    """*have*, where that volume is not missing any more."""
    left = tuple(each for each in have.missing if (each.pool, each.name) != (pool, volume))
    return changed(have, missing=left)


def _is_filled(root: VolumeSeen) -> bool:
    return root.active and root.stage is Stage.INSTALLED


def _volume_after(action: VolumeAction, have: Observation) -> After:
    if isinstance(action, RenameVolume):
        return _handed_over(action, have)
    if isinstance(action, MoveVolume):
        return _moved(action, have)
    seen = have.volume(action.pool, action.volume)
    new = (not have.missing_of([action.volume]), "a volume of this name is missing")
    if isinstance(action, AdoptVolume):
        return _need(
            (have.foreign or bool(action.called), "geats made the VM"),
            new,
            (seen is None or seen.stage is Stage.ALLOCATED, "the volume contains files already"),
            then=_with_volume(have, adopted(action)),
        )
    if isinstance(action, AllocateVolume):
        return _need(
            (seen is None, "the volume exists"),
            (have.recorded is not None, "the VM is not defined"),
            new,
            then=_with_volume(have, allocated(action)),
        )
    if seen is None:
        return Failure("the volume does not exist")
    if seen.unreadable:
        return Failure(f"it is left alone: {seen.unreadable}")
    off = (have.power is Power.STOPPED, f"the VM is {have.power}")
    match action:
        case FormatVolume():
            return _need(
                (seen.stage is Stage.ALLOCATED, "it is formatted"),
                new,
                then=_with_volume(have, changed(seen, stage=Stage.FORMATTED)),
            )
        case ActivateVolume():
            return _need(
                (seen.stage >= Stage.FORMATTED, "it is not formatted"),
                (not seen.active, "it is active"),
                then=_with_volume(have, changed(seen, active=True)),
            )
        case GrowVolume(_, _, size_bytes):
            return _need(
                (seen.active, "it is not active"),
                (seen.size_bytes is None or seen.size_bytes < size_bytes, "it is not smaller"),
                then=_with_volume(have, changed(seen, size_bytes=size_bytes)),
            )
        case DestroyVolume():
            return _need(
                off,
                (not have.locked, "the VM is locked"),
                then=changed(
                    _found(have, action.pool, action.volume),
                    volumes=tuple(v for v in have.volumes if v is not seen),
                ),
            )
        case SnapshotVolume(_, _, name, taken_s):
            taken = seen.taken(name, taken_s)
            return _need(
                (seen.active, "it is not active"),
                (seen.snapshot(name) is None, "there is a snapshot of that name"),
                then=_with_volume(have, changed(seen, snapshots=(*seen.snapshots, taken))),
            )
        case RollbackVolume(_, _, name):
            old = seen.snapshot(name)
            if old is None:
                return Failure("there is no such snapshot")
            return _need(
                off,
                (not have.locked, "the VM is locked"),
                then=_with_volume(have, seen.with_content_of(old)),
            )
        case DeleteSnapshot(_, _, name):
            left = tuple(snapshot for snapshot in seen.snapshots if snapshot.name != name)
            return _need(
                (seen.snapshot(name) is not None, "there is no such snapshot"),
                (not have.locked, "the VM is locked"),
                then=_with_volume(have, changed(seen, snapshots=left)),
            )
        case InstallTemplate(_, _, template):
            return _need(
                off,
                (seen.active, "it is not active"),
                (seen.stage in (Stage.FORMATTED, Stage.FILLING), "a template is installed on it"),
                (not (seen.is_reserved or seen.is_moving), "a copy to it was not finished"),
                (not have.copy_of, f"the VM is an unfinished copy of {have.copy_of}"),
                new,
                then=_with_volume(have, changed(seen, stage=Stage.INSTALLED, template=template)),
            )
        case ConfigureGuest(_, _, spec):
            return _need(
                off,
                (seen.active, "it is not active"),
                (seen.stage is Stage.INSTALLED, "no template is installed on it"),
                then=changed(
                    _with_volume(have, changed(seen, guest=guest_digest(spec))), copy_of=""
                ),
            )
        case ReserveVolume():
            reserved = changed(seen, stage=Stage.FILLING, template=UNFINISHED_COPY)
            return _need(
                off,
                (seen.active, "it is not active"),
                (seen.stage is Stage.FORMATTED, "it is not empty"),
                new,
                then=_with_volume(have, reserved),
            )
        case UnpackVolume(template=template) | CloneVolume(template=template):
            stage = Stage.FORMATTED if template is None else Stage.INSTALLED
            guest = None if template is None else UNFINISHED_COPY
            filled = changed(seen, stage=stage, template=template, guest=guest)
            taken_over = isinstance(action, UnpackVolume) and action.takes_over
            return _need(
                off,
                (seen.active, "it is not active"),
                (seen.is_reserved, "it is not reserved for a copy"),
                then=changed(
                    _with_volume(have, filled), copy_of="" if taken_over else have.copy_of
                ),
            )
        case _:
            assert_never(action)


def _handed_over(action: RenameVolume, have: Observation) -> After:
    """It is the new name's; one that is missing may have been handed over already."""
    place = (action.pool, action.volume)
    there = have.volume(*place) is not None or _is_missing(have, *place)
    left = tuple(each for each in have.volumes if (each.pool, each.name) != place)
    return _need(
        (there, "the volume does not exist"),
        (have.power is Power.STOPPED, f"the VM is {have.power}"),
        then=changed(
            _found(have, *place), volumes=left, renaming=Renaming(action.old_name, action.new_name)
        ),
    )


def _moved(action: MoveVolume, have: Observation) -> After:
    """It is in the new pool alone; nothing but what an earlier try left may be in its place."""
    old, new = have.volume(action.from_pool, action.volume), have.volume(action.pool, action.volume)
    if old is None:
        return Failure("the volume does not exist")
    is_here = have.recorded == action.spec and new is not None
    is_free = new is None or new.stage is Stage.ALLOCATED or new.is_moving
    content = new if is_here and new else changed(old, size_bytes=action.size_bytes, snapshots=())
    others = tuple(v for v in have.volumes if v is not old)
    then = changed(have, recorded=action.spec, defined=action.spec, volumes=others)
    return _need(
        (have.power is Power.STOPPED, f"the VM is {have.power}"),
        (have.recorded is not None and not have.foreign, "the VM is not defined"),
        (not (old.unreadable or (new and new.unreadable)), "it cannot be read"),
        (is_here or is_free, "there is another volume in its place"),
        (is_here == old.is_moving, "it is not the one that counts"),
        (not (is_here and new and new.is_moving), "the one that counts is not whole"),
        (is_here or not old.snapshots, "it has snapshots"),
        then=_with_volume(then, changed(content, pool=action.pool, active=True)),
    )


def allocated(action: AllocateVolume) -> VolumeSeen:
    """The volume that *action* leaves."""
    return VolumeSeen(
        name=action.volume,
        pool=action.pool,
        stage=Stage.ALLOCATED,
        size_bytes=action.size_bytes,
    )


def adopted(action: AdoptVolume) -> VolumeSeen:
    """The volume that *action* leaves."""
    return VolumeSeen(
        name=action.volume,
        pool=action.pool,
        stage=Stage.INSTALLED if action.template else Stage.FORMATTED,
        active=True,
        size_bytes=action.size_bytes,
        template=action.template or None,
        guest=action.guest or None,
    )


def _need(*conditions: tuple[bool, str], then: Observation) -> After:
    for holds, otherwise in conditions:
        if not holds:
            return Failure(otherwise)
    return Success(then)


def _with_volume(have: Observation, volume: VolumeSeen) -> Observation:
    others = [v for v in have.volumes if (v.pool, v.name) != (volume.pool, volume.name)]
    return changed(have, volumes=volumes_in_order([*others, volume]))
