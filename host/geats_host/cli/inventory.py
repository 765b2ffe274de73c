"""The commands that show what is beside the VMs: pools, volumes, drivers, strays; and pending."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import click

from geats_host.calls import inventory
from geats_host.calls.reports import Report
from geats_host.cli import tables
from geats_host.cli.session import Session, in_session
from geats_host.host import Host

Rows: TypeAlias = list[Report]


def _command(
    name: str, report: Callable[[Host], Mapping[str, Report] | Rows], summary: str
) -> click.Command:
    """A command without arguments, which shows a table of what *report* holds."""

    @in_session
    def command(session: Session) -> None:
        told = report(session.host)
        rows = told if isinstance(told, list) else [{"name": k, **row} for k, row in told.items()]
        columns = list(rows[0]) if rows else []
        session.answer(told, lambda: tables.show_rows(columns, rows, f"no {name}"))

    return click.command(name, help=summary)(command)


@click.command()
@in_session
def pending(session: Session) -> None:
    """Show the running VMs with pending changes: their definition is not yet in effect."""
    told = inventory.pending_report(session.host)
    columns = ("VM", "field", "old", "new")
    session.answer(told, lambda: tables.show_rows(columns, _fields(told), "nothing is pending"))


def _fields(told: Mapping[str, Report]) -> Iterator[Report]:
    for name, changed in told.items():
        for field, both in changed.items():
            if isinstance(both, Mapping):
                yield {"VM": name, "field": field, "old": both["old"], "new": both["new"]}


COMMANDS = (
    _command("pools", inventory.pools_report, "Show every pool: what it is, and what is in it."),
    _command("volumes", inventory.volumes_report, "Show every volume of a VM, and where it is."),
    _command("drivers", inventory.drivers_report, "Show every driver, and the VMs that it knows."),
    _command("strays", inventory.strays_report, "Show the VMs of this host that nobody declared."),
    pending,
)
