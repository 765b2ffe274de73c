"""Blocks of pages that show commands, and what they say."""

import re
from collections.abc import Callable, Iterator
from functools import partial

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def as_documented(block: str) -> Iterator[tuple[str, Callable[[str], bool]]]:
    """Each command of *block*, and whether what it says is what stands below it.

    ``…`` stands for anything, also for lines; blanks are all alike.
    """
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, said = part.partition("\n")
        pattern = ".*".join(map(re.escape, re.split(" ?… ?", _plain(said))))
        yield command, partial(_is_like, re.compile(pattern))


def _plain(text: str) -> str:
    return " ".join(text.split())


def _is_like(pattern: re.Pattern[str], said: str) -> bool:
    return pattern.fullmatch(_plain(said)) is not None
