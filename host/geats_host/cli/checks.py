"""The commands that check a host and its configuration."""

import json
import sys
from collections.abc import Mapping, Sequence

import click

from geats_core.declared.pillar_schema import pillar_schema
from geats_host.calls import doctor, lifecycle
from geats_host.cli.colours import styled
from geats_host.cli.lists import answer_rows, as_list, as_rows, end_with
from geats_host.cli.session import FAILED, NO_VM, Session, in_session
from geats_host.errors import Refused

COLOURS = {"well": "green", "warning": "yellow", "problem": "red"}


@click.command()
@as_rows
@click.argument("names", nargs=-1)
@in_session
def validate(session: Session, names: tuple[str, ...]) -> None:
    """List everything that is wrong with the configuration and the declared VMs."""
    if session.unconfigured:
        raise Refused(session.unconfigured)
    found: lifecycle.Found = {}
    for name in names or (None,):
        found |= lifecycle.validate(session.raw, name)
    any_ = isinstance(session.raw, Mapping) and session.raw.get("vms")
    well = "all VMs are valid" if any_ else f"the configuration is valid; {NO_VM}"
    end_with(session, found, well)


@click.command("doctor")
@as_list
@in_session
def examine(session: Session) -> None:
    """Check whether this host can run what is configured, and say what to do if not."""
    findings = doctor.examine(session.raw)
    report = doctor.to_plain(findings)
    columns, show = ("what", "health", "found", "fix"), lambda: _show_findings(report)
    answer_rows(session, report, columns, report, "nothing was found", instead=show)
    sys.exit(FAILED if doctor.has_problem(findings) else 0)


def _show_findings(report: Sequence[Mapping[str, str]]) -> None:
    """A line for each; what to do, which may be there to be copied, is on a line of its own."""
    width = max((len(row["health"]) for row in report), default=0)
    for row in report:
        health, colour = f"{row['health']:<{width}}", COLOURS.get(row["health"])
        click.echo(f"{styled(health, colour)}  {row['what']}: {row['found']}")
        if row["fix"]:
            click.echo(f"{'':<{width}}  {row['fix']}")


@click.command()
@in_session
def schema(_: Session) -> None:
    """Print the JSON Schema of the configuration, for completion and checks in editors."""
    click.echo(json.dumps(pillar_schema(), indent=2))


COMMANDS = (validate, examine, schema)
