"""The commands that back up, restore and rebuild the registry: ``geats registry ...``."""

from pathlib import Path

import click

from geats_host.calls.registry import registry_copies, registry_health
from geats_host.cli.commands import Group
from geats_host.cli.plans import dry_run_option, show_or_apply
from geats_host.cli.session import Session, in_session
from geats_host.planning.plans import plan_rebuild
from geats_host.plugins.entry_points import open_locks

file_argument = click.argument("file", type=click.Path(path_type=Path))


@click.group(cls=Group)
def registry() -> None:
    """Back up, restore and rebuild what geats has recorded: definitions, locks and the journal."""


@registry.command()
@file_argument
@in_session
def backup(session: Session, file: Path) -> None:
    """Back up the registry to FILE, which must not exist yet. FILE contains secrets."""
    written = registry_copies.back_up(session.host, f"{file.absolute()}")
    session.answer({"path": f"{written}"}, lambda: click.echo(f"written: {written}"))


@registry.command()
@file_argument
@click.option("--overwrite", is_flag=True, help="Replace the current registry, if there is one.")
@dry_run_option
@in_session
def restore(session: Session, file: Path, overwrite: bool, dry_run: bool) -> None:
    """Restore the registry from FILE, and show what is different. No VM and no volume is touched.

    The old registry is kept in a file beside the new one.
    """
    now = registry_health.unchecked(session.config)
    wish = registry_copies.restoring(now, f"{file.absolute()}")
    said = "\n".join(wish.lines) or "what is recorded is the same: only the journal may differ"
    session.answer(wish.report(), lambda: click.echo(said))
    if not dry_run:
        locks = open_locks(session.config.lock, Path(session.config.run_dir))
        registry_copies.restore(now, locks, wish, overwrite=overwrite)


@registry.command()
@dry_run_option
@in_session
def rebuild(session: Session, dry_run: bool) -> None:
    """Record definitions and locks again that the registry lost and the drivers still have.

    No VM is powered off, started or changed. If you have a backup, restore it instead: it also
    contains the journal and the notes.
    """
    show_or_apply(session, plan_rebuild(session.host), dry_run=dry_run)


COMMANDS = (registry,)
