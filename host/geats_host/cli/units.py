"""The command that has systemd start and end VMs with their host: ``geats units``."""

import click

from geats_host.calls import units as units_
from geats_host.cli.lists import answer_rows, as_rows
from geats_host.cli.plans import dry_run_option
from geats_host.cli.session import Session, in_session


@click.command()
@as_rows
@click.option("--remove", is_flag=True, help="Remove them. No VM is powered off by that.")
@dry_run_option
@in_session
def units(session: Session, remove: bool, dry_run: bool) -> None:
    """Have systemd start VMs after a boot, and shut them down before a poweroff.

    geats.service runs 'boot' and 'halt'. Without it, systemd kills guests that are not off after
    90 seconds. If policy.exports is set, geats-exports.timer runs 'prune-exports' every day, and
    with policy.snapshots geats-snapshots.timer runs 'prune-snapshots'.
    """
    file = None if session.file is None else session.file.absolute()
    steps = units_.removing() if remove else units_.installing(session.config, file)
    if not dry_run:
        units_.carry_out(steps)
    report = units_.report(steps)
    answer_rows(session, report, ("do", "reason"), report, "There is nothing to do.")


COMMANDS = (units,)
