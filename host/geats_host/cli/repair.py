"""The command that cleans up what interrupted operations left on this host: ``geats repair``."""

import click

from geats_host.calls import repair as repairing
from geats_host.cli import plan_view
from geats_host.cli.plans import dry_run_option, show_or_apply
from geats_host.cli.session import Session, in_session


@click.command()
@click.argument("names", nargs=-1)
@dry_run_option
@in_session
def repair(session: Session, names: tuple[str, ...], dry_run: bool) -> None:
    """Clean up what interrupted operations left on this host. Look at it with --dry-run first.

    With NAMES, only what they left of these VMs.

    That is VMs that are stuck or were left frozen, empty volumes, unfinished copies, partly
    unpacked templates, partly written archives, and network interfaces, mounts and loop devices
    that nobody uses. What somebody else uses is named, and stays.
    """
    made = repairing.plan(session.host, names)
    if made.plan.is_empty and not session.as_json:
        click.echo("nothing is left over")
        plan_view.show_notes(made)
    else:
        show_or_apply(session, made, dry_run=dry_run)


COMMANDS = (repair,)
