"""What an action is called, and what a person reads of it."""

import re
from typing import assert_never

from geats_core.containers.cgroups import in_words
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
    Moved,
    MoveVolume,
    NotePlaces,
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
from geats_core.reading.sizes import format_size
from geats_core.vm.spec import Dns, Limits

CAPITAL_WITHIN = re.compile(r"(?<!^)(?=[A-Z])")


def word_of(action: Action) -> str:
    """What kind of action it is, in one word such as ``allocate_volume``."""
    return CAPITAL_WITHIN.sub("_", type(action).__name__).lower()


def describe(action: Action, vm_name: str) -> str:
    """One line for a person to read, without the reason."""
    match action:
        case Define(spec):
            privileged = " as privileged (root in it is root on the host)"
            return f"define {vm_name}{privileged if spec.privileged else ''}"
        case Undefine():
            return f"undefine {vm_name}"
        case AllocateVolume(pool, volume, size_bytes):
            of_size = "" if size_bytes is None else f" of {format_size(size_bytes)}"
            return f"allocate volume {vm_name}/{volume}{of_size} in pool {pool}"
        case FormatVolume(pool, volume):
            return f"format volume {vm_name}/{volume} in pool {pool}"
        case ActivateVolume(pool, volume):
            return f"activate volume {vm_name}/{volume} in pool {pool}"
        case GrowVolume(pool, volume, size_bytes):
            return f"grow volume {vm_name}/{volume} in pool {pool} to {format_size(size_bytes)}"
        case DestroyVolume(pool, volume):
            return f"destroy volume {vm_name}/{volume} in pool {pool}"
        case ForgetVolume(pool, volume):
            return f"forget volume {vm_name}/{volume} in pool {pool}, which is not found"
        case SnapshotVolume(_, volume, snapshot):
            return f"snapshot volume {vm_name}/{volume} as {snapshot}"
        case RollbackVolume(_, volume, snapshot):
            return f"roll volume {vm_name}/{volume} back to snapshot {snapshot}"
        case DeleteSnapshot(_, volume, snapshot):
            return f"delete snapshot {snapshot} of volume {vm_name}/{volume}"
        case InstallTemplate(_, volume, template):
            return f"install template {template} on volume {vm_name}/{volume}"
        case ConfigureGuest(_, volume, _):
            return f"configure the guest on volume {vm_name}/{volume}"
        case ReserveVolume(_, volume):
            return f"reserve volume {vm_name}/{volume} for a copy"
        case UnpackVolume(_, volume, archive) if action.is_from_host:
            then = f", then take {vm_name} over" if action.takes_over else ""
            return f"copy volume {vm_name}/{volume} from {archive.partition('?')[0]}{then}"
        case UnpackVolume(_, volume, archive):
            return f"unpack volume {vm_name}/{volume} from {archive}"
        case TakeVolumes(source, _, volumes):
            named = ", ".join(f"{vm_name}/{each.name}" for each in volumes)
            return f"take {vm_name} over from {source.partition('?')[0]} with {named}, where it is"
        case CloneVolume(_, volume, source):
            return f"clone volume {vm_name}/{volume} from {source}/{volume}"
        case AdoptVolume(pool, volume, _, tree):
            return f"adopt {tree} where it is, as volume {vm_name}/{volume} in pool {pool}"
        case Adopt(called=called) if called:
            return f"adopt {called!r} as {vm_name}: its config is written by geats from now on"
        case Adopt():
            return f"adopt {vm_name} as it is: its config is written by geats from now on"
        case RenameVolume(pool, volume, _, new_name):
            return f"rename volume {vm_name}/{volume} to {new_name}/{volume} in pool {pool}"
        case MoveVolume(pool, volume, from_pool):
            how = "copy it, compare, use the copy, destroy the old one"
            return f"move volume {vm_name}/{volume} from pool {from_pool} to pool {pool}: {how}"
        case Rename(spec, _):
            return f"rename {vm_name} to {spec.name}"
        case Export(archive, reading):
            return f"export {vm_name} to {archive}{_frozen_for(reading)}"
        case Publish(file, without, reading):
            left = f", without {', '.join(without)}" if without else ""
            return f"publish {vm_name} as {file}{left}{_frozen_for(reading)}"
        case SetLimits(limits):
            return f"set the limits of {vm_name}: {describe_limits(limits)}"
        case SetDevices(tells=tells):
            return f"change devices of {vm_name}: {'; '.join(tells)}"
        case SetDns(dns):
            return f"{describe_dns(dns)} of {vm_name}"
        case Start():
            return f"start {vm_name}"
        case AwaitReady(ready):
            return f"wait until {vm_name} is ready ({ready})"
        case TakeOver(source):
            return f"take {vm_name} over from {source.partition('?')[0]} as it runs"
        case Shutdown(timeout_s, _):
            return f"shut down {vm_name} (power off after {timeout_s} s)"
        case Stop():
            return f"stop {vm_name}"
        case KeepOff():
            return f"keep {vm_name} off"
        case Freeze():
            return f"freeze {vm_name}"
        case Hold():
            return f"freeze {vm_name} for a while"
        case Unfreeze():
            return f"unfreeze {vm_name}"
        case Repair():
            return f"repair {vm_name}: end its stuck monitor"
        case Lock():
            return f"lock {vm_name}"
        case Unlock():
            return f"unlock {vm_name}"
        case Pause(0):
            return "wait for the steps before"
        case Pause(seconds):
            return f"wait {seconds} s"
        case UpgradeRegistry(found, wanted):
            return f"upgrade the registry from schema {found} to {wanted}, and keep a copy of it"
        case RemoveLeftover(kind, name, place):
            return f"remove the {kind} {name}{f' of {place}' if place else ''}"
        case NotePlaces(moved):
            return f"remember that {'; '.join(map(_moved, moved))}"
        case _:
            assert_never(action)


def _moved(moved: Moved) -> str:
    left = f", and {', '.join(moved.left)} left behind" if moved.left else ""
    return f"{moved.what} is now {moved.now} (was: {moved.was}){left}"


def describe_limits(limits: Limits) -> str:
    """The limits in one line; of processes, which not every VM can have, only one that is set."""
    memory = "no limit" if limits.memory_bytes is None else format_size(limits.memory_bytes)
    cpus = "no limit" if limits.cpus is None else f"{limits.cpus:g}"
    processes = "" if limits.processes is None else f", processes {limits.processes}"
    others = "".join(f", {each}" for each in in_words(limits.cgroup))
    return f"memory {memory}, cpus {cpus}{processes}{others}"


def describe_dns(dns: Dns) -> str:
    """What becomes of the file that says it, in one line."""
    if dns == Dns():
        return "geats no longer writes resolv.conf"
    said = [f"nameserver {server}" for server in dns.nameservers]
    if dns.search:
        said.append(f"search {' '.join(dns.search)}")
    return f"write {', '.join(said)} to resolv.conf"


def _frozen_for(reading: Reading) -> str:
    """How long a VM that is on is frozen, if only for a moment."""
    return ", frozen only until its volumes are cloned" if reading is Reading.CLONES else ""
