"""What the overlay pool remembers of a volume's layers, kept next to them: ``layers.json``."""

import json
import os

from geats_core.reading import file_formats
from geats_core.reading.fields import NAME
from geats_core.reading.values import dataclass
from geats_host.storage.marks import put_file, wrong_format

LAYERS = "layers.json"


@dataclass(frozen=True, slots=True)
class Below:
    """What ``layers.json`` says: the key of the template below, and the first id that is used."""

    lower: str | None
    first: int


def read_below(at: int) -> Below | None:
    """What it says in the directory *at*; None if it makes no sense, or is not there."""
    try:
        descriptor = os.open(LAYERS, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        return _parsed(file.read())


def _parsed(text: bytes) -> Below | None:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if wrong_format(raw):
        return None
    match raw:
        case {"lower": None, "first": int(first)}:
            return Below(None, first)
        case {"lower": str(key), "first": int(first)} if NAME.fullmatch(key):
            return Below(key, first)
        case _:
            return None


def write_below(at: int, below: Below) -> None:
    """Remember it, durably."""
    put_below(at, below)
    os.fsync(at)


def put_below(at: int, below: Below) -> None:
    """Remember it, durably once the directory *at* is synced: until then, it may be as before."""
    put_file(at, LAYERS, json.dumps(_plain(below)))


def _plain(below: Below) -> dict[str, object]:
    return {file_formats.FORMAT: file_formats.MARKS, "lower": below.lower, "first": below.first}
