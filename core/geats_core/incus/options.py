"""The options of an instance of Incus, ``limits.memory`` and so on, as keys of a VM."""

import json
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from geats_core.foreign.notes import Plain
from geats_core.foreign.settings import NO_KEY, YES, Settings, whole
from geats_core.reading.schemas import NONE
from geats_core.reading.sizes import format_size
from geats_core.vm.idmap import AUTO, HIGHEST
from geats_core.vm.spec import IdRange, Ids

Read: TypeAlias = Callable[[str], object]

# Incus counts kB, MB and so on in thousands, KiB and MiB in 1024s; a number alone is bytes.
UNITS = {"": 1, "B": 1, "bit": 0} | {
    f"{letter}{ending}": base**power
    for power, letter in enumerate("kMGTP", start=1)
    for ending, base in (("B", 1000), ("iB", 1024))
}
UNITS["KiB"] = 1024
SIZE = re.compile(r"([0-9]{1,15})\s*([A-Za-z]*)")
TIME = re.compile(r"([0-9]{1,9})ms/([0-9]{1,9})ms")
BY_HAND = f"{NO_KEY}: add its lines of LXC to the new VM's config by hand, where they stay"
SEED = "is for cloud-init, which has run in the guest: what it made is in the files"
SHARE = "is a share of what the host has: say how much"
UNREAD = "cannot be read, or is a share of what the host has: say how much"
RAW_IDS, ISOLATED, IDS_SIZE = "raw.idmap", "security.idmap.isolated", "security.idmap.size"
HOLE = re.compile(  # on the host first, then in the guest
    r"(both|uid|gid)\s+([0-9]{1,10})(?:-([0-9]{1,10}))?\s+([0-9]{1,10})(?:-([0-9]{1,10}))?"
)
ALLOWANCE, ENFORCE = "limits.cpu.allowance", "limits.memory.enforce"
SYSCTL, RLIMIT, ENVIRONMENT = "linux.sysctl.", "limits.kernel.", "environment."
# By how keys begin; the longest counts.
REASONS: Mapping[str, str] = {
    "agent.": "is for virtual machines",
    "boot.": "has no effect on the guest",
    "boot.autorestart": f"{NO_KEY}: a beacon of Salt sees it go off",
    "cloud-init.": SEED,
    "cluster.": "is for clusters of Incus: geats places VMs by labels",
    "limits.": BY_HAND,
    "linux.kernel_modules": "geats loads no modules: list them in the host's /etc/modules-load.d",
    "migration.": "is for moves of Incus",
    "nvidia.": f"{NO_KEY}: states of Salt can set the host up for it",
    "oci.": f"{NO_KEY}: the template says what an image starts",
    "raw.": "is not for LXC",
    "raw.idmap": "is for guests that are not privileged",
    "raw.seccomp": f"{NO_KEY}: write it to a file, and name that as seccomp",
    "security.": BY_HAND,
    "security.idmap.base": "geats allocates the ids that a guest has for itself: say idmap: auto",
    "security.idmap.isolated": "is false: it has the ids that all have which say nothing of ids",
    "security.protection.delete": "geats lock does the same",
    "snapshots.": "geats snapshot makes them, by a timer or Salt's schedule",
    "user.": "may be a secret: say what everybody may read as labels",
    "user.meta-data": SEED,
    "user.network-config": SEED,
    "user.user-data": SEED,
    "user.vendor-data": SEED,
}
GROUPS: Mapping[str, str] = {
    "image.": "is what image it was made of: the template has its files",
    "volatile.": "is what Incus itself remembers of it",
}


def size(text: str) -> str:
    """A size of Incus, such as ``512MiB`` or ``2GB``, in words of geats; empty if it is none."""
    found = SIZE.fullmatch(text)
    count = int(found[1]) * UNITS.get(found[2], 0) if found else 0
    return format_size(count) if count else ""


def _switch(text: str) -> object:
    return text.lower() in YES


def _time(text: str) -> object:
    """A part of each period, such as ``25ms/100ms``."""
    found = TIME.fullmatch(text)
    return int(found[1]) / int(found[2]) if found and int(found[2]) else None


def _weight(text: str) -> object:
    """A percentage is no limit: so much counts if time is scarce, of 100 that others have."""
    return whole(text.removesuffix("%"), 10_000) if text.endswith("%") else None


def _swap(text: str) -> object:
    """Whether it may be swapped out at all, or how much of it."""
    return {"true": NONE, "false": 0}.get(text.lower()) if text.isalpha() else size(text)


CARRIED: Mapping[str, tuple[str, Read]] = {
    "boot.host_shutdown_timeout": ("shutdown_timeout", whole),
    "limits.memory": ("memory", size),
    "limits.memory.swap": ("swap", _swap),
    "limits.processes": ("processes", whole),
    "security.nesting": ("nesting", _switch),
    "security.privileged": ("privileged", _switch),
}
STARTS: Mapping[str, tuple[str, Read]] = {
    "boot.autostart": ("enabled", _switch),
    "boot.autostart.priority": ("priority", whole),
    "boot.autostart.delay": ("delay", whole),
}


def carried(settings: Settings, vm: Plain) -> None:
    """Take all options: what has a key goes into *vm*, and of the rest it is told why not."""
    for key, (name, read) in CARRIED.items():
        _one(settings, vm, key, name, name, read)
    allowance = ("cpu_weight", _weight) if settings.get(ALLOWANCE)[-1:] == "%" else ("cpus", _time)
    _one(settings, vm, ALLOWANCE, allowance[0], *allowance)
    _cpus(settings, vm)
    _ids(settings, vm)
    if settings.get(ENFORCE) == "soft" and "memory" in vm:
        vm["memory_soft"] = vm.pop("memory")
        settings.went(ENFORCE, "memory_soft", "which limits.memory is, then")
    autostart: Plain = {}
    for key, (name, read) in STARTS.items():
        _one(settings, autostart, key, name, f"autostart.{name}", read)
    if autostart:
        vm["autostart"] = {"enabled": False, **autostart}
    _many(settings, vm, SYSCTL, "sysctls")
    _many(settings, vm, RLIMIT, "rlimits")
    _many(settings, vm, ENVIRONMENT, "environment")
    for prefix, why in GROUPS.items():
        if settings.drop(prefix):
            settings.taken.left(f"{prefix}*", why)
    for key in [*settings.left_]:
        settings.left(key, _reason(key))


def ids_on_disk(text: str) -> tuple[IdRange, ...] | None:
    """The ids that the files of a root have, as ``volatile.last_state.idmap`` says it.

    Nothing if they have those that the guest sees; None if it cannot be read.
    """
    try:
        raw = json.loads(text or "[]")
        return tuple(_range(each) for each in raw)
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def _range(raw: Mapping[str, object]) -> IdRange:
    guest, host, count = (raw[key] for key in ("Nsid", "Hostid", "Maprange"))
    if not (isinstance(guest, int) and isinstance(host, int) and isinstance(count, int)):
        raise TypeError(raw)
    kinds = (raw["Isuid"] is True, raw["Isgid"] is True)
    ids = {(True, False): Ids.USERS, (False, True): Ids.GROUPS}.get(kinds, Ids.BOTH)
    return IdRange(guest=guest, host=host, count=count, ids=ids)


def _one(settings: Settings, into: Plain, key: str, name: str, to: str, read: Read) -> None:
    if not (text := settings.get(key)):
        return
    value = read(text)
    if value in (None, ""):
        settings.refuse(key, UNREAD)
        return
    into[name] = value
    settings.went(key, to)


def _cpus(settings: Settings, vm: Plain) -> None:
    """So many CPUs: Incus chooses which, geats limits how much of their time. Or those it names."""
    count = whole(settings.get("limits.cpu"), 4096)
    if not count and settings.get("limits.cpu"):
        vm["cpuset"] = settings.get("limits.cpu")
        settings.went("limits.cpu", "cpuset")
    elif count and "cpus" in vm:
        settings.left("limits.cpu", "limits.cpu.allowance says how much time")
    elif count:
        vm["cpus"] = count
        settings.went("limits.cpu", "cpus", "how much time, not which CPUs")


def _ids(settings: Settings, vm: Plain) -> None:
    """Ids of its own, and those of the host that it has among them."""
    if vm.get("privileged"):
        return
    own: Plain = {}
    if count := whole(settings.get(IDS_SIZE), HIGHEST):
        own["count"] = count
        settings.went(IDS_SIZE, "idmap.count")
    holes = [_hole(line) for line in settings.get(RAW_IDS).splitlines() if line.strip()]
    if None in holes:
        settings.refuse(RAW_IDS, UNREAD)
    elif holes:
        own["through"] = holes
        settings.went(RAW_IDS, "idmap.through", "the others are its own, too")
    if isolated := _switch(settings.get(ISOLATED)):
        settings.went(ISOLATED, "idmap")
    if own or isolated:
        vm["idmap"] = own or AUTO


def _hole(line: str) -> Plain | None:
    """Such as ``both 1000 1000``, or ``uid 50-60 500-510``: on the host, then in the guest."""
    found = HOLE.fullmatch(line.strip())
    if found is None:
        return None
    first, last, guest, end = (int(each or -1) for each in found.group(2, 3, 4, 5))
    count = last - first + 1 if last >= 0 else 1
    if count < 1 or count != (end - guest + 1 if end >= 0 else 1):
        return None
    ids = {"uid": {"ids": "users"}, "gid": {"ids": "groups"}}.get(found[1], {})
    return {"guest": guest, "host": first, "count": count, **ids}


def _many(settings: Settings, vm: Plain, prefix: str, name: str) -> None:
    found: dict[str, str] = {}
    for key in [key for key in settings.left_ if key.startswith(prefix)]:
        found[key.removeprefix(prefix)] = settings.get(key)
        settings.went(key, f"{name}.{key.removeprefix(prefix)}")
    if found:
        vm[name] = found


def _reason(key: str) -> str:
    known = [each for each in REASONS if key.startswith(each)]
    return REASONS[max(known, key=len)] if known else NO_KEY
