"""The command line: ``geats``, with no Salt around.

Exit codes: 0 done, 1 failed, 2 bad input or refused, 3 ``plan --exit-code`` found changes.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import click
from returns.result import Failure

from geats_core.plan import PowerOff, Restart, Target
from geats_core.verbs import VERBS, Verb
from geats_host import lifecycle, reports, tables
from geats_host.configuration import from_file
from geats_host.errors import HostError, Refused
from geats_host.host import Host, Planned

FAILED, REFUSED, CHANGES = 1, 2, 3


@dataclass
class Session:
    """What every command needs: the host, opened when first used, and how to answer."""

    file: Path | None
    as_json: bool

    @cached_property
    def host(self) -> Host:
        return Host.from_config(from_file(self.file))

    def answer(self, report: object, show: Callable[[], None]) -> None:
        """Print *report* as JSON, or *show* it to a person."""
        if self.as_json:
            click.echo(json.dumps(report, indent=2))
        else:
            show()


in_session = click.make_pass_decorator(Session)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="The host's configuration (default: /etc/geats/geats.yaml).",
)
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON, for programs.")
@click.version_option(version("geats"), prog_name="geats")
@click.pass_context
def cli(context: click.Context, file: Path | None, as_json: bool) -> None:
    """Look after the LXC containers and virtual machines of this host.

    Exit codes: 0 done, 1 failed, 2 bad input or refused, 3 'plan --exit-code' found changes.
    """
    context.obj = Session(file, as_json)


@cli.command("list")
@in_session
def list_(session: Session) -> None:
    """List every VM."""
    report = reports.list_report(session.host)
    session.answer(report, lambda: tables.show_list(report))


@cli.command()
@click.argument("name")
@in_session
def info(session: Session, name: str) -> None:
    """Show one VM."""
    report = reports.info_report(session.host, name)
    session.answer(report, lambda: tables.show_mapping(report))


@cli.command()
@in_session
def status(session: Session) -> None:
    """Show every VM, and the host's memory, swap, load and cpu."""
    report = reports.status_report(session.host)
    session.answer(report, lambda: tables.show_status(session.host, report))


@cli.command()
@click.argument("names", nargs=-1)
@in_session
def validate(session: Session, names: tuple[str, ...]) -> None:
    """List everything that is wrong with the declared VMs."""
    report: dict[str, list[str]] = {}
    for name in names or (None,):
        report |= lifecycle.validate(from_file(session.file), name)
    problems = [problem for found in report.values() for problem in found]
    session.answer(report, lambda: click.echo("\n".join(problems) or "all VMs are valid"))
    sys.exit(REFUSED if problems else 0)


@cli.command()
@click.argument("name")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1))
@in_session
def journal(session: Session, name: str, limit: int) -> None:
    """Show the newest steps that were applied to a VM."""
    report = reports.journal_report(session.host, name, limit)
    session.answer(report, lambda: tables.show_journal(report))


@cli.command()
@click.argument("name")
@in_session
def console(session: Session, name: str) -> None:
    """Attach this terminal to a VM's console."""
    command = session.host.console_command(name)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise HostError(f"{command[0]} cannot be run: {error.strerror}") from None


def goal_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say where VMs should end, and what may be done on the way."""
    for option in (
        click.option("--allow-data-loss", is_flag=True, help="Let a root volume be replaced."),
        click.option(
            "--power-off", type=click.Choice(list(map(str, PowerOff))), default="shutdown"
        ),
        click.option("--restart", type=click.Choice(list(map(str, Restart))), default="if_needed"),
        click.option(
            "--to", "target", type=click.Choice(list(map(str, Target))), default="running"
        ),
        click.argument("names", nargs=-1),
    ):
        command = option(command)
    return command


@cli.command()
@goal_options
@click.option("--exit-code", is_flag=True, help="Exit with 3 where there is something to do.")
@in_session
def plan(
    session: Session,
    names: tuple[str, ...],
    target: str,
    restart: str,
    power_off: str,
    allow_data_loss: bool,
    exit_code: bool,
) -> None:
    """Show what 'apply' would do, and do nothing.

    Without NAMES: for every VM that is declared.
    """
    planned = _plan_each(session, names, target, restart, power_off, allow_data_loss)
    plans = [each.plan for each in planned]
    session.answer([reports.plan_report(each) for each in plans], lambda: tables.show_plans(plans))
    sys.exit(CHANGES if exit_code and any(not each.is_empty for each in plans) else 0)


@cli.command()
@goal_options
@in_session
def apply(
    session: Session,
    names: tuple[str, ...],
    target: str,
    restart: str,
    power_off: str,
    allow_data_loss: bool,
) -> None:
    """Bring VMs to what is declared.

    Without NAMES: every VM that is declared. All plans are made before any is applied.
    """
    _apply(session, _plan_each(session, names, target, restart, power_off, allow_data_loss))


def _plan_each(
    session: Session,
    names: tuple[str, ...],
    target: str,
    restart: str,
    power_off: str,
    allow_data_loss: bool,
) -> list[Planned]:
    """A plan for each VM; refused with every problem of all of them, where there is any."""
    planned: list[Planned] = []
    problems: list[str] = []
    for name in names or session.host.config.vms:
        try:
            planned.append(
                lifecycle.plan_to(
                    session.host,
                    name,
                    target,
                    restart=restart,
                    power_off=power_off,
                    allow_data_loss=allow_data_loss,
                )
            )
        except Refused as refused:
            problems += refused.problems
    if problems:
        raise Refused(*problems)
    return planned


def _verb_command(verb: Verb) -> click.Command:
    @click.argument("name")
    @click.option("--dry-run", is_flag=True, help="Show the plan, and do nothing.")
    @in_session
    def command(session: Session, name: str, dry_run: bool) -> None:
        planned = lifecycle.plan_verb(session.host, verb.name, name)
        if dry_run:
            report = reports.plan_report(planned.plan)
            session.answer(report, lambda: tables.show_plans([planned.plan]))
        else:
            _apply(session, [planned])

    return click.command(verb.name, help=verb.summary)(command)


for _verb in VERBS.values():
    cli.add_command(_verb_command(_verb))


def _apply(session: Session, planned: list[Planned]) -> None:
    """Apply each plan, even where an earlier one failed; show progress on a terminal."""
    answers: list[reports.Report] = []
    worst = 0
    for each in planned:
        try:
            with tables.progress(each.plan, quiet=session.as_json) as progress:
                applied = session.host.apply(each, progress)
        except (Refused, HostError) as error:
            worst = worst or (REFUSED if isinstance(error, Refused) else FAILED)
            answers.append({"name": each.plan.name, "error": str(error)})
            click.echo(str(error), err=True)
            continue
        answers.append(reports.apply_report(each.plan, applied))
        if isinstance(applied, Failure):
            worst = FAILED
            click.echo(reports.failure_text(applied.failure()), err=True)
        elif not session.as_json:
            tables.show_pending(each.plan)
    if session.as_json:
        click.echo(json.dumps(answers, indent=2))
    sys.exit(worst)


@contextmanager
def _errors_as_exit_codes() -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        click.echo("\n".join(f"refused: {problem}" for problem in refused.problems), err=True)
        sys.exit(REFUSED)
    except HostError as error:
        click.echo(f"failed: {error}", err=True)
        sys.exit(FAILED)


def main() -> None:
    """The console script."""
    with _errors_as_exit_codes():
        cli()


if __name__ == "__main__":
    main()
