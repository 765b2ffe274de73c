"""The configuration files of the first geats: sections in sections, as ConfigObj writes them."""

import re
from collections.abc import Mapping
from typing import TypeAlias

from returns.result import Failure, Success

from geats_core.reading.checked import Checked, Problem, shown

Value: TypeAlias = str | list[str]
Section: TypeAlias = dict[str, "Value | Section"]

# None of these looks at a character more than a few times, however long a line is.
HEAD = re.compile(r"(\[++)([^\[\]]++)(\]++)\s*+(#.*)?")
PAIR = re.compile(r"([^=\[\]#]++)=\s*+(.*)")
ITEM = re.compile(r"""\s*+(?:"([^"]*+)"|'([^']*+)'|([^,#"']*+))\s*+(?=,|#|$)""")
UNREAD = re.compile(r"""\"\"\"|'''|%\(|\$\{""")


def parse_ini(path: str, text: str) -> Checked[Section]:
    """Read sections, ``key = value``, quotes, lists with commas, and comments.

    Text over several lines, and values that name others, are problems: nobody wrote them there.
    """
    root: Section = {}
    stack = [root]
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), start=1):
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        wrong = _read_line(said, stack)
        if wrong:
            problems.append(Problem(f"{path}:{number}", f"{wrong}, got {shown(said)}"))
    return Failure(tuple(problems)) if problems else Success(root)


def _read_line(line: str, stack: list[Section]) -> str | None:
    """Read one line into the section that is open; the answer is what is wrong with it."""
    head, pair = HEAD.fullmatch(line), PAIR.fullmatch(line)
    if head and head[2].strip():
        depth, name = len(head[1]), head[2].strip()
        if depth != len(head[3]) or depth > len(stack):
            return "must be a section whose brackets match, one deeper than the last at most"
        section: Section = {}
        if name in stack[depth - 1]:
            return "must not be given twice"
        stack[depth - 1][name] = section
        stack[depth:] = [section]
        return None
    if not (pair and pair[1].strip()):
        return "must be [section], key = value or # comment"
    if UNREAD.search(pair[2]):
        return "must be on one line, and not name other values"
    value = _value(pair[2])
    if value is None:
        return "must have quotes that match"
    key = pair[1].strip().strip("'\"")
    if key in stack[-1]:
        return "must not be given twice"
    stack[-1][key] = value
    return None


def _value(text: str) -> Value | None:
    """A word, or the list of words that commas make; None if quotes do not match."""
    items: list[str] = []
    at = 0
    while found := ITEM.match(text, at):
        double, single, bare = found.groups()
        items.append(bare.rstrip() if bare is not None else double or single or "")
        at = found.end()
        if not text.startswith(",", at):
            break
        at += 1
    else:
        return None
    if len(items) == 1:
        return items[0]
    return items if items[-1] else items[:-1]


def section(raw: Mapping[str, object], name: str) -> Mapping[str, object]:
    """The section *name*; empty if there is none."""
    found = raw.get(name)
    return found if isinstance(found, Mapping) else {}
