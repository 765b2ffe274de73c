"""The command that adopts containers which something else made."""

import click
import yaml

from geats_host.calls import adopt
from geats_host.cli.plans import apply_saved, dry_run_option, show_or_apply
from geats_host.cli.session import Session, in_session
from geats_host.inputs import legacy_files

HOW = "# Nothing describes this VM yet. It is now as if this were in the configuration:"


@click.command("adopt")
@click.argument("name")
@click.option(
    "--template",
    help="What a VM that nothing describes counts as installed from: used if it is recreated.",
)
@dry_run_option
@in_session
def adopt_(session: Session, name: str, template: str | None, dry_run: bool) -> None:
    """Make a container of LXC that something else made a VM of geats, without a restart.

    It must be in the path of the driver. It becomes what the configuration describes; what that
    has otherwise than the container is pending. Without a description it is taken as it is.
    """
    adopting = adopt.adopt(session.host, name, None, template)
    if dry_run:
        show_or_apply(session, adopting.planned, dry_run=True)
        return
    apply_saved(session, adopting.planned)
    if adopting.described is not None and not session.as_json:
        vms = {"geats": {"vms": {name: dict(adopting.described)}}}
        click.echo(f"{HOW}\n{yaml.safe_dump(vms, sort_keys=False, allow_unicode=True)}", nl=False)


@click.command("import-legacy")
@click.argument("files", nargs=-1, required=True)
@in_session
def import_legacy(session: Session, files: tuple[str, ...]) -> None:
    """Print the configuration that the files of the first geats make: YAML, with notes below.

    Files named .yaml define a VM each, any other is a configuration. Nothing is changed.
    """
    made = legacy_files.imported(files)
    session.answer(
        legacy_files.report(made), lambda: click.echo(legacy_files.as_file(made), nl=False)
    )


@click.command("import-lxc")
@click.argument("files", nargs=-1, required=True)
@in_session
def import_lxc(session: Session, files: tuple[str, ...]) -> None:
    """Print the configuration that the config files of LXC containers make, with notes below.

    For example of /var/lib/lxc/web01/config. Nothing is changed.
    """
    made = legacy_files.imported_lxc(files)
    session.answer(
        legacy_files.report(made), lambda: click.echo(legacy_files.as_file(made), nl=False)
    )


COMMANDS = (adopt_, import_legacy, import_lxc)
