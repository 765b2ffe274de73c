"""Parsers that can say as JSON Schema what they accept, for editors and other programs.

A schema may allow more than its parser accepts, never less: rules between several fields, and which
names must exist, are in no schema.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar

from geats_core.reading.checked import Checked
from geats_core.reading.values import dataclass

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Parser: TypeAlias = Callable[[str, object], Checked[T]]
Schema: TypeAlias = Mapping[str, object]

NONE = "none"
ANYTHING: Schema = {}


@dataclass(frozen=True, slots=True)
class Described(Generic[T_co]):
    """A parser and its schema, which is made only when asked for, because it may be long."""

    parse: Parser[T_co]
    schema: Callable[[], Schema]

    def __call__(self, path: str, raw: object) -> Checked[T_co]:
        return self.parse(path, raw)


def taking(schema: Schema) -> Callable[[Parser[T]], Described[T]]:
    """Say of a parser that it takes what *schema* allows."""
    return lambda parse: Described(parse, lambda: schema)


def schema_of(parse: Parser[object]) -> Schema:
    """The schema of *parse*; if it has none, anything is allowed."""
    return parse.schema() if isinstance(parse, Described) else ANYTHING


def any_of(*schemas: Schema) -> Schema:
    """What one of *schemas* allows."""
    return {"anyOf": list(schemas)}


def text_matching(pattern: str, wanted: str) -> Schema:
    """Text that *pattern* matches in full; *wanted* describes it."""
    return {"type": "string", "pattern": f"^({pattern})$", "description": wanted}


def words(choices: Sequence[str]) -> Schema:
    """One of a closed set of words."""
    return {"type": "string", "enum": choices}


def list_of(item: Schema) -> Schema:
    """A list of what *item* allows."""
    return {"type": "array", "items": item}


def by_name(name: Schema, item: Schema) -> Schema:
    """A mapping of names to what *item* allows."""
    return {"type": "object", "propertyNames": name, "additionalProperties": item}


def with_default(schema: Schema, default: object) -> Schema:
    """The same for a key that may be left out, with *default* if that is plain data."""
    plain = isinstance(default, bool | int | float | str) and default != ""
    return {**schema, "default": default} if plain else schema


def empty_value(schema: object) -> str:
    """How to write that there is none of what *schema* allows; empty if that is not possible."""
    match schema:
        case {"type": "array"}:
            return "[]"
        case {"type": "object"}:
            return "{}"
        case {"enum": [only]} if only == NONE:
            return NONE
        case {"anyOf": [*schemas]}:
            return next((said for each in schemas if (said := empty_value(each))), "")
        case _:
            return ""
