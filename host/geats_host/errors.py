"""Trouble with the host: raised by adapters, turned into a value in one place (``apply``)."""

from dataclasses import replace
from typing import TypeVar

from returns.result import Failure, Success

from geats_core.reading.checked import Checked, said_once

T = TypeVar("T")


class HostError(Exception):
    """The host refused, or failed at, something that was asked of it; the text says why."""


class Refused(Exception):
    """What was asked cannot be done as asked; each problem says where and why."""

    def __init__(self, *problems: object) -> None:
        self.problems = tuple(map(str, problems))
        super().__init__("\n".join(said_once(self.problems)))


def accepted(checked: Checked[T], where: str = "") -> T:
    """The value; or, raised, every problem, under the path *where*."""
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


def _under(where: str, path: str) -> str:
    return ".".join(part for part in (where, path) if part)
