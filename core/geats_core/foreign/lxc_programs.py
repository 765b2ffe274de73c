"""What a container's config says of its process 1: keys of a VM, where they say just the same.

A container whose process 1 is a program, and no init, has the init ``none``.
"""

import re
from collections.abc import Sequence

from geats_core.containers.programs import (
    LINES,
    program_to_plain,
    read_program,
)
from geats_core.foreign.lxc_lines import Line
from geats_core.reading.fields import Reader
from geats_core.reading.sizes import format_size
from geats_core.vm.lxc_config import HALT

COMMAND, ENVIRONMENT, TTYS = "lxc.init.cmd", "lxc.environment", "lxc.tty.max"
CONSOLE = "lxc.console.size"
SIZE = re.compile("([1-9][0-9]{0,8}) ?(|KB|MB|GB)")  # see parse_byte_size_string of liblxc
SHIFTS = {"": 0, "KB": 10, "MB": 20, "GB": 30}
INITS = re.compile(r".*/(init|systemd|openrc-init|runit(-init)?|s6-svscan|procd|busybox)")
USUAL_TTYS = "4"  # of common.conf
NUMBERS = {  # of signals, see signal(7), as they are on every processor that LXC runs on
    **{"1": "HUP", "2": "INT", "3": "QUIT", "9": "KILL", "10": "USR1", "12": "USR2"},
    **{"15": "TERM", "18": "CONT", "28": "WINCH", "30": "PWR", "37": "RTMIN+3"},
}
NUMBER = re.compile("[0-9]{1,10}")


def program_of(lines: Sequence[Line]) -> tuple[dict[str, object], dict[int, str]]:
    """The keys of a VM that say what *lines* do; and where each line went, by its ``id``.

    That is empty for a line that a later one takes back.
    """
    own = {key: [line for line in lines if line.key == key] for key in (*LINES, HALT)}
    said: dict[str, object] = {}
    went: dict[int, str] = {}
    command = _words(own[COMMAND])
    is_program = bool(command) and not INITS.fullmatch(command[0])
    signal = signal_name(own[HALT][-1].value) if own[HALT] and is_program else ""
    for key, field in LINES.items():
        if not own[key] or own[key][-1].included:
            continue
        last = own[key][-1]
        value = _value(key, last.value) if key != COMMAND else [*command] or None
        if value is not None and (key, last.value) != (TTYS, USUAL_TTYS):
            said[field] = value
            went |= dict.fromkeys(map(id, own[key]), "") | {id(last): field}
    if is_program:
        said["init"] = "none"
    if signal:
        said["stop_signal"] = signal
        went |= dict.fromkeys(map(id, own[HALT]), "") | {id(own[HALT][-1]): "stop_signal"}
    variables = _environment(lines)
    if variables:
        said["environment"] = dict(variables.values())
        went |= {at: f"environment.{name}" for at, (name, _) in variables.items()}
    return (said, went) if _is_the_same(said) else ({}, {})


def _is_the_same(said: dict[str, object]) -> bool:
    """Whether geats takes these keys, and writes the same for them."""
    read = Reader("", {key: value for key, value in said.items() if key != "init"})
    program = read_program(read)
    return not read.problems and program_to_plain(program) == {**read.raw}


def _words(lines: Sequence[Line]) -> tuple[str, ...]:
    """The words of a command; none if there is no such, or it is included."""
    return tuple(lines[-1].value.split()) if lines and not lines[-1].included else ()


def _value(key: str, value: str) -> object:
    if key == "lxc.init.cwd":
        return value
    if key == CONSOLE:
        size = SIZE.fullmatch(value)
        return format_size(int(size[1]) << SHIFTS[size[2]]) if size else None
    return int(value) if NUMBER.fullmatch(value) else None


def signal_name(value: str) -> str:
    """By its name, as geats writes it."""
    name = NUMBERS.get(value, value.upper().removeprefix("SIG"))
    return f"SIG{name}"


def _environment(lines: Sequence[Line]) -> dict[int, tuple[str, str]]:
    """Each variable that a line of the config itself sets, by the ``id`` of the line."""
    if any(line.key == ENVIRONMENT and (line.included or not line.value) for line in lines):
        return {}
    of_lines = {id(line): line.value.partition("=") for line in lines if line.key == ENVIRONMENT}
    return {at: (name, value) for at, (name, equals, value) in of_lines.items() if equals}
