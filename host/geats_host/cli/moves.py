"""The commands by which a VM moves between hosts: one fetches it, and the other one sends it."""

import sys

import click
from returns.result import Failure

from geats_core.reading.sizes import format_size
from geats_host.calls import reports
from geats_host.cli import plan_view
from geats_host.cli.copies import changes_of, set_option
from geats_host.cli.plans import dry_run_option, show_or_apply
from geats_host.cli.session import FAILED, Session, in_session
from geats_host.moves import sending
from geats_host.moves.fetch import Fetched, apply_fetch
from geats_host.moves.fetch import fetch as planned_fetch


@click.command()
@click.argument("source")
@click.option("--shutdown", is_flag=True, help="Shut the VM down there first, if it runs.")
@click.option("--live", is_flag=True, help="Move it as it runs: it goes on here.")
@set_option
@dry_run_option
@in_session
def fetch(
    session: Session,
    source: str,
    shutdown: bool,
    live: bool,
    changes: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Move a VM here from another host, with all that it holds.

    SOURCE is like ssh://root@host-a/web01: there, 'geats send' must be what ssh can run. If this is
    interrupted, the same command goes on.
    """
    how = {"shutdown": shutdown, "live": live, "test": dry_run}
    found = planned_fetch(session.host, source, changes_of(changes), **how)
    if dry_run:
        show_or_apply(session, found.planned, dry_run=True)
        click.echo(_sizes(found), err=True)
        return
    with plan_view.progress(found.planned, quiet=session.as_json) as progress:
        applied, left = apply_fetch(session.host, found, progress)
    if isinstance(applied, Failure):
        click.echo(reports.failure_text(applied.failure()), err=True)
        sys.exit(FAILED)
    report = {**reports.apply_host_report(found.planned, applied), "left": left}
    session.answer(report, lambda: plan_view.show_notes(found.planned))
    if left:
        click.echo(left, err=True)
        sys.exit(FAILED)


@click.command()
@in_session
def send(session: Session) -> None:
    """Answer another host that fetches a VM from this one: what ssh runs for 'geats fetch'."""
    sending.serve(session.host, sys.stdin.buffer, sys.stdout.buffer)


COMMANDS = (fetch, send)


def _sizes(found: Fetched) -> str:
    return f"at most {format_size(found.bytes)} would be copied"
