"""Programs that the host runs as a container starts and ends: their keys, and their lines of LXC.

See lxc.container.conf(5), container hooks. liblxc gives each line to a shell, so a path is of plain
letters only. What is run on the host is run as root, or as root of the guest's user namespace.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

from returns.result import Success

from geats_core.reading import fields
from geats_core.reading.checked import Checked
from geats_core.reading.fields import Reader, each, named
from geats_core.reading.schemas import Described, any_of
from geats_core.reading.values import dataclass

PROGRAM = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9_.@+-]*)+")
KEY = "lxc.hook."


class HookKind(StrEnum):
    """When a program runs; START is one in the guest, all others are of the host."""

    PRE_START = "pre-start"
    PRE_MOUNT = "pre-mount"
    MOUNT = "mount"
    AUTODEV = "autodev"
    START_HOST = "start-host"
    START = "start"
    STOP = "stop"
    POST_STOP = "post-stop"


WHEN: Mapping[HookKind, str] = {
    HookKind.PRE_START: "as root of the host, before each start",
    HookKind.PRE_MOUNT: "on the host, before the guest's root is mounted",
    HookKind.MOUNT: "on the host, when all is mounted for the guest",
    HookKind.AUTODEV: "on the host, when the guest's /dev is there",
    HookKind.START_HOST: "as root of the host, before the guest's init",
    HookKind.STOP: "as root of the host, when the guest has ended",
    HookKind.POST_STOP: "as root of the host, after each stop",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """The ``program``, a path, that runs at a moment of that ``kind``."""

    kind: HookKind
    program: str

    @property
    def is_of_host(self) -> bool:
        """Whether the program is one of the host's, and not of the guest's."""
        return self.kind is not HookKind.START


_program = fields.matching(PROGRAM, "the plain path of a program, such as /etc/geats/hooks/nas")
_programs = each(_program)


def _one_or_more(path: str, raw: object) -> Checked[tuple[str, ...]]:
    return _programs(path, [raw] if isinstance(raw, str) else raw)


_hooks = named(
    Described(_one_or_more, lambda: any_of(_program.schema(), _programs.schema())),
    fields.one_of("kind of hook", [str(kind) for kind in HookKind]),
)
NONE: Mapping[str, tuple[str, ...]] = {}


def read_hooks(read: Reader) -> tuple[Hook, ...]:
    """Take ``hooks``; problems are kept in *read*."""
    given = read.take("hooks", _hooks, NONE)
    return tuple(
        Hook(kind=kind, program=program) for kind in HookKind for program in given.get(kind, ())
    )


def hooks_to_plain(hooks: Iterable[Hook]) -> dict[str, object]:
    """As people write it; nothing if there is none."""
    plain: dict[str, list[str]] = {}
    for hook in hooks:
        plain.setdefault(str(hook.kind), []).append(hook.program)
    return {"hooks": plain} if plain else {}


def hook_lines(hooks: Iterable[Hook]) -> Iterable[str]:
    """The lines of them."""
    return (f"{KEY}{hook.kind} = {hook.program}" for hook in hooks)


def hook_warnings(hooks: Iterable[Hook]) -> Iterable[tuple[str, str]]:
    """What runs on the host, and when."""
    for hook in hooks:
        if hook.is_of_host:
            yield f"hooks.{hook.kind}", f"{hook.program} runs {WHEN[hook.kind]}"


def hook_of(key: str, value: str) -> tuple[str, str] | None:
    """The kind and the program that a line of LXC says; None if no key says the same."""
    kind = key.removeprefix(KEY)
    is_one = key.startswith(KEY) and kind in {str(each_kind) for each_kind in HookKind}
    match _program("", value):
        case Success(program) if is_one:
            return kind, program
        case _:
            return None
