"""Pickles as data: what holds anything but plain values is refused, and nothing in one ever runs.

A pickle is a program. Only two of its instructions reach code, by naming a class or an object
outside; both raise here. What is left builds lists, mappings, texts and numbers.
"""

import io
import pickle
from collections.abc import Iterator, Mapping
from typing import NoReturn

DEEPEST = 64
MOST_NODES = 1_000_000  # with each value counted wherever it stands
RAISED_BY_LOADING = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError),
    *(AttributeError, OverflowError, RecursionError, MemoryError, ImportError),
)


class WrongPickle(Exception):
    """It is no pickle, or holds more than plain values; the message says why."""


class _OfPlainValues(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise WrongPickle(f"it names {module}.{name}, which is no plain value")

    def persistent_load(self, pid: object) -> NoReturn:
        raise WrongPickle("it names an object outside, which is no plain value")


def is_pickle(data: bytes) -> bool:
    """Whether it begins as a pickled mapping does, in any protocol."""
    return data.startswith((b"\x80", b"(dp", b"(d.", b"}q"))


def read_pickle(data: bytes) -> object:
    """The plain value in a pickle, also in one of Python 2. Raises ``WrongPickle``.

    Text of Python 2 is taken for UTF-8. What is not keeps its bytes as surrogates, so that whoever
    reads the value can refuse it.
    """
    loader = _OfPlainValues(io.BytesIO(data), encoding="utf-8", errors="surrogateescape")
    try:
        held = loader.load()
    except RAISED_BY_LOADING as error:
        raise WrongPickle(f"it is damaged ({type(error).__name__})") from None
    _look_through(held)
    return held


def _look_through(held: object) -> None:
    """Raise ``WrongPickle`` if a value is too deep, or stands for too much."""
    nodes, open_ = 0, [iter((held,))]
    while open_:
        value = next(open_[-1], open_)
        if value is open_:
            open_.pop()
            continue
        nodes += 1
        open_.append(_within(value))
        if len(open_) > DEEPEST:
            raise WrongPickle(f"it is more than {DEEPEST} levels deep")
        if nodes > MOST_NODES:
            raise WrongPickle(f"it stands for more than {MOST_NODES} values")


def _within(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        return (each for pair in value.items() for each in pair)
    if isinstance(value, list | tuple | set | frozenset):
        return iter(value)
    return iter(())
