"""Programs in a VM that runs.

Nothing of it is written to the journal or to a log: environments may be secret.
"""

import os
from dataclasses import replace

from geats_core.reading import mappings
from geats_core.reading.mappings import Options
from geats_core.requests.guest_requests import LONGEST_S, Command, parse_command, timeout_s
from geats_host.drivers import Ran, Streams
from geats_host.drivers.abilities import StreamingDriver, TerminalDriver
from geats_host.errors import Refused, accepted
from geats_host.host import Host
from geats_host.streams.pipes import write_all


def run_in(host: Host, name: str, argv: object, options: Options) -> Ran:
    """What a program in the VM came to; see ``parse_command`` for *argv* and *options*."""
    command = accepted(parse_command(argv, options))
    return host.running(name).exec(name, command)


def stream(host: Host, name: str, argv: object, options: Options, streams: Streams) -> int | None:
    """Run a program in the VM, with *streams* as its own; for the code see ``Ran``.

    *options* are those of ``run_in``. Without ``timeout`` there is no limit of time.
    """
    command, within_s = _command(argv, options)
    driver = host.running(name)
    if isinstance(driver, StreamingDriver):
        return driver.stream(name, command, streams, within_s)
    ran = driver.exec(name, replace(command, timeout_s=within_s or LONGEST_S))
    more = b"there was more output than is kept\n" if ran.truncated else b""
    write_all(streams.stdout, ran.stdout)
    write_all(streams.stderr, ran.stderr + more)
    return ran.code


def on_terminal(
    host: Host, name: str, argv: object, options: Options, streams: Streams
) -> int | None:
    """The same on a terminal of the VM's; None as *argv* is the user's login shell."""
    command, within_s = _command(argv, options)
    if not os.isatty(streams.stdin or 0):
        raise Refused("a terminal is wanted, but the input is none")
    return _with_terminals(host, name).on_terminal(name, command, streams, within_s)


def shell(host: Host, name: str, options: Options, streams: Streams) -> int | None:
    """A login shell, on a terminal of the VM's if the caller has one."""
    if os.isatty(streams.stdin or 0):
        return on_terminal(host, name, None, options, streams)
    _with_terminals(host, name)
    return stream(host, name, None, options, streams)


def _with_terminals(host: Host, name: str) -> TerminalDriver:
    driver = host.running(name)
    if isinstance(driver, TerminalDriver):
        return driver
    instead = f"use 'geats console {name}' or 'geats ssh {name}'"
    raise Refused(f"{name}: is a machine that gives no terminal to a program: {instead}")


def _command(argv: object, options: Options) -> tuple[Command, int | None]:
    """A command, a login shell if *argv* is None, and how many seconds it has."""
    read = mappings.options({"timeout": options.get("timeout")})
    within_s = read.take("timeout", timeout_s, None)
    rest = {**options, "timeout": LONGEST_S}
    command = read.keep(parse_command("sh" if argv is None else argv, rest), Command(argv=()))
    if argv is None:
        command = replace(command, argv=())
    return accepted(read.done((command, within_s)))
