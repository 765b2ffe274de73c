"""Trouble with the host: raised by adapters, turned into a value in one place (``apply``)."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from returns.result import Failure, Success

from geats_core.reading.checked import Checked, Code, Problem, unknown
from geats_core.reading.mappings import printable

T = TypeVar("T")


class HostError(Exception):
    """The host refused, or failed at, something that was asked of it; the text says why."""


def trouble(error: OSError, where: object = "") -> HostError:
    """What the system says about a call that failed: which file, and why."""
    file = error.filename if error.filename2 is None else error.filename2
    named = os.fsdecode(file) if isinstance(file, str | bytes) else ""
    why = error.strerror or str(error)
    return HostError(": ".join(filter(None, (f"{where}", named, why))))


class Refused(Exception):
    """The request cannot be carried out; each problem says where and why.

    ``problems`` are lines of text, and ``found`` are the same as values, each with a code.
    """

    def __init__(self, *problems: object) -> None:
        self.problems = tuple(map(str, problems))
        self.found = tuple(map(problem_of, problems))
        super().__init__("\n".join(_for_people(self.problems)))


def _for_people(problems: Sequence[str]) -> Sequence[str]:
    if len(problems) < 2:
        return problems
    from geats_core.plans.said_once import said_once  # most commands are not refused

    return said_once(problems)


class Busy(Refused):
    """Another operation on the VM is under way: *holder* says whose."""

    def __init__(self, vm: str, holder: str) -> None:
        self.vm, self.holder = vm, holder
        super().__init__(Problem(vm, f"another operation is under way ({holder})", Code.BUSY))


def is_unknown(refused: Refused, path: str) -> bool:
    """Whether nothing is wrong but that nobody knows what *path* names."""
    return [(each.code, each.path) for each in refused.found] == [(Code.UNKNOWN, path)]


def no_options(options: Mapping[object, object]) -> None:
    """Raise ``Refused`` for each of the *options* of a plugin that has none."""
    if options:
        raise Refused(*(unknown(printable(key), "option", key, ()) for key in options))


def accepted(checked: Checked[T], where: str = "") -> T:
    """Return the value, or raise ``Refused`` with every problem, under the path *where*."""
    match checked:
        case Success(value):
            return value
        case Failure(problems):
            raise Refused(*(replace(found, path=_under(where, found.path)) for found in problems))


def sound(checked: Checked[T]) -> T:
    """The value of what others wrote on the host; or, raised as ``HostError``, every problem."""
    match checked:
        case Success(value):
            return value
        case Failure(problems):
            raise HostError("\n".join(map(str, problems)))


def problem_of(given: object) -> Problem:
    """A problem, or a text such as ``web01: is locked``: what is before the colon is a path."""
    if isinstance(given, Problem):
        return given
    path, _, message = str(given).partition(": ")
    has_path = bool(message) and " " not in path
    return Problem(path if has_path else "", message if has_path else str(given), Code.REFUSED)


def _under(where: str, path: str) -> str:
    return ".".join(part for part in (where, path) if part)
