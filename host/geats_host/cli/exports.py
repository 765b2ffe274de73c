"""The command that deletes old archives of VMs: ``geats prune-exports``."""

import click

from geats_host.calls import exports
from geats_host.cli.lists import answer_rows, as_rows
from geats_host.cli.plans import dry_run_option
from geats_host.cli.session import Session, in_session

RULES = ("last", "hourly", "daily", "weekly", "monthly")


def rules_options(command: click.Command) -> click.Command:
    """An option for each rule."""
    command.params += [
        click.Option([f"--{rule}"], type=click.IntRange(0), help=f"How many to keep: {rule}.")
        for rule in RULES
    ]
    return command


@rules_options
@click.command("prune-exports")
@as_rows
@dry_run_option
@in_session
def prune_exports(session: Session, /, dry_run: bool, **rules: int | None) -> None:
    """Delete archives in the folder exports that no rule keeps, for each VM separately.

    Without a rule, those of policy.exports apply. Files that geats did not write are left alone.
    """
    given = {name: count for name, count in rules.items() if count is not None}
    report = exports.pruned(session.host, given, dry_run=dry_run)
    columns = ("archive", "vm", "action", "reason")
    answer_rows(session, report, columns, report, "There are no exports.")


COMMANDS = (prune_exports,)
