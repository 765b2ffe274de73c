"""What the command line shows to a person: tables, and progress on a terminal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geats_core.actions import Impact, describe
from geats_core.explain import explain
from geats_core.plan import Plan, Step
from geats_core.sizes import format_size
from geats_host.apply import Progress, silent
from geats_host.host import Host
from geats_host.registry import Outcome

console = Console(highlight=False)
POWER_STYLE = {"running": "green", "frozen": "cyan", "stuck": "red"}
IMPACT_STYLE = {Impact.LIVE: "cyan", Impact.RESTART: "yellow", Impact.DATA_LOSS: "bold red"}


def show_list(rows: Mapping[str, Mapping[str, object]]) -> None:
    """One line a VM."""
    table = _table("VM", "power", "driver", "addresses", "declared", "defined", "locked")
    for name, row in rows.items():
        power = str(row["power"])
        table.add_row(
            name,
            f"[{POWER_STYLE.get(power, 'dim')}]{power}[/]",
            _text(row["driver"]),
            _text(row["addresses"]),
            _text(row["declared"]),
            _text(row["defined"]),
            _text(row["locked"]),
        )
    console.print(table if rows else "There are no VMs.")


def show_mapping(report: Mapping[str, object]) -> None:
    """One line a key; mappings within are shown below their key."""
    table = _table("what", "value")
    for key, value in _flat("", report):
        table.add_row(escape(key), escape(_value(key, value)))
    console.print(table)


def show_status(host: Host, report: Mapping[str, object]) -> None:
    """The VMs, and the host below them."""
    vms = report["vms"]
    if isinstance(vms, Mapping):
        show_list(vms)
    of_host = report["host"]
    if isinstance(of_host, Mapping):
        show_mapping(of_host)


def show_plans(plans: Iterable[Plan]) -> None:
    """The steps of each plan, with reasons and impacts."""
    for plan in plans:
        if plan.is_empty:
            console.print(escape(explain(plan)))
            continue
        table = _table("#", "step", "because", "impact", title=plan.name)
        for position, step in enumerate(plan.steps, start=1):
            style = IMPACT_STYLE.get(step.impact, "dim")
            table.add_row(
                str(position),
                escape(describe(step.action, plan.name)),
                escape(step.reason),
                f"[{style}]{step.impact}[/]",
            )
        console.print(table)
        show_pending(plan)


def show_pending(plan: Plan) -> None:
    """What is written, but not in effect until the VM restarts."""
    for change in plan.pending:
        console.print(escape(f"pending until {plan.name} restarts: {change}"), style="yellow")


def show_journal(entries: Sequence[Mapping[str, object]]) -> None:
    """One line an entry."""
    table = _table("time", "action", "outcome", "detail")
    for entry in entries:
        table.add_row(*(escape(str(entry[key])) for key in ("time", "action", "outcome", "detail")))
    console.print(table if entries else "Nothing was applied yet.")


@contextmanager
def progress(plan: Plan, *, quiet: bool) -> Iterator[Progress]:
    """Says which step is under way (on a terminal), and each that is done."""
    if quiet:
        yield silent
        return
    if plan.is_empty:
        console.print(escape(explain(plan)))
    with console.status(escape(plan.name)) as spinner:

        def show(step: Step, outcome: Outcome) -> None:
            action = escape(describe(step.action, plan.name))
            match outcome:
                case Outcome.INTENT:
                    spinner.update(action)
                case Outcome.DONE:
                    console.print(f"[green]✓[/] {action} [dim]because {escape(step.reason)}[/]")
                case Outcome.FAILED:
                    console.print(f"[red]✗[/] {action}")

        yield show


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _text(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "–"
        case list() | tuple():
            return escape(", ".join(map(str, value))) or "–"
        case _:
            return escape(str(value))


def _value(key: str, value: object) -> str:
    if key.endswith("_bytes") and isinstance(value, int):
        return f"{value / 2**20:,.1f} MiB" if value < 2**40 else format_size(value)
    return _text(value)


def _flat(path: str, report: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in report.items():
        at = f"{path}.{key}" if path else key
        if isinstance(value, Mapping) and value:
            yield from _flat(at, value)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for index, item in enumerate(value):
                yield from _flat(f"{at}[{index}]", item)
        elif value is not None:
            yield at, value
