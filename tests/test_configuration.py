"""What says nothing of a host, or nothing that can be read."""

from pathlib import Path

import pytest

from geats_host.configuration import from_file
from geats_host.errors import Refused
from geats_host.host import Host


def test_a_key_without_a_value_is_refused_by_a_host() -> None:
    with pytest.raises(Refused, match="geats: is empty: leave the key out"):
        Host.from_config(None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty: write geats: {} if all of it is the defaults"),
        ("# geats:\n", "is empty: write geats: {} if all of it is the defaults"),
        ("null", "is empty: write geats: {} if all of it is the defaults"),
        ("[]", "must hold one key, geats, and everything under it"),
        ("false", "must hold one key, geats, and everything under it"),
        ('""', "must hold one key, geats, and everything under it"),
        ("{}", "must hold one key, geats, and everything under it"),
    ],
)
def test_a_file_that_says_nothing_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "geats.yaml"
    file.write_text(text)
    with pytest.raises(Refused) as refused:
        from_file(file)
    assert refused.value.problems == (f"{file}: {said}",)
