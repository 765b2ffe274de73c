"""Text files that people or other programs wrote, read as far as any of them is long."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from geats_host.errors import Refused
from geats_host.inputs.yaml_text import LARGEST_BYTES


def read_text(file: str | Path) -> str:
    """The text of a *file*. Raises ``Refused`` if it cannot be read, is none, or is too large."""
    try:
        return read_file(file).decode()
    except ValueError:
        raise Refused(f"{file}: is not text") from None


def read_file(file: str | Path) -> bytes:
    """What a *file* holds. Raises ``Refused`` if it cannot be read, or is too large."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait
        with os.fdopen(descriptor, "rb") as opened:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise Refused(f"{file}: Is a directory")
            held = opened.read(LARGEST_BYTES + 1) or b""
        if len(held) > LARGEST_BYTES:
            raise Refused(f"{file}: is larger than {LARGEST_BYTES >> 20} MiB")
        return held
    except (OSError, ValueError) as error:  # a path with a null byte is the latter
        raise Refused(f"{file}: {getattr(error, 'strerror', None) or 'is no path'}") from None


def read_texts(files: Iterable[str]) -> dict[str, str]:
    """The texts by file. Raises ``Refused`` with every file that cannot be read."""
    texts: dict[str, str] = {}
    problems: list[str] = []
    for file in files:
        try:
            texts[file] = read_text(file)
        except Refused as refused:
            problems += map(str, refused.problems)
    if problems:
        raise Refused(*problems)
    return texts
