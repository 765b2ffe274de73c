"""The commands that work in a running VM, or wait for one."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import click

from geats_core.reading.sizes import for_people
from geats_host.calls import reports
from geats_host.calls.guests import logs, minions, programs, trees, waiting
from geats_host.calls.guests import ssh as ssh_calls
from geats_host.calls.guests.waiting import Until
from geats_host.cli.session import FAILED, Session, in_session
from geats_host.drivers import Copied, Ran, Streams
from geats_host.errors import HostError

TIMED_OUT = 124  # as timeout(1) says it

timeout_option = click.option(
    "--timeout", type=int, metavar="SECONDS", help="Stop after this time."
)
mode_option = click.option("--mode", help="Octal digits (default: 0644).")
owner_option = click.option("--owner", help="A user of the VM, by name or id (default: root).")
group_option = click.option("--group", help="A group of the VM, by name or id (default: root).")


@click.command("exec")
@click.argument("name")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--user", help="A user of the VM, by name or id (default: root).")
@click.option("--cwd", metavar="PATH", help="The working directory (default: /).")
@click.option(
    "--env",
    multiple=True,
    metavar="NAME[=VALUE]",
    help=(
        "A variable. Without a value, it is taken from this environment, so that no list of "
        "processes shows it."
    ),
)
@click.option(
    "-t", "--tty", "terminal", is_flag=True, help="Give it a terminal, for editors, top and such."
)
@click.option("-n", "--no-input", is_flag=True, help="Keep this input: the program's is empty.")
@timeout_option
@in_session
def exec_(
    session: Session,
    /,
    name: str,
    command: tuple[str, ...],
    env: tuple[str, ...],
    terminal: bool,
    no_input: bool,
    **options: object,
) -> None:
    """Run a program in a VM. geats exits with its exit code.

    Input goes in and output comes out as they are, byte for byte. Ctrl-C goes to the program. There
    is no limit of time; after a --timeout, the program is killed, and the exit code is 124. With
    --json, the program gets no input, 60 seconds is the default timeout, and of each output the
    first MiB is kept.
    """
    given = {**options, "env": _environment(env)}
    if session.as_json:
        _report(session, name, programs.run_in(session.host, name, command, given))
    streams = Streams(stdin=None if no_input else 0)
    if terminal:
        given["env"] = {**_of_terminal(), **_environment(env)}
        _end(name, programs.on_terminal(session.host, name, command, given, streams))
    _end(name, programs.stream(session.host, name, command, given, streams))


@click.command()
@click.argument("name")
@click.option("--user", help="A user of the VM, by name or id (default: root).")
@in_session
def shell(session: Session, name: str, user: str | None) -> None:
    """Open a login shell in a VM, on a terminal. geats exits with its exit code.

    The shell is the one that the VM's /etc/passwd has for the user.
    """
    options = {"user": user, "env": _of_terminal()}
    _end(name, programs.shell(session.host, name, options, Streams()))


@click.command()
@click.argument("name")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("path")
@mode_option
@owner_option
@group_option
@timeout_option
@in_session
def push(session: Session, /, name: str, source: Path, path: str, **options: object) -> None:
    """Copy the file or directory SOURCE of this host to PATH in a VM.

    If PATH ends with '/', SOURCE goes into that directory. Modes and times of what is in a
    directory are kept, and links are copied as links. A container may be off.
    """
    at, done = trees.push(session.host, name, str(source.absolute()), path, options)
    _copied(session, {"path": at}, done)


@click.command()
@click.argument("name")
@click.argument("path")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--max-size", metavar="SIZE", help="What is copied at most (default: 1GiB).")
@timeout_option
@in_session
def pull(session: Session, /, name: str, path: str, target: Path, **options: object) -> None:
    """Copy the file or directory PATH of a VM to TARGET on this host.

    If TARGET is a directory, PATH goes into it. A file can be read by its owner only; modes and
    times of what is in a directory are kept, and links are copied as links. A container may be off.
    """
    at, done = trees.pull(session.host, name, path, str(target.absolute()), options)
    _copied(session, {"target": at}, done)


def _copied(session: Session, at: Mapping[str, object], done: Copied) -> NoReturn:
    """Say what came of a directory, and end: with 1 if something was not copied."""

    def show() -> None:
        for line in done.wrong:
            click.echo(f"not copied: {line}", err=True)
        if done.is_tree:
            (where,) = at.values()
            click.echo(f"{done.files} files, {for_people(done.size_bytes)}, are in {where}")

    session.answer(reports.copied_report(at, done), show)
    sys.exit(FAILED if done.wrong else 0)


@click.command()
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--until",
    type=click.Choice(list(map(str, Until))),
    help="What to wait for (default: running; with a command: that it succeeds).",
)
@click.option("--user", help="The user who runs the command: a name or an id (default: root).")
@timeout_option
@in_session
def wait(
    session: Session, /, name: str, command: tuple[str, ...], until: str | None, **options: object
) -> None:
    """Wait for a VM: geats wait web01 --until ip, geats wait web01 -- systemctl is-active nginx.

    The exit code is 1 if that does not happen within the timeout, by default 60 seconds.
    """
    waited = waiting.wait(session.host, name, until, command or None, options)
    report = reports.waited_report(name, waited)
    session.answer(report, lambda: click.echo(waiting.told(name, waited)))
    sys.exit(0 if waited.reached else FAILED)


@click.command()
@click.argument("target", metavar="[USER@]NAME")
@click.argument("rest", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENTS OF SSH]...")
@click.option("-i", "--identity", type=click.Path(path_type=Path), help="The file of a key.")
@click.option("-p", "--port", type=int, help="Where ssh listens (default: 22).")
@in_session
def ssh(
    session: Session, target: str, rest: tuple[str, ...], identity: Path | None, port: int | None
) -> None:
    """Open an ssh session to a VM, by the address that it has now.

    Of several addresses, of IPv4 or IPv6, it is the first that answers.
    """
    user, at, name = target.rpartition("@")
    key = None if identity is None else str(identity.absolute())
    options = {"user": user if at else None, "identity": key, "port": port}
    _become(ssh_calls.ssh_to(session.host, name, options, rest))


@click.command()
@click.argument("name")
@in_session
def console(session: Session, name: str) -> None:
    """Attach this terminal to a VM's console. What it said last is shown first.

    Leave it with Ctrl-a q (a container), or with Ctrl-] (a virtual machine).
    """
    command = session.host_in_part.console_command(name)
    for line in logs.last_said(session.host_in_part, name):
        click.echo(line)
    _become(command)


def _become(command: list[str]) -> NoReturn:
    sys.stdout.flush()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise HostError(f"{command[0]} cannot be run: {error.strerror}") from None


def _environment(given: tuple[str, ...]) -> dict[str, str | None]:
    pairs = (each.partition("=") for each in given)
    return {key: value if equals else os.environ.get(key, "") for key, equals, value in pairs}


def _of_terminal() -> dict[str, str]:
    """What programs have to know of this terminal."""
    return {key: os.environ[key] for key in ("TERM", "COLORTERM") if key in os.environ}


def _report(session: Session, name: str, ran: Ran) -> NoReturn:
    session.answer(reports.ran_report(ran), lambda: None)
    _end(name, ran.code)


def _end(name: str, code: int | None) -> NoReturn:
    """End with the program's exit code."""
    if code is None:
        click.echo(f"{name}: the program was killed because its time was up", err=True)
    sys.exit(TIMED_OUT if code is None else code)


@click.command("minion-key")
@click.argument("name")
@in_session
def minion_key(session: Session, /, name: str) -> None:
    """Show the id, the fingerprint and the public key of the Salt minion in a VM.

    A container may be off. On the master, 'salt-run geats.accept NAME' asks for it.
    """
    found = minions.minion_key(session.host, name)

    def show() -> None:
        click.echo(f"{found['id']}  {found['fingerprint']}\n{found['key']}")

    session.answer({**found}, show)


COMMANDS = (shell, exec_, ssh, push, pull, wait, console, minion_key)
