"""Text files that people or other programs wrote, read as far as any of them is long."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from geats_core.reading.checked import Problem, Problems
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


def read_each(paths: Iterable[str], patterns: Iterable[str]) -> tuple[dict[str, str], Problems]:
    """The texts by file; and what cannot be read, which concerns no other file.

    A directory stands for the files in it that match one of *patterns*, by their names.
    """
    texts: dict[str, str] = {}
    problems: Problems = ()
    for path in paths:
        files = _files(path, patterns)
        if not files:
            wanted = ", ".join(patterns)
            problems += (Problem(path, f"has no file that is named like {wanted}"),)
        for file in files:
            try:
                texts[file] = read_text(file)
            except Refused as refused:
                problems += tuple(Problem("", str(each)) for each in refused.problems)
    return texts, problems


def _files(path: str, patterns: Iterable[str]) -> list[str]:
    if not os.path.isdir(path):  # which never raises, as Path does for too long a name
        return [path]
    found = (each for pattern in patterns for each in Path(path).glob(pattern))
    return sorted({f"{each}" for each in found if each.is_file()})
