"""The commands that write VMs to archives, read them, copy them, and give them other names."""

import sys
from pathlib import Path

import click
from returns.result import Failure

from geats_core.planning.actions import OfOneGuest
from geats_core.plans.plan_files import SavedPlan
from geats_host.calls import copies, publishing, reports
from geats_host.cli import plan_view, tables
from geats_host.cli.lists import show_yaml
from geats_host.cli.plans import dry_run_option, show_or_apply
from geats_host.cli.session import FAILED, Session, in_session
from geats_host.engine.outcomes import Applied
from geats_host.errors import Refused
from geats_host.inputs.yaml_text import WrongYaml, read_yaml

set_option = click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the spec, with its value in YAML. For an import, 'pools' is the pool "
    "of all volumes, or a mapping from volume names to pools.",
)


@click.command()
@click.argument("name")
@click.argument("path", required=False, type=click.Path(path_type=Path, resolve_path=True))
@dry_run_option
@in_session
def export(session: Session, name: str, path: Path | None, dry_run: bool) -> None:
    """Write a VM and the content of its volumes to an archive. A running VM is frozen meanwhile.

    Without PATH, the archive is written to the folder exports in the state_dir.
    """
    planned = copies.export(session.host, name, None if path is None else str(path))
    if dry_run:
        show_or_apply(session, planned, dry_run=True)
        return
    with plan_view.progress(planned, quiet=session.as_json) as progress:
        applied = copies.apply_export(session.host, planned, progress)
    _end_if_interrupted(applied)
    report = copies.written(planned)
    session.answer(report, lambda: tables.show_mapping(report))


@click.command()
@click.argument("name")
@click.argument("path", required=False, type=click.Path(path_type=Path, resolve_path=True))
@click.option(
    "--keep",
    multiple=True,
    type=click.Choice(list(map(str, OfOneGuest))),
    help="Leave this in the tarball, though no two guests should have it.",
)
@dry_run_option
@in_session
def publish(
    session: Session, name: str, path: Path | None, keep: tuple[str, ...], dry_run: bool
) -> None:
    """Make a template of a VM: write its root volume to a file, and show what declares it.

    A container becomes a tarball, without its machine-id, SSH host keys, hostname, metadata, keys
    of a Salt minion, seed and state of cloud-init, and DHCP leases. A virtual machine becomes a
    disk image, as it is: clean it in the guest first. A running VM is frozen meanwhile. Without
    PATH, the file is written to the folder published in the state_dir.
    """
    where = None if path is None else str(path)
    planned = publishing.publish(session.host, name, where, list(keep) or None)
    if dry_run:
        show_or_apply(session, planned, dry_run=True)
        return
    with plan_view.progress(planned, quiet=session.as_json) as progress:
        applied = copies.apply_to_file(session.host, planned, publishing.file_of(planned), progress)
    _end_if_interrupted(applied)
    report = publishing.written(session.host, planned)
    session.answer(report, lambda: show_yaml({"templates": report["templates"]}))


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path, resolve_path=True))
@click.option("--name", help="Import under another name, as a new VM with its own identity.")
@click.option("--sha256", metavar="DIGEST", help="The sha256 that the archive must have.")
@set_option
@dry_run_option
@in_session
def import_(
    session: Session,
    path: Path,
    name: str | None,
    sha256: str | None,
    changes: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Create a VM from an archive, which is checked before anything is changed. The VM is off."""
    different = changes_of(changes)
    planned = copies.import_(session.host, str(path), name, different, sha256)
    _show_or_copy(session, planned, dry_run=dry_run)


@click.command()
@click.argument("source")
@click.argument("name")
@set_option
@dry_run_option
@in_session
def clone(
    session: Session, source: str, name: str, changes: tuple[str, ...], dry_run: bool
) -> None:
    """Create a VM as a copy of SOURCE, in the same pools. SOURCE is frozen meanwhile.

    The new VM has its own identity, is off, and must not have an address of another VM.
    """
    different = changes_of(changes)
    planned = copies.clone(session.host, source, name, different)
    _show_or_copy(session, planned, dry_run=dry_run)


@click.command()
@click.argument("name")
@dry_run_option
@in_session
def accept(session: Session, name: str, dry_run: bool) -> None:
    """Let a VM count that was moved to this host, if its move was interrupted. It stays off.

    Only if the host that it comes from no longer has it: otherwise, two hosts have the VM. To
    repeat the move is better, if that host answers.
    """
    show_or_apply(session, copies.accept(session.host, name), dry_run=dry_run)


@click.command()
@click.argument("name")
@click.argument("new_name")
@dry_run_option
@in_session
def rename(session: Session, name: str, new_name: str, dry_run: bool) -> None:
    """Give a VM that is off another name. It keeps its volumes, snapshots and MAC addresses.

    The hostname changes with it, if it was made of the old name. Change the name in the
    configuration first. If this is interrupted, the same command finishes it.
    """
    made = copies.rename(session.host, name, new_name)
    show_or_apply(session, made, dry_run=dry_run)


COMMANDS = (export, publish, import_, accept, clone, rename)


def _show_or_copy(session: Session, planned: SavedPlan, *, dry_run: bool) -> None:
    if dry_run:
        show_or_apply(session, planned, dry_run=True)
        return
    with plan_view.progress(planned, quiet=session.as_json) as progress:
        applied = copies.apply_copy(session.host, planned, progress)
    _end_if_interrupted(applied)
    report = reports.apply_host_report(planned, applied)
    session.answer(report, lambda: plan_view.show_notes(planned))


def changes_of(words: tuple[str, ...]) -> dict[str, object]:
    """The keys that ``--set`` gives, with what YAML makes of their values."""
    found: dict[str, object] = {}
    problems: list[str] = []
    for word in words:
        key, separator, value = word.partition("=")
        try:
            found[key] = read_yaml(value)
        except WrongYaml as error:
            problems.append(f"set: {key}: {error}")
            continue
        if not (key and separator):
            problems.append(f"set: must be KEY=VALUE with a value in YAML, got {word!r}")
    if problems:
        raise Refused(*problems)
    return found


def _end_if_interrupted(applied: Applied) -> None:
    if isinstance(applied, Failure):
        click.echo(reports.failure_text(applied.failure()), err=True)
        sys.exit(FAILED)
