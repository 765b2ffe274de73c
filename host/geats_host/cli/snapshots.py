"""The commands that take, list, restore and delete snapshots of VMs."""

import click

from geats_host.calls import snapshots as snapshots_
from geats_host.cli import plan_view
from geats_host.cli.exports import rules_options
from geats_host.cli.lists import answer_rows, as_list, as_rows
from geats_host.cli.plans import apply_saved, dry_run_option, show_or_apply, yes_option
from geats_host.cli.session import Session, in_session

GONE = ("vm", "snapshot", "volume", "pool", "reason")
partial_option = click.option(
    "--partial",
    is_flag=True,
    help="Leave out volumes that cannot have, or do not have, this snapshot.",
)


@click.command()
@click.argument("name")
@click.argument("snapshot", required=False)
@partial_option
@dry_run_option
@in_session
def snapshot(
    session: Session, name: str, snapshot: str | None, partial: bool, dry_run: bool
) -> None:
    """Take a snapshot of all volumes of a VM together. A running VM is frozen meanwhile.

    Its name is SNAPSHOT, or the time in UTC, such as 2026-11-23-070000.
    """
    planned = snapshots_.snapshot(session.host, name, snapshot, partial=partial)
    show_or_apply(session, planned, dry_run=dry_run)


@click.command()
@as_list
@click.argument("name")
@in_session
def snapshots(session: Session, name: str) -> None:
    """List the snapshots of a VM, from the oldest to the newest."""
    report = snapshots_.listed(session.host, name)
    columns = ("name", "taken", "volumes", "together")
    answer_rows(session, report, columns, report, "There are no snapshots.")


@click.command()
@click.argument("name")
@click.argument("snapshot")
@click.option("--allow-data-loss", is_flag=True, help="Lose what was written since then.")
@partial_option
@yes_option
@dry_run_option
@in_session
def restore(
    session: Session,
    name: str,
    snapshot: str,
    allow_data_loss: bool,
    partial: bool,
    yes: bool,
    dry_run: bool,
) -> None:
    """Roll the volumes of a VM back to a snapshot. A running VM is shut down, and started again."""
    planned = snapshots_.restore(
        session.host, name, snapshot, allow_data_loss=allow_data_loss, partial=partial
    )
    show_or_apply(session, planned, dry_run=dry_run, asks=not yes)


@click.command("delete-snapshot")
@click.argument("name")
@click.argument("snapshot")
@dry_run_option
@in_session
def delete_snapshot(session: Session, name: str, snapshot: str, dry_run: bool) -> None:
    """Delete a snapshot of a VM, on all volumes."""
    planned = snapshots_.delete(session.host, name, snapshot)
    show_or_apply(session, planned, dry_run=dry_run)


@rules_options
@click.command("prune-snapshots")
@as_rows
@dry_run_option
@in_session
def prune_snapshots(session: Session, /, dry_run: bool, **rules: int | None) -> None:
    """Delete snapshots that are named for their time and that no rule keeps, of every VM.

    Without a rule, those of policy.snapshots apply. Snapshots with other names stay, and so do all
    of a locked VM. --format and --columns list what goes.
    """
    given = {name: count for name, count in rules.items() if count is not None}
    made = snapshots_.pruned(session.host, given)
    if session.columns or session.format in ("table", "csv", "yaml"):
        if not dry_run:
            apply_saved(session, made, show=lambda: None)
        gone = snapshots_.gone_report(made)
        answer_rows(session, gone, GONE, gone, "Every snapshot is kept.")
    elif made.plan.is_empty and not session.as_json:
        click.echo("Every snapshot is kept.")
        plan_view.show_notes(made)
    else:
        show_or_apply(session, made, dry_run=dry_run)


COMMANDS = (snapshot, snapshots, restore, delete_snapshot, prune_snapshots)
