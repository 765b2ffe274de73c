"""The command that looks after archives of VMs: ``geats prune-exports``."""

import click

from geats_host.calls import exports
from geats_host.cli import tables
from geats_host.cli.plans import dry_run_option
from geats_host.cli.session import Session, in_session

RULES = ("last", "hourly", "daily", "weekly", "monthly")


def _rules(command: click.Command) -> click.Command:
    """An option for each rule."""
    command.params += [
        click.Option([f"--{rule}"], type=click.IntRange(0), help=f"How many stay: {rule}.")
        for rule in RULES
    ]
    return command


@_rules
@click.command("prune-exports")
@dry_run_option
@in_session
def prune_exports(session: Session, /, dry_run: bool, **rules: int | None) -> None:
    """Delete the archives in the folder exports that no rule keeps, of each VM by itself.

    Without a rule, those of policy.exports count. What geats did not write there is left alone.
    """
    given = {name: count for name, count in rules.items() if count is not None}
    report = exports.pruned(session.host, given, dry_run=dry_run)
    columns = ("archive", "vm", "action", "reason")
    session.answer(report, lambda: tables.show_rows(columns, report, "There are no exports."))


COMMANDS = (prune_exports,)
