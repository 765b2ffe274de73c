"""The commands that are lifecycle verbs, such as ``start``."""

import click

from geats_core.planning.goal import Target
from geats_core.planning.verbs import VERBS, Verb
from geats_host.calls import lifecycle
from geats_host.cli import plans
from geats_host.cli.session import Session, in_session


def _verb_command(verb: Verb) -> click.Command:
    @click.argument("name")
    @plans.dry_run_option
    @in_session
    def command(session: Session, name: str, dry_run: bool) -> None:
        host = session.host_in_part if verb.target is Target.OFF else session.host
        planned = lifecycle.plan_verb(host, verb.name, name)
        plans.show_or_apply(session, planned, dry_run=dry_run)

    return click.command(verb.name, help=verb.summary)(command)


COMMANDS = tuple(map(_verb_command, VERBS.values()))
