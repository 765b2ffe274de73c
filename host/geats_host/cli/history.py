"""The commands that tell what happened: the journal, and events as they come."""

import json
from collections.abc import Mapping

import click

from geats_host.cli.lists import answer_rows, as_list, word_of
from geats_host.cli.session import Session, in_session
from geats_host.watching import history

since_option = click.option(
    "--since",
    metavar="WHEN",
    help="Only from then on: 30m, 2h or 3d ago, or a time such as 2026-11-30T08:00 (UTC).",
)
limit_option = click.option(
    "--limit",
    default=50,
    show_default=True,
    type=click.IntRange(1),
    help="Show at most this number of entries, the newest.",
)


@click.command()
@as_list
@click.argument("name", required=False)
@since_option
@limit_option
@in_session
def journal(session: Session, name: str | None, since: str | None, limit: int) -> None:
    """Show the newest steps that were applied to a VM; without NAME, to all VMs and the host.

    Each step is there twice: before it ('intent') and after it ('done' or 'failed').
    """
    report = history.journal_report(session.host_in_part, name, limit, since)
    of_vm = () if name else ("vm",)
    columns = ("time", *of_vm, "action", "outcome", "detail", "origin")
    answer_rows(session, report, columns, report, "Nothing was applied yet.")


@click.command()
@as_list
@click.argument("names", nargs=-1)
@since_option
@limit_option
@click.option("-f", "--follow", is_flag=True, help="Show each event as it comes, until Ctrl-C.")
@click.option(
    "--every",
    "every_s",
    default=history.EVERY_S,
    show_default=True,
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="With --follow: how often to look.",
)
@in_session
def events(
    session: Session,
    names: tuple[str, ...],
    since: str | None,
    limit: int,
    follow: bool,
    every_s: float,
) -> None:
    """Show what happened on this host: every step that ended. NAMES can be patterns such as 'web*'.

    With --follow, also what changes by itself: VMs that start or stop, VMs that are not as declared
    or that nobody declared, pools that are full. What happened before is then shown only with
    --since. With --json, each event is one line.
    """
    host = session.host_in_part
    newest = history.newest(host) if follow else None  # what ends from now on is followed
    nothing = follow and since is None
    told = [] if nothing else history.events_report(host, names, limit, since, newest)
    if not follow:
        columns = ("time", "vm", "event", "origin", "what")
        answer_rows(session, told, columns, told, "Nothing happened yet.")
        return
    for event in told:
        _show(session, event)
    for event in history.follow(host, names, every_s, after=newest):
        _show(session, event)


def _show(session: Session, event: Mapping[str, object]) -> None:
    by = f" ({event['origin']})" if event["origin"] else ""
    text = f"{event['time']}  {event['vm'] or '–'}  {word_of('event', event['event'])}{by}"
    click.echo(json.dumps(event) if session.as_json else text)


COMMANDS = (journal, events)
