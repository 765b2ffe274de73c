"""Wait for a VM: until it runs, is off, can be reached, or a command in it succeeds."""

import math
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from geats_core.reading import mappings
from geats_core.reading.checked import Problem
from geats_core.reading.fields import one_of
from geats_core.requests.guest_requests import Command, owner, parse_command, timeout_s
from geats_core.vm.observation import Power
from geats_host.drivers import Driver
from geats_host.errors import HostError, accepted
from geats_host.host import Host

SHORTEST_S, LONGEST_S = 0.05, 1.0  # between two looks
LAST_WORDS = 200  # characters of what a command complained of
DEFAULT_S = 60


class Until(StrEnum):
    """What is waited for."""

    RUNNING = "running"
    STOPPED = "stopped"
    IP = "ip"
    READY = "ready"
    COMMAND = "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """Whether it came in time, how long it took, and what was seen last."""

    until: Until
    reached: bool
    took_s: float
    seen: str


@dataclass(frozen=True, slots=True)
class Look:
    """What is seen of the VM at once, and whether it is what is waited for."""

    reached: bool
    seen: str


def wait(
    host: Host, name: str, until: object, command: object, options: Mapping[str, object]
) -> Waited:
    """Wait until a VM is in a state; *options* may have ``timeout`` (seconds) and ``user``.

    *until* is a word of ``Until``. If it is None, it is ``command`` if there is a command, else
    ``running``.
    """
    wanted, to_run, within_s = _parsed(until, command, options)
    driver = host.driver(name)
    begin, pause_s = time.monotonic(), SHORTEST_S
    while True:
        left_s = begin + within_s - time.monotonic()
        to_run = replace(to_run, timeout_s=max(1, math.ceil(left_s)))
        look = _look(driver, name, wanted, to_run)
        took_s = time.monotonic() - begin
        if look.reached or took_s >= within_s:
            took_s = round(took_s, 3)
            return Waited(until=wanted, reached=look.reached, took_s=took_s, seen=look.seen)
        time.sleep(min(pause_s, within_s - took_s))
        pause_s = min(pause_s * 1.5, LONGEST_S)


def told(name: str, waited: Waited) -> str:
    """What came of the waiting, as a line of text."""
    in_vain = "" if waited.reached else " in vain"
    took = f"waited {waited.took_s:.3g} s for {waited.until}{in_vain}"
    return f"{name}: {took}; seen last: {waited.seen}"


def _parsed(
    until: object, command: object, options: Mapping[str, object]
) -> tuple[Until, Command, int]:
    read = mappings.options({"until": until, **options})
    default = Until.RUNNING if command is None else Until.COMMAND
    wanted = read.take("until", one_of("condition", Until), default)
    within_s = read.take("timeout", timeout_s, DEFAULT_S)
    to_run, user = Command(argv=()), read.take("user", owner, None)
    if command is not None:
        to_run = read.keep(parse_command(command, {"user": user}), to_run)
    if wanted is Until.COMMAND and command is None:
        read.problems.append(Problem("command", "is missing"))
    if wanted is not Until.COMMAND and command is not None:
        read.problems.append(Problem("until", f"must be 'command' with a command, got '{wanted}'"))
    return accepted(read.done((wanted, to_run, within_s)))


def _look(driver: Driver, name: str, wanted: Until, to_run: Command) -> Look:
    vm = driver.observe(name).get(name)
    power = str(vm.power) if vm else "not defined"
    is_running = vm is not None and vm.power is Power.RUNNING
    match wanted:
        case Until.RUNNING:
            return Look(is_running, power)
        case Until.STOPPED:
            return Look(vm is None or vm.power is Power.STOPPED, power)
        case Until.IP if is_running:
            addresses = driver.info(name).addresses
            return Look(bool(addresses), ", ".join(addresses) or f"{power}, without an address")
        case Until.READY if is_running:  # a program runs in it: of a VM, its agent answers
            return _try(driver, name, replace(to_run, argv=("true",)))
        case Until.COMMAND if is_running:
            return _try(driver, name, to_run)
        case Until.IP | Until.READY | Until.COMMAND:
            return Look(False, power)
        case _:
            assert_never(wanted)


def _try(driver: Driver, name: str, command: Command) -> Look:
    """Run the command; that it cannot be run yet, as in a VM that boots, is no reason to stop."""
    line = shlex.join(command.argv)
    try:
        ran = driver.exec(name, command)
    except HostError as error:
        return Look(False, str(error))
    if ran.code is None:
        return Look(False, f"{line} had not ended")
    words = (ran.stderr or ran.stdout).decode(errors="replace").strip()[-LAST_WORDS:]
    return Look(ran.code == 0, ": ".join(filter(None, (f"{line} exited with {ran.code}", words))))
