"""The lines of a guest's ``.conf``, read as Proxmox reads them.

Theory of operation
-------------------
Each line is a setting (``key: value``), of LXC's own (``lxc.key = value`` or ``lxc.key: value``),
a part of the description (``# …``), or the head of a section. What stands before the first section
is the guest as it is; ``[PENDING]`` is what will change when it is off, and every other section is
a snapshot, or something that Proxmox keeps for itself. Of a key that is there twice, the last one
counts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from returns.result import Success

from geats_core.reading.checked import Checked, problem
from geats_core.reading.fields import printable

LONGEST = 1 << 20  # characters of a file
MOST = 10_000  # lines
SETTING = re.compile(r"([a-z][a-z_-]*[0-9]*):\s*(\S.*)")
OF_LXC = re.compile(r"(lxc\.[A-Za-z0-9_.-]+)\s*[:=]\s*(.*)")
SECTION = re.compile(r"\[([^\]]{1,64})\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """One file: ``settings`` by their keys, ``lxc`` as pairs, and what else is in it.

    ``sections`` are their names, ``unread`` the numbers of lines that are none of these.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    lxc: Sequence[tuple[str, str]] = ()
    described: int = 0
    sections: tuple[str, ...] = ()
    unread: tuple[int, ...] = ()

    @property
    def is_container(self) -> bool:
        """Whether it is a container, and no virtual machine: only those have a root directory."""
        return "rootfs" in self.settings


def read_conf(file: str, text: str) -> Checked[Conf]:
    """The lines of a file, or why it is none of Proxmox."""
    lines = text.split("\n")
    if len(text) > LONGEST or len(lines) > MOST:
        return problem(file, f"must have at most {LONGEST} characters in {MOST} lines")
    conf = _read(lines)
    if not conf.settings.keys() & {"rootfs", "memory", "ostype", "boot", "cores", "arch"}:
        return problem(file, "is no guest of Proxmox: it has neither rootfs, memory nor ostype")
    return Success(conf)


def _read(lines: Sequence[str]) -> Conf:
    settings: dict[str, str] = {}
    lxc: list[tuple[str, str]] = []
    sections: dict[str, None] = {}
    unread: list[int] = []
    described = 0
    for number, line in enumerate(map(str.strip, lines), 1):
        if section := SECTION.fullmatch(line):
            sections[printable(section[1])] = None
        elif sections or not line:
            continue
        elif line.startswith("#"):
            described += 1
        elif of_lxc := OF_LXC.fullmatch(line):
            lxc.append((of_lxc[1], of_lxc[2]))
        elif setting := SETTING.fullmatch(line):
            settings[setting[1]] = setting[2]
        else:
            unread.append(number)
    return Conf(
        settings=settings,
        lxc=tuple(lxc),
        described=described,
        sections=tuple(sections),
        unread=tuple(unread),
    )
