"""What the command line shows to a person: tables, and progress on a terminal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geats_core.planning.costs import Impact
from geats_core.reading.checked import Problem, problem_from_plain, said_once
from geats_core.reading.sizes import format_size

console = Console(highlight=False, emoji=False)  # there are addresses with :cd: in them
MOST_IN_A_TABLE = 2_000
POWER_STYLE = {"running": "green", "frozen": "cyan", "held": "yellow", "stuck": "red"}
IMPACT_STYLE = {Impact.LIVE: "cyan", Impact.RESTART: "yellow", Impact.DATA_LOSS: "bold red"}


def _to_do(row: Mapping[str, object]) -> str:
    if row["copy_of"]:
        return " (unfinished copy)"
    if row["to_freeze"]:
        return " (to freeze)"
    return " (to run)" if row["to_run"] else ""


def show_list(rows: Mapping[str, Mapping[str, object]]) -> None:
    """One line a VM; ``(to run)`` and ``(to freeze)`` are those that the next plan starts, or
    freezes."""
    table = _table("VM", "power", "driver", "addresses", "declared", "defined", "locked", "pending")
    for name, row in rows.items():
        power = _text(row["power"])
        table.add_row(
            name,
            f"[{POWER_STYLE.get(power, 'dim')}]{power}[/]{_to_do(row)}",
            _text(row["driver"]),
            _text(row["addresses"]),
            _text(row["declared"]),
            _text(row["defined"]),
            _text(row["locked"]),
            _pending(row["pending"]),
        )
    console.print(table)
    for problem in said_once(map(str, _problems(rows.values()))):
        console.print(escape(problem), style="red", soft_wrap=True)


def _problems(rows: Iterable[Mapping[str, object]]) -> Iterator[Problem]:
    for row in rows:
        if isinstance(found := row["problems"], list):
            yield from map(problem_from_plain, found)


def show_rows(columns: Sequence[str], rows: Iterable[Mapping[str, object]], nothing: str) -> None:
    """One line for each row, with these keys; or the text *nothing* if there are no rows."""
    table = _table(*(column.removesuffix("_bytes") for column in columns))
    for row in rows:
        table.add_row(*(_value(column, row[column]) for column in columns))
    console.print(table if table.row_count else nothing)


def show_mapping(report: Mapping[str, object]) -> None:
    """One line for each key; nested mappings are shown after their key."""
    table = _table("what", "value")
    for key, value in _flat("", report):
        table.add_row(escape(key.removesuffix("_bytes")), _value(key, value))
    console.print(table)


def show_status(report: Mapping[str, object]) -> None:
    """The VMs, and the host below them."""
    vms = report["vms"]
    if isinstance(vms, Mapping):
        show_list(vms)
    of_host = report["host"]
    if isinstance(of_host, Mapping):
        show_mapping(of_host)


def show_journal(entries: Sequence[Mapping[str, object]]) -> None:
    """One line for each entry. If there are many, they are not put into a table, which is slow."""
    columns = ("time", "action", "outcome", "detail", "origin")
    if len(entries) > MOST_IN_A_TABLE:
        click.echo("\n".join("  ".join(str(each[key]) for key in columns) for each in entries))
        return
    table = _table(*columns)
    for entry in entries:
        table.add_row(*(escape(str(entry[column])) for column in columns))
    console.print(table if entries else "Nothing was applied yet.")


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:  # the first one, which is a name most often, stays whole
        table.add_column(column, overflow="fold", no_wrap=column == columns[0])
    return table


def _text(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "–"
        case list() | tuple():
            return escape(", ".join(map(_plain, value))) or "–"
        case Mapping():
            return escape(_plain(value)) or "–"
        case _:
            return escape(str(value))


def _plain(value: object) -> str:
    """A value as people write it, however it is nested."""
    match value:
        case Mapping():
            return ", ".join(f"{key}: {_plain(each)}" for key, each in value.items())
        case list() | tuple():
            return f"[{', '.join(map(_plain, value))}]"
        case bool() | None:
            return {True: "yes", False: "no", None: "–"}[value]
        case _:
            return str(value)


def _pending(value: object) -> str:
    """How many fields of a row, or which in a report."""
    fields = len(value) if isinstance(value, Mapping) else value
    return f"[yellow]{fields}[/]" if fields else "no"


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
