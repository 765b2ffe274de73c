"""The commands about volumes, all of them and one: ``geats volumes``."""

import click

from geats_host.calls import inventory
from geats_host.calls import volumes as volumes_
from geats_host.cli.commands import Group
from geats_host.cli.declare import Changed
from geats_host.cli.lists import answer_rows, as_list
from geats_host.cli.plans import dry_run_option, show_or_apply, yes_option
from geats_host.cli.session import Session, in_session
from geats_host.inputs.declaration_files import DeclarationFile
from geats_host.inputs.declaration_text import text_of_vm, with_text_of_vm, with_volume

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


@volumes.command()
@click.argument("name")
@click.argument("volume")
@click.option("--mount", metavar="PATH", help="Where the guest has it mounted.")
@pool_option
@yes_option
@dry_run_option
@in_session
def attach(
    session: Session,
    name: str,
    volume: str,
    mount: str | None,
    pool: str | None,
    yes: bool,
    dry_run: bool,
) -> None:
    """Declare a volume that is no longer wanted for its VM again, and apply that.

    Its data stay as they are. The declaration is changed as 'edit' changes it.
    """
    seen = volumes_.left(session.host, name, volume, pool)
    entry = {"name": seen.name, "pool": seen.pool, **({"mount": mount} if mount else {})}
    file = DeclarationFile.at(session.file)
    own = with_volume(text_of_vm(file.text, name), name, entry)
    changed = Changed.of(session, file, with_text_of_vm(file.text, name, own), name)
    changed.carry_out(yes=yes, dry_run=dry_run)


@click.command("move-volume")
@click.argument("name")
@click.argument("volume")
@click.option("--to", "pool", required=True, metavar="POOL", help="The pool that it moves to.")
@dry_run_option
@in_session
def move_volume(session: Session, name: str, volume: str, pool: str, dry_run: bool) -> None:
    """Move a volume of a VM that is off to another pool of this host.

    It is copied, and the copy is compared with it. Then the VM uses the copy, and the old one is
    destroyed. If this is interrupted, the same command finishes it; a move back to the old pool
    undoes it. Until then, other plans do not change the pool of the volume. Declare the new pool
    too: until then, the next plan is refused. Snapshots do not move: delete them first.
    """
    planned = volumes_.move(session.host, name, volume, pool)
    show_or_apply(session, planned, dry_run=dry_run)


COMMANDS = (volumes, move_volume)
