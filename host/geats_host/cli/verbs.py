"""The commands that are lifecycle verbs, such as ``start``."""

from typing import BinaryIO

import click

from geats_core.planning.goal import Target
from geats_core.planning.verbs import VERBS, SpecFrom, Verb
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading.mappings import Raw
from geats_host.calls import lifecycle, several_vms
from geats_host.calls.in_turn import in_turn
from geats_host.cli import plans
from geats_host.cli.session import Session, in_session
from geats_host.cli.specs import spec_in, spec_option
from geats_host.host import Host

ASKING = frozenset({"deprovision", "reinit"})  # on a terminal


def _verb_command(verb: Verb) -> click.Command:
    which = "declared or defined" if verb.target.takes_spec else "defined"

    @click.argument("names", nargs=-1)
    @click.option("--all", "every", is_flag=True, help=f"Every VM that is {which}.")
    @click.option("--group", metavar="GROUP", help=f"Those of a group of autostart, {which}.")
    @plans.max_impact_option
    @plans.wait_option
    @plans.yes_option
    @plans.dry_run_option
    @plans.reasons_option
    @in_session
    def command(
        session: Session,
        names: tuple[str, ...],
        every: bool,
        group: str | None,
        max_impact: str,
        wait: float,
        yes: bool,
        dry_run: bool,
        verbose: bool,
        spec: BinaryIO | None = None,
    ) -> None:
        if (bool(names), every, group is not None).count(True) != 1:
            raise click.UsageError("name one VM or several, or give --all or --group")
        raw = spec_in(spec, names)
        host = session.host_in_part if verb.target is Target.OFF else session.host
        names = names if group is None else several_vms.of_group(host, verb.name, group)
        asks = verb.name in ASKING and not yes

        def act() -> None:
            planned = _planned(host, verb.name, names, max_impact, raw)
            plans.show_or_apply(session, planned, dry_run=dry_run, asks=asks, verbose=verbose)

        in_turn(wait, act)

    takes_spec = verb.target.takes_spec and verb.spec_from is SpecFrom.DECLARED
    command = spec_option(command) if takes_spec else command
    return click.command(verb.name, help=verb.summary)(command)


def _planned(
    host: Host, verb: str, names: tuple[str, ...], max_impact: str, raw: Raw | None
) -> SavedPlan:
    if len(names) == 1:
        return lifecycle.plan_verb(host, verb, names[0], raw, max_impact=max_impact)
    return several_vms.plan_verb_for_several(host, verb, names, max_impact)


COMMANDS = tuple(map(_verb_command, VERBS.values()))
