"""The command line: ``geats``, with no Salt around.

Exit codes: 0 done, 1 failed, 2 bad input or refused, 3 ``plan --exit-code`` found changes, 5 done
although the configuration is wrong as a whole; of ``exec`` the program's own.
"""

import json
import os
import sys
from importlib.metadata import version
from io import TextIOWrapper

import click

from geats_core.declared.pillar_schema import pillar_schema
from geats_core.planning.goal import Target
from geats_core.planning.verbs import VERBS, Verb
from geats_core.requests.vm_filter import ListedPower
from geats_host.calls import doctor, lifecycle, reports
from geats_host.cli import adopt, copies, exports, guest, inventory, plans, snapshots, tables
from geats_host.cli import registry as cli_registry
from geats_host.cli import repair as cli_repair
from geats_host.cli import templates as cli_templates
from geats_host.cli.session import FAILED, REFUSED, Commands, Session, in_session
from geats_host.cli.system_log import log_to_the_system
from geats_host.errors import HostError
from geats_host.inputs import legacy_files


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("geats"), prog_name="geats")
def cli() -> None:
    """Look after the LXC containers and virtual machines of this host.

    Exit codes: 0 done, 1 failed, 2 bad input or refused, 3 'plan --exit-code' found changes; of
    'exec' the program's own; 5 where the configuration is wrong as a whole: 'list', 'info',
    'status', 'journal', 'console', 'stop', 'shutdown', 'boot' and 'halt' go on then.
    """


@cli.command("list")
@click.argument("vms", nargs=-1, metavar="[NAMES]...")
@click.option(
    "--power",
    multiple=True,
    type=click.Choice(list(map(str, ListedPower))),
    help="Only VMs whose power is this, or one of these.",
)
@click.option("--driver", multiple=True, help="Only VMs of this driver, or of one of these.")
@click.option("--declared/--undeclared", default=None, help="Only VMs that are, or are not.")
@click.option("--defined/--undefined", default=None, help="Only VMs that are, or are not.")
@click.option("--locked/--unlocked", default=None, help="Only VMs that are, or are not.")
@in_session
def list_(session: Session, /, **only: object) -> None:
    """List every VM; or those whose name is one of NAMES, which may be patterns such as 'web*'."""
    some = {key: value for key, value in only.items() if value != ()}
    report = reports.list_report(session.host_in_part, some)
    session.answer(report, lambda: tables.show_list(report))


@cli.command()
@click.argument("name")
@in_session
def info(session: Session, name: str) -> None:
    """Show one VM."""
    report = reports.info_report(session.host_in_part, name)
    session.answer(report, lambda: tables.show_mapping(report))


@cli.command()
@in_session
def status(session: Session) -> None:
    """Show every VM, and the host's memory, swap, load and cpu."""
    report = reports.status_report(session.host_in_part)
    session.answer(report, lambda: tables.show_status(report))


@cli.command()
@click.argument("names", nargs=-1)
@in_session
def validate(session: Session, names: tuple[str, ...]) -> None:
    """List everything that is wrong with the configuration and the declared VMs."""
    report: dict[str, list[str]] = {}
    for name in names or (None,):
        report |= lifecycle.validate(session.raw, name)
    problems = [problem for found in report.values() for problem in found]
    session.answer(report, lambda: click.echo("\n".join(problems) or "all VMs are valid"))
    sys.exit(REFUSED if problems else 0)


@cli.command("doctor")
@in_session
def examine(session: Session) -> None:
    """Examine this host: can it run what it is configured to run, and what is to be mended."""
    findings = doctor.examine(session.raw)
    report = doctor.to_plain(findings)
    columns = ("what", "health", "found", "fix")
    session.answer(report, lambda: tables.show_rows(columns, report, "nothing was found"))
    sys.exit(FAILED if any(each.health is doctor.Health.PROBLEM for each in findings) else 0)


@cli.command()
@click.argument("name")
@click.option(
    "--limit",
    default=50,
    show_default=True,
    type=click.IntRange(1),
    help="How many entries to show at most.",
)
@in_session
def journal(session: Session, name: str, limit: int) -> None:
    """Show the newest steps that were applied to a VM."""
    report = reports.journal_report(session.host_in_part, name, limit)
    session.answer(report, lambda: tables.show_journal(report))


@cli.command()
@click.argument("name")
@in_session
def console(session: Session, name: str) -> None:
    """Attach this terminal to a VM's console."""
    command = session.host_in_part.console_command(name)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise HostError(f"{command[0]} cannot be run: {error.strerror}") from None


@cli.command()
@in_session
def schema(_: Session) -> None:
    """Print the JSON Schema of the configuration, by which editors complete and check it."""
    click.echo(json.dumps(pillar_schema(), indent=2))


@cli.command("import-legacy")
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


@cli.command("import-lxc")
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


def _verb_command(verb: Verb) -> click.Command:
    @click.argument("name")
    @plans.dry_run_option
    @in_session
    def command(session: Session, name: str, dry_run: bool) -> None:
        host = session.host_in_part if verb.target is Target.OFF else session.host
        planned = lifecycle.plan_verb(host, verb.name, name)
        plans.show_or_apply(session, planned.as_saved(), dry_run=dry_run)

    return click.command(verb.name, help=verb.summary)(command)


for _command in (
    *plans.COMMANDS,
    *inventory.COMMANDS,
    *guest.COMMANDS,
    *snapshots.COMMANDS,
    *copies.COMMANDS,
    *adopt.COMMANDS,
    cli_registry.registry,
    exports.prune_exports,
    cli_repair.repair,
    cli_templates.templates,
    *map(_verb_command, VERBS.values()),
):
    cli.add_command(_command)


def main() -> None:
    """The console script; what a terminal cannot show is no reason to stop in the midst."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    log_to_the_system()
    cli()


if __name__ == "__main__":
    main()
