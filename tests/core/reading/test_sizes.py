"""Sizes as people read them."""

import pytest

from geats_core.reading.sizes import for_people


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (2**20, "1MiB"),
        (int(3.14 * 2**30), "3.1GiB"),
        (512 * 2**20 + 1, "512MiB"),
        (2**50 * 7, "7PiB"),
    ],
)
def test_a_size_is_told_with_at_most_one_figure_after_the_point(
    size_bytes: int, words: str
) -> None:
    assert for_people(size_bytes) == words
