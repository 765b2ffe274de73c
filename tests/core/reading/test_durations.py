"""Durations as people read them."""

import pytest

from geats_core.reading import durations


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0s"),
        (0.9, "0s"),
        (42, "42s"),
        (60, "1m"),
        (310, "5m 10s"),
        (3_600, "1h"),
        (3_661, "1h 1m"),
        (86_399, "23h 59m"),
        (86_400 * 12 + 4 * 3_600 + 59, "12d 4h"),
        (86_400 + 59, "1d"),
    ],
)
def test_a_duration_is_told_in_at_most_two_units(seconds: float, words: str) -> None:
    assert durations.for_people(seconds) == words
