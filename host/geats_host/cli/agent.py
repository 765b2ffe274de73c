"""The commands for programs: an agent that answers them, and one request alone."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import click

from geats_host.cli.session import Session, in_session
from geats_host.errors import HostError

ADVICE = "install saltext-geats[agent], or Debian's python3-prometheus-client for metrics alone"
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.option(
    "--listen",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Listen on a unix socket, instead of standard input and output.",
)
@click.option(
    "--metrics",
    metavar="[ADDRESS:]PORT",
    help="Answer Prometheus there, too; without an address, on the loopback interface.",
)
@in_session
def agent(session: Session, listen: Path | None, metrics: str | None) -> None:
    """Answer programs by varlink: the interface io.geats.Host.

    Without --listen it speaks on standard input and output, as a forced command of ssh, or on the
    socket that systemd gives it. Root may ask for everything, and others for what 'agent: allow'
    of the configuration says of their groups.
    """
    with extra():
        from geats_host.agent import listening
        from geats_host.metrics import prometheus
    if metrics is not None:
        prometheus.serve(session.file, metrics)
    listening.serve(session.file, listen)


@contextmanager
def extra() -> Iterator[None]:
    """Tell what to install, if a library is missing that few hosts need."""
    try:
        yield
    except ImportError as error:
        raise HostError(f"{error}: {ADVICE}") from None


@click.command()
@in_session
def metrics(session: Session) -> None:
    """Print what is counted on this host, as text for Prometheus.

    For the textfile collector of its node exporter: geats metrics > geats.prom.new && mv
    geats.prom.new geats.prom
    """
    with extra():
        from geats_host.metrics.prometheus import text
    click.echo(text(session.host_in_part), nl=False)


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
    over, text = Event(), sys.stdin.buffer.read(one_shot.LARGEST_BYTES + 1)
    for number in ENDING:  # before that, nothing is under way
        signal.signal(number, lambda *_: over.set())
    answer, code = one_shot.answered(session.file, text, over)
    click.echo(json.dumps(answer))
    sys.exit(code)


COMMANDS = (agent, metrics, request)
