"""The commands for programs: an agent that answers them, and one request alone."""

import json
import signal
import sys
from pathlib import Path
from threading import Event

import click

from geats_host.cli.session import Session, in_session
from geats_host.errors import HostError

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.option(
    "--listen",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Listen on a unix socket, instead of standard input and output.",
)
@in_session
def agent(session: Session, listen: Path | None) -> None:
    """Answer programs by varlink: the interface io.geats.Host.

    Without --listen it speaks on standard input and output, as a forced command of ssh, or on the
    socket that systemd gives it. Root may ask for everything, and others for what 'agent: allow'
    of the configuration says of their groups.
    """
    try:
        from geats_host.agent.listening import serve
    except ImportError as error:
        raise HostError(f"{error}: install geats[agent]") from None
    serve(session.file, listen)


@click.command()
@click.option("--schema", is_flag=True, help="Print the JSON Schema of requests and answers.")
@in_session
def request(session: Session, schema: bool) -> None:
    """Read one request from standard input, and answer it, as JSON.

    The methods and their parameters are those of 'geats agent'. Exit codes: 0 done, 1 failed, 2
    refused, 6 another operation on a VM is under way. At the first Ctrl-C, no other step begins.
    """
    from geats_host.agent import one_shot, schemas

    if schema:
        click.echo(json.dumps(schemas.request_schema(), indent=2))
        return
    over = Event()
    for number in ENDING:
        signal.signal(number, lambda *_: over.set())
    text = sys.stdin.buffer.read(one_shot.LARGEST_BYTES + 1)
    answer, code = one_shot.answered(session.file, text, over)
    click.echo(json.dumps(answer))
    sys.exit(code)


COMMANDS = (agent, request)
