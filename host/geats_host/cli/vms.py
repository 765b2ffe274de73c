"""The commands that show VMs: all of them, one, and how they are not as declared."""

import os
import sys
from collections.abc import Mapping

import click

from geats_core.plans.said_once import said_once
from geats_core.reading.checked import problem_from_plain
from geats_core.requests.vm_filter import ListedPower
from geats_host.calls import inventory
from geats_host.cli import tables
from geats_host.cli.lists import answer_rows, as_list, changed_rows, show_yaml
from geats_host.cli.session import NO_VM, Session, in_session

DIFFERENT, TROUBLE = 1, 2  # exit codes of ``diff``


@click.command("list")
@as_list
@click.argument("vms", nargs=-1, metavar="[NAMES]...")
@click.option(
    "--power",
    multiple=True,
    type=click.Choice(list(map(str, ListedPower))),
    help="Only VMs in this power state, or one of these.",
)
@click.option("--driver", multiple=True, help="Only VMs of this driver, or of one of these.")
@click.option("--label", multiple=True, metavar="NAME[=VALUE]", help="Only VMs with this label.")
@click.option("--group", multiple=True, help="Only VMs of this group of autostart, or of these.")
@click.option("--declared/--undeclared", default=None, help="Only VMs that are, or are not.")
@click.option("--defined/--undefined", default=None, help="Only VMs that are, or are not.")
@click.option("--locked/--unlocked", default=None, help="Only VMs that are, or are not.")
@in_session
def list_(session: Session, /, **only: object) -> None:
    """List all VMs, or those that match NAMES: names, or patterns such as 'web*'.

    Addresses are those that are declared, and those that the guest has from elsewhere. What it uses
    is known while it is on.
    """
    some = {key: value for key, value in only.items() if value != ()}
    report = inventory.list_report(session.host_in_part, some)
    answer_rows(
        session,
        report,
        tables.columns(report),
        tables.vm_rows(report),
        "" if report else _nothing(session, some),
        more=lambda: tables.show_problems(report),
    )


def _nothing(session: Session, only: Mapping[str, object]) -> str:
    """Why the list is empty, and what to do."""
    there = inventory.list_report(session.host_in_part) if only else {}
    if there:
        return f"No VM matches. There is: {', '.join(there)}."
    if os.geteuid():
        return "You see no VMs, because you are not root: try sudo."
    return "There are no VMs." if session.unconfigured else f"There are no VMs; {NO_VM}."


@click.command()
@click.argument("name")
@in_session
def info(session: Session, name: str) -> None:
    """Show one VM."""
    report = inventory.info_report(session.host_in_part, name)
    session.answer(report, lambda: tables.show_mapping(report))


@click.command()
@click.argument("names", nargs=-1)
@click.option("--secrets", is_flag=True, help="Show the values of metadata, too.")
@in_session
def show(session: Session, names: tuple[str, ...], secrets: bool) -> None:
    """Show the YAML that declares VMs as they are defined now, for the configuration or a pillar.

    Without NAMES: all that are defined. Keys that have their defaults are left out.
    """
    from geats_host.watching.declarations import declarations_report

    report = declarations_report(session.host, names, shows_secrets=secrets)
    session.answer(report, lambda: show_yaml(report))


@click.command()
@as_list
@in_session
def status(session: Session) -> None:
    """Show every VM, and the host's memory, swap, load and cpu."""
    report = inventory.status_report(session.host_in_part)
    vms = report["vms"] if isinstance(report["vms"], dict) else {}
    rows, more = tables.vm_rows(vms), lambda: tables.show_below(report)
    answer_rows(session, report, tables.columns(vms), rows, "There are no VMs.", more=more)


@click.command()
@as_list
@click.argument("names", nargs=-1)
@in_session
def diff(session: Session, names: tuple[str, ...]) -> None:
    """Show what is declared of VMs and is not so on the host: the fields that differ.

    'old' is what is there, and 'new' what is declared. Without NAMES: of all VMs. Exit codes, as of
    diff(1): 0 no differences; 1 some; 2 trouble.
    """
    session.trouble = TROUBLE
    from geats_host.watching.differences import differences_report

    report = differences_report(session.host, names)
    vms, refused = report["vms"], report["refused"]
    columns = ("VM", "field", "old", "new")
    answer_rows(session, report, columns, changed_rows(vms), "no differences")
    for problem in said_once(
        str(problem_from_plain(each)) for why in refused.values() for each in why
    ):
        click.echo(f"refused: {problem}", err=True)
    sys.exit(TROUBLE if refused else DIFFERENT if vms else 0)


COMMANDS = (list_, info, show, status, diff)
