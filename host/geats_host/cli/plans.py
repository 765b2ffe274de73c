"""The commands that make plans, show them, save them in files, and apply them."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
from click.core import ParameterSource
from returns.result import Failure

from geats_core.hostwide.host_planner import HostPlan
from geats_core.planning.actions import Start
from geats_core.planning.costs import Impact
from geats_core.planning.goal import ByHand, PowerOff, Restart, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.plans.glance import refused_lines
from geats_core.plans.plan_files import (
    Recorded,
    SavedPlan,
    plan_from_json,
    recorded_from_json,
    to_json,
)
from geats_core.reading.mappings import Raw
from geats_host.calls import lifecycle, reports
from geats_host.calls.in_turn import in_turn
from geats_host.cli import plan_view
from geats_host.cli.plan_view import Detail
from geats_host.cli.session import CHANGES, FAILED, FORCED, NO_VM, REFUSED, Session, in_session
from geats_host.cli.specs import spec_in, spec_option
from geats_host.engine.apply_plan import apply_plan
from geats_host.engine.outcomes import Interrupted
from geats_host.errors import HostError, accepted
from geats_host.host import Host
from geats_host.lazy import later
from geats_host.planning.facts import facts_of, record
from geats_host.planning.from_values import plan_recorded
from geats_host.planning.goals import Wishes, groups_of, wishes
from geats_host.planning.plans import plan_boot, plan_halt, plan_wishes

if TYPE_CHECKING:
    from geats_core.plans import diagrams, explain, reverse_host
    from geats_host.calls.guests import keeping_up
else:  # few plans are drawn, explained, reversed, or keep something up
    diagrams = later("geats_core.plans.diagrams")
    explain = later("geats_core.plans.explain")
    reverse_host = later("geats_core.plans.reverse_host")
    keeping_up = later("geats_host.calls.guests.keeping_up")

DIAGRAMS: Mapping[str, Callable[[HostPlan], str]] = {
    "table": lambda plan: explain.table(plan),
    "mermaid": lambda plan: diagrams.mermaid(plan),
    "dot": lambda plan: diagrams.dot(plan),
}
FORMATS = ("text", *DIAGRAMS, "html", "json")

dry_run_option = click.option("--dry-run", is_flag=True, help="Show the plan, and do nothing.")
format_option = click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="How to show the plan; 'table' is Markdown, 'dot' is for Graphviz, 'html' is one page.",
)
verbose_option = click.option(
    "-v", "--verbose", is_flag=True, help="Show the steps of each VM too (default for one NAME)."
)
reasons_option = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="If a VM does not start, show all that the program that runs it said.",
)
steps_option = click.option(
    "--steps", is_flag=True, help="Show every step, in an order in which they may run."
)
save_option = click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Save the plan in a file, for 'apply --saved' and 'reverse'.",
)
from_option = click.option(
    "--from",
    "recording",
    type=click.File("rb"),
    metavar="FILE",
    help="Plan for the host that 'geats observe' recorded in this file ('-' is standard input), "
    "instead of this one.",
)
snapshot_option = click.option(
    "--snapshot",
    is_flag=True,
    help=(
        "Take a snapshot of each volume before its content changes, if its pool supports snapshots."
    ),
)
max_impact_option = click.option(
    "--max-impact",
    type=click.Choice(list(map(str, Impact))),
    default="data_loss",
    show_default=True,
    help="Refuse a plan with a step of a higher impact than this.",
)
wait_option = click.option(
    "--wait",
    type=click.FloatRange(0),
    default=0,
    metavar="SECONDS",
    help="If another operation on one of the VMs is under way, wait for it at most so long.",
)
yes_option = click.option(
    "-y", "--yes", is_flag=True, help="Do not ask, on a terminal, before a restart or data loss."
)
POLICIES = (
    click.option(
        "--to",
        "target",
        type=click.Choice(list(map(str, Target))),
        default="declared",
        show_default=True,
        help="The state that the VMs should be in; declared is the one that each says as power.",
    ),
    click.option(
        "--restart",
        type=click.Choice(list(map(str, Restart))),
        default="if_needed",
        show_default=True,
        help="Restart a VM if a change needs it, for any change, or never (changes stay pending).",
    ),
    click.option(
        "--power-off",
        type=click.Choice(list(map(str, PowerOff))),
        default="shutdown",
        show_default=True,
        help=(
            "Ask the guest to shut down, and power off after its shutdown_timeout; or power "
            "off at once."
        ),
    ),
    click.option(
        "--by-hand",
        type=click.Choice(list(map(str, ByHand))),
        default="kept",
        show_default=True,
        help="What to do with lines that somebody added to a VM's definition.",
    ),
    max_impact_option,
    click.option(
        "--allow-data-loss",
        is_flag=True,
        help=(
            "Allow steps that lose data, for example if a changed template replaces the root "
            "volume."
        ),
    ),
    click.option(
        "--at-most",
        type=click.IntRange(0),
        metavar="COUNT",
        help="Without NAMES, power off, undefine or empty at most so many VMs (default: "
        "policy:at_most of the configuration, else 1).",
    ),
    click.option(
        "--at-once",
        metavar="COUNT",
        help="Of the running VMs of one profile, restart at most so many at a time, or such a part "
        "as 50%; each wave waits until the one before is ready (default: policy:at_once of the "
        "configuration, else all).",
    ),
)


def wishes_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which state VMs should be in and what is allowed, as one ``Wishes``."""

    @wraps(command)
    def with_wishes(
        *arguments: object,
        names: tuple[str, ...],
        target: str,
        restart: str,
        power_off: str,
        by_hand: str,
        max_impact: str,
        allow_data_loss: bool,
        at_most: int | None,
        at_once: str | None,
        **others: object,
    ) -> None:
        words: dict[object, object] = {
            "target": target,
            "restart": restart,
            "power_off": power_off,
            "by_hand": by_hand,
            "max_impact": max_impact,
            "allow_data_loss": allow_data_loss,
            **({} if at_most is None else {"at_most": at_most}),
            **({} if at_once is None else {"at_once": at_once}),
        }
        command(*arguments, wishes=wishes(words, names), **others)

    wrapped: Callable[..., None] = click.argument("names", nargs=-1)(with_wishes)
    for option in reversed(POLICIES):
        wrapped = option(wrapped)
    return wrapped


@click.command()
@wishes_options
@snapshot_option
@from_option
@spec_option
@format_option
@verbose_option
@steps_option
@save_option
@click.option("--exit-code", is_flag=True, help="Exit with 3 if there is something to do.")
@in_session
def plan(
    session: Session,
    wishes: Wishes,
    snapshot: bool,
    recording: BinaryIO | None,
    spec: BinaryIO | None,
    form: str,
    verbose: bool,
    steps: bool,
    save: Path | None,
    exit_code: bool,
) -> None:
    """Show what 'apply' would do, and do nothing.

    Without NAMES: for every declared VM. VMs on the host that are not declared are shown too. A
    line begins with + if a VM is created, with ~ if it is changed, with ! if it is restarted or
    powered off, with - if data is lost, and with x if it is refused.
    """
    if spec is not None and recording is not None:
        raise click.UsageError("--spec is for this host, and --from for one that was recorded")
    raw = spec_in(spec, wishes.names)
    made = _plan(session, wishes, _recorded(recording), snapshot=snapshot, spec=raw)
    _save(made, save)
    _show(session, made, form, _detail(len(wishes.names) == 1 or verbose, steps=steps))
    if made.refused:
        sys.exit(REFUSED)
    sys.exit(CHANGES if exit_code and not made.plan.is_empty else 0)


@click.command()
@wishes_options
@snapshot_option
@click.option(
    "--saved",
    type=click.File("rb"),
    metavar="FILE",
    help="Apply the plan that 'plan --save' saved; refused if the host has changed since then.",
)
@spec_option
@wait_option
@yes_option
@reasons_option
@click.pass_context
def apply(
    context: click.Context,
    wishes: Wishes,
    snapshot: bool,
    saved: BinaryIO | None,
    spec: BinaryIO | None,
    wait: float,
    yes: bool,
    verbose: bool,
) -> None:
    """Change VMs to what is declared.

    Without NAMES: every declared VM. VMs that do not wait for each other are changed side by side.
    If one fails or is refused, the others are still done.
    """
    session = context.ensure_object(Session)
    if saved is None:
        raw = spec_in(spec, wishes.names)

        def act() -> None:
            made = _plan(session, wishes, None, snapshot=snapshot, spec=raw)
            apply_saved(session, made, asks=not yes, verbose=verbose)

        in_turn(wait, act)
        return
    given = {
        name
        for name in context.params
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        and context.params[name]
    }
    if given - {"yes", "wait", "verbose"} != {"saved"}:
        raise click.UsageError(
            "--saved cannot be combined with NAMES or other options: the plan is already made"
        )
    made = accepted(plan_from_json(_text(saved)), saved.name)
    in_turn(wait, lambda: apply_saved(session, made, asks=not yes, verbose=verbose))


@click.command("why")
@click.argument("question")
@wishes_options
@snapshot_option
@from_option
@in_session
def why_(
    session: Session,
    question: str,
    wishes: Wishes,
    snapshot: bool,
    recording: BinaryIO | None,
) -> None:
    """Explain the steps of a plan that QUESTION names, such as 'restart web01'.

    The plan is the same as that of 'plan' with the same NAMES and options.
    """
    made = _plan(session, wishes, _recorded(recording), snapshot=snapshot)
    answer = accepted(explain.why(made.plan, question))
    session.answer({"answer": answer}, lambda: click.echo(answer))


@click.command()
@in_session
def observe(session: Session) -> None:
    """Print everything that a plan is made from, as JSON, for 'plan --from' on another machine."""
    click.echo(to_json(record(session.host)), nl=False)


@click.command()
@click.argument("file", type=click.File("rb"))
@from_option
@format_option
@steps_option
@save_option
@in_session
def reverse(
    session: Session,
    file: BinaryIO,
    recording: BinaryIO | None,
    form: str,
    steps: bool,
    save: Path | None,
) -> None:
    """Show the plan that undoes the one in FILE after it was applied, and what it cannot undo."""
    made = accepted(plan_from_json(_text(file)), file.name)
    facts = _facts(session, _recorded(recording))
    back = accepted(
        reverse_host.reverse_host(made, facts, session.config.policy, groups_of(session.config))
    )
    _save(back, save)
    _show(session, back, form, _detail(True, steps=steps))


@click.command()
@dry_run_option
@verbose_option
@in_session
def boot(session: Session, dry_run: bool, verbose: bool) -> None:
    """Start every VM that is defined with autostart, in order. Run this when the host starts.

    If a VM cannot start, the others are still started.
    """
    made = plan_boot(session.host_in_part)
    show_or_apply(session, made, dry_run=dry_run, detail=_detail(verbose), verbose=verbose)


@click.command()
@dry_run_option
@verbose_option
@in_session
def halt(session: Session, dry_run: bool, verbose: bool) -> None:
    """Shut all VMs down, in the reverse order. Run this when the host shuts down."""
    made = plan_halt(session.host_in_part)
    show_or_apply(session, made, dry_run=dry_run, detail=_detail(verbose), verbose=verbose)


@click.command("keep-up")
@dry_run_option
@verbose_option
@in_session
def keep_up_(session: Session, dry_run: bool, verbose: bool) -> None:
    """Start guests again that ended by themselves, as their 'restart' says, if it is time.

    A guest that ends again and again is started after 1 s, 2 s, 4 s and so on, up to 5 minutes.
    The beacon of Salt does the same; without Salt, have a timer of systemd run this.
    """
    made = keeping_up.plan_keep_up(session.host_in_part, noting=not dry_run)
    show_or_apply(session, made, dry_run=dry_run, detail=_detail(verbose))


COMMANDS = (plan, apply, why_, observe, reverse, boot, halt, keep_up_)


def show_or_apply(
    session: Session,
    made: SavedPlan,
    *,
    dry_run: bool,
    detail: Detail = Detail.OF_EACH,
    asks: bool = False,
    verbose: bool = False,
) -> None:
    """Apply a plan, or with *dry_run* only show it; exit with 2 if it leaves out VMs."""
    if not dry_run:
        apply_saved(session, made, asks=asks, verbose=verbose)
        return
    _show(session, made, "text", detail)
    if made.refused:
        sys.exit(REFUSED)


def apply_saved(
    session: Session,
    made: SavedPlan,
    *,
    asks: bool = False,
    show: Callable[[], None] | None = None,
    verbose: bool = False,
) -> None:
    """Apply a plan, and show progress on a terminal; where it *asks*, only if a person agrees.

    With *show*, that is all that is shown of what was done; if it is *verbose*, all that is known
    of a start that failed is shown as well.

    Exit with 1 if a step failed, with 2 if the plan leaves out VMs, and with 4 if a guest did not
    shut down when it was asked to, and was powered off.
    """
    if asks and not session.as_json and not _agreed(made):
        sys.exit(REFUSED)
    with plan_view.progress(made, quiet=session.as_json or show is not None) as progress:
        applied = apply_plan(session.used or session.host, made, progress)
    report = reports.apply_host_report(made, applied)
    session.answer(report, show or (lambda: plan_view.show_notes(made)))
    if isinstance(applied, Failure):
        click.echo(reports.failure_text(applied.failure()), err=True)
        if verbose:
            _show_reasons(session.used or session.host, applied.failure())
        sys.exit(FAILED)
    if made.refused:
        sys.exit(REFUSED)
    if reports.done_notes(applied):
        sys.exit(FORCED)


def _show_reasons(host: Host, interrupted: Interrupted) -> None:
    """What the programs that run VMs said of each start that failed, as they said it."""
    from geats_host.calls.guests import logs

    for failed in interrupted.failed:
        if isinstance(failed.step.action, Start):
            for line in logs.said_by_its_program(host, failed.step.vm):
                click.echo(f"{failed.step.vm} | {line}", err=True)


def _agreed(made: SavedPlan) -> bool:
    """Whether a person at a terminal agrees to a plan that restarts VMs or loses data."""
    if made.plan.impact < Impact.RESTART or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    plan_view.show_plan(made, Detail.GLANCE)
    return click.confirm("Apply this plan?")


def _plan(
    session: Session,
    wishes: Wishes,
    recorded: Recorded | None,
    *,
    snapshot: bool,
    spec: Raw | None = None,
) -> SavedPlan:
    """The plan for this host, or for the one that was recorded."""
    if not (wishes.names or session.unconfigured or session.config.vms):
        click.echo(NO_VM, err=True)
    if spec is not None:
        made = lifecycle.plan_spec(session.host, wishes, spec)
    elif recorded is None:
        made = plan_wishes(session.host, wishes)
    else:
        made = plan_recorded(wishes, session.config, recorded)
    if not snapshot:
        return made
    now_s = int(time.time())
    name = time.strftime("before-%Y%m%d-%H%M%S", time.gmtime(now_s))
    return accepted(reverse_host.snapshots_first(made, _facts(session, recorded), name, now_s))


def _facts(session: Session, recorded: Recorded | None) -> HostFacts:
    return facts_of(session.host, session.host.drivers) if recorded is None else recorded.facts


def _recorded(file: BinaryIO | None) -> Recorded | None:
    return None if file is None else accepted(recorded_from_json(_text(file)), file.name)


def _text(file: BinaryIO) -> str:
    return file.read().decode(errors="replace")


def _save(made: SavedPlan, file: Path | None) -> None:
    """Save a plan. Only its owner can read the file, because it contains metadata of guests."""
    if file is None:
        return
    try:
        file.touch(mode=0o600)
        file.write_text(to_json(made))
    except OSError as error:
        raise HostError(f"{file}: {error.strerror}") from None


def _detail(of_each: bool, *, steps: bool = False) -> Detail:
    """How much of a plan is shown."""
    if steps:
        return Detail.STEPS
    return Detail.OF_EACH if of_each else Detail.GLANCE


def _show(session: Session, made: SavedPlan, form: str, detail: Detail) -> None:
    """Print a plan in one of the FORMATS; for pictures, warnings go to standard error."""
    if form in DIAGRAMS and not session.as_json:
        click.echo(DIAGRAMS[form](made.plan), nl=False)
        for problem in refused_lines(made):
            click.echo(f"refused: {problem}", err=True)
        for warning in made.warnings:
            click.echo(f"warning: {warning}", err=True)
    elif form == "html" and not session.as_json:
        from geats_core.plans.web_page import web_page

        now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        click.echo(web_page(made, f"Plan for {os.uname().nodename}, {now}"), nl=False)
    elif form == "json" or session.as_json:
        click.echo(json.dumps(reports.host_plan_report(made), indent=2))
    else:
        plan_view.show_plan(made, detail)
