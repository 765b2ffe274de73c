"""The commands by which a VM moves between hosts: one fetches it, and the other one sends it."""

import sys
from typing import BinaryIO

import click
from returns.result import Failure

from geats_core.reading.sizes import format_size
from geats_host.calls import reports
from geats_host.cli import plan_view
from geats_host.cli.copies import changes_of, set_option
from geats_host.cli.plans import apply_saved, dry_run_option, show_or_apply
from geats_host.cli.session import FAILED, Session, in_session
from geats_host.cli.specs import spec_in, spec_option
from geats_host.moves import sending
from geats_host.moves.fetch import Fetched, apply_fetch
from geats_host.moves.fetch import fetch as planned_fetch
from geats_host.moves.taking import take_over, taking


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


@click.command()
@click.argument("name")
@click.option("--from", "from_", metavar="HOST", help="What the lost host is called in the pool.")
@click.option("--fenced", is_flag=True, help="The word that it is off, and stays off.")
@spec_option
@dry_run_option
@in_session
def take(
    session: Session,
    name: str,
    from_: str | None,
    fenced: bool,
    spec: BinaryIO | None,
    dry_run: bool,
) -> None:
    """Take over a VM of a lost host, whose volumes are all in shared pools.

    It is defined here as the configuration says, and 'geats start' starts it. Nothing is made anew,
    copied or destroyed. --fenced is your word that the lost host is off, and does not come back by
    itself: the VM would run twice.
    """
    found = taking(session.host, name, from_, spec_in(spec, (name,)), fenced=fenced or dry_run)
    if dry_run:
        session.answer({"would": found.told}, lambda: click.echo("\n".join(found.told)))
    else:
        apply_saved(session, take_over(session.host, found))


COMMANDS = (fetch, send, take)


def _sizes(found: Fetched) -> str:
    return f"at most {format_size(found.bytes)} would be copied"
