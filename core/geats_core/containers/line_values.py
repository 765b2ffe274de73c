"""Values as lines of LXC have them: liblxc takes off blanks around them, and one pair of quotes.

A line without a value unsets what lines before it say.
"""

from returns.result import Failure

from geats_core.reading import fields
from geats_core.reading.checked import Checked, problem
from geats_core.reading.schemas import taking

BLANKS = " \t"
QUOTES = ("'", '"')


def as_read(value: str) -> str:
    """What liblxc takes of a *value*, as a line has it."""
    bare = value.strip(BLANKS)
    return bare[1:-1] if _is_quoted(bare) else bare


def written(value: str) -> str:
    """What a line has, so that liblxc takes *value* of it: in quotes if it would lose something."""
    return value if as_read(value) == value else f'"{value}"'


@taking({**fields.text.schema(), "minLength": 1})
def said_value(path: str, raw: object) -> Checked[str]:
    """One line of printable text, which is not empty."""
    found = fields.text(path, raw)
    if isinstance(found, Failure) or found.unwrap():
        return found
    return problem(path, "is empty, and a line of LXC without a value says nothing")


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] in QUOTES and value[-1] == value[0]
