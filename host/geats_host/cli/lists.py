"""Lists: as tables that fit the terminal, as CSV, YAML or JSON, and of which columns.

In a pipe, nothing is wrapped or cut. On a terminal that is too narrow, the columns that matter
least are left out, and a line says which. No library for tables is used, because loading one takes
longer than all else that a list does.
"""

import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from shutil import get_terminal_size
from typing import NoReturn, TypeAlias

import click

from geats_core.reading import durations
from geats_core.reading.checked import Problems, problems_to_plain, unknown
from geats_core.reading.sizes import for_people
from geats_host.cli.colours import styled
from geats_host.cli.session import REFUSED, Session
from geats_host.errors import Refused

Row: TypeAlias = Mapping[str, object]
FORMATS = ("table", "csv", "json", "yaml")
GAP = "  "
CHANGED = ("old", "new")  # columns of what changes, where there is nothing else to tell it by
COLOURS = {"running": "green", "frozen": "cyan", "held": "yellow", "stuck": "red"}


def as_list(command: Callable[..., object]) -> Callable[..., object]:
    """A command that takes ``--format``, ``--columns`` and ``--watch``: see ``answer_rows``."""
    return _watched(as_rows(command))


def as_rows(command: Callable[..., object]) -> Callable[..., object]:
    """The same for a command that does what it lists: it is not called again and again."""
    command = click.option(
        "--format",
        type=click.Choice(FORMATS),
        expose_value=False,
        callback=_format,
        help="How to show it (default: table). csv and table have the same columns.",
    )(command)
    return click.option(
        "--columns",
        metavar="A,B",
        expose_value=False,
        callback=_columns,
        help="Only these columns, in this order.",
    )(command)


def _watched(command: Callable[..., object]) -> Callable[..., object]:
    @wraps(command)
    def again_and_again(*arguments: object, **options: object) -> object:
        context = click.get_current_context()
        session = context.ensure_object(Session)
        if session.watch_s is None or context.invoked_subcommand is not None:
            return command(*arguments, **options)
        with suppress(KeyboardInterrupt):
            while True:
                context.obj = replace(session)  # which looks at the host again
                click.clear()
                with suppress(SystemExit):  # the exit code of a list
                    command(*arguments, **options)
                time.sleep(session.watch_s)
        return None

    return click.option(
        "--watch",
        is_flag=False,
        flag_value=2.0,
        type=click.FloatRange(min=0.1),
        metavar="[SECONDS]",
        expose_value=False,
        callback=_watch,
        help="Show it again and again, each time after so many seconds (2), until Ctrl-C.",
    )(again_and_again)


def _watch(context: click.Context, _: click.Parameter, every_s: float | None) -> None:
    if every_s is not None:
        context.ensure_object(Session).watch_s = every_s


def _format(context: click.Context, _: click.Parameter, wanted: str | None) -> None:
    if wanted is not None:
        session = context.ensure_object(Session)
        session.format, session.as_json = wanted, wanted == "json"


def _columns(context: click.Context, _: click.Parameter, wanted: str | None) -> None:
    if wanted is not None:
        names = tuple(filter(None, (each.strip() for each in wanted.split(","))))
        context.ensure_object(Session).columns = names


def answer_rows(
    session: Session,
    report: object,
    columns: Sequence[str],
    rows: Iterable[Row],
    nothing: str,
    *,
    more: Callable[[], None] | None = None,
    instead: Callable[[], None] | None = None,
) -> None:
    """Answer with a list: *columns* begin with those that matter most, or are those asked for.

    As JSON or YAML it is *report*, or with columns the rows. Raises ``Refused`` for a column that
    there is not. *more* shows what stands below a table, and *instead* what people see unless they
    ask for columns or a format.
    """
    rows = list(rows)
    there = dict.fromkeys([*columns, *(key for row in rows for key in row)])
    called = {**{head(each).lower(): each for each in there}, **{each: each for each in there}}
    strange = [each for each in session.columns if each not in called]
    if strange:
        raise Refused(*(unknown("--columns", "column", each, map(head, there)) for each in strange))
    chosen = tuple(called[each] for each in session.columns) or tuple(columns)
    if session.columns and (session.as_json or session.format == "yaml"):
        report = [{column: row.get(column) for column in chosen} for row in rows]

    def show() -> None:
        if session.format == "csv":
            _show_csv(chosen, rows)
        elif session.format == "yaml":
            show_yaml(report)
        elif instead is not None and not (session.format or session.columns):
            instead()
        elif rows:
            show_table(chosen, rows, whole=bool(session.columns))
        else:
            click.echo(nothing)
        if more is not None and session.format in ("", "table"):
            more()

    session.answer(report, show)


def end_with(session: Session, found: Mapping[str, Problems], well: str) -> NoReturn:
    """Answer with the problems that a check *found*, by name, or the words *well*; and end."""
    each = [problem for problems in found.values() for problem in problems]
    report, columns = problems_to_plain(found), ("name", "path", "code", "message")
    rows = [{"name": name, **row} for name, problems in report.items() for row in problems]
    lines = "\n".join(map(str, each)) or well
    answer_rows(session, report, columns, rows, well, instead=lambda: click.echo(lines))
    sys.exit(REFUSED if each else 0)


def changed_rows(told: Mapping[str, Mapping[str, object]]) -> Iterator[Row]:
    """A row for each field of each VM, of which *told* has ``old`` and ``new``."""
    for name, changed in told.items():
        for field, both in changed.items():
            if isinstance(both, Mapping):
                yield {"VM": name, "field": field, **{key: both[key] for key in CHANGED}}


def show_table(columns: Sequence[str], rows: Sequence[Row], *, whole: bool = False) -> None:
    """A line for each row; columns that do not fit the terminal are left out, unless *whole*."""
    cells = [list(map(head, columns))]
    cells += [[word_of(column, row.get(column)) for column in columns] for row in rows]
    widths = [max(map(len, each)) for each in zip(*cells, strict=True)]
    count = len(columns) if whole else fitting(widths, _width())
    for at, line in enumerate(cells):
        padded = [f"{cell:<{width}}" for cell, width in zip(line[:count], widths, strict=False)]
        padded[-1] = padded[-1].rstrip()
        styles = ["bold" if at == 0 else COLOURS.get(each.split(" ")[0]) for each in padded]
        coloured = [styled(each, style) for each, style in zip(padded, styles, strict=True)]
        click.echo(GAP.join(coloured))
    if count < len(columns):
        left = ", ".join(map(head, columns[count:]))
        click.echo(f"(too narrow for: {left}; --columns shows them)")


def fitting(widths: Sequence[int], room: int | None) -> int:
    """How many of the columns fit into *room* characters, from the first one on: at least one."""
    if room is None:
        return len(widths)
    used, count = 0, 0
    for width in widths:
        used += width + (len(GAP) if count else 0)
        if used > room:
            break
        count += 1
    return max(count, 1)


def word_of(key: str, value: object) -> str:
    """A value as people read it: sizes and times with a unit, and ``–`` for what is not known."""
    match value:
        case bool():
            return "yes" if value else "no"
        case int() | float() if key.endswith("_s"):
            return durations.for_people(value)
        case int() if key.endswith("_bytes"):
            return for_people(value)
        case None:
            return "–"
        case list() | tuple() | Mapping() if not value and key in CHANGED:
            return "none"  # which was said, and is no default
        case list() | tuple():
            return ", ".join(word_of("", each) for each in value) or "–"
        case Mapping():
            return ", ".join(f"{name}: {word_of('', each)}" for name, each in value.items()) or "–"
        case _:
            return " ".join(str(value).split()) or "–"


def head(column: str) -> str:
    """What a column is called: its key without a unit."""
    return column.removesuffix("_bytes").removesuffix("_s")


def _width() -> int | None:
    """Of the terminal; None in a pipe, in which there is no limit."""
    return get_terminal_size().columns if sys.stdout.isatty() else None


def _show_csv(columns: Sequence[str], rows: Iterable[Row]) -> None:
    import csv  # few ask for it

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_raw(row.get(column)) for column in columns] for row in rows)
    click.echo(out.getvalue(), nl=False)


def _raw(value: object) -> object:
    """A value for programs: sizes in bytes, nothing for what is not known."""
    if isinstance(value, list | tuple):
        return " ".join(str(_raw(each)) for each in value)
    return word_of("", value) if isinstance(value, Mapping | bool) else value


def show_yaml(report: object) -> None:
    """The *report* as YAML, in its own order."""
    import yaml

    click.echo(yaml.safe_dump(report, sort_keys=False, allow_unicode=True), nl=False)
