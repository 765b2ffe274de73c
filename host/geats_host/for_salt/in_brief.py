"""Reports in brief, for people: a line or two for each VM. Programs read those of ``reports``."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from geats_core.plans.explain import THIS_HOST
from geats_core.plans.glance import changes_in_brief, in_lines, refused_lines
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading.checked import problem_from_plain
from geats_core.reading.sizes import for_people
from geats_host.calls.reports import Report, done_notes, how_far
from geats_host.engine.outcomes import Applied

EMPTY: tuple[object, ...] = (None, "", [], {})


def plan_in_brief(made: SavedPlan) -> list[str]:
    """What a plan would do, a line for each VM that it changes, and what it refuses."""
    return [*in_lines(made), *(f"refused: {line}" for line in refused_lines(made))]


def done_in_brief(made: SavedPlan, applied: Applied) -> list[str]:
    """What was done, in the same lines, and what is to be known of it."""
    return [*in_lines(_as_done(made, applied)), *done_notes(applied)]


def changes(made: SavedPlan, applied: Applied | None = None) -> dict[str, object]:
    """What a plan changes of each VM, by its name; what it changed, if it was *applied*."""
    return changes_in_brief(made if applied is None else _as_done(made, applied))


def _as_done(made: SavedPlan, applied: Applied) -> SavedPlan:
    return replace(made, plan=replace(made.plan, steps=how_far(applied).done))


def without_empty(report: Mapping[str, object]) -> Report:
    """A report without the keys that say nothing, however deep they are."""
    told = {key: _told(value) for key, value in report.items()}
    return {key: value for key, value in told.items() if value not in EMPTY}


def _told(value: object) -> object:
    if isinstance(value, Mapping):
        return without_empty(value)
    return [_told(each) for each in value] if isinstance(value, list) else value


def list_in_brief(rows: Mapping[str, Report]) -> dict[str, str]:
    """Each VM of ``list_report``, or of ``vms`` of ``status_report``, in a line."""
    return {name: ", ".join(_words(row)) for name, row in rows.items()}


def status_in_brief(report: Report) -> Report:
    """``status_report``: a line for each VM; those of the host are under ``this host``."""
    away = [f"{name}: {why}" for name, why in _mapping(report["unavailable"]).items()]
    of_host = [", ".join(_host_words(_mapping(report["host"]))), *away]
    return {**list_in_brief(_mapping(report["vms"])), THIS_HOST: of_host if away else of_host[0]}


def _words(row: Report) -> Iterator[str]:
    """For example ``running``, ``10.0.0.5/24``, ``memory 512MiB``, ``locked``."""
    yield str(row["power"] or "not defined")
    if row["to_run"] or row["to_freeze"]:
        yield "to freeze" if row["to_freeze"] else "to run"
    yield from map(str, _list(row["addresses"]))
    memory = _mapping(row.get("definition")).get("memory")
    used = row["memory_used_bytes"]
    part = f"{for_people(used)} of " if isinstance(used, int) else ""
    yield from [f"memory {part}{memory}"] if memory else []
    if pending := row["pending"]:
        fields = ", ".join(_mapping(pending)) or f"{pending} field{'s' if pending != 1 else ''}"
        yield f"pending until it restarts: {fields}"
    yield from [f"an unfinished copy of {row['copy_of']}"] if row["copy_of"] else []
    yield from (f"{name}={value}" for name, value in _mapping(row["labels"]).items())
    yield from [f"({row['description']})"] if row["description"] else []
    yield from [] if row["declared"] else ["not declared"]
    yield from ["locked"] if row["locked"] else []
    yield from (str(problem_from_plain(each)) for each in _list(row["problems"]))


def _host_words(host: Mapping[str, Any]) -> Iterator[str]:
    """For example ``memory 3.1 of 8GiB``, ``load 0.1 0.2 0.3``, ``2 CPUs 5 % busy``."""
    for what in ("memory", "swap"):
        used, total = host[what]["used_bytes"], host[what]["total_bytes"]
        if total:
            yield f"{what} {for_people(used)} of {for_people(total)}"
    yield f"load {' '.join(map(str, host['load']))}"
    yield f"{host['cpu']['count']} CPUs, {host['cpu']['percent']:.0f} % busy"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
