"""The definitions in the store of the first geats: what its pickle holds, as plain data."""

import json
from collections.abc import Mapping
from typing import TypeAlias

from returns.result import Success

from geats_core.first_geats.definitions import Definition
from geats_core.reading.checked import Checked, Problem, problem, shown
from geats_core.reading.fields import printable

OWN = "__"  # what is named so is not a VM
DEFINITION = "definition"
Stored: TypeAlias = tuple[tuple[Definition, ...], tuple[Problem, ...]]


def definitions_in(
    file: str, held: object
) -> Checked[tuple[tuple[Definition, ...], tuple[Problem, ...]]]:
    """Each definition in a store; and those that are none, which concern no other.

    In its first version the store held the definitions by name, in the second other things beside
    each.
    """
    if not isinstance(held, Mapping):
        return problem(file, f"must be a store of the first geats, got {shown(held)}")
    found: list[Definition] = []
    problems: list[Problem] = []
    for name, given in held.items():
        if isinstance(name, str) and name.startswith(OWN):
            continue
        at = f"{file}: {printable(name)}"
        beside = isinstance(given, Mapping) and isinstance(given.get(DEFINITION), Mapping)
        raw = given[DEFINITION] if isinstance(given, Mapping) and beside else given
        if not _is_text(raw):
            problems.append(Problem(at, "has text that is not UTF-8: write it to a YAML file"))
        elif isinstance(raw, Mapping) and isinstance(name, str):
            found.append(Definition(file=at, name=name, written=raw))
        else:
            problems.append(Problem(at, f"must be the definition of a VM, got {shown(raw)}"))
    return Success((tuple(found), tuple(problems)))


def _is_text(raw: object) -> bool:
    """Whether all text within can be written."""
    try:
        json.dumps(raw, ensure_ascii=False, skipkeys=True, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True
