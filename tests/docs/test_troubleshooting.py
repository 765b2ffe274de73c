"""The messages that the documentation explains are those that geats says."""

import re
from itertools import chain
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
PAGE = (REPO / "docs/how-to/troubleshooting.md").read_text()
MESSAGES = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
CODE = chain.from_iterable((REPO / folder).rglob("*.py") for folder in ("core", "host", "salt"))
SAID = "\n".join(path.read_text() for path in CODE)


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_that_is_explained_is_in_the_code(message: str) -> None:
    """What is different each time stands as … in it."""
    assert [part for part in message.split("…") if part.strip() not in SAID] == []


def test_there_are_messages() -> None:
    assert len(MESSAGES) > 20
