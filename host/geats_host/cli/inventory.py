"""The commands that show what is beside the VMs: pools, drivers, strays; and pending."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import click

from geats_host.calls import inventory
from geats_host.calls.reports import Report
from geats_host.cli.lists import answer_rows, as_list, changed_rows
from geats_host.cli.session import Session, in_session
from geats_host.host import Host

Rows: TypeAlias = list[Report]


def _command(
    name: str,
    report: Callable[[Host], Mapping[str, Report] | Rows],
    columns: tuple[str, ...],
    summary: str,
) -> click.Command:
    """A command without arguments, which lists what *report* holds, in these *columns*."""

    @as_list
    @in_session
    def command(session: Session) -> None:
        told = report(session.host)
        rows = told if isinstance(told, list) else [{"name": k, **row} for k, row in told.items()]
        answer_rows(session, told, columns, rows, f"no {name}")

    return click.command(name, help=summary)(command)


@click.command()
@as_list
@in_session
def pending(session: Session) -> None:
    """Show the running VMs with pending changes: their definition is not yet in effect."""
    told = inventory.pending_report(session.host)
    columns = ("VM", "field", "old", "new")
    answer_rows(session, told, columns, changed_rows(told), "nothing is pending")


# What matters most comes first: what does not fit the terminal is left out from the end.
POOLS = (
    *("name", "type", "free_bytes", "size_bytes", "volumes", "templates", "problem", "offers"),
    *("snapshots", "clones", "grows_online", "enforces_size"),
)
DRIVERS = ("name", "vms", "bridges", "problem")
STRAYS = ("name", "power", "policy", "defined", "foreign", "locked", "problem")

COMMANDS = (
    _command("pools", inventory.pools_report, POOLS, "Show every pool, and what is in it."),
    _command("drivers", inventory.drivers_report, DRIVERS, "Show every driver, and its VMs."),
    _command(
        "strays", inventory.strays_report, STRAYS, "Show the VMs of this host that nobody declared."
    ),
    pending,
)
