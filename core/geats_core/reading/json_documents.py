"""JSON that others wrote, and that may have any shape: it is read, or there is a problem."""

import json
from typing import TypeVar

from geats_core.reading.checked import Checked, problem
from geats_core.reading.fields import Parser

T = TypeVar("T")


def parse_document(path: str, text: bytes, parse: Parser[T]) -> Checked[T]:
    """What *parse* makes of the JSON in *text*; *path* is where it comes from."""
    try:
        raw: object = json.loads(text)
    except (ValueError, RecursionError):
        return problem(path, "must be JSON")
    return parse(path, raw)
