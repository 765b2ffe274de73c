"""What the scripts that work with files of a guest are asked, and what they answer.

See ``lxc.scripts.attach_child``: the same requests go to a guest that runs, and to the root of one
that is off.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from geats_core.reading.fields import printable
from geats_core.requests.guest_requests import FileToRead, FileToWrite
from geats_host.drivers import Copied

Request: TypeAlias = Mapping[str, object]
WORDS = {"write": "write", "read": "read", "pack": "read", "unpack": "write"}


@dataclass(frozen=True, slots=True)
class Answer:
    """All lines of an answer: the values by their keys, and what was not copied, and why."""

    values: Mapping[str, object]
    wrong: tuple[str, ...]


def answer(lines: bytes) -> Answer:
    """The answer of a script."""
    parsed: list[dict[str, object]] = [json.loads(line) for line in lines.splitlines()]
    values = {key: value for line in parsed for key, value in line.items()}
    return Answer(values, tuple(printable(str(e["wrong"])) for e in parsed if "wrong" in e))


def writing(file: FileToWrite) -> Request:
    """To put a file in its place."""
    owners = {"owner": file.owner, "group": file.group}
    return {"do": "write", "path": file.path, "mode": file.mode, **owners}


def reading(file: FileToRead) -> Request:
    """To copy a file out."""
    return {"do": "read", "path": file.path, "max_bytes": file.max_bytes}


def packing(path: str) -> Request:
    """To write a directory as a stream."""
    return {"do": "pack", "path": path}


def unpacking(file: FileToWrite) -> Request:
    """To write what a stream has to a directory."""
    return {"do": "unpack", "path": file.path, "owner": file.owner, "group": file.group}


def copied(said: Answer) -> Copied:
    """What came of a tree."""
    files, size = said.values.get("files", 0), said.values.get("size", 0)
    return Copied(
        files=files if isinstance(files, int) else 0,
        size_bytes=size if isinstance(size, int) else 0,
        wrong=said.wrong,
        is_tree=said.values.get("kind") != "file",
    )
