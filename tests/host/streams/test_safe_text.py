"""What guests say, in words that a terminal does not obey."""

import pytest

from geats_host.streams.safe_text import last_words


@pytest.mark.parametrize(
    ("said", "is_told"),
    [
        (b" one\n\x1b[31mtwo\x1b[0m\x07\n", "one\ntwo\\x07"),
        ("\x1b]0;title\x07oh \ud800", "oh \\ud800"),
        ("ü" * 9, "ü" * 5),
        (b"", ""),
    ],
)
def test_the_last_words_of_a_guest_are_no_commands(said: bytes | str, is_told: str) -> None:
    assert last_words(said, 5 if said == "ü" * 9 else 99) == is_told
