"""YAML of others is read in bounded time, or told to be wrong in one way."""

import pytest

from geats_host.inputs import yaml_text
from geats_host.inputs.yaml_text import WrongYaml, read_yaml

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefg", "bcdefgh", strict=True)
)


def test_what_is_plain_is_read_as_it_was_written() -> None:
    assert read_yaml("a: [1, two, {on: ~}]\nb: &x {c: 1.5}\nd: *x\n") == {
        "a": [1, "two", {True: None}],
        "b": {"c": 1.5},
        "d": {"c": 1.5},
    }
    assert read_yaml(b"") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!!bool abc", "it cannot be read"),
        ("!!timestamp abc", "it cannot be read"),
        ("!!int ''", "it cannot be read"),
        ("a: 0x" + "f" * 5000, "line 1, column 4: the number is too large"),
        ("!!python/object:os.system x", "could not determine a constructor"),
        ("a: 1" + ":59" * 400 + ".5", "it cannot be read"),
        ("[" * 65 + "]" * 65, "it is more than 64 levels deep"),
        ("[" * 3000 + "]" * 3000, "exceeded maximum nesting depth"),
        ("- " * 3000 + "x", "it is more than 64 levels deep"),
        (LAUGHS, "it stands for more than 1000000 values"),
        ("a: [1", "did not find expected"),
        ("a: *b", "line 1, column 4"),
        ("--- a\n--- b\n", "another document"),
        ("a: \x00", "it cannot be read"),
        (b"\xff\xfe\x00\xd8", "it cannot be read"),
        ("{[]: 1, {}: 2}", "line 1"),
    ],
)
def test_what_is_wrong_is_told_as_one_thing(text: str | bytes, said: str) -> None:
    with pytest.raises(WrongYaml) as wrong:
        read_yaml(text)
    assert said in str(wrong.value)


def test_what_is_too_large_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_text, "LARGEST_BYTES", 1 << 20)
    with pytest.raises(WrongYaml, match="it is larger than 1 MiB"):
        read_yaml("x" * (1 << 20) + "x")
