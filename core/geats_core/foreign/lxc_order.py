"""What becomes of a line that stood before an include, if all includes come first.

With liblxc, of most keys the last line counts. Some are lists: a line without a value empties them.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from geats_core.foreign.lxc_lines import Line

LIST = re.compile(r"lxc\.(cap\..*|environment|hook\..*|group|apparmor\.raw|cgroup2?\..*)")
AUTO, ENVIRONMENT = "lxc.mount.auto", "lxc.environment"
BETWEEN = "stands between what is included, and unsets only a part of it: include it in another way"


def in_effect(line: Line, before: Sequence[Line], after: Sequence[Line]) -> Line | str | None:
    """What *line* has to be so that it is in effect as it was; None if it no longer was.

    *before* and *after* are all others. If no line does it, the result is the reason (text).
    """
    same = [each for each in after if each.key == line.key]
    if not any(each.included for each in after):
        return line
    if line.key != AUTO and not LIST.fullmatch(line.key):
        return None if any(each.included for each in same) else line
    if any(not each.value for each in same):
        return None
    if not line.value:
        return _emptied(line, before, same)
    if line.key == AUTO:
        said = {word.partition(":")[0] for each in same if each.included for word in _words(each)}
        words = [word for word in _words(line) if word.partition(":")[0] not in said]
        return replace(line, value=" ".join(words)) if words else None
    return None if _is_undone(line, after) else line


def _emptied(line: Line, before: Sequence[Line], same: Sequence[Line]) -> Line | str | None:
    """A line that empties a list, to which what is included after it may add."""
    if not any(each.included for each in same):
        return line
    filled = any(each.included and each.value for each in before if each.key == line.key)
    return BETWEEN if filled else None


def _is_undone(line: Line, after: Sequence[Line]) -> bool:
    """Whether something that is included later takes back what *line* adds."""
    later = [each for each in after if each.included]
    if line.key == ENVIRONMENT:
        name = line.value.partition("=")[0]
        return any(
            (each.key, each.value.partition("=")[0]) == (ENVIRONMENT, name) for each in later
        )
    denied = line.key.removesuffix(".allow") + ".deny"
    return line.key.endswith(".devices.allow") and any(each.pair == (denied, "a") for each in later)


def _words(line: Line) -> list[str]:
    return line.value.split()
