"""VMs as rows of a list, and whatever else is shown as lines."""

from collections.abc import Iterable, Iterator, Mapping

import click

from geats_core.plans.said_once import said_once
from geats_core.reading.checked import Problem, problem_from_plain
from geats_host.cli.colours import styled
from geats_host.cli.lists import head, show_table, word_of

COLUMNS = (  # of the VMs, those that matter most first
    *("VM", "power", "addresses", "memory_used_bytes", "memory_bytes", "uptime_s", "pending"),
    *("cpus", "disk_bytes", "driver", "declared", "defined", "locked"),
)
SAID = ("labels", "groups", "description")  # shown if a VM has any


def columns(report: Mapping[str, Mapping[str, object]]) -> tuple[str, ...]:
    """Those of a list of these VMs."""
    return (*COLUMNS, *(key for key in SAID if any(row[key] for row in report.values())))


def vm_rows(report: Mapping[str, Mapping[str, object]]) -> list[dict[str, object]]:
    """VMs as rows; ``(to run)`` and ``(to freeze)`` are those that the next plan starts, or
    freezes."""
    return [
        {
            "VM": name,
            **row,
            "power": f"{'–' if row['power'] is None else row['power']}{_to_do(row)}",
            "pending": _pending(row["pending"]),
        }
        for name, row in report.items()
    ]


def show_problems(report: Mapping[str, Mapping[str, object]]) -> None:
    """What of the VMs cannot be seen or read, each reason once."""
    for problem in said_once(map(str, _problems(report.values()))):
        click.echo(styled(problem, "red"))


def _to_do(row: Mapping[str, object]) -> str:
    if row["copy_of"]:
        return " (unfinished copy)"
    if row["to_freeze"]:
        return " (to freeze)"
    if row["ended"]:
        return f": {row['ended']}"
    return " (to run)" if row["to_run"] else ""


def _problems(rows: Iterable[Mapping[str, object]]) -> Iterator[Problem]:
    for row in rows:
        if isinstance(found := row["problems"], list):
            yield from map(problem_from_plain, found)


def show_mapping(report: Mapping[str, object]) -> None:
    """One line for each key; nested mappings are shown after their key."""
    rows = [{"what": head(key), "value": word_of(key, value)} for key, value in _flat("", report)]
    show_table(("what", "value"), rows, whole=True)


def _pending(value: object) -> object:
    """How many fields of a row, or which in a report."""
    return (len(value) if isinstance(value, Mapping) else value) or "no"


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


def show_below(report: Mapping[str, object]) -> None:
    """What ``status`` shows below its VMs: what is wrong with them, and the host."""
    if isinstance(vms := report["vms"], Mapping):
        show_problems(vms)
    if isinstance(of_host := report["host"], Mapping):
        show_mapping(of_host)
