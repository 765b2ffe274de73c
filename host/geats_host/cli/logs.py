"""The command that shows what the logs of a VM say."""

import json
import sys

import click

from geats_host.calls.guests import logs as guest_logs
from geats_host.cli.session import INTERRUPTED, Session, in_session


@click.command()
@click.argument("name")
@click.option(
    "--source",
    type=click.Choice(["console", "init", "lxc", "qemu"]),
    help=(
        "Which log: of the console, of the guest's init (journalctl, or syslog), or of the program "
        "that runs the VM (default: all but init)."
    ),
)
@click.option(
    "-n", "--lines", default=guest_logs.LINES, show_default=True, help="How many lines of each."
)
@click.option("-f", "--follow", is_flag=True, help="Show each new line, until Ctrl-C.")
@in_session
def logs(session: Session, name: str, source: str | None, lines: int, follow: bool) -> None:
    """Show what a VM says on its console, in its journal, and what the program says that runs it.

    What a terminal would obey is left out or escaped. With --json, each line is one object.
    """
    host = session.host_in_part
    wanted = guest_logs.logs(host, name, source, {"lines": lines})
    several = len(wanted.files) > 1
    if not wanted.files and not wanted.init:
        click.echo(f"{name}: there are no logs yet", err=True)

    def show(of: str, line: str) -> None:
        plain = f"{of:<7} | {line}" if several else line
        click.echo(json.dumps({"source": of, "line": line}) if session.as_json else plain)
        sys.stdout.flush()

    try:
        guest_logs.show(host, name, wanted, show, follow=follow)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


COMMANDS = (logs,)
