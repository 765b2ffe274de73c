"""What keeps a container apart from its host, and what of that it gives up.

The lines are those of lxc.container.conf(5). They come after ``common.conf`` and ``userns.conf``,
and add to what these say.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from returns.result import Success

from geats_core.containers.line_values import said_value, written
from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problem, problem, shown
from geats_core.reading.fields import Reader, each, of_mapping
from geats_core.reading.mappings import printable
from geats_core.reading.schemas import NONE, any_of, by_name, taking, text_matching, words
from geats_core.reading.values import dataclass

Pairs: TypeAlias = tuple[tuple[str, str], ...]

MANY = ("lxc.prlimit.", "lxc.sysctl.")  # keys of as many names as there are
NO_NAMES: tuple[str, ...] = ()
GENERATED, UNCONFINED = "generated", "unconfined"
UNCHANGED = "unchanged"  # the profile of who starts it, which has none as a rule
NESTED_MOUNTS = (  # the kernel lets a user namespace mount both only where they are seen whole
    "proc dev/.lxc/proc proc create=dir,optional 0 0",
    "sys dev/.lxc/sys sysfs create=dir,optional 0 0",
)
# See capabilities(7), by the names that liblxc has for them.
CAPABILITIES = (
    *("audit_control", "audit_read", "audit_write", "block_suspend", "bpf", "checkpoint_restore"),
    *("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "ipc_lock", "ipc_owner"),
    *("kill", "lease", "linux_immutable", "mac_admin", "mac_override", "mknod", "net_admin"),
    *("net_bind_service", "net_broadcast", "net_raw", "perfmon", "setfcap", "setgid", "setpcap"),
    *("setuid", "sys_admin", "sys_boot", "sys_chroot", "sys_module", "sys_nice", "sys_pacct"),
    *("sys_ptrace", "sys_rawio", "sys_resource", "sys_time", "sys_tty_config", "syslog"),
    "wake_alarm",
)
OF_HOST = frozenset({"mac_admin", "mac_override", "sys_module", "sys_rawio", "sys_time"})
RLIMITS = (  # see setrlimit(2)
    *("as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile"),
    *("nproc", "rss", "rtprio", "rttime", "sigpending", "stack"),
)
AUTO_KINDS: Mapping[str, tuple[str, ...]] = {  # what liblxc mounts by itself, and how
    "proc": ("mixed", "rw"),
    "sys": ("mixed", "ro", "rw"),
    "cgroup": ("mixed", "ro", "rw", "mixed:force", "ro:force", "rw:force", "force"),
    "cgroup-full": ("mixed", "ro", "rw", "mixed:force", "ro:force", "rw:force", "force"),
}
MOUNTED = (*AUTO_KINDS, *(f"{kind}:{how}" for kind, hows in AUTO_KINDS.items() for how in hows))
WRITABLE = re.compile(r"(proc|sys):rw|cgroup(-full)?:rw(:force)?")
# Those that the kernel has for each guest by itself, see namespaces(7); others are the host's.
OWN_SYSCTLS = re.compile(
    r"net\..+|fs\.mqueue\..+|user\..+"
    r"|kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced|domainname)"
)
SYSCTL = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+")
RLIMIT = re.compile(r"([0-9]{1,19}|unlimited)(:([0-9]{1,19}|unlimited))?")
PROFILE = re.compile(r"[A-Za-z0-9_./:&+-]{1,255}")
CONTEXT = re.compile(r"[a-z0-9_]+:[a-z0-9_]+:[a-z0-9_]+(:[a-z0-9_,.:-]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Those of capabilities(7) that a guest lacks (``drop``), besides those that LXC drops anyway.

    If ``keep`` is not None, it has these alone.
    """

    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """How a container is kept apart from its host; what is empty is as LXC has it for all.

    With ``nesting``, the guest can run containers itself. ``mount_auto`` is all that liblxc mounts
    by itself, such as ``proc:rw``. ``apparmor`` is a profile, ``seccomp`` the path of one or
    ``none``, ``selinux`` a context. ``rlimits`` are soft and hard, such as ``1024:65536``. The
    guest has a ``keyring`` of its own, or that of who starts it; and a network of its own, or with
    ``host_network`` that of the host.
    """

    nesting: bool = False
    mount_auto: tuple[str, ...] | None = None
    capabilities: Capabilities = Capabilities()
    apparmor: str = ""
    seccomp: str = ""
    selinux: str = ""
    no_new_privileges: bool = False
    sysctls: Pairs = ()
    rlimits: Pairs = ()
    oom_score: int = 0
    keyring: bool = True
    host_network: bool = False


KEYS = tuple(Isolation.__dataclass_fields__)  # as people write them, each a key of the VM
FIELDS: Mapping[str, str] = {  # by keys of LXC, and by what keys of many names begin with
    "lxc.apparmor.profile": "apparmor",
    "lxc.cap.drop": "capabilities",
    "lxc.cap.keep": "capabilities",
    "lxc.keyring.session": "keyring",
    "lxc.mount.auto": "mount_auto",
    "lxc.no_new_privs": "no_new_privileges",
    "lxc.prlimit": "rlimits",
    "lxc.proc.oom_score_adj": "oom_score",
    "lxc.seccomp.profile": "seccomp",
    "lxc.selinux.context": "selinux",
    "lxc.sysctl": "sysctls",
}


def field_of(key: str) -> str:
    """The key of a VM that says what this key of LXC does; empty if there is none."""
    many = [prefix for prefix in MANY if key.startswith(prefix)]
    return FIELDS.get(many[0].removesuffix(".") if many else key, "")


@of_mapping
def _capabilities(read: Reader) -> Checked[Capabilities]:
    found = Capabilities(
        drop=tuple(sorted({*read.take("drop", _some, NO_NAMES)})),
        keep=read.take("keep", _some, None),
    )
    if found.drop and found.keep is not None:
        message = "cannot be said with drop: all that is not kept is dropped"
        read.problems.append(Problem(read.at("keep"), message))
    return read.done(found)


@taking(
    by_name(
        text_matching(SYSCTL.pattern, "a name such as net.ipv4.ip_forward"), fields.text.schema()
    )
)
def _sysctls(path: str, raw: object) -> Checked[Pairs]:
    return _pairs(path, raw, _sysctl_name, said_value)


@taking(
    by_name(
        words([*RLIMITS]),
        any_of({"type": "integer", "minimum": 0}, text_matching(RLIMIT.pattern, "a limit")),
    )
)
def _rlimits(path: str, raw: object) -> Checked[Pairs]:
    return _pairs(path, raw, fields.one_of("limit", RLIMITS), _rlimit)


def _pairs(
    path: str, raw: object, name: fields.Parser[str], value: fields.Parser[str]
) -> Checked[Pairs]:
    """A mapping, sorted by its keys; every problem of it."""
    if not isinstance(raw, Mapping):
        return problem(path, f"must be a mapping, got {shown(raw)}")
    read = Reader(path, raw)
    found = [
        (read.keep(name(at, key), ""), read.keep(value(at, raw[key]), ""))
        for key in raw
        for at in [read.at(printable(key))]
    ]
    return read.checked(tuple(sorted(found)))


def _sysctl_name(path: str, raw: object) -> Checked[str]:
    if not isinstance(raw, str) or not SYSCTL.fullmatch(raw):
        return problem(path, "must be a name such as net.ipv4.ip_forward")
    if not OWN_SYSCTLS.fullmatch(raw):
        return problem(path, "is of the whole host, and not of one guest: set it on the host")
    return Success(raw)


def _rlimit(path: str, raw: object) -> Checked[str]:
    """Soft and hard; one value is both."""
    number = isinstance(raw, int) and not isinstance(raw, bool) and raw.bit_length() <= 64
    said = f"{raw}" if number or isinstance(raw, str) else ""
    if not RLIMIT.fullmatch(said):
        wanted = "must be a number, 'unlimited', or a soft and a hard one such as '1024:65536'"
        return problem(path, f"{wanted}, got {shown(raw)}")
    soft, _, hard = said.partition(":")
    if hard and _height(soft) > _height(hard):  # see setrlimit(2): nothing starts with that
        return problem(path, f"its soft limit is above its hard one: {shown(raw)}")
    return Success(soft if hard in ("", soft) else said)


def _height(limit: str) -> int:
    return 10**19 if limit == "unlimited" else int(limit)


@taking(any_of(fields.absolute_path.schema(), words([NONE])))
def _seccomp(path: str, raw: object) -> Checked[str]:
    return Success(NONE) if raw == NONE else fields.bind_source(path, raw)


_some = each(fields.one_of("capability", CAPABILITIES))
_mounted = each(fields.one_of("mount of liblxc", MOUNTED))
_apparmor = fields.matching(PROFILE, "'generated', 'unconfined', or the name of a profile")
_selinux = fields.matching(CONTEXT, "a context such as system_u:system_r:lxc_t:s0:c1,c2")
_oom_score = fields.whole_number(-1000, 1000)


def read_isolation(read: Reader) -> Isolation:
    """Take the keys of it from those of a VM; problems are kept in *read*."""
    default = Isolation()
    return Isolation(
        nesting=read.take("nesting", fields.boolean, default.nesting),
        mount_auto=read.take("mount_auto", _mounted, None),
        capabilities=read.take("capabilities", _capabilities, default.capabilities),
        apparmor=read.take("apparmor", _apparmor, ""),
        seccomp=read.take("seccomp", _seccomp, ""),
        selinux=read.take("selinux", _selinux, ""),
        no_new_privileges=read.take("no_new_privileges", fields.boolean, False),
        sysctls=read.take("sysctls", _sysctls, ()),
        rlimits=read.take("rlimits", _rlimits, ()),
        oom_score=read.take("oom_score", _oom_score, 0),
        keyring=read.take("keyring", fields.boolean, default.keyring),
        host_network=read.take("host_network", fields.boolean, False),
    )


def isolation_to_plain(isolation: Isolation) -> dict[str, object]:
    """As people write it, without what is as LXC has it for all."""
    kept = isolation.capabilities.keep
    said: dict[str, object] = {
        "nesting": isolation.nesting,
        "capabilities": {
            **({"drop": [*isolation.capabilities.drop]} if isolation.capabilities.drop else {}),
            **({} if kept is None else {"keep": [*kept]}),
        },
        "apparmor": isolation.apparmor,
        "seccomp": isolation.seccomp,
        "selinux": isolation.selinux,
        "no_new_privileges": isolation.no_new_privileges,
        "sysctls": dict(isolation.sysctls),
        "rlimits": dict(isolation.rlimits),
        "oom_score": isolation.oom_score,
        "host_network": isolation.host_network,
    }
    automatic = {} if isolation.mount_auto is None else {"mount_auto": [*isolation.mount_auto]}
    keyring = {} if isolation.keyring else {"keyring": False}
    return {key: value for key, value in said.items() if value} | automatic | keyring


def isolation_lines(isolation: Isolation) -> Iterable[str]:
    """The lines of it, but for the profile of AppArmor, as some hosts have none."""
    if isolation.mount_auto is not None:
        yield "lxc.mount.auto ="
        yield from (f"lxc.mount.auto = {each_one}" for each_one in isolation.mount_auto)
    if isolation.nesting:
        yield from (f"lxc.mount.entry = {mount}" for mount in NESTED_MOUNTS)
    if isolation.capabilities.drop:
        yield f"lxc.cap.drop = {' '.join(isolation.capabilities.drop)}"
    if isolation.capabilities.keep is not None:
        yield "lxc.cap.drop ="
        yield f"lxc.cap.keep = {' '.join(isolation.capabilities.keep) or NONE}"
    if isolation.seccomp:
        profile = "" if isolation.seccomp == NONE else written(isolation.seccomp)
        yield f"lxc.seccomp.profile = {profile}"
    if isolation.selinux:
        yield f"lxc.selinux.context = {isolation.selinux}"
    if isolation.no_new_privileges:
        yield "lxc.no_new_privs = 1"
    yield from (f"lxc.sysctl.{key} = {written(value)}" for key, value in isolation.sysctls)
    yield from (f"lxc.prlimit.{key} = {value}" for key, value in isolation.rlimits)
    if isolation.oom_score:
        yield f"lxc.proc.oom_score_adj = {isolation.oom_score}"
    if not isolation.keyring:
        yield "lxc.keyring.session = 0"
    if isolation.host_network:
        yield "lxc.net.0.type = none"


def isolation_warnings(isolation: Isolation, *, privileged: bool) -> Iterable[tuple[str, str]]:
    """What a guest can do that others cannot, each with the key that opens it."""
    if isolation.nesting and privileged:
        yield "nesting", "root of the guest can change settings of the host's kernel"
    elif isolation.nesting:
        yield "nesting", "the guest can mount proc and sysfs, and so reaches more of the kernel"
    writable = [each_one for each_one in isolation.mount_auto or () if WRITABLE.fullmatch(each_one)]
    if privileged and writable:
        what = f"root of the guest can change the host by what is mounted as {', '.join(writable)}"
        yield "mount_auto", what
    kept = OF_HOST.intersection(isolation.capabilities.keep or ())
    if privileged and kept:
        yield "capabilities", f"root of the guest has {', '.join(sorted(kept))} on the host"
    of_host = [key for key, _ in isolation.sysctls if key.startswith("user.")]
    if privileged and of_host:
        yield "sysctls", f"{', '.join(of_host)} is then so for the whole host"
    if isolation.apparmor in (UNCONFINED, UNCHANGED):
        yield "apparmor", "AppArmor keeps the guest from nothing"
    if isolation.seccomp == NONE:
        yield "seccomp", "the guest can use every system call"
    if isolation.oom_score < 0:
        yield "oom_score", "if memory is short, processes of the host are ended before the guest's"
    if not isolation.keyring:
        yield "keyring", "the guest sees the keys of who starts it"
    if isolation.host_network:
        what = "the guest has all interfaces, addresses and ports of the host, hears what is sent"
        also = "there, and reaches services that trust the host, also by abstract sockets"
        yield "host_network", f"{what} {also}"


def network_problems(isolation: Isolation, *, nics: bool) -> Iterable[Problem]:
    """What cannot go with the network of the host."""
    if isolation.host_network and nics:
        yield Problem("host_network", "is in place of nics: leave one of the two out")
