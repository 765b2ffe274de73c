"""The one reader of YAML that people or others wrote: safe, and bounded in size, depth and work.

Loading calls what is nested by recursion, and makes of ``!!bool abc`` and its like exceptions of
all kinds. So the text is looked through first, as a stream; and whatever loading raises is told as
one thing.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    NodeEvent,
)

T = TypeVar("T")
Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Bounded: Any = type("Bounded", (Loader,), {})
LARGEST_BITS = 1024  # of a number: Python writes none that are far larger


def _number(loader: Any, node: yaml.Node) -> object:
    number = loader.construct_yaml_int(node)
    if number.bit_length() > LARGEST_BITS:
        raise yaml.MarkedYAMLError(problem="the number is too large", problem_mark=node.start_mark)
    return number


yaml.add_constructor("tag:yaml.org,2002:int", _number, Loader=Bounded)
OfPython2 = type("OfPython2", (Bounded,), {})  # !!python/unicode 'x' is text, and so on
for _tag, _kind in {
    **dict.fromkeys(("str", "unicode"), "str"),
    **dict.fromkeys(("int", "long"), "int"),
    **dict.fromkeys(("list", "tuple"), "seq"),
    **{"float": "float", "bool": "bool", "none": "null", "dict": "map"},
}.items():
    yaml.add_constructor(
        f"tag:yaml.org,2002:python/{_tag}",
        Bounded.yaml_constructors[f"tag:yaml.org,2002:{_kind}"],
        Loader=OfPython2,
    )
LARGEST_BYTES = 16 << 20
DEEPEST = 64
MOST_NODES = 1_000_000  # with each alias counted as all that it stands for
RAISED_BY_LOADING = (
    *(yaml.YAMLError, ValueError, KeyError, IndexError, AttributeError, TypeError),
    *(OverflowError, RecursionError),
)


class WrongYaml(Exception):
    """The text is not YAML, or exceeds the limits; the message says why."""


def read_yaml(text: str | bytes) -> object:
    """What a text holds. Raises ``WrongYaml``, whose message never quotes the text."""
    return _read(text, _only)


def read_documents(text: str | bytes) -> list[object]:
    """What each document of a text holds, with the tags that Python 2 wrote for plain values.

    Raises ``WrongYaml``, whose message never quotes the text.
    """
    return _read(text, _each)


def _read(text: str | bytes, load: Callable[[str | bytes], T]) -> T:
    if len(text) > LARGEST_BYTES:
        raise WrongYaml(f"it is larger than {LARGEST_BYTES >> 20} MiB")
    try:
        _look_through(text)
        return load(text)
    except RAISED_BY_LOADING as error:
        raise WrongYaml(_problem(error)) from None


def _only(text: str | bytes) -> object:
    loader = Bounded(text)
    try:
        data: object = loader.get_single_data()
        return data
    finally:
        loader.dispose()


def _each(text: str | bytes) -> list[object]:
    return [*yaml.load_all(text, Loader=OfPython2)]


def _look_through(text: str | bytes) -> None:
    """Raise ``WrongYaml`` if the text is too deep, or stands for too much."""
    sizes: dict[str | None, int] = {}
    open_: list[tuple[str | None, int]] = []  # the anchor of each, and the nodes before it
    nodes = 0
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, AliasEvent):
            nodes += sizes.get(event.anchor, 1)
        elif isinstance(event, NodeEvent):
            nodes += 1
        if isinstance(event, CollectionStartEvent):
            open_.append((event.anchor, nodes))
        elif isinstance(event, CollectionEndEvent):
            anchor, before = open_.pop()
            sizes[anchor] = nodes - before + 1
        if len(open_) > DEEPEST:
            raise WrongYaml(f"it is more than {DEEPEST} levels deep")
        if nodes > MOST_NODES:
            raise WrongYaml(f"it stands for more than {MOST_NODES} values")


def _problem(error: Exception) -> str:
    """What is wrong, and where; not the line itself, which may be secret."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "it cannot be read"
    mark = error.problem_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
