"""Read mappings and lists from YAML or JSON: every problem is collected, with its path."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from returns.result import Failure, Success

from geats_core.reading.checked import Checked, Code, Problem, gather, problem, shown, unknown
from geats_core.reading.schemas import (
    Described,
    Parser,
    Schema,
    any_of,
    empty_value,
    list_of,
    schema_of,
    with_default,
)

T = TypeVar("T")
Raw: TypeAlias = Mapping[object, object]  # as it was written: YAML and JSON have keys of any kind
Options: TypeAlias = Mapping[str, object]  # as it was called, by keywords

FORMER: Mapping[object, str] = {"names": "vms"}  # Salt takes ``names`` of any state for itself
NONE: Mapping[object, str] = {}


@dataclass(slots=True)
class Reader:
    """Reads the keys of one mapping, and collects every problem on the way."""

    path: str
    raw: Raw
    problems: list[Problem] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def at(self, key: str) -> str:
        """The path of *key*, as problems name it."""
        return f"{self.path}.{key}" if self.path else key

    def take(self, key: str, parse: Parser[T], default: T) -> T:
        """Read *key*; if it is absent or wrong, return *default* (if wrong, a problem is recorded).

        A key without a value is wrong, because a template that rendered nothing leaves one behind.
        """
        self.known.add(key)
        if key not in self.raw:
            return default
        if self.raw[key] is None:
            return self.keep(problem(self.at(key), _empty(schema_of(parse))), default)
        return self.keep(parse(self.at(key), self.raw[key]), default)

    def need(self, key: str, parse: Parser[T], default: T) -> T:
        """Read *key*, which must be there."""
        self.miss(key)
        if self.raw.get(key) is not None:
            return self.take(key, parse, default)
        self.known.add(key)
        return default

    def miss(self, key: str) -> None:
        """Record a problem if *key* is missing or has no value."""
        if self.raw.get(key) is None:
            what = "is empty" if key in self.raw else "is missing"
            self.problems.append(Problem(self.at(key), what, Code.MISSING))

    def rest(self, *read: str) -> Mapping[object, object]:
        """All but the keys that are *read* otherwise, whatever they are; no text is unknown now."""
        rest = {key: value for key, value in self.raw.items() if key not in read}
        self.known |= {key for key in rest if isinstance(key, str)}
        return rest

    def keep(self, result: Checked[T], default: T) -> T:
        """The value of *result*; or *default*, with the problems kept."""
        match result:
            case Success(value):
                return value
            case Failure(found):
                self.problems.extend(found)
                return default

    def done(self, value: T, former: Mapping[object, str] = NONE) -> Checked[T]:
        """*value*, unless there was a problem or a key that nobody read.

        *former* maps old names of keys to their new names.
        """
        for key in self.raw:
            if key in former:
                self.problems.append(Problem(self.at(str(key)), f"is called {former[key]!r} now"))
            elif key not in self.known:
                self.problems.append(unknown(self.at(printable(key)), "key", key, self.known))
        return self.checked(value)

    def checked(self, value: T) -> Checked[T]:
        """*value*, unless there was a problem; keys that nobody read are ignored."""
        return Failure(tuple(self.problems)) if self.problems else Success(value)


@dataclass(slots=True)
class Outline(Reader):
    """Reads nothing, and notes as JSON Schema what would be read."""

    properties: dict[str, Schema] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    closed: bool = True

    def take(self, key: str, parse: Parser[T], default: T) -> T:
        """Note a key that may be there."""
        self.properties[key] = with_default(schema_of(parse), default)
        return default

    def need(self, key: str, parse: Parser[T], default: T) -> T:
        """Note a key that must be there."""
        self.properties[key] = schema_of(parse)
        self.required.append(key)
        return default

    def rest(self, *read: str) -> Mapping[object, object]:
        """Note that there may be any other key."""
        self.closed = False
        return {}

    def schema(self) -> Schema:
        """What was noted."""
        required = {"required": self.required} if self.required else {}
        closed = {"additionalProperties": False} if self.closed else {}
        return {"type": "object", "properties": self.properties, **required, **closed}


def outlined(parse: Callable[[Reader], object]) -> Schema:
    """What *parse* reads out of a mapping."""
    outline = Outline("", {})
    parse(outline)
    return outline.schema()


def options(raw: Mapping[str, object]) -> Reader:
    """A reader of what a program gives by name; what is None is not given."""
    pairs: Iterable[tuple[object, object]] = raw.items()
    return Reader("", {key: value for key, value in pairs if value is not None})


def _empty(schema: Schema) -> str:
    """What is wrong with a key that has no value, and what to write instead."""
    said = empty_value(schema)
    return "is empty: leave the key out" + (f", or write {said} if there is none" if said else "")


def printable(key: object) -> str:
    """A key of the user's as a part of a path."""
    return key if isinstance(key, str) and key.isprintable() and key else shown(key)


def of_mapping(parse: Callable[[Reader], Checked[T]]) -> Described[T]:
    """Make a parser out of one that reads the keys of a mapping."""

    def parser(path: str, raw: object) -> Checked[T]:
        if not isinstance(raw, Mapping):
            return problem(path, f"must be a mapping, got {shown(raw)}")
        return parse(Reader(path, raw))

    return Described(parser, lambda: outlined(parse))


def shorthand(kind: type, form: Schema, key: str, whole: Parser[T]) -> Described[T]:
    """*whole* reads a mapping; a value of *kind*, which has that *form*, is short for its *key*."""

    def parse(path: str, raw: object) -> Checked[T]:
        return whole(path, {key: raw} if isinstance(raw, kind) else raw)

    return Described(parse, lambda: any_of(form, schema_of(whole)))


def each(item: Parser[T]) -> Described[tuple[T, ...]]:
    """A list of what *item* reads."""

    def parse(path: str, raw: object) -> Checked[tuple[T, ...]]:
        if not isinstance(raw, list | tuple):
            return problem(path, f"must be a list, got {shown(raw)}")
        return gather(item(f"{path}[{index}]", entry) for index, entry in enumerate(raw))

    return Described(parse, lambda: list_of(schema_of(item)))


def merge(below: Mapping[object, object], above: Mapping[object, object]) -> dict[object, object]:
    """*above* laid over *below*: mappings in both merge, anything else in *above* wins.

    One level down, and no deeper: a bind of the same name is replaced as a whole.
    """
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            merged[key] = {**under, **value}
        else:
            merged[key] = value
    return merged
