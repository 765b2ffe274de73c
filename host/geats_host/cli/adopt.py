"""The commands that take over what something else made."""

import sys

import click
import yaml

from geats_core.foreign.notes import Imported
from geats_core.incus import incus_import
from geats_host.calls import adopt
from geats_host.cli.plans import apply_saved, dry_run_option, show_or_apply
from geats_host.cli.session import REFUSED, Session, in_session
from geats_host.inputs import first_geats, legacy_files

HOW = "# Nothing describes this VM yet. It is now as if this were in the configuration:"


@click.command("adopt")
@click.argument("name")
@click.option(
    "--template",
    help="If nothing describes the VM: the template from which to recreate it.",
)
@click.option(
    "--as", "new_name", metavar="NAME", help="Another name for it; it must be powered off."
)
@dry_run_option
@in_session
def adopt_(
    session: Session, name: str, template: str | None, new_name: str | None, dry_run: bool
) -> None:
    """Take over a container or a domain of libvirt that something else made, without a restart.

    A container must be in the path of the driver. What differs from its description in the
    configuration is pending. Without a description, it is adopted as it is.
    """
    planned, described = adopt.adopt(session.host, name, None, template, new_name)
    if dry_run:
        show_or_apply(session, planned, dry_run=True)
        return
    apply_saved(session, planned)
    if described is not None and not session.as_json:
        vms = {"geats": {"vms": {new_name or name: dict(described)}}}
        click.echo(f"{HOW}\n{yaml.safe_dump(vms, sort_keys=False, allow_unicode=True)}", nl=False)


@click.command("import-legacy")
@click.argument("paths", nargs=-1, required=True)
@in_session
def import_legacy(session: Session, paths: tuple[str, ...]) -> None:
    """Convert a host of the first geats: print a configuration in YAML, with notes after it.

    A file named .yaml or .json defines VMs, a pickle is the store, any other file is a
    configuration; a directory stands for all files below it. Nothing is changed. Exits with 2 if
    something is still wrong, which the last notes say.
    """
    _show(session, first_geats.imported(paths))


@click.command("import-lxc")
@click.argument("files", nargs=-1, required=True)
@in_session
def import_lxc(session: Session, files: tuple[str, ...]) -> None:
    """Convert config files of LXC containers: print a configuration in YAML, with notes after it.

    For example /var/lib/lxc/web01/config; a directory such as /var/lib/lxc stands for all in it.
    Nothing is changed. Exits with 2 if something is still wrong, which the last notes say.
    """
    _show(session, legacy_files.imported_lxc(files))


@click.command("import-libvirt")
@click.argument("files", nargs=-1, required=True)
@in_session
def import_libvirt(session: Session, files: tuple[str, ...]) -> None:
    """Convert domain XML of libvirt: print a configuration in YAML, with notes after it.

    For example /etc/libvirt/qemu/web01.xml, or what virsh dumpxml --inactive prints; a directory
    stands for all in it. Nothing is changed. Exits with 2 if something is still wrong, which the
    last notes say.
    """
    _show(session, legacy_files.imported_libvirt(files))


@click.command("import-proxmox")
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--storage",
    metavar="FILE",
    help=f"The storages of Proxmox; {legacy_files.STORAGE_CFG}, if it is there.",
)
@in_session
def import_proxmox(session: Session, files: tuple[str, ...], storage: str | None) -> None:
    """Convert guests of Proxmox VE: print a configuration in YAML, with notes after it.

    For example /etc/pve/lxc/101.conf or /etc/pve/qemu-server/102.conf; a directory such as
    /etc/pve/local stands for all in it. Nothing is changed. Exits with 2 if something is still
    wrong, which the last notes say.
    """
    _show(session, legacy_files.imported_proxmox(files, storage))


@click.command("import-incus")
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--folder",
    metavar="DIRECTORY",
    help=f"Where the files of its pools are; {incus_import.FOLDER}. LXD has /var/lib/lxd.",
)
@in_session
def import_incus(session: Session, files: tuple[str, ...], folder: str | None) -> None:
    """Convert instances of Incus or LXD: print a configuration in YAML, with notes after it.

    FILES are what 'incus list --format json' and 'incus profile list --format json' print, or
    'incus config show --expanded NAME'; a directory stands for those in it. Nothing is changed.
    Exits with 2 if something is still wrong, which the last notes say.
    """
    _show(session, legacy_files.imported_incus(files, folder))


@click.command("import-salt-lxc")
@click.argument("files", nargs=-1, required=True)
@in_session
def import_salt_lxc(session: Session, files: tuple[str, ...]) -> None:
    """Convert what Salt 3006's lxc was given: print a configuration in YAML, with notes after it.

    FILES are pillars or minion configurations with profiles, states that 'state.show_sls' shows,
    and profiles and maps of salt-cloud; a directory stands for those below it. Nothing is changed.
    Exits with 2 if something is still wrong, which the last notes say.
    """
    _show(session, legacy_files.imported_salt_lxc(files))


@click.command("import-ansible")
@click.argument("files", nargs=-1, required=True)
@in_session
def import_ansible(session: Session, files: tuple[str, ...]) -> None:
    """Convert tasks of Ansible's lxc_container: print a configuration in YAML, with notes after it.

    FILES are plays or tasks; a directory stands for those below it. Nothing is changed. Exits with
    2 if something is still wrong, which the last notes say.
    """
    _show(session, legacy_files.imported_ansible(files))


def _show(session: Session, made: Imported) -> None:
    """What files became; exits with 2 if that is not all of a configuration yet."""
    session.answer(
        legacy_files.report(made), lambda: click.echo(legacy_files.as_file(made), nl=False)
    )
    if made.problems:
        sys.exit(REFUSED)


COMMANDS = (
    *(adopt_, import_ansible, import_incus, import_legacy, import_libvirt, import_lxc),
    *(import_proxmox, import_salt_lxc),
)
