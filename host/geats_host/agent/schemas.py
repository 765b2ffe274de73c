"""The interface as JSON Schema, and what is wrong with parameters by its types."""

from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

from geats_core.reading.checked import Code, Problem, shown, unknown
from geats_core.reading.schemas import ANYTHING, Schema, any_of, list_of
from geats_host.agent.definition import FAULTS, METHODS, NAME, Types

PLAIN: Mapping[object, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    NoneType: "null",
}


def is_optional(kind: Any) -> bool:
    """Whether a parameter of this type may be left out."""
    return NoneType in get_args(kind)


def schema_of(kind: Any) -> Schema:
    """What a type allows."""
    if kind in PLAIN:
        return {"type": PLAIN[kind]}
    if is_typeddict(kind):
        return _object(get_type_hints(kind))
    if get_origin(kind) is list:
        return list_of(schema_of(get_args(kind)[0]))
    if get_origin(kind) is dict:
        return {"type": "object", "additionalProperties": schema_of(get_args(kind)[1])}
    if is_optional(kind):
        return any_of(*map(schema_of, get_args(kind)))
    return ANYTHING


def _object(types: Types) -> Schema:
    return {
        "type": "object",
        "properties": {name: schema_of(kind) for name, kind in types.items()},
        "required": [name for name, kind in types.items() if not is_optional(kind)],
        "additionalProperties": False,
    }


def request_schema() -> Schema:
    """Requests in one shot; the definition ``answer`` is what is answered."""
    requests = [
        {
            "description": method.about,
            "properties": {
                "method": {"const": f"{NAME}.{name}"},
                "parameters": _object(method.takes),
            },
        }
        for name, method in METHODS.items()
        if name not in NEEDS_A_CONNECTION
    ]
    answers = [_object(method.gives) for method in METHODS.values()]
    faults = [
        {
            "description": about,
            "properties": {"error": {"const": f"{NAME}.{name}"}, "parameters": _object(carries)},
            "required": ["error", "parameters"],
        }
        for name, (about, carries) in FAULTS.items()
    ]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "required": ["method"],
        "oneOf": requests,
        "definitions": {
            "answer": any_of({"properties": {"parameters": any_of(*answers)}}, *faults),
        },
    }


NEEDS_A_CONNECTION = frozenset({"Cancel", "Console", "Watch"})


def wrong_with(types: Types, given: Mapping[str, object]) -> Iterator[Problem]:
    """What is wrong with parameters of these types."""
    for name in given.keys() - types.keys():
        yield unknown(name, "parameter", name, types)
    for name, kind in types.items():
        if name in given:
            yield from _wrong(name, kind, given[name])
        elif not is_optional(kind):
            yield Problem(name, "is missing", Code.MISSING)


def _wrong(path: str, kind: Any, value: object) -> Iterator[Problem]:
    """What is wrong with one value: the types of parameters are no deeper than a list."""
    kinds = get_args(kind) if is_optional(kind) else (kind,)
    if any(_is_of(each, value) for each in kinds):
        return
    words = " or ".join(PLAIN.get(each, "list of strings") for each in kinds)
    yield Problem(path, f"must be of type {words}, got {shown(value)}")


def _is_of(kind: Any, value: object) -> bool:
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_is_of(get_args(kind)[0], each) for each in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind in PLAIN:
        return type(value) is kind
    return True
