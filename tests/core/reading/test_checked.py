"""What a mistake says: a value within bounds, and what was perhaps meant."""

import pytest

from geats_core.planning.costs import Impact
from geats_core.reading.checked import Problem, absent, shown, unknown
from geats_core.vm.observation import Power


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (None, "null"),
        (True, "true"),
        (Impact.LIVE, "1"),
        (Power.RUNNING, "'running'"),
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


def test_of_many_names_only_those_near_are_told() -> None:
    known = [f"vm{number:04}" for number in range(2000)]
    told = [
        unknown("", "VM", got, known).message for got in ("vm100x", "wm0007", "mv0003", "m0001")
    ]

    assert told == [
        "unknown VM 'vm100x', did you mean 'vm1010'? (there is: vm1000, vm1001, vm1002, vm1003, "
        "vm1004, vm1005, vm1006, vm1007, vm1008, vm1009, vm1010, vm1011, vm1012, vm1013, vm1014 "
        "and 1985 more)",
        "unknown VM 'wm0007', did you mean 'vm0007'? (there is: vm0007, vm1995, vm1996, vm1997, "
        "vm1998, vm1999 and 1994 more)",
        "unknown VM 'mv0003', did you mean 'vm0003'? (there is: vm0000, vm0001, vm0002, vm0003, "
        "vm0004 and 1995 more)",
        "unknown VM 'm0001', did you mean 'vm0001'? (there is: vm0000, vm0001, vm0002, vm0003, "
        "vm0004 and 1995 more)",
    ]


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("web1", ["web01", "db01"], "web1 is not on this host, did you mean 'web01'?"),
        ("mail", ["web01"], "mail is not on this host"),
        (
            "vm0007x",
            [f"vm{n:04}" for n in range(99)],
            "vm0007x is not on this host, did you mean 'vm0007'?",
        ),
    ],
)
def test_a_vm_that_is_not_here_is_told_with_the_nearest_name(
    name: str, known: list[str], said: str
) -> None:
    assert absent(name, known) == said
