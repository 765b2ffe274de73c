"""The lines of a container's ``config``, read as liblxc reads them.

Theory of operation
-------------------
liblxc splits a file at line feeds. Of each line it takes what stands before the first ``=`` as the
key and the rest as the value, without blanks around either, and without one pair of quotes around
the value. It ignores comments, lines without ``=``, and keys that do not begin with ``lxc.``. An
include is read where it stands; in a directory, each file named ``*.conf`` in the order in which
the directory has them. Keys of LXC 2 are named as ``lxc-update-config`` names them since LXC 3,
because a later liblxc reads no file that has one of them.

The host reads the files (see ``included_by``); this module only says what they come to.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import TypeAlias

from geats_core.reading.values import dataclass

INCLUDE, ROOTFS = "lxc.include", "lxc.rootfs.path"
TREES = ("dir:", "btrfs:")  # a subvolume is a directory, and liblxc mounts it as one
BLANKS = " \t\r"
QUOTES = ("'", '"')
Files: TypeAlias = tuple[tuple[str, str], ...]
Includes: TypeAlias = Mapping[str, Files]  # by what an include names: the files there, and texts
RENAMED: Mapping[str, str] = {
    "lxc.aa_allow_incomplete": "lxc.apparmor.allow_incomplete",
    "lxc.aa_profile": "lxc.apparmor.profile",
    "lxc.console": "lxc.console.path",
    "lxc.devttydir": "lxc.tty.dir",
    "lxc.haltsignal": "lxc.signal.halt",
    "lxc.id_map": "lxc.idmap",
    "lxc.init_cmd": "lxc.init.cmd",
    "lxc.init_gid": "lxc.init.gid",
    "lxc.init_uid": "lxc.init.uid",
    "lxc.logfile": "lxc.log.file",
    "lxc.loglevel": "lxc.log.level",
    "lxc.mount": "lxc.mount.fstab",
    "lxc.network": "lxc.net",
    "lxc.pts": "lxc.pty.max",
    "lxc.rebootsignal": "lxc.signal.reboot",
    "lxc.rootfs": "lxc.rootfs.path",
    "lxc.se_context": "lxc.selinux.context",
    "lxc.seccomp": "lxc.seccomp.profile",
    "lxc.stopsignal": "lxc.signal.stop",
    "lxc.syslog": "lxc.log.syslog",
    "lxc.tty": "lxc.tty.max",
    "lxc.utsname": "lxc.uts.name",
}
GONE = ("lxc.kmsg", "lxc.pivotdir", "lxc.rootfs.backend")  # since LXC 3, and without effect before
NIC_RENAMED = {"ipv4": "ipv4.address", "ipv6": "ipv6.address"}
KEY = re.compile(r"lxc\.[a-z0-9_.-]+", re.IGNORECASE)
NUMBERED = re.compile(r"([0-9]{1,9})\.(.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnHost:
    """What a host has of what configs name.

    ``includes`` is what they include (see ``all_lines``), ``standard`` the text of LXC's own
    ``common.conf``, and ``kinds`` says of sources of binds whether they are directories. With
    ``cgroup2``, liblxc passes over limits for cgroup v1; without, over those for v2. None if that
    is not known.
    """

    includes: Includes = field(default_factory=dict)
    standard: str = ""
    kinds: Mapping[str, bool] = field(default_factory=dict)
    cgroup2: bool | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One setting. ``key`` is as since LXC 3, ``said`` as it was written.

    ``included`` is what the config itself includes that the line came with; empty for its own.
    """

    key: str
    value: str
    said: str
    included: str = ""

    @property
    def pair(self) -> tuple[str, str]:
        """Equal for lines that liblxc reads alike."""
        return self.key, self.value

    @property
    def text(self) -> str:
        """The line as a config has it, which liblxc reads as the same."""
        value = self.value
        is_quoted = len(value) > 1 and value[0] in QUOTES and value[-1] == value[0]
        if is_quoted or value != value.strip(BLANKS):
            value = f'"{value}"'
        return f"{self.key} = {value}".rstrip(BLANKS)


def own_lines(text: str) -> Iterator[Line]:
    """The settings of one file, in their order, includes among them."""
    nics = -1
    backend = _backend(text)
    for key, value in _settings(text):
        named = RENAMED.get(key, key)
        if key.startswith("lxc.network."):
            nics += key == "lxc.network.type"
            named = _nic_key(key.removeprefix("lxc.network."), max(nics, 0))
        elif key.startswith("lxc.limit."):
            named = f"lxc.prlimit.{key.removeprefix('lxc.limit.')}"
        elif key == "lxc.rootfs" and backend:
            value = f"{backend}:{value}"
        yield Line(named, value, key)


def lines_of(text: str) -> Iterator[tuple[str, str]]:
    """Keys and values of a config itself, named as since LXC 3."""
    return (line.pair for line in own_lines(text))


def root_of(text: str) -> str:
    """What a config says of its container's root filesystem; empty if it says nothing."""
    return tree_of(dict(lines_of(text)).get(ROOTFS, ""))


def tree_of(value: str) -> str:
    """The directory that a root filesystem is; else the value as it is."""
    for kind in TREES:
        value = value.removeprefix(kind)
    return value


def all_lines(lines: Iterable[Line], includes: Includes) -> Iterator[Line]:
    """The *lines* of a config and of all that it includes, as liblxc comes to them.

    What is not in *includes* is skipped, as is what includes itself: see ``unread``.
    """
    for line in lines:
        if line.key != INCLUDE:
            yield line
        else:
            yield from (replace(each, included=line.value) for each in _within(line, includes, ()))


def unread(lines: Iterable[Line], includes: Includes) -> tuple[str, ...]:
    """What a config includes, or what that includes, and that is not in *includes*."""
    wanted = [*_included(lines)]
    seen: dict[str, None] = {}
    while wanted:
        value = wanted.pop(0)
        if value not in seen:
            seen[value] = None
            wanted += [each for _, text in includes.get(value, ()) for each in included_by(text)]
    return tuple(value for value in seen if value not in includes)


def included_by(text: str) -> tuple[str, ...]:
    """What a file includes, as it says it, in its order."""
    return tuple(_included(own_lines(text)))


def bounded(includes: Includes, most: int) -> Includes:
    """Those of *includes* that come to at most *most* characters, with all that each includes.

    A file counts as often as liblxc reads it; and what includes itself has no end.
    """
    named = {
        value: [each for _, text in files for each in included_by(text) if each in includes]
        for value, files in includes.items()
    }
    known: dict[str, int] = {}
    for value in includes:
        _count(value, includes, named, known, most)
    return {value: files for value, files in includes.items() if known[value] <= most}


def settled(lines: Sequence[Line], standard: str, name: str) -> tuple[Line, ...]:
    """*lines* without those that a tool copied from *standard*: these become an include of *name*.

    The binding writes out what it was told to load, in its order and before all else.
    """
    written = tuple(own_lines(standard))
    first = [line.pair for line in lines[: len(written)]]
    if not written or first != [line.pair for line in written]:
        return tuple(lines)
    return (Line(INCLUDE, name, INCLUDE), *lines[len(written) :])


def is_of_lxc(text: str) -> bool:
    """Whether a file looks like a config of LXC at all."""
    return any(KEY.fullmatch(key) for key, _ in _settings(text))


def _included(lines: Iterable[Line]) -> Iterator[str]:
    return (line.value for line in lines if line.key == INCLUDE and line.value)


def _count(
    value: str,
    includes: Includes,
    named: Mapping[str, Sequence[str]],
    known: dict[str, int],
    most: int,
) -> int:
    """How many characters it comes to; what is left out comes to none for what includes it."""
    if value not in known:
        known[value] = most + 1  # as long as it is not known: if it is met again, it has no end
        inner = [_count(each, includes, named, known, most) for each in named[value]]
        if not _leads_to(value, named):
            own = sum(len(text) for _, text in includes[value])
            total = own + sum(each for each in inner if each <= most)
            known[value] = min(total, most + 1)
    return known[value]


def _leads_to(value: str, named: Mapping[str, Sequence[str]]) -> bool:
    """Whether it includes itself, at however many removes."""
    wanted, seen = [*named[value]], {""}
    while wanted:
        each = wanted.pop()
        if each not in seen:
            seen.add(each)
            wanted += named[each]
    return value in seen


def _within(line: Line, includes: Includes, above: tuple[str, ...]) -> Iterator[Line]:
    if line.value in above:
        return
    for _, text in includes.get(line.value, ()):
        for each in own_lines(text):
            if each.key == INCLUDE:
                yield from _within(each, includes, (*above, line.value))
            else:
                yield each


def _settings(text: str) -> Iterator[tuple[str, str]]:
    for line in text.partition("\0")[0].split("\n"):
        key, equals, value = (part.strip(BLANKS) for part in line.partition("="))
        if equals and key.startswith("lxc."):
            yield key, _unquoted(value)


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] in QUOTES and value[-1] == value[0]:
        return value[1:-1]
    return value


def _backend(text: str) -> str:
    return dict(_settings(text)).get("lxc.rootfs.backend", "")


def _nic_key(word: str, number: int) -> str:
    """LXC 2.1 numbered them already; before, each ``type`` began one."""
    if found := NUMBERED.fullmatch(word):
        number, word = int(found[1]), found[2]
    return f"lxc.net.{number}.{NIC_RENAMED.get(word, word)}"
