"""The commands that check a host and its configuration."""

import json
import sys

import click

from geats_core.declared.pillar_schema import pillar_schema
from geats_host.calls import doctor, lifecycle
from geats_host.cli import tables
from geats_host.cli.session import FAILED, Session, in_session


@click.command()
@click.argument("names", nargs=-1)
@in_session
def validate(session: Session, names: tuple[str, ...]) -> None:
    """List everything that is wrong with the configuration and the declared VMs."""
    found: lifecycle.Found = {}
    for name in names or (None,):
        found |= lifecycle.validate(session.raw, name)
    session.end_with(found, "all VMs are valid")


@click.command("doctor")
@in_session
def examine(session: Session) -> None:
    """Check whether this host can run what is configured, and say what to do if not."""
    findings = doctor.examine(session.raw)
    report = doctor.to_plain(findings)
    columns = ("what", "health", "found", "fix")
    session.answer(report, lambda: tables.show_rows(columns, report, "nothing was found"))
    sys.exit(FAILED if doctor.has_problem(findings) else 0)


@click.command()
@in_session
def schema(_: Session) -> None:
    """Print the JSON Schema of the configuration, for completion and checks in editors."""
    click.echo(json.dumps(pillar_schema(), indent=2))


COMMANDS = (validate, examine, schema)
