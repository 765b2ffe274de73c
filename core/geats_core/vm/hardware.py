"""Keys of a VM that its driver alone knows: read as plain data, and held against what it says.

What a driver takes below ``hardware`` is in its facts, as JSON Schema: so a plan can be made, and
refused, if the driver itself is not. Nothing secret belongs there: plans and reports show it.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from returns.result import Success

from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problem, gather, problem, shown, unknown
from geats_core.reading.mappings import printable
from geats_core.reading.schemas import ANYTHING, Schema, by_name, taking

HARDWARE = "hardware"
Hardware: TypeAlias = tuple[tuple[str, str], ...]  # each key, and its value as one line of JSON
TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
WORDS: Mapping[str, str] = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "empty",
}


@taking(by_name(fields.key_name.schema(), ANYTHING))
def read_hardware(path: str, raw: object) -> Checked[Hardware]:
    """Read the keys; their values may be whatever JSON can say."""
    if not isinstance(raw, Mapping):
        return problem(path, f"must be a mapping, got {shown(raw)}")
    return gather(
        _pair(f"{path}.{printable(key)}", key, raw[key]) for key in sorted(raw, key=printable)
    )


def _pair(path: str, key: object, value: object) -> Checked[tuple[str, str]]:
    match fields.key_name(path, key):
        case Success(name):
            try:
                return Success((name, json.dumps(value, sort_keys=True, allow_nan=False)))
            except (TypeError, ValueError, RecursionError):
                return problem(path, "must be plain data, as JSON has it")
        case refused:
            return refused


def to_plain(hardware: Hardware) -> dict[str, object]:
    """The keys with their values: ``read_hardware`` gives *hardware* back."""
    return {key: json.loads(text) for key, text in hardware}


def problems(driver: str, keys: Mapping[str, object], hardware: Hardware) -> Iterable[Problem]:
    """What is wrong with *hardware*, by the schemas of the *keys* that the *driver* has."""
    for key, value in to_plain(hardware).items():
        path = f"{HARDWARE}.{key}"
        if key in keys:
            yield from _wrong(path, value, keys[key])
        else:
            yield unknown(path, f"key of the driver {driver!r}", key, keys)


def _wrong(path: str, value: object, schema: object) -> Iterable[Problem]:
    """What is wrong with *value*; what a schema says that is not known here is ignored."""
    if not isinstance(schema, Mapping):
        return
    if _fails(value, schema):
        yield Problem(path, f"must be {_wanted(schema)}, got {shown(value)}")
    elif isinstance(value, dict):
        yield from _wrong_keys(path, value, schema)
    elif isinstance(value, list):
        for position, each in enumerate(value):
            yield from _wrong(f"{path}[{position}]", each, schema.get("items"))


def _fails(value: object, schema: Schema) -> bool:
    of_type = tuple(kind for each in _kinds(schema) for kind in TYPES.get(each, (object,)))
    is_bool = isinstance(value, bool) and bool not in of_type and object not in of_type
    if is_bool or not isinstance(value, of_type):
        return True
    choices, schemas, pattern = (schema.get(key) for key in ("enum", "anyOf", "pattern"))
    is_other = isinstance(choices, list | tuple) and value not in choices
    is_none = isinstance(schemas, list) and all([*_wrong("", value, each)] for each in schemas)
    is_odd = isinstance(pattern, str) and isinstance(value, str) and not re.search(pattern, value)
    is_beyond = isinstance(value, int | float) and not _is_between(value, schema)
    return is_other or is_none or is_odd or is_beyond


def _kinds(schema: Schema) -> list[str]:
    said = schema.get("type")
    return [f"{each}" for each in said] if isinstance(said, list) else [f"{said}"]


def _is_between(value: float, schema: Schema) -> bool:
    least, most = schema.get("minimum"), schema.get("maximum")
    return not (
        (isinstance(least, int | float) and value < least)
        or (isinstance(most, int | float) and value > most)
    )


def _wrong_keys(path: str, value: Mapping[str, object], schema: Schema) -> Iterable[Problem]:
    known, others = schema.get("properties"), schema.get("additionalProperties")
    known = known if isinstance(known, Mapping) else {}
    for key, each in value.items():
        if key not in known and others is False:
            yield unknown(f"{path}.{printable(key)}", "key", key, known)
        yield from _wrong(f"{path}.{printable(key)}", each, known.get(key, others))
    needed = schema.get("required")
    for key in needed if isinstance(needed, list) else []:
        if key not in value:
            yield Problem(f"{path}.{key}", "is missing")


def _wanted(schema: Schema) -> str:
    """What a value should be, in words: those of the schema, if it has any."""
    match schema:
        case {"description": str(words)}:
            return words
        case {"enum": [*choices]}:
            return f"one of {', '.join(map(str, choices))}"
        case {"anyOf": [*schemas]}:
            return " or ".join(_wanted(each) for each in schemas if isinstance(each, Mapping))
        case {"type": str(kind) | [str(kind), *_]} if kind in WORDS:
            least, most = schema.get("minimum"), schema.get("maximum")
            limits = [f"from {least}"] * (least is not None) + [f"to {most}"] * (most is not None)
            return " ".join([WORDS[kind], *limits])
        case _:
            return "something else"
