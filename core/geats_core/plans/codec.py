"""Frozen dataclasses as plain data and back, for plans and observations in files.

The types of a dataclass's fields define its form. The key ``do`` says which member of a union of
dataclasses (an ``Action``) it is. A ``VMSpec`` is written as people write it, with its name, and
read by ``parse_vm``, so one from a file is always valid; so are ``Ready`` and ``Dns``.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from enum import Enum, IntEnum, StrEnum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from returns.result import Failure, Success

from geats_core.reading.checked import (
    Checked,
    Code,
    Problem,
    gather,
    problem,
    problems_of,
    shown,
    unknown,
)
from geats_core.reading.fields import Parser, Reader, boolean, each, of_mapping, one_of, printable
from geats_core.vm import readiness
from geats_core.vm.parse import dns_to_plain, parse_dns, parse_vm, to_plain
from geats_core.vm.readiness import Ready, parse_ready
from geats_core.vm.spec import Dns, VMSpec

T = TypeVar("T")
DO = "do"
NAME = "name"
ACTIONS = "geats_core.planning.actions"  # the classes of this module are told apart by their names
DEEPEST = 32  # levels of plain data: so that showing it cannot exhaust the stack
SURROGATE = re.compile("[\ud800-\udfff]")  # half a character: no file can contain it
LARGEST = 2.0**1000  # any number that people write; JSON as Python reads it also has infinity


def encode(value: object) -> object:
    """*value* as plain data: dict, list, str, int, float, bool and None."""
    match value:
        case VMSpec():
            return {NAME: value.name, **to_plain(value)}
        case Ready():
            return readiness.to_plain(value)
        case Dns():
            return dns_to_plain(value)
        case IntEnum():
            return value.name.lower()
        case Enum():
            return value.value
        case Mapping():
            return {key: encode(item) for key, item in value.items()}
        case frozenset():
            return sorted(map(encode, value), key=str)
        case tuple() | list():
            return [encode(item) for item in value]
        case _ if is_dataclass(value):
            kind: Any = type(value)
            tag = {DO: kind.__name__} if kind.__module__ == ACTIONS else {}
            return tag | {name: encode(getattr(value, name)) for name in names_of(kind)}
        case _:
            return value


@lru_cache(maxsize=256)
def names_of(kind: Any) -> tuple[str, ...]:
    """The names of a dataclass's fields."""
    return tuple(field.name for field in fields(kind))


def decode(kind: type[T], path: str, raw: object) -> Checked[T]:
    """The value of type *kind* that ``encode`` made *raw* of; or everything wrong with *raw*."""
    wanted: Any = kind
    return parser_of(wanted)(path, raw)


@lru_cache(maxsize=256)
def parser_of(kind: Any) -> Parser[Any]:
    """What reads a value of *kind*: a type, or what stands for one in a type hint."""
    origin, members = get_origin(kind), get_args(kind)
    if kind in SCALARS:
        return SCALARS[kind]
    if isinstance(kind, UnionType):
        return _union(members)
    if origin is tuple and members[-1] is ...:
        return each(parser_of(members[0]))
    if origin is tuple:
        return _fixed(tuple(parser_of(member) for member in members))
    if origin is frozenset:
        return _frozenset(parser_of(members[0]))
    if origin is Mapping:
        return _mapping(parser_of(members[1]))
    if issubclass(kind, IntEnum):
        return _by_name({member.name.lower(): member for member in kind})
    if issubclass(kind, StrEnum):
        return one_of(kind.__name__.lower(), kind)
    return _dataclass(kind)


def _text(path: str, raw: object) -> Checked[str]:
    if isinstance(raw, str) and not SURROGATE.search(raw):
        return Success(raw)
    return problem(path, f"must be text, got {shown(raw)}")


def _int(path: str, raw: object) -> Checked[int]:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return Success(raw)
    return problem(path, f"must be a whole number, got {shown(raw)}")


def _float(path: str, raw: object) -> Checked[float]:
    if isinstance(raw, int | float) and not isinstance(raw, bool) and -LARGEST < raw < LARGEST:
        return Success(float(raw))
    return problem(path, f"must be a number, got {shown(raw)}")


def _plain(path: str, raw: object) -> Checked[object]:
    wrong = _wrong_with(raw, DEEPEST)
    return problem(path, wrong) if wrong else Success(raw)


def _wrong_with(raw: object, levels: int) -> str:
    """Why *raw* is not plain data of at most so many *levels*; empty if it is."""
    inner: Iterable[object] = ()
    match raw:
        case list() | dict() if not levels:
            return f"is more than {DEEPEST} levels deep"
        case list():
            inner = raw
        case dict() if all(isinstance(key, str) and not SURROGATE.search(key) for key in raw):
            inner = raw.values()
        case str() if not SURROGATE.search(raw):
            pass
        case float() if -LARGEST < raw < LARGEST:
            pass
        case None | int():
            pass
        case _:
            return "must be plain data, as JSON has it"
    return next(filter(None, (_wrong_with(each, levels - 1) for each in inner)), "")


@of_mapping
def _spec(read: Reader) -> Checked[VMSpec]:
    raw = {key: value for key, value in read.raw.items() if key != NAME}
    match parse_vm(read.raw.get(NAME), raw, is_recorded=True):
        case Success(spec):
            return Success(spec)
        case Failure(found):
            return Failure(tuple(replace(each, path=read.at(each.path)) for each in found))


SCALARS: Mapping[Any, Parser[Any]] = {
    str: _text,
    bool: boolean,
    int: _int,
    float: _float,
    object: _plain,
    VMSpec: _spec,
    Ready: parse_ready,
    Dns: parse_dns,
}


def _union(members: tuple[Any, ...]) -> Parser[Any]:
    """One of several: None, a single other kind, or a dataclass that says its name."""
    others = [member for member in members if member is not NoneType]
    if len(others) == 1:
        parse = parser_of(others[0])
    else:
        parse = _tagged({member.__name__: member for member in others})

    def optional(path: str, raw: object) -> Checked[Any]:
        return Success(None) if raw is None else parse(path, raw)

    return optional if NoneType in members else parse


def _tagged(by_name: Mapping[str, type]) -> Parser[Any]:
    word = one_of("kind", by_name)

    @of_mapping
    def parse(read: Reader) -> Checked[Any]:
        match word(read.at(DO), read.raw.get(DO)):
            case Success(name):
                return parser_of(by_name[name])(read.path, read.raw)
            case Failure() as refused:
                return refused

    return parse


def _dataclass(kind: type[T]) -> Parser[T]:
    hints = get_type_hints(kind)
    fields_of = [
        (
            field.name,
            parser_of(hints[field.name]),
            field.default is MISSING and field.default_factory is MISSING,
        )
        for field in fields(kind)  # type: ignore[arg-type]  # it is one
    ]
    tag = {DO} if kind.__module__ == ACTIONS else set()

    @of_mapping
    def parse(read: Reader) -> Checked[T]:
        values: dict[str, Any] = {}
        read.known |= tag
        for name, parser, needed in fields_of:
            read.known.add(name)
            if name in read.raw:
                values[name] = read.keep(parser(read.at(name), read.raw[name]), None)
            elif needed:
                read.problems.append(Problem(read.at(name), "is missing", Code.MISSING))
        unread = [
            unknown(read.at(printable(k)), "key", k, read.known)
            for k in read.raw
            if k not in read.known
        ]
        problems = (*read.problems, *unread)
        return Failure(problems) if problems else Success(kind(**values))

    return parse


def _by_name(members: Mapping[str, Enum]) -> Parser[Any]:
    word = one_of("word", members)

    def parse(path: str, raw: object) -> Checked[Enum]:
        match word(path, raw):
            case Success(name):
                return Success(members[name])
            case Failure() as refused:
                return refused

    return parse


def _frozenset(item: Parser[T]) -> Parser[frozenset[T]]:
    read_all = each(item)

    def parse(path: str, raw: object) -> Checked[frozenset[T]]:
        match read_all(path, raw):
            case Success(values):
                return Success(frozenset(values))
            case Failure() as refused:
                return refused

    return parse


def _fixed(items: tuple[Parser[Any], ...]) -> Parser[tuple[Any, ...]]:
    """A list of as many entries as there are kinds."""

    def parse(path: str, raw: object) -> Checked[tuple[Any, ...]]:
        if not isinstance(raw, list | tuple) or len(raw) != len(items):
            return problem(path, f"must be a list of {len(items)}, got {shown(raw)}")
        both = zip(items, raw, strict=True)
        return gather(item(f"{path}[{at}]", entry) for at, (item, entry) in enumerate(both))

    return parse


def _mapping(item: Parser[T]) -> Parser[Mapping[str, T]]:
    @of_mapping
    def parse(read: Reader) -> Checked[Mapping[str, T]]:
        pairs = [
            _pair(_text(read.at(printable(key)), key), item(read.at(printable(key)), value))
            for key, value in read.raw.items()
        ]
        match gather(pairs):
            case Success(found):
                return Success(dict(found))
            case Failure() as refused:
                return refused

    return parse


def _pair(key: Checked[str], value: Checked[T]) -> Checked[tuple[str, T]]:
    match key, value:
        case Success(key_), Success(value_):
            return Success((key_, value_))
        case _:
            return Failure(problems_of(key, value))
