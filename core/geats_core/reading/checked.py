"""A value, or every problem that kept us from building it."""

from bisect import bisect
from collections.abc import Iterable, Mapping
from dataclasses import field
from enum import Enum, StrEnum
from typing import TypeAlias, TypeVar

from returns.result import Failure, Success

from geats_core.reading.values import dataclass

T = TypeVar("T")

LONGEST_SHOWN = 80
MOST_NAMED = 5
MOST_LISTED = 50  # up to so many names are all listed in a problem
MOST_BESIDE = 20  # and so many keys beside the one that was perhaps meant
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_"
LARGEST_SHOWN_BITS = 256


class Code(StrEnum):
    """The kind of a problem, for programs: codes are stable, messages may change."""

    INVALID = "invalid"  # a value is not what it must be
    UNKNOWN = "unknown"  # there is no key, name or word of this kind
    MISSING = "missing"  # a required key or value is missing
    REFUSED = "refused"  # it does not fit the current state of the VM or the host
    LOCKED = "locked"  # the VM is locked
    DATA_LOSS = "data_loss"  # it would lose data, which was not allowed
    IMPACT = "impact"  # it would have a higher impact than was allowed
    UNNAMED = "unnamed"  # it would take something from a VM that nobody named
    CONFLICT = "conflict"  # another VM has it
    CAPACITY = "capacity"  # the host has too little of it
    UNAVAILABLE = "unavailable"  # a driver, a pool or a template cannot be used now
    BUSY = "busy"  # another operation on the VM is under way
    CHANGED = "changed"  # the state that a plan was made from has changed
    HOST = "host"  # the host failed
    USAGE = "usage"  # the command line is wrong


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, with its path (such as ``volumes[0].size``)."""

    path: str
    message: str
    code: Code = field(default=Code.INVALID, compare=False)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def problem_to_plain(found: Problem) -> dict[str, str]:
    """The problem as plain data."""
    return {"code": str(found.code), "path": found.path, "message": found.message}


def problems_to_plain(found: Mapping[str, Iterable[Problem]]) -> dict[str, list[dict[str, str]]]:
    """Problems by name, such as that of a VM, as plain data."""
    return {name: list(map(problem_to_plain, each)) for name, each in found.items()}


def problem_from_plain(plain: Mapping[str, str]) -> Problem:
    """The problem that ``problem_to_plain`` wrote."""
    return Problem(plain["path"], plain["message"], Code(plain["code"]))


Problems: TypeAlias = tuple[Problem, ...]
Checked: TypeAlias = Success[T] | Failure[Problems]


def problem(path: str, message: str, code: Code = Code.INVALID) -> Failure[Problems]:
    """Refuse, for one reason."""
    return Failure((Problem(path, message, code),))


def problems_of(*results: Checked[object]) -> Problems:
    """Every problem in *results*, in order; empty when all succeeded."""
    failures = (result for result in results if isinstance(result, Failure))
    return tuple(found for failure in failures for found in failure.failure())


def within(path: str, found: Iterable[Problem]) -> Problems:
    """*found*, with paths that continue *path*."""
    return tuple(Problem(f"{path}.{each.path}", each.message, each.code) for each in found)


def gather(results: Iterable[Checked[T]]) -> Checked[tuple[T, ...]]:
    """All the values, or all the problems."""
    values: list[T] = []
    problems: list[Problem] = []
    for result in results:
        match result:
            case Success(value):
                values.append(value)
            case Failure(found):
                problems.extend(found)
    return Failure(tuple(problems)) if problems else Success(tuple(values))


def unknown(path: str, kind: str, got: object, known: Iterable[str]) -> Problem:
    """Say that *got* is not a known *kind*, which one was perhaps meant, and which ones there are.

    Many keys are listed only if none is near: they are in the reference.
    """
    names = sorted(known)
    word = shown(got).strip("'")
    near = names if len(names) <= MOST_LISTED else _near(word, names)
    hint = _hint(word, near)
    if hint and kind == "key" and len(names) > MOST_BESIDE:
        return Problem(path, f"unknown {kind} {shown(got)}{hint}", Code.UNKNOWN)
    more = f" and {len(names) - len(near)} more" if len(names) > len(near) else ""
    there = f" (there is: {', '.join(near)}{more})" if names else " (there is none)"
    return Problem(path, f"unknown {kind} {shown(got)}{hint}{there}", Code.UNKNOWN)


def absent(name: str, known: Iterable[str]) -> str:
    """Say that the host has no VM of this name, and which one was perhaps meant."""
    names = sorted(known)
    near = names if len(names) <= MOST_LISTED else _near(name, names)
    return f"{name} is not on this host{_hint(name, near)}"


def _hint(word: str, names: list[str]) -> str:
    from difflib import get_close_matches  # only what is wrong needs it

    close = get_close_matches(word, names, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _near(word: str, names: list[str]) -> list[str]:
    """Of many sorted names, those that come next to *word*, and those that one slip makes of it."""
    at = bisect(names, word)
    next_to = names[max(at - MOST_NAMED, 0) : at + MOST_NAMED]
    parts = [(word[:cut], word[cut:]) for cut in range(min(len(word), LONGEST_SHOWN) + 1)]
    slips = {
        *(left + right[1:] for left, right in parts),
        *(left + right[1:2] + right[:1] + right[2:] for left, right in parts),
        *(left + letter + right[1:] for left, right in parts for letter in LETTERS),
        *(left + letter + right for left, right in parts for letter in LETTERS),
    }
    return sorted({*next_to, *slips.intersection(names)})


def some_of(names: Iterable[str], most: int = MOST_NAMED) -> str:
    """Names for a message; of many only the first."""
    every = list(names)
    more = [f"{len(every) - most} more"] if len(every) > most else []
    *first, last = [*every[:most], *more] or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def shown(raw: object) -> str:
    """A user's value for a message: as in YAML, and of bounded length (``repr`` can raise)."""
    match raw:
        case None:
            return "null"
        case bool():
            return str(raw).lower()
        case Enum():
            return shown(raw.value)
        case str() if len(raw) > LONGEST_SHOWN:
            return f"{raw[:LONGEST_SHOWN]!r}…"
        case int() if raw.bit_length() > LARGEST_SHOWN_BITS:
            return f"a number of {raw.bit_length()} bits"
        case str() | int() | float():
            return repr(raw)
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return f"a {type(raw).__name__}"


def repeated(path: str, what: str, values: Iterable[str]) -> list[Problem]:
    """What of *values* is there more than once; what is empty may be."""
    seen: set[str] = set()
    twice: list[Problem] = []
    for value in values:
        if value in seen and value:
            twice.append(Problem(path, f"have the {what} {value!r} twice"))
        seen.add(value)
    return twice
