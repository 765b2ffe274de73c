"""The commands about volumes, all of them and one: ``geats volumes``."""

import click

from geats_host.calls import inventory
from geats_host.calls import volumes as volumes_
from geats_host.cli.commands import Group
from geats_host.cli.lists import answer_rows, as_list
from geats_host.cli.plans import dry_run_option, show_or_apply, yes_option
from geats_host.cli.session import Session, in_session

# What matters most comes first: what does not fit the terminal is left out from the end.
COLUMNS = (
    *("vm", "name", "pool", "size_bytes", "used_bytes", "wanted", "stage", "template"),
    *("snapshots", "active", "path"),
)
pool_option = click.option("--pool", help="In which pool, if there is one of this name in several.")


@click.group(cls=Group, invoke_without_command=True)
@as_list
@click.pass_context
def volumes(context: click.Context) -> None:
    """Show every volume, and where it is; or do something with one.

    A volume is not 'wanted' if no VM is defined with it: for example, if its VM was undefined, or
    if it was taken out of the declaration.
    """
    if context.invoked_subcommand is not None:
        return
    session = context.ensure_object(Session)
    report = inventory.volumes_report(session.host)
    answer_rows(session, report, COLUMNS, report, "no volumes")


@volumes.command()
@click.argument("name")
@click.argument("volume")
@pool_option
@yes_option
@dry_run_option
@in_session
def remove(
    session: Session, name: str, volume: str, pool: str | None, yes: bool, dry_run: bool
) -> None:
    """Destroy a volume that is no longer wanted, with its snapshots and all data on it.

    It is refused if VM NAME is defined, declared or running with VOLUME, if another VM mounts it,
    or if the VM is locked or on.
    """
    planned = volumes_.remove(session.host, name, volume, pool)
    show_or_apply(session, planned, dry_run=dry_run, asks=not yes)


COMMANDS = (volumes,)
