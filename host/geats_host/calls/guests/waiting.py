"""Wait for a VM: until it runs, is off, can be reached, or a command in it succeeds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from geats_core.reading import mappings
from geats_core.reading.checked import Problem
from geats_core.reading.fields import one_of
from geats_core.requests.guest_requests import Command, owner, parse_command, timeout_s
from geats_core.vm.observation import Power
from geats_core.vm.readiness import Ready
from geats_host.drivers import Driver, readiness
from geats_host.drivers.readiness import Look
from geats_host.errors import accepted
from geats_host.host import Host

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


def wait(
    host: Host, name: str, until: object, command: object, options: Mapping[str, object]
) -> Waited:
    """Wait until a VM is in a state; *options* may have ``timeout`` (seconds) and ``user``.

    *until* is a word of ``Until``. If it is None, it is ``command`` if there is a command, else
    ``running``. Of a VM whose spec says when it is ``ready``, that counts, and its timeout does if
    none is given.
    """
    wanted, to_run, within_s = _parsed(until, command, options)
    driver = host.driver(name)
    ready = _ready(host, name) if wanted is Until.READY else None
    if ready is not None and options.get("timeout") is None:
        within_s = ready.timeout_s

    def look(left_s: float) -> Look:
        command = replace(to_run, timeout_s=max(1, math.ceil(left_s)))
        return _look(driver, name, wanted, command, ready, left_s)

    last, took_s = readiness.until(look, within_s)
    return Waited(until=wanted, reached=last.reached, took_s=round(took_s, 3), seen=last.seen)


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


def _ready(host: Host, name: str) -> Ready | None:
    """What makes the VM ready, as it is defined."""
    have = host.observe(name)
    spec = have.recorded or have.defined
    return None if spec is None else spec.ready


def _look(
    driver: Driver, name: str, wanted: Until, to_run: Command, ready: Ready | None, left_s: float
) -> Look:
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
        case Until.READY if is_running and ready is not None:
            return readiness.look(driver, name, ready.probe, left_s)
        case Until.READY if is_running:  # a program runs in it: of a VM, its agent answers
            command = replace(to_run, argv=("true",), timeout_s=readiness.run_s(left_s))
            return readiness.run(driver, name, command)
        case Until.COMMAND if is_running:
            return readiness.run(driver, name, to_run)
        case Until.IP | Until.READY | Until.COMMAND:
            return Look(False, power)
        case _:
            assert_never(wanted)
