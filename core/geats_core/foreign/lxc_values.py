"""Keys of LXC that are one value for a container, and what each is in a pillar."""

import re
from collections.abc import Callable, Mapping

from returns.result import Success

from geats_core.containers.cgroups import CPUSET, USUAL_WEIGHT, V1_SHARES
from geats_core.reading.sizes import format_size, parse_size

CPU_PERIOD_US = 100_000
QUOTA, PERIOD = "lxc.cgroup.cpu.cfs_quota_us", "lxc.cgroup.cpu.cfs_period_us"
BESIDE: Mapping[str, str] = {  # what another key says, without which a value says nothing
    QUOTA: PERIOD,
    "lxc.cgroup.memory.memsw.limit_in_bytes": "lxc.cgroup.memory.limit_in_bytes",
}
NO_LIMIT = ("max", "-1")
INITS: Mapping[str, str] = {  # by signals, and these as numbers; s6 takes the same as busybox
    **dict.fromkeys(("RTMIN+3", "37"), "systemd"),
    **dict.fromkeys(("USR1", "10"), "busybox"),
    **dict.fromkeys(("PWR", "30"), "sysvinit"),
    **dict.fromkeys(("TERM", "15"), "openrc"),
    **dict.fromkeys(("CONT", "18"), "runit"),
    **dict.fromkeys(("USR2", "12"), "procd"),
}


def _limit(value: str) -> object:
    if value in NO_LIMIT:
        return None
    return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else value


def _memory(value: str) -> object:
    limit = _limit(value)
    return format_size(limit) if isinstance(limit, int) else value.upper()


def cpus_of(value: str) -> object:
    """A quota, and perhaps the period that it is of, in µs."""
    words = value.split()
    if not all(re.fullmatch("[1-9][0-9]{0,9}", word) for word in words) or not 0 < len(words) < 3:
        return None
    period = int(words[1]) if len(words) == 2 else CPU_PERIOD_US
    return int(words[0]) / period


def _init(value: str) -> object:
    """liblxc reads a signal by its number, or by its name in any case, with SIG or without."""
    return INITS.get(value.upper().removeprefix("SIG"))


def _weight_of_shares(value: str) -> object:
    """Shares of cgroup v1, as a weight, if the same shares come of it."""
    shares = _limit(value)
    weight = round(shares * USUAL_WEIGHT / V1_SHARES) if isinstance(shares, int) else 0
    return weight if weight and weight * V1_SHARES // USUAL_WEIGHT == shares else None


def _weight(value: str) -> object:
    weight = _limit(value)
    return weight if isinstance(weight, int) and 0 < weight <= 10_000 else None


def _swap_with_memory(value: str) -> object:
    """The limit of both together, and that of memory alone."""
    both, memory = [parse_size("", each.upper()) for each in f"{value} ".split(" ")[:2]]
    match both, memory:
        case Success(most), Success(of_memory) if most >= of_memory:
            return format_size(most - of_memory)
        case _:
            return None


def _cpuset(value: str) -> object:
    return value if CPUSET.fullmatch(value) else None


SIMPLE: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "lxc.uts.name": ("hostname", str),
    "lxc.cgroup.memory.limit_in_bytes": ("memory", _memory),
    "lxc.cgroup.pids.max": ("processes", _limit),
    "lxc.cgroup2.memory.max": ("memory", _memory),
    "lxc.cgroup.cpuset.cpus": ("cpuset", _cpuset),
    "lxc.cgroup2.cpuset.cpus": ("cpuset", _cpuset),
    "lxc.cgroup.cpu.shares": ("cpu_weight", _weight_of_shares),
    "lxc.cgroup2.cpu.weight": ("cpu_weight", _weight),
    "lxc.cgroup.memory.soft_limit_in_bytes": ("memory_soft", _memory),
    "lxc.cgroup2.memory.high": ("memory_soft", _memory),
    "lxc.cgroup.memory.memsw.limit_in_bytes": ("swap", _swap_with_memory),
    "lxc.cgroup2.memory.swap.max": ("swap", _memory),
    "lxc.cgroup2.pids.max": ("processes", _limit),
    QUOTA: ("cpus", cpus_of),
    "lxc.cgroup2.cpu.max": ("cpus", cpus_of),
    "lxc.signal.halt": ("init", _init),
}


def of_cgroup2(key: str) -> bool | None:
    """Whether a key of limits is for cgroup v2; None if the layout of cgroups does not matter."""
    layout = key.split(".")[1]
    return layout == "cgroup2" if layout.startswith("cgroup") else None


def counterparts(key: str) -> tuple[str, ...]:
    """The keys that say the same for the other layout of cgroups."""
    same = (other for other in SIMPLE if SIMPLE[other][0] == SIMPLE[key][0])
    return tuple(other for other in same if of_cgroup2(other) is (not of_cgroup2(key)))
