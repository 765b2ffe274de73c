"""Pickles as data: what holds anything but plain values is refused, and nothing in one ever runs.

A pickle is a program. Only two of its instructions reach code, by naming a class or an object
outside; both raise here. What is left builds lists, mappings, texts and numbers.

Those can still cost more than the file is long. The reader of Python in C makes room for as many
values as a pickle says that it remembers, so that in Python is used. And a tuple of tuples, each of
them twice, takes time without end as a key, so a key is a text or a number.
"""

import io
import pickle
import struct
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

DEEPEST = 64
LARGEST_BITS = 1024  # of a number: Python writes none that are far larger
KEYS = (str, bytes, int, float, type(None))
MOST_NODES = 1_000_000  # with each value counted wherever it stands
RAISED_BY_LOADING = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError),
    *(struct.error, AttributeError, OverflowError, RecursionError, MemoryError, ImportError),
)


class WrongPickle(Exception):
    """It is no pickle, or holds more than plain values; the message says why."""


Unpickler: Any = pickle._Unpickler


class _OfPlainValues(Unpickler):  # type: ignore[misc]
    def find_class(self, module: str, name: str) -> NoReturn:
        raise WrongPickle(f"it names {module}.{name}, which is no plain value")

    def persistent_load(self, pid: object) -> NoReturn:
        raise WrongPickle("it names an object outside, which is no plain value")


def _with_plain_keys(instruction: bytes, first: int, every: int) -> None:
    """Have an instruction look first at what is to be hashed: these of the values on its stack."""
    load = Unpickler.dispatch[instruction[0]]

    def checked(reader: Any) -> None:
        if not all(isinstance(key, KEYS) for key in reader.stack[first::every]):
            raise WrongPickle("it has a key that is neither text nor a number")
        load(reader)

    _OfPlainValues.dispatch[instruction[0]] = checked


_OfPlainValues.dispatch = {**Unpickler.dispatch}
_with_plain_keys(pickle.SETITEM, -2, 2)
_with_plain_keys(pickle.SETITEMS, 0, 2)
_with_plain_keys(pickle.DICT, 0, 2)
_with_plain_keys(pickle.ADDITEMS, 0, 1)
_with_plain_keys(pickle.FROZENSET, 0, 1)


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
        if isinstance(value, int) and value.bit_length() > LARGEST_BITS:
            raise WrongPickle("it has a number that is too large")
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
