"""The configuration of an LXC container as text: a pure function of spec and host facts.

The keys are those of lxc.container.conf(5) for LXC 4 and later. Limits are written for cgroup v1
and v2 alike: LXC ignores those of the layout that the host does not have.

Theory of operation
-------------------
People edit these files. So the head of each contains the spec and a list of short hashes, one for
each line that geats wrote. A line whose hash is not in the list was added by hand. A hash without a
line is a line of geats that somebody removed or changed, and then the file is not a valid
definition. The list starts with a checksum of itself: if that is wrong, nothing is known about any
line.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from hashlib import sha256
from itertools import groupby
from typing import TypeAlias

from returns.result import Failure, Success

from geats_core.containers import cgroups, nic_lines
from geats_core.containers.devices import NOTHING_SEEN, Nodes, device_lines
from geats_core.containers.hooks import hook_lines
from geats_core.containers.isolation import GENERATED, UNCONFINED, isolation_lines
from geats_core.containers.nics import veth_name as veth_name
from geats_core.containers.programs import STOP_SIGNAL, program_lines
from geats_core.containers.tmpfs import tmpfs_line
from geats_core.reading import file_formats
from geats_core.reading.checked import Checked, problem
from geats_core.reading.values import dataclass
from geats_core.vm.idmap import lxc_values
from geats_core.vm.parse import parse_text, to_text
from geats_core.vm.spec import (
    Bind,
    IdRange,
    Init,
    Limits,
    SharedVolume,
    VMSpec,
    Volume,
)

RESERVED = "# geats-"  # lines that start so are never added by hand
SPEC_LINE = f"{RESERVED}spec: "
FORMAT_LINE = f"{RESERVED}format: "
WROTE_LINE = f"{RESERVED}wrote: "
TITLE = "# Written by geats. Lines added by hand stay; what geats wrote, it writes again."
BY_HAND = "# Added by hand, and kept by geats:"
UNWRITABLE = re.compile("[\x00-\x08\n-\x1f\x7f-\x9f\ud800-\udfff\ufffd]")  # all controls but tab
# The sources of each are named in docs/how-to/boot.md. AUTO has none: liblxc sends SIGRTMIN+3 to
# an init that blocks it, as systemd does, and SIGPWR to any other (lxccontainer.c, shutdown).
HALT_SIGNAL = {
    Init.SYSTEMD: "SIGRTMIN+3",
    Init.BUSYBOX: "SIGUSR1",
    Init.SYSVINIT: "SIGPWR",
    Init.OPENRC: "SIGTERM",
    Init.RUNIT: "SIGCONT",
    Init.S6: "SIGUSR1",
    Init.PROCD: "SIGUSR2",
    Init.NONE: STOP_SIGNAL,
}
HALT = "lxc.signal.halt"
INCLUDES = "/usr/share/lxc/config"  # where LXC has what its containers have in common
COMMON, USERNS = f"{INCLUDES}/common.conf", f"{INCLUDES}/userns.conf"
CPU_PERIOD_US = 100_000
UNLIMITED = ""
BLANKS = " \t"
RULE = re.compile(r"lxc\.cgroup2?\.devices\.(allow|deny) = ")
INCLUDE = re.compile(r"[ \t]*lxc\.include[ \t]*=")
UNSET = (  # what geats says, by these keys: what is included has to say nothing of it
    "lxc.net =",
    "lxc.idmap =",
    "lxc.rootfs.options =",
    "lxc.cgroup.memory.limit_in_bytes =",
    "lxc.cgroup.cpu.cfs_period_us =",
    "lxc.cgroup.cpu.cfs_quota_us =",
    "lxc.cgroup.pids.max =",
    "lxc.cgroup2.memory.max =",
    "lxc.cgroup2.cpu.max =",
    "lxc.cgroup2.pids.max =",
)
NO_LIMITS = Limits()
Mounted: TypeAlias = Volume | Bind | SharedVolume


@dataclass(frozen=True, slots=True, kw_only=True)
class LxcFacts:
    """What the rendering needs to know of the host.

    ``volume_paths`` maps each volume's name to the directory that contains its files, also those of
    volumes that other VMs share. ``idmap_first``
    and ``idmap_count`` are the host's range of subordinate ids, equal for users and groups. The
    volumes in ``shifted`` show ids of that range already. ``devices`` are what those of the VM are.
    """

    volume_paths: Mapping[str, str]
    shifted: frozenset[str] = frozenset()
    idmap_first: int = 100_000
    idmap_count: int = 65_536
    apparmor: bool = False
    includes: str = INCLUDES
    devices: Mapping[str, Nodes] = field(default_factory=lambda: NOTHING_SEEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class LxcConfig:
    """What a ``config`` file says, however it was edited since.

    ``spec`` is None if a line of geats was removed or changed. ``by_hand`` are the lines that
    geats did not write, in their order. A file that geats never wrote is ``foreign``; so is one
    that it wrote for another container, as a copied directory holds. ``unreadable`` is why nothing
    more is known of one that geats wrote: a newer one did. ``places`` are the directories that the
    file leads to, by the names of the volumes that should be there.
    """

    spec: VMSpec | None = None
    by_hand: tuple[str, ...] = ()
    foreign: bool = False
    unreadable: str = ""
    places: Mapping[str, str] = field(default_factory=dict, compare=False)


def render_lxc_config(spec: VMSpec, facts: LxcFacts, keep: Sequence[str] = ()) -> str:
    """The whole text of the container's ``config`` file, with the lines *keep*, added by hand.

    None of them may be ``unwritable``. They stand last, as what comes last wins; but includes stand
    first, so that what they set does not win over the spec.
    """
    first = [line for line in keep if INCLUDE.match(line)]
    last = [line for line in keep if line not in first]
    body = [
        *_includes(spec, facts),
        *([BY_HAND] if first else []),
        *first,
        *(UNSET if first or spec.includes is not None else ()),
        *_identity(spec, facts),
        *_storage(spec, facts),
        *device_lines(spec.devices, facts.devices, denied=denies_devices(spec)),
        *_nics(spec),
        *_cgroup_lines(spec),
        *hook_lines(spec.hooks),
        *spec.raw,
        *([BY_HAND] if last else []),
    ]
    head = [TITLE, FORMAT_LINE + f"{file_formats.CONFIG}", spec_line(spec)]
    wrote = Counter([*head, *body]) - Counter(first)
    return "".join(f"{line}\n" for line in (*head, _wrote_line(wrote.elements()), *body, *last))


def _cgroup_lines(spec: VMSpec) -> Iterable[str]:
    return (f"lxc.{key} = {value}" for key, value in cgroup_items(spec.limits))


def read_lxc_config(text: str, name: str) -> LxcConfig:
    """What the ``config`` file of the container *name* says."""
    lines = [line for line in text.split("\n") if line.strip()]  # as liblxc splits them
    if not _is_of_geats(lines, name):
        return LxcConfig(foreign=True)
    why = wrong_format(lines)
    if why:
        return LxcConfig(unreadable=why)
    wrote = _wrote(lines)
    if wrote is None:
        return LxcConfig()
    own: list[str] = []
    by_hand: list[str] = []
    for line in lines:
        digest = _digest(line)
        if wrote[digest]:
            wrote[digest] -= 1
            own.append(line)
        elif not line.startswith(RESERVED):
            by_hand.append(line)
    spec = None if wrote.total() else _spec_among(own, name)
    places = {} if spec is None else _places(spec, lines)
    return LxcConfig(spec=spec, by_hand=tuple(by_hand), places=places)


def with_device_rules(text: str, spec: VMSpec, seen: Mapping[str, Nodes]) -> str:
    """The ``config`` *text* of *spec* with the rules for its devices as these are *seen* now.

    Some have other numbers after each start of the host, and theirs may be those of others then.
    """
    lines, written = text.split("\n"), device_lines(spec.devices, seen, denied=denies_devices(spec))
    by_kind = {is_rule: [*each] for is_rule, each in groupby(written, key=_is_rule)}
    now, mounts = by_kind.get(True, []), by_kind.get(False, [])
    wrote = _wrote(lines)
    if wrote is None:
        return text
    ours = wrote - Counter(map(_digest, (*_cgroup_lines(spec), *spec.raw)))
    rules = Counter(filter(_is_rule, lines))
    old = Counter({line: ours[_digest(line)] for line in rules}) & rules
    if old == Counter(now):
        return text
    kept = wrote - Counter(map(_digest, old.elements())) + Counter(map(_digest, now))
    left = [*_without(lines, old, _sealed(kept.elements()))]
    at = next((at for at, line in enumerate(left) if line in mounts), len(left))
    return "\n".join((*left[:at], *now, *left[at:]))


def _is_rule(line: str) -> bool:
    return bool(RULE.match(line))


def _without(lines: Iterable[str], gone: Mapping[str, int], sealed: str) -> Iterable[str]:
    left = Counter(gone)
    for line in lines:
        if left[line] > 0:
            left[line] -= 1
        else:
            yield sealed if line.startswith(WROTE_LINE) else line


def _places(spec: VMSpec, lines: Iterable[str]) -> dict[str, str]:
    """Where *lines* have each volume of *spec*: of two for one mount point, the last one counts."""
    names = {v.mount.removeprefix("/"): v.name for v in _mounted(spec)}
    found: dict[str, str] = {}
    for line in lines:
        key, _, value = (part.strip(BLANKS) for part in line.partition("="))
        path, inside, *_ = [*re.split(f"[{BLANKS}]+", value), ""]
        if key == "lxc.rootfs.path":
            found[spec.root.name] = value.removeprefix("dir:")
        elif key == "lxc.mount.entry" and inside in names:
            found[names[inside]] = _unescaped(path)
    return found


def _unescaped(path: str) -> str:
    return path.replace("\\011", "\t").replace("\\040", " ").replace("\\134", "\\")


def unwritable(lines: Iterable[str]) -> tuple[str, ...]:
    """Those of *lines* that would not be read back as they are, if they were kept."""
    return tuple(
        line
        for line in lines
        if UNWRITABLE.search(line) or not line.strip() or line.startswith(RESERVED)
    )


def spec_line(spec: VMSpec) -> str:
    """The comment that contains *spec*: ``spec_of_lxc_config`` reads it."""
    return f"{SPEC_LINE}{spec.name} {to_text(spec)}"


def spec_of_lxc_config(text: str) -> Checked[VMSpec]:
    """The spec in the first ``spec_line`` of *text*, whatever else was changed in it."""
    for line in text.split("\n"):
        if line.startswith(SPEC_LINE):
            name, _, plain = line.removeprefix(SPEC_LINE).partition(" ")
            return parse_text(name, plain)
    return problem("config", "was not written by geats")


def wrong_format(lines: Iterable[str]) -> str:
    """Why the file must not be read, by the format that it says; empty if it may."""
    said = [line.removeprefix(FORMAT_LINE) for line in lines if line.startswith(FORMAT_LINE)]
    number = int(said[0]) if said and said[0].isdecimal() else 1 if not said else said[0]
    return file_formats.newer(number, file_formats.CONFIG)


def _is_of_geats(lines: Iterable[str], name: str) -> bool:
    """Whether geats wrote them for *name*, or for a container whose name is gone."""
    ours = [line for line in lines if line.startswith(RESERVED)]
    specs = [line.removeprefix(SPEC_LINE) for line in ours if line.startswith(SPEC_LINE)]
    return any(spec.split(" ")[0] == name for spec in specs) if specs else bool(ours)


def _wrote_line(lines: Iterable[str]) -> str:
    return _sealed(map(_digest, lines))


def _sealed(each: Iterable[str]) -> str:
    digests = " ".join(each)
    return f"{WROTE_LINE}{_digest(digests)} {digests}"


def _wrote(lines: Iterable[str]) -> Counter[str] | None:
    """How often geats wrote each line, by their hashes; None if that cannot be read."""
    for line in lines:
        if line.startswith(WROTE_LINE):
            seal, _, digests = line.removeprefix(WROTE_LINE).partition(" ")
            return Counter(digests.split(" ")) if seal == _digest(digests) else None
    return None


def _digest(line: str) -> str:
    """Equal for lines that liblxc reads alike: it ignores blanks around a key and its value."""
    if not line.startswith("#"):
        key, equals, value = line.partition("=")
        line = f"{key.strip(BLANKS)}{equals}{value.strip(BLANKS)}"
    return sha256(line.encode(errors="replace")).hexdigest()[:12]


def _spec_among(lines: Iterable[str], name: str) -> VMSpec | None:
    match spec_of_lxc_config("\n".join(lines)):
        case Success(spec):
            return spec if spec.name == name else None
        case Failure():
            return None


def cgroup_items(limits: Limits) -> tuple[tuple[str, str], ...]:
    """Keys (without their leading ``lxc.``) and values of every limit that is set."""
    live = ((key, value) for key, value in _all_cgroup_items(limits) if value != UNLIMITED)
    return (*live, *cgroups.start_lines(limits.cgroup))


def _all_cgroup_items(limits: Limits) -> Iterable[tuple[str, str]]:
    memory = UNLIMITED if limits.memory_bytes is None else str(limits.memory_bytes)
    yield "cgroup.memory.limit_in_bytes", memory
    yield "cgroup2.memory.max", memory
    quota = None if limits.cpus is None else max(1000, round(limits.cpus * CPU_PERIOD_US))
    yield "cgroup.cpu.cfs_quota_us", UNLIMITED if quota is None else str(quota)
    yield "cgroup2.cpu.max", UNLIMITED if quota is None else f"{quota} {CPU_PERIOD_US}"
    processes = UNLIMITED if limits.processes is None else str(limits.processes)
    yield "cgroup.pids.max", processes
    yield "cgroup2.pids.max", processes
    yield from cgroups.cgroup_lines(limits.cgroup, limits.memory_bytes)


def live_items(
    limits: Limits, was: Limits = NO_LIMITS, *, cgroup2: bool
) -> tuple[tuple[str, str], ...]:
    """Cgroup files and the values to write into them while the container runs.

    It runs with *was*; of what only containers have, what stays as it is is not written.
    """
    prefix = "cgroup2." if cgroup2 else "cgroup."
    same = {*cgroups.cgroup_lines(was.cgroup, was.memory_bytes)}
    none = {
        **cgroups.NONE_OF,
        "memory.limit_in_bytes": "-1",
        "cpu.cfs_quota_us": "-1",
        "cpu.max": f"max {CPU_PERIOD_US}",
    }
    named = [
        (key.removeprefix(prefix), value)
        for key, value in _all_cgroup_items(limits)
        if key.startswith(prefix) and (key, value) not in same
    ]
    return tuple((key, value or none.get(key, "max")) for key, value in named)


def halt_signal(spec: VMSpec) -> str:
    """What asks process 1 of the guest to end; empty if that is found in the guest."""
    return spec.runs.stop_signal or HALT_SIGNAL.get(spec.init, "")


def _includes(spec: VMSpec, facts: LxcFacts) -> Iterable[str]:
    """What is said; else what LXC has for every container, and for unprivileged ones."""
    if spec.includes is not None:
        yield from (f"lxc.include = {path}" for path in spec.includes)
        return
    yield f"lxc.include = {facts.includes}/common.conf"
    if not spec.privileged:
        yield f"lxc.include = {facts.includes}/userns.conf"


def denies_devices(spec: VMSpec) -> bool:
    """Whether a guest may open no device but those that are allowed: LXC's files say so."""
    includes = (COMMON,) if spec.includes is None else spec.includes
    return spec.privileged and COMMON in includes


def _identity(spec: VMSpec, facts: LxcFacts) -> Iterable[str]:
    if not spec.privileged:
        of_host = IdRange(guest=0, host=facts.idmap_first, count=facts.idmap_count)
        for value in lxc_values(spec.ids or (of_host,)):
            yield f"lxc.idmap = {value}"
    yield f"lxc.uts.name = {spec.hostname}"
    if halt_signal(spec):
        yield f"{HALT} = {halt_signal(spec)}"
    profile = spec.isolation.apparmor or (GENERATED if facts.apparmor else UNCONFINED)
    yield f"lxc.apparmor.profile = {profile}"
    if facts.apparmor and (spec.isolation.nesting or not spec.privileged):
        yield "lxc.apparmor.allow_nesting = 1"  # systemd 252 and later mounts for its services
    yield from isolation_lines(spec.isolation)
    yield from program_lines(spec.runs)


def _storage(spec: VMSpec, facts: LxcFacts) -> Iterable[str]:
    """The root filesystem, then all that is mounted: each before what is mounted within it."""
    yield f"lxc.rootfs.path = dir:{facts.volume_paths[spec.root.name]}"
    if _mapped(spec, spec.root, facts):
        yield "lxc.rootfs.options = idmap=container"
    mounted: list[Mounted] = [*_mounted(spec), *spec.binds, *spec.shared_volumes]
    lines = {each.mount: _mount_line(spec, each, facts) for each in mounted}
    lines |= {each.mount: tmpfs_line(each) for each in spec.tmpfs}
    yield from (lines[mount] for mount in sorted(lines))


def _mount_line(spec: VMSpec, each: Mounted, facts: LxcFacts) -> str:
    path = each.source if isinstance(each, Bind) else facts.volume_paths[each.name]
    mode = "ro" if each.read_only else "rw"
    idmap = ",idmap=container" if _mapped(spec, each, facts) else ""
    inside = each.mount.removeprefix("/")
    options = f"{_bound(each, mode)}{idmap}"
    return f"lxc.mount.entry = {fstab_escaped(path)} {inside} none {options} 0 0"


def _nics(spec: VMSpec) -> Iterable[str]:
    for index, nic in enumerate(spec.nics):
        yield from nic_lines.lines(spec.name, index, nic)
    yield from nic_lines.hooks(spec.nics)


def _mounted(spec: VMSpec) -> Iterable[Volume]:
    """The volumes beside the root that are mounted anywhere."""
    return (v for v in spec.volumes if v is not spec.root and v.mount)


def _bound(each: Mounted, mode: str) -> str:
    """How it is mounted: see lxc.container.conf(5) for ``create`` and ``optional``."""
    if not isinstance(each, Bind):
        return f"bind,{mode},create=dir"
    kind = "rbind" if each.recursive else "bind"
    made = "create=file" if each.file else "create=dir"
    later = f",{'r' if each.recursive else ''}slave"
    propagated = later if each.slave else ""
    return f"{kind},{mode},{made}{',optional' if each.optional else ''}{propagated}"


def _mapped(spec: VMSpec, each: Mounted, facts: LxcFacts) -> bool:
    """Whether ids in the guest, which are others on the host, are those of the files."""
    return not isinstance(each, Bind) and not spec.privileged and each.name not in facts.shifted


def fstab_escaped(path: str) -> str:
    """See fstab(5): white space in a field is written in octal."""
    return path.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")
