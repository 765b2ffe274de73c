"""What a container may use of its host, beyond memory, CPUs and processes: files of its cgroup.

Each is written for cgroup v1 and v2: liblxc passes over what is for the layout that the host does
not have. See cgroups(7), and ``Documentation/admin-guide/cgroup-v2.rst`` of the kernel.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from returns.result import Failure, Success

from geats_core.containers.line_values import said_value, written
from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problem, problem, problems_of, shown
from geats_core.reading.fields import Reader, each, of_mapping
from geats_core.reading.mappings import printable
from geats_core.reading.schemas import any_of, by_name, taking, text_matching
from geats_core.reading.sizes import format_size, parse_size
from geats_core.reading.values import dataclass

Pairs: TypeAlias = tuple[tuple[str, str], ...]
Sizes: TypeAlias = tuple[tuple[str, int], ...]

USUAL_WEIGHT, V1_SHARES = 100, 1024  # what a cgroup has that says nothing, in v2 and in v1
LEAST_SHARES, MOST_V1_WEIGHT = 2, 1000
UNLIMITED = ""  # in place of a value
CPUSET = re.compile(r"[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*")
DEVICE = re.compile(r"[0-9]{1,5}:[0-9]{1,7}")
PAGES = {"2MiB": "2MB", "1GiB": "1GB", "64KiB": "64KB"}  # as people write them, and as files do
FILE = re.compile(r"(blkio|cpu|cpuset|hugetlb|io|memory|misc|net_prio|pids|rdma)(\.[A-Za-z0-9_]+)+")
# What memory, cpus and processes write.
BASIC = re.compile(r"memory\.(limit_in_bytes|max)|cpu\.(cfs_quota_us|cfs_period_us|max)|pids\.max")
NO_IO: "tuple[IoLimit, ...]" = ()
RATES = {"read": "rbps", "write": "wbps", "read_ops": "riops", "write_ops": "wiops"}
V1_RATES = {
    "read": "read_bps_device",
    "write": "write_bps_device",
    "read_ops": "read_iops_device",
    "write_ops": "write_iops_device",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IoLimit:
    """The most that is read from a block device of the host, such as ``8:0``, and written to it.

    In a second, in bytes or in requests (``ops``); None is without limit.
    """

    device: str
    read: int | None = None
    write: int | None = None
    read_ops: int | None = None
    write_ops: int | None = None

    @property
    def rates(self) -> dict[str, int]:
        """Those that are limited, by their names."""
        said = {name: getattr(self, name) for name in RATES}
        return {name: rate for name, rate in said.items() if rate is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupLimits:
    """``cpuset`` are the host's CPUs that it may run on, such as ``0-3,8``; empty for all.

    Weights are shares of what is scarce, beside those of other VMs; None is 100. ``swap_bytes`` is
    how much of it may be swapped out, ``soft_memory_bytes`` from where on the kernel takes memory
    back from it first. ``hugepages`` are the most bytes in pages of a size. ``v1`` and ``v2`` are
    further files of its cgroup and what is written into them, for each layout.
    """

    cpuset: str = ""
    cpu_weight: int | None = None
    swap_bytes: int | None = None
    soft_memory_bytes: int | None = None
    hugepages: Sizes = ()
    io_weight: int | None = None
    io: tuple[IoLimit, ...] = ()
    v1: Pairs = ()
    v2: Pairs = ()


# By the keys that people write, what each is here.
FIELDS: Mapping[str, str] = {
    "cpuset": "cpuset",
    "cpu_weight": "cpu_weight",
    "swap": "swap_bytes",
    "memory_soft": "soft_memory_bytes",
    "hugepages": "hugepages",
    "io_weight": "io_weight",
    "io": "io",
    "cgroup": "v1",
    "cgroup2": "v2",
}
KEYS = tuple(FIELDS)
FILES: Mapping[str, str] = {  # of either layout, by what people write for it
    "cpuset.cpus": "cpuset",
    "cpu.shares": "cpu_weight",
    "cpu.weight": "cpu_weight",
    "memory.memsw.limit_in_bytes": "swap",
    "memory.swap.max": "swap",
    "memory.soft_limit_in_bytes": "memory_soft",
    "memory.high": "memory_soft",
    "blkio.bfq.weight": "io_weight",
    "io.weight": "io_weight",
    "io.max": "io",
    **{f"blkio.throttle.{name}": "io" for name in V1_RATES.values()},
    **{f"hugetlb.{pages}.limit_in_bytes": "hugepages" for pages in PAGES.values()},
    **{f"hugetlb.{pages}.max": "hugepages" for pages in PAGES.values()},
}

_cpuset = fields.matching(CPUSET, "CPUs of the host such as 0-3,8, as text")
_weight = fields.or_none(fields.whole_number(1, 10_000))
_size = fields.or_none(parse_size)
_device = fields.matching(DEVICE, "the number of a block device such as 8:0 (see lsblk), as text")
NO_SWAP = (0, "0", "0B")
_ops = fields.or_none(fields.positive_int)


@taking(any_of(parse_size.schema(), {"enum": [*NO_SWAP]}))
def _swap_size(path: str, raw: object) -> Checked[int]:
    """A size, which may be none at all."""
    return Success(0) if raw in NO_SWAP and raw is not False else parse_size(path, raw)


_swap = fields.or_none(_swap_size)


@taking(by_name(text_matching("|".join(PAGES), "a size of pages"), parse_size.schema()))
def _hugepages(path: str, raw: object) -> Checked[Sizes]:
    if not isinstance(raw, Mapping):
        return problem(path, f"must be a mapping of sizes of pages to sizes, got {shown(raw)}")
    found: list[tuple[str, int]] = []
    problems: list[Problem] = []
    for key in sorted(raw, key=printable):
        at = f"{path}.{printable(key)}"
        size = parse_size(at, raw[key])
        if key not in PAGES:
            problems.append(Problem(at, f"must be one of {', '.join(PAGES)}"))
        problems += problems_of(size)
        found += [(printable(key), size.unwrap())] if isinstance(size, Success) else []
    return Failure(tuple(problems)) if problems else Success(tuple(found))


@of_mapping
def _io(read: Reader) -> Checked[IoLimit]:
    limit = IoLimit(
        device=read.need("device", _device, ""),
        read=read.take("read", _size, None),
        write=read.take("write", _size, None),
        read_ops=read.take("read_ops", _ops, None),
        write_ops=read.take("write_ops", _ops, None),
    )
    if not limit.rates:
        read.problems.append(Problem(read.path, f"must limit one of {', '.join(RATES)}"))
    return read.done(limit)


@taking(by_name(text_matching(FILE.pattern, "a file of a cgroup"), fields.text.schema()))
def _files(path: str, raw: object) -> Checked[Pairs]:
    """Files of controllers: not those by which devices are allowed, or processes moved."""
    if not isinstance(raw, Mapping):
        return problem(path, f"must be a mapping of files of a cgroup to text, got {shown(raw)}")
    found: list[tuple[str, str]] = []
    problems: list[Problem] = []
    for key in sorted(raw, key=printable):
        at = f"{path}.{printable(key)}"
        value = said_value(at, raw[key])
        problems += [*problems_of(value), *_wrong_file(at, key)]
        found += [(printable(key), value.unwrap())] if isinstance(value, Success) else []
    return Failure(tuple(problems)) if problems else Success(tuple(found))


def _wrong_file(path: str, key: object) -> Iterable[Problem]:
    if not isinstance(key, str) or not FILE.fullmatch(key):
        wanted = "a file of the controllers blkio, cpu, cpuset, hugetlb, io, memory, misc, net_prio"
        yield Problem(path, f"must be {wanted}, pids or rdma")
    elif key in FILES:
        yield Problem(path, f"has a key of its own: {FILES[key]}")
    elif BASIC.fullmatch(key):
        yield Problem(path, "has a key of its own: memory, cpus or processes")


_ios = each(_io)


def read_cgroups(read: Reader) -> CgroupLimits:
    """Take the keys of it from those of a VM; problems are kept in *read*."""
    ios = read.take("io", _ios, NO_IO)
    devices = [limit.device for limit in ios]
    if len({*devices}) < len(devices):
        read.problems.append(Problem(read.at("io"), "names a device twice"))
    return CgroupLimits(
        cpuset=read.take("cpuset", _cpuset, ""),
        cpu_weight=read.take("cpu_weight", _weight, None),
        swap_bytes=read.take("swap", _swap, None),
        soft_memory_bytes=read.take("memory_soft", _size, None),
        hugepages=read.take("hugepages", _hugepages, ()),
        io_weight=read.take("io_weight", _weight, None),
        io=ios,
        v1=read.take("cgroup", _files, ()),
        v2=read.take("cgroup2", _files, ()),
    )


def cgroups_to_plain(limits: CgroupLimits) -> dict[str, object]:
    """As people write it, without what is not limited."""
    said: dict[str, object] = {
        "cpuset": limits.cpuset,
        "cpu_weight": limits.cpu_weight,
        "swap": _plain_size(limits.swap_bytes),
        "memory_soft": _plain_size(limits.soft_memory_bytes),
        "hugepages": {pages: format_size(size) for pages, size in limits.hugepages},
        "io_weight": limits.io_weight,
        "io": [_plain_io(limit) for limit in limits.io],
        "cgroup": dict(limits.v1),
        "cgroup2": dict(limits.v2),
    }
    return {key: value for key, value in said.items() if value}


def _plain_size(size_bytes: int | None) -> str | None:
    return None if size_bytes is None else format_size(size_bytes)


def _plain_io(limit: IoLimit) -> dict[str, object]:
    sizes = ("read", "write")
    rates = {n: format_size(rate) if n in sizes else rate for n, rate in limit.rates.items()}
    return {"device": limit.device, **rates}


def cgroup_lines(limits: CgroupLimits, memory_bytes: int | None) -> Iterable[tuple[str, str]]:
    """Keys of LXC without their leading ``lxc.``, and values: what may change while it runs.

    All are there: UNLIMITED is the value of what is not set.
    """
    yield from _both("cpuset.cpus", "cpuset.cpus", limits.cpuset, limits.cpuset)
    weight = limits.cpu_weight
    shares = None if weight is None else max(LEAST_SHARES, weight * V1_SHARES // USUAL_WEIGHT)
    yield from _both("cpu.shares", "cpu.weight", _text(shares), _text(weight))
    swap, soft = limits.swap_bytes, limits.soft_memory_bytes
    both = None if swap is None or memory_bytes is None else memory_bytes + swap
    yield from _both("memory.memsw.limit_in_bytes", "memory.swap.max", _text(both), _text(swap))
    yield from _both("memory.soft_limit_in_bytes", "memory.high", _text(soft), _text(soft))


def start_lines(limits: CgroupLimits) -> Iterable[tuple[str, str]]:
    """The same of what is only written as a container starts; nothing for what is not set."""
    weight = limits.io_weight
    if weight is not None:
        v1 = _text(min(weight, MOST_V1_WEIGHT))
        yield from _both("blkio.bfq.weight", "io.weight", v1, _text(weight))
    for pages, size in limits.hugepages:
        file = f"hugetlb.{PAGES[pages]}"
        yield from _both(f"{file}.limit_in_bytes", f"{file}.max", f"{size}", f"{size}")
    for limit in limits.io:
        for name, rate in limit.rates.items():
            yield f"cgroup.blkio.throttle.{V1_RATES[name]}", f"{limit.device} {rate}"
        rates = " ".join(f"{RATES[name]}={rate}" for name, rate in limit.rates.items())
        yield "cgroup2.io.max", f"{limit.device} {rates}"
    yield from ((f"cgroup.{file}", written(value)) for file, value in limits.v1)
    yield from ((f"cgroup2.{file}", written(value)) for file, value in limits.v2)


def _both(v1: str, v2: str, value1: str, value2: str) -> Iterable[tuple[str, str]]:
    yield f"cgroup.{v1}", value1
    yield f"cgroup2.{v2}", value2


def _text(number: int | None) -> str:
    return UNLIMITED if number is None else str(number)


# What a file says that limits nothing, where that is not ``max``.
NONE_OF: Mapping[str, str] = {
    "cpu.shares": str(V1_SHARES),
    "cpu.weight": str(USUAL_WEIGHT),
    "memory.memsw.limit_in_bytes": "-1",
    "memory.soft_limit_in_bytes": "-1",
}


def in_words(limits: CgroupLimits) -> Iterable[str]:
    """Each that is set, for people."""
    for key, value in cgroups_to_plain(limits).items():
        yield f"{key} {value}" if isinstance(value, str | int) else key
