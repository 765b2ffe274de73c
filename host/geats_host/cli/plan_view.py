"""Plans as people see them: a line a VM, the steps of one, or all; and the progress of an apply."""

import json
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum, auto

import click

from geats_core.hostwide.host_planner import HostPlan
from geats_core.planning.action_words import describe
from geats_core.planning.costs import Impact
from geats_core.planning.steps import Step
from geats_core.plans.explain import (
    explain_each,
    notes,
    short_notes,
    step_to_plain,
)
from geats_core.plans.glance import (
    Line,
    Sign,
    glance,
    in_total,
    of_nothing,
    refused_lines,
    unwanted,
)
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading import durations
from geats_core.reading.sizes import for_people
from geats_core.reading.values import dataclass
from geats_host.cli.colours import styled
from geats_host.cli.session import INTERRUPTED
from geats_host.registry import Outcome
from geats_host.step_listeners import Progress
from geats_host.streams import meters

MOST_UNDER_WAY = 8  # steps that are shown at once
MOST_LEFT = 20  # steps that are named after an interruption
IMPACT_STYLE = {Impact.LIVE: "cyan", Impact.RESTART: "yellow", Impact.DATA_LOSS: "bold red"}
SIGN_STYLE = {
    Sign.CREATE: "green",
    Sign.CHANGE: "cyan",
    Sign.RESTART: "yellow",
    Sign.DATA_LOSS: "bold red",
}


class Detail(Enum):
    """How much of a plan is shown."""

    GLANCE = auto()  # a line for each VM
    OF_EACH = auto()  # below it, the steps of this VM
    STEPS = auto()  # all steps in their order


def show_plan(made: SavedPlan, detail: Detail = Detail.OF_EACH) -> None:
    """What would be done, and what would not. The numbers of steps are the same in each detail."""
    if made.plan.is_empty:
        _show_nothing_to_do(made)
    elif detail is Detail.STEPS:
        _show_steps(made.plan)
    lines = glance(made)
    if detail is not Detail.STEPS:
        width = max((len(line.name) for line in lines), default=0)
        for line in lines:
            _show_line(line, width)
            if detail is Detail.OF_EACH and line.fate is not None:
                _show_steps(made.plan, line.name)
    if len(lines) + len(made.refused) > 1:
        _print(in_total(made, lines), "bold")
    elif left := unwanted(made):
        _print(left, "bold")
    show_notes(made, short_notes(made.plan) if detail is Detail.GLANCE else notes(made.plan))


def show_notes(made: SavedPlan, lines: Iterable[str] | None = None) -> None:
    """What a plan refuses, what it warns about, and what it does not change: *lines*, or all."""
    for problem in refused_lines(made):
        _print(f"refused: {problem}", "red")
    for warning in made.warnings:
        _print(f"warning: {warning}", "red")
    for note in notes(made.plan) if lines is None else lines:
        _print(note, "yellow")


def _show_line(line: Line, width: int) -> None:
    head = styled(f"{line.sign} {line.name:<{width}}", SIGN_STYLE[line.sign])
    click.echo(f"{head}  {line.words}")


def _show_steps(plan: HostPlan, vm: str | None = None) -> None:
    """All steps, or those of one VM, below its line."""
    for step, words in explain_each(plan):
        if vm is None or step.vm == vm:
            _print(words if vm is None else f"    {words}", IMPACT_STYLE.get(step.impact, "dim"))


def _print(words: str, style: str) -> None:
    click.echo(styled(words, style))


def _show_nothing_to_do(made: SavedPlan) -> None:
    for line in of_nothing(made):
        click.echo(line)


@contextmanager
def progress(made: SavedPlan, *, quiet: bool) -> Iterator[Progress]:
    """Says which step is under way (on a terminal), and each that is done.

    Ctrl-C ends the call, after what is under way, and says what is done and what is left.
    """
    ended: list[Step] = []
    if quiet:
        with _interruptible_for_programs(made, ended):
            yield lambda step, outcome, _: _note(ended, step, outcome)
        return
    if made.plan.is_empty:
        _show_nothing_to_do(made)
    begun: dict[int, Step] = {}
    begun_s = time.monotonic()
    with _interruptible(made, ended), _meanwhile(begun) as say:

        def show(step: Step, outcome: Outcome, detail: str) -> None:
            action = describe(step.action, step.vm)
            with suppress(OSError, SystemExit):  # the work goes on if nobody reads any more
                match outcome:
                    case Outcome.INTENT:
                        begun[id(step)] = step
                        return
                    case Outcome.DONE:
                        ended.append(step)
                        mark = styled("!", "yellow") if detail else styled("✓", "green")
                        said = f": {detail}" if detail else ""
                        because = styled(f"because {step.reason}", "dim")
                        say(f"{mark} {action} {because}{said}")
                    case Outcome.FAILED:
                        say(f"{styled('✗', 'red')} {action}")
                begun.pop(id(step), None)

        yield show
    if ended and sys.stdout.isatty():
        took = durations.for_people(time.monotonic() - begun_s)
        _print(f"{len(ended)} of {len(made.plan.steps)} steps done in {took}", "bold")


@contextmanager
def _meanwhile(begun: Mapping[int, Step]) -> Iterator[Callable[[str], None]]:
    """What prints a line; on a terminal, what is under way stands below, and moves on with it."""
    if not sys.stdout.isatty():
        yield click.echo
        return
    from rich.console import Console  # in a pipe, nothing moves
    from rich.text import Text

    console = Console(highlight=False, emoji=False)
    with console.status(_UnderWay(begun)):
        yield lambda line: console.print(Text.from_ansi(line), soft_wrap=True)


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """The steps under way, by a number of each; drawn anew many times a second."""

    begun: Mapping[int, Step]

    def __rich__(self) -> str:
        now_s = time.monotonic()
        lines = [_how_far(step, now_s) for step in list(self.begun.values())]
        from rich.markup import escape

        return escape("\n".join(lines[:MOST_UNDER_WAY])) or "applying"


def _how_far(step: Step, now_s: float) -> str:
    """A step under way; if it moves bytes, how many of how many, and how long it takes yet."""
    action, meter = describe(step.action, step.vm), meters.of(step)
    if meter is None or not (moved_bytes := meter.seen()):
        return action
    of = f" of {for_people(meter.total_bytes)}" if meter.total_bytes is not None else ""
    left_s = meter.left_s(now_s)
    left = f", {durations.for_people(left_s)} left" if left_s is not None else ""
    doing = f"{meter.doing} " if meter.doing else ""
    return f"{action}: {doing}{for_people(moved_bytes)}{of}{left}"


def _note(ended: list[Step], step: Step, outcome: Outcome) -> None:
    ended += [step] if outcome is Outcome.DONE else []


@contextmanager
def _interruptible_for_programs(made: SavedPlan, done: Collection[Step]) -> Iterator[None]:
    """Ctrl-C answers with the steps that are done, and with those that are left."""
    try:
        yield
    except KeyboardInterrupt:
        both: dict[str, list[object]] = {"done": [], "left": []}
        for step in made.plan.steps:
            both["done" if step in done else "left"].append(step_to_plain(step))
        click.echo(json.dumps({"interrupted": both}, indent=2))
        sys.exit(INTERRUPTED)


@contextmanager
def _interruptible(made: SavedPlan, done: Collection[Step]) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        steps = made.plan.steps
        left = [
            f"{number}. {describe(step.action, step.vm)}"
            for number, step in enumerate(steps, 1)
            if step not in done  # by more than its words: those of all gates are the same
        ]
        _print(f"interrupted: {len(steps) - len(left)} of {len(steps)} steps are done", "bold red")
        for each in left[:MOST_LEFT]:
            _print(f"left: {each}", "yellow")
        if left[MOST_LEFT:]:
            _print(f"left: {len(left) - MOST_LEFT} more", "yellow")
        _print("what is done stays; the same command does the rest", "bold")
        sys.exit(INTERRUPTED)
