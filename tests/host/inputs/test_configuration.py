"""What says nothing of a host, or nothing that can be read."""

from pathlib import Path

import pytest

from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.inputs import configuration
from geats_host.inputs.configuration import from_file, from_salt


def test_a_key_without_a_value_is_refused_by_a_host() -> None:
    with pytest.raises(Refused, match="geats: is empty: leave the key out"):
        Host.from_config(None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty: write geats: {} for the defaults"),
        ("# geats:\n", "is empty: write geats: {} for the defaults"),
        ("null", "is empty: write geats: {} for the defaults"),
        ("[]", "must have one key, geats, with everything under it"),
        ("false", "must have one key, geats, with everything under it"),
        ('""', "must have one key, geats, with everything under it"),
        ("{}", "must have one key, geats, with everything under it"),
    ],
)
def test_a_file_that_says_nothing_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "geats.yaml"
    file.write_text(text)
    with pytest.raises(Refused) as refused:
        from_file(file)
    assert refused.value.problems == (f"{file}: {said}",)


@pytest.mark.parametrize(
    ("opts", "has_master"),
    [
        ({}, True),
        ({"file_client": "remote"}, True),
        ({"file_client": "remote", "master_type": "disable"}, False),
        ({"file_client": "local"}, False),
        ({"file_client": "local", "use_master_when_local": True}, True),
    ],
)
def test_the_default_file_is_read_where_no_master_makes_the_pillar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opts: dict[str, object], has_master: bool
) -> None:
    file = tmp_path / "geats.yaml"
    file.write_text("geats: {vms: {web01: {}}}")
    monkeypatch.setattr(configuration, "DEFAULT_FILE", file)
    if has_master:
        with pytest.raises(Refused, match="is neither in the pillar nor in the minion"):
            from_salt(opts, {})
    else:
        assert from_salt(opts, {}) == {"vms": {"web01": {}}}
    named = from_salt({**opts, "geats": str(file)}, {"geats": {"events": "none"}})
    assert named == {"vms": {"web01": {}}, "events": "none"}


@pytest.mark.parametrize("empty", [None, {}, [], "", 0, False])
def test_a_pillar_with_nothing_under_geats_is_refused(empty: object) -> None:
    with pytest.raises(Refused, match="pillar: says nothing under geats"):
        from_salt({"geats": {"vms": {}}}, {"geats": empty})


def test_errors_of_the_pillar_are_all_told() -> None:
    with pytest.raises(Refused) as refused:
        from_salt({}, {"geats": {"vms": {}}, "_errors": ["one", "two"]})
    first, second, mend = refused.value.problems
    assert (first, second) == ("pillar: failed to render: one", "pillar: failed to render: two")
    assert "saltutil.refresh_pillar" in mend
