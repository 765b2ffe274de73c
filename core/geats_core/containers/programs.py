"""What runs as process 1 of a container, as whom, and with what: a program, if it has no init."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeAlias

from returns.result import Failure, Success

from geats_core.containers.line_values import written
from geats_core.reading import fields
from geats_core.reading.checked import Checked, problem, shown
from geats_core.reading.fields import Reader, of_mapping
from geats_core.reading.schemas import by_name, taking
from geats_core.reading.sizes import format_size, parse_size
from geats_core.reading.values import dataclass

Pairs: TypeAlias = tuple[tuple[str, str], ...]

FIRST = re.compile(r"/[^\s'\"]+")  # a value that begins with a quote would lose it
STOP_SIGNAL = "SIGTERM"  # what asks a program to end, if nothing else is said
SIGNAL = re.compile(r"SIG[A-Z][A-Z0-9]{1,8}([+-][0-9]{1,2})?")
MOST_TTYS = 255
HIGHEST_ID = 2**32 - 2
NO_WORDS: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatRuns:
    """``command`` is process 1; empty for ``/sbin/init``. ``user`` and ``group`` are numbers in the
    guest, and None is root. ``stop_signal`` asks it to end; empty for that of its init.
    """

    command: tuple[str, ...] = ()
    user: int | None = None
    group: int | None = None
    cwd: str = ""
    stop_signal: str = ""
    environment: Pairs = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Program(WhatRuns):
    """What runs, and its terminals: ``ttys`` are how many the guest has; None is as LXC's files
    say. Of its console, so many bytes are kept as ``console_log`` says, and up to as many again;
    None is as for all. Of a virtual machine nothing else is said here, and None keeps nothing.
    """

    ttys: int | None = None
    console_log: int | None = None


KEYS = tuple(Program.__dataclass_fields__)  # as people write them, each a key of the VM
OF_CONTAINERS = frozenset(KEYS) - {"console_log"}  # which virtual machines lack
LINES: Mapping[str, str] = {  # by keys of LXC
    "lxc.init.cmd": "command",
    "lxc.init.uid": "user",
    "lxc.init.gid": "group",
    "lxc.init.cwd": "cwd",
    "lxc.tty.max": "ttys",
    "lxc.console.size": "console_log",
}


@taking({"type": ["string", "array"], "items": {"type": "string"}})
def _command(path: str, raw: object) -> Checked[tuple[str, ...]]:
    """A list of words, or a line of them."""
    given = raw.split() if isinstance(raw, str) else raw
    match _words(path, given):
        case Success(()):
            return problem(path, "is empty")
        case Success(found):
            return _writable(path, found)
        case refused:
            return refused


def _writable(path: str, words: tuple[str, ...]) -> Checked[tuple[str, ...]]:
    """liblxc splits a line at blanks, and quotes mean nothing to it: see ``split_init_cmd``."""
    if not FIRST.fullmatch(words[0]):
        wanted = "must begin with the absolute path of a program, without blanks or quotes"
        return problem(path, f"{wanted}, got {shown(words[0])}")
    for at, word in enumerate(words):
        if not word or any(each.isspace() for each in word):
            message = "must not have blanks, at which liblxc splits it, nor be empty"
            return problem(f"{path}[{at}]", f"{message}, got {shown(word)}: put it in a script")
    return Success(words)


@taking(by_name(fields.key_name.schema(), fields.text.schema()))
def _environment(path: str, raw: object) -> Checked[Pairs]:
    """What is no mapping may be secret all the same."""
    if not isinstance(raw, Mapping):
        return problem(path, "must be a mapping of names to text")
    return _environment_mapping(path, raw)


@of_mapping
def _environment_mapping(read: Reader) -> Checked[Pairs]:
    keys = [read.keep(fields.key_name(read.at(fields.printable(k)), k), "") for k in read.raw]
    pairs = tuple((key, read.take(key, fields.secret_text, "")) for key in sorted(keys))
    return Failure(tuple(read.problems)) if read.problems else Success(pairs)


_words = fields.each(fields.text)
_id = fields.or_none(fields.whole_number(0, HIGHEST_ID))
_signal = fields.matching(SIGNAL, "the name of a signal such as SIGTERM")
_console_log = fields.or_none(parse_size)
_ttys = fields.or_none(fields.whole_number(0, MOST_TTYS))


def read_program(read: Reader) -> Program:
    """Take the keys of it from those of a VM; problems are kept in *read*."""
    runs = read_what_runs(read)
    return Program(
        command=runs.command,
        user=runs.user,
        group=runs.group,
        cwd=runs.cwd,
        stop_signal=runs.stop_signal,
        environment=runs.environment,
        ttys=read.take("ttys", _ttys, None),
        console_log=read.take("console_log", _console_log, None),
    )


def read_what_runs(read: Reader) -> WhatRuns:
    """Take those keys of it that an image can say as well."""
    return WhatRuns(
        command=read.take("command", _command, NO_WORDS),
        user=read.take("user", _id, None),
        group=read.take("group", _id, None),
        cwd=read.take("cwd", fields.absolute_path, ""),
        stop_signal=read.take("stop_signal", _signal, ""),
        environment=read.take("environment", _environment, ()),
    )


@of_mapping
def read_from_image(read: Reader) -> Checked[WhatRuns | None]:
    """What an image says of the program in it."""
    return read.done(read_what_runs(read))


def over_image(own: Program, image: WhatRuns | None) -> Program:
    """What runs: what is said of it, and else what its image says.

    Variables are added to those of the image, and who says the user says the group, too.
    """
    if image is None:
        return own
    as_whom = image if own.user is own.group is None else own
    return replace(
        own,
        command=own.command or image.command,
        user=as_whom.user,
        group=as_whom.group,
        cwd=own.cwd or image.cwd,
        stop_signal=own.stop_signal or image.stop_signal,
        environment=tuple(sorted({**dict(image.environment), **dict(own.environment)}.items())),
    )


def program_to_plain(program: Program) -> dict[str, object]:
    """As people write it, without what is as LXC has it for all."""
    log = program.console_log
    said = {"ttys": program.ttys, "console_log": None if log is None else format_size(log)}
    ends = {key: value for key, value in said.items() if value is not None}
    return {**what_runs_to_plain(program), **ends}


def what_runs_to_plain(runs: WhatRuns) -> dict[str, object]:
    """The same of what an image can say."""
    said: dict[str, object] = {
        "command": [*runs.command] or None,
        "user": runs.user,
        "group": runs.group,
        "cwd": runs.cwd or None,
        "stop_signal": runs.stop_signal or None,
        "environment": dict(runs.environment) or None,
    }
    return {key: value for key, value in said.items() if value is not None}


def program_lines(program: Program) -> Iterable[str]:
    """Its lines, but for the signal, which the lines of an init are about as well."""
    if program.command:
        yield f"lxc.init.cmd = {' '.join(program.command)}"
    if program.user is not None:
        yield f"lxc.init.uid = {program.user}"
    if program.group is not None:
        yield f"lxc.init.gid = {program.group}"
    if program.cwd:
        yield f"lxc.init.cwd = {written(program.cwd)}"
    for name, value in program.environment:
        yield f"lxc.environment = {written(f'{name}={value}')}"
    if program.ttys is not None:
        yield f"lxc.tty.max = {program.ttys}"
