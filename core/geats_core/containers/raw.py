"""Lines of LXC in the description of a VM, where its host takes them: each is checked.

What has a key of its own is refused with the name of that key. Which lines a host takes, its policy
says by patterns of keys (``raw_lines``): programs, includes and mounts only if a pattern names
them.
"""

import re
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from returns.result import Success

from geats_core.containers.isolation import field_of
from geats_core.containers.line_values import as_read
from geats_core.containers.programs import LINES
from geats_core.reading.checked import Checked, problem, shown
from geats_core.reading.fields import Reader, each
from geats_core.reading.schemas import taking, text_matching

LINE = re.compile(r"(lxc(?:\.[a-z0-9_-]+)+) ?= ?(.*)")
NAMED = ("lxc.hook.", "lxc.include", "lxc.mount.")  # what a pattern has to name
OTHERS = (  # what keys of LXC that have a key of a VM begin with
    ("lxc.uts.name", "hostname"),
    ("lxc.rootfs.", "volumes"),
    ("lxc.net.", "nics"),
    ("lxc.idmap", "idmap"),
    *LINES.items(),
    ("lxc.environment", "environment"),
    ("lxc.signal.halt", "init"),
    ("lxc.start.", "autostart"),
    ("lxc.apparmor.allow_nesting", "nesting"),
    ("lxc.cgroup.devices.", "devices"),
    ("lxc.cgroup2.devices.", "devices"),
    ("lxc.cgroup.", "cgroup"),
    ("lxc.cgroup2.", "cgroup"),
)
NO_LINES: tuple[str, ...] = ()


@taking(text_matching(LINE.pattern, "a line of LXC such as lxc.time.offset.boot = 1h"))
def _line(path: str, raw: object) -> Checked[str]:
    found = LINE.fullmatch(raw) if isinstance(raw, str) and raw.isprintable() else None
    if found is None:
        return problem(path, f"must be a line such as 'lxc.pty.max = 4', got {shown(raw)}")
    key, value = found[1], found[2].strip()
    own = field_of(key) or next((own for begin, own in OTHERS if key.startswith(begin)), "")
    if own:
        return problem(path, f"{key} has a key of its own: say {own!r}")
    if not as_read(value):
        return problem(path, f"{key} needs a value: without one, it unsets what geats writes")
    return Success(f"{key} = {value}")


_lines = each(_line)


def read_raw(read: Reader) -> tuple[str, ...]:
    """Take ``raw``; problems are kept in *read*."""
    return read.take("raw", _lines, NO_LINES)


def is_taken(line: str, patterns: Collection[str]) -> bool:
    """Whether a policy with these *patterns* of keys, as in fnmatch(3), takes the line."""
    key = line.partition(" ")[0]
    begins = next((begin for begin in NAMED if key.startswith(begin)), "")
    return any(fnmatchcase(key, each) and each.startswith(begins) for each in patterns)


def raw_warnings(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    """What nobody here knows the meaning of."""
    return (("raw", f"liblxc is told {line!r}, which geats does not understand") for line in lines)
