"""What a mistake says: a value within bounds, and what was perhaps meant."""

import pytest

from geats_core.checked import Problem, shown, unknown


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (None, "None"),
        (True, "True"),
        (1.5, "1.5"),
        ("it's", '"it\'s"'),
        ("x" * 80, f"'{'x' * 80}'"),
        ("x" * 81, f"'{'x' * 80}'…"),
        (2**256 - 1, str(2**256 - 1)),
        (2**256, "a number of 257 bits"),
        ({"secret": 1}, "a mapping"),
        (["secret"], "a list"),
        (("secret",), "a list"),
        (b"secret", "a bytes"),
    ],
)
def test_a_value_is_shown_as_it_was_written_up_to_a_bound(raw: object, words: str) -> None:
    assert shown(raw) == words


@pytest.mark.parametrize(
    ("got", "known", "words"),
    [
        ("fsat", ["slow", "fast"], "'fsat', did you mean 'fast'? (there is: fast, slow)"),
        ("XX", ["XXL"], "'XX', did you mean 'XXL'? (there is: XXL)"),
        ("tape", ["fast"], "'tape' (there is: fast)"),
        (1, ["fast"], "1 (there is: fast)"),
        ("fast", [], "'fast' (there is none)"),
    ],
)
def test_an_unknown_word_is_met_with_those_that_are_known(
    got: object, known: list[str], words: str
) -> None:
    assert unknown("pool", "pool", got, known) == Problem("pool", f"unknown pool {words}")
