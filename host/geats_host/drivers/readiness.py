"""Whether a running VM is ready: its probe is tried again and again, until it succeeds.

A program runs in the guest. A connection is made from within the guest's network, where a driver
can enter that, so that it needs no address and no route; otherwise from the host, to the addresses
that are known of the guest. What the guest answers is not trusted: neither how much, nor how
slowly.
"""

import math
import shlex
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException
from threading import Event, Timer
from typing import assert_never

from geats_core.requests.guest_requests import Command
from geats_core.vm.readiness import CommandProbe, HttpProbe, Probe, Ready, TcpProbe
from geats_host.drivers import Driver
from geats_host.drivers.abilities import Connecting
from geats_host.errors import HostError
from geats_host.linux import network
from geats_host.streams.safe_text import last_words

SHORTEST_S, LONGEST_S = 0.05, 1.0  # between two looks
LONGEST_TRY_S = 5.0  # of a connection
LONGEST_RUN_S = 30.0  # of a command: one that hangs is tried again
LAST_WORDS = 200  # characters of what a command complained of


@dataclass(frozen=True, slots=True)
class Look:
    """What is seen of the VM at once, and whether it is what is waited for."""

    reached: bool
    seen: str


def await_ready(driver: Driver, name: str, ready: Ready, over: Event) -> None:
    """Return once the VM is ready; ``HostError`` with the last answer if its time is up.

    Whoever sets *over* wants no more tries.
    """
    last, _ = until(lambda left_s: look(driver, name, ready.probe, left_s), ready.timeout_s, over)
    if not last.reached:
        ended = "interrupted" if over.is_set() else f"after {ready.timeout_s} s"
        raise HostError(f"{ended}: {last.seen}")


def until(
    look_at: Callable[[float], Look], within_s: float, over: Event | None = None
) -> tuple[Look, float]:
    """Look until what is waited for is there, the time is up, or *over* is set: the last look, and
    the seconds.

    *look_at* is told how many seconds are left.
    """
    over = over or Event()
    begin, pause_s = time.monotonic(), SHORTEST_S
    while True:
        seen = look_at(begin + within_s - time.monotonic())
        took_s = time.monotonic() - begin
        if seen.reached or took_s >= within_s:
            return seen, took_s
        if over.wait(min(pause_s, within_s - took_s)):
            return seen, took_s
        pause_s = min(pause_s * 1.5, LONGEST_S)


def look(driver: Driver, name: str, probe: Probe, left_s: float) -> Look:
    """Try the probe once. That it cannot be tried yet, as in a VM that boots, is an answer too."""
    try:
        match probe:
            case CommandProbe(argv):
                return run(driver, name, Command(argv=argv, timeout_s=run_s(left_s)))
            case TcpProbe(port):
                _connected(driver, name, port, left_s).close()
                return Look(True, f"connected to port {port}")
            case HttpProbe():
                return _asked(driver, name, probe, left_s)
            case _:
                assert_never(probe)
    except HostError as error:
        return Look(False, str(error))


def run_s(left_s: float) -> int:
    """How many seconds one try of a command may take."""
    return max(1, math.ceil(min(left_s, LONGEST_RUN_S)))


def run(driver: Driver, name: str, command: Command) -> Look:
    """Whether the command succeeds, and what it said."""
    line = shlex.join(command.argv)
    try:
        ran = driver.exec(name, command)
    except HostError as error:
        return Look(False, str(error))
    if ran.code is None:
        return Look(False, f"{line} had not ended")
    words = last_words(ran.stderr or ran.stdout, LAST_WORDS)
    return Look(ran.code == 0, ": ".join(filter(None, (f"{line} exited with {ran.code}", words))))


def _asked(driver: Driver, name: str, probe: HttpProbe, left_s: float) -> Look:
    """Only the status of the answer is read, and for no longer than a try may take."""
    asking = HTTPConnection("localhost", probe.port)
    asking.sock = connected = _connected(driver, name, probe.port, left_s)
    hang_up = Timer(_try_s(left_s), partial(_hang_up, connected))
    hang_up.start()
    try:
        asking.request("GET", probe.path, headers={"Connection": "close"})
        status = asking.getresponse().status
    except OSError as error:
        raise HostError(f"port {probe.port} gave no answer: {error.strerror or error}") from None
    except HTTPException:
        raise HostError(f"port {probe.port} gave no answer of HTTP in time") from None
    finally:
        hang_up.cancel()
        asking.close()
    return Look(status == probe.status, f":{probe.port}{probe.path} answered with {status}")


def _hang_up(connected: socket.socket) -> None:
    with suppress(OSError):  # it is closed
        connected.shutdown(socket.SHUT_RDWR)


def _connected(driver: Driver, name: str, port: int, left_s: float) -> socket.socket:
    if isinstance(driver, Connecting):
        return driver.connect(name, port, _try_s(left_s))
    vm = driver.observe(name).get(name)
    nics = vm.in_effect.nics if vm and vm.in_effect else ()
    declared = (str(address.ip) for nic in nics for address in nic.addresses)
    addresses = tuple(dict.fromkeys((*driver.info(name).addresses, *declared)))
    if not addresses:
        raise HostError(f"no address of {name} is known yet")
    return network.connection(addresses, port, _try_s(left_s))


def _try_s(left_s: float) -> float:
    return max(SHORTEST_S, min(left_s, LONGEST_TRY_S))
