"""What guests and their programs say, without what a terminal obeys."""

import re

CONTROL = re.compile(  # ECMA-48: colours and such; and strings, such as a title of a window
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])"
)


def safe(line: bytes) -> str:
    """A line without what a terminal obeys: colours are left out, other characters are escaped."""
    text = CONTROL.sub("", line.decode(errors="backslashreplace").rstrip("\r"))
    return "".join(
        each if each.isprintable() or each == "\t" else each.encode("unicode_escape").decode()
        for each in text
    )


def last_words(said: bytes | str, most: int = 2000) -> str:
    """The end of what was said, in as many lines: at most that number of characters."""
    held = said.encode(errors="backslashreplace") if isinstance(said, str) else said
    return "\n".join(map(safe, held[-4 * most :].strip().split(b"\n"))).strip()[-most:]
