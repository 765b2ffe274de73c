"""What somebody is told who has no configuration, is not root, or asked for what is not there."""

import os
from pathlib import Path

import pytest
import yaml

from geats_host.errors import Refused
from geats_host.inputs import configuration
from geats_host.inputs.configuration import from_file
from tests.host.cli.conftest import Geats
from tests.memory_host import memory_config

NO_VM = "no VM is declared: 'geats help configuration' shows how"


@pytest.fixture
def bare(call: Geats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Geats:
    """A host without a configuration."""
    monkeypatch.setattr(configuration, "DEFAULT_FILE", tmp_path / "none.yaml")
    return call


@pytest.fixture
def empty(geats: Geats, config: Path, tmp_path: Path) -> Geats:
    """A host whose configuration declares no VM."""
    raw = memory_config(tmp_path) | {"vms": {}, "templates": {}}
    config.write_text(yaml.safe_dump({"geats": raw}))
    return geats


def test_without_a_configuration_nothing_is_valid(bare: Geats, tmp_path: Path) -> None:
    said = (
        f"there is no configuration: {tmp_path}/none.yaml does not exist: 'geats init' writes one"
    )
    assert bare("validate") == (2, "", f"refused: {said}\n")


def test_without_vms_it_is_said_how_to_declare_one(empty: Geats) -> None:
    assert empty("validate") == (0, f"the configuration is valid; {NO_VM}\n", "")
    assert empty("list") == (0, f"There are no VMs; {NO_VM}.\n", "")
    assert empty("list", "x*") == (0, f"There are no VMs; {NO_VM}.\n", "")
    assert empty("plan") == (0, "no VM is affected: nothing to do\n", f"{NO_VM}\n")
    assert "geats help templates" in empty("templates", "list")[1]


def test_a_filter_that_nothing_matches_is_told_from_an_empty_host(geats: Geats) -> None:
    said = "No VM matches. There is: db01, web01.\n"
    for words in ("list x*", "list web1", "list --locked", "list --power running"):
        assert geats(*words.split()) == (0, said, ""), words


def test_who_is_not_root_is_told_why_nothing_is_seen(
    empty: Geats, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert empty("list")[1] == "You see no VMs, because you are not root: try sudo.\n"


def test_a_configuration_that_only_root_can_read_says_so(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(Refused, match="only root can read it: try sudo"):
        from_file(config)


def test_a_command_that_is_near_is_named(call: Geats) -> None:
    assert "No such command 'lst'. Did you mean 'list'?" in call("lst")[2]
    assert "No such command 'prun'. Did you mean 'prune'?" in call("templates", "prun")[2]
    assert "No such command 'qqq'.\n" in call("qqq")[2]


def test_init_writes_what_is_valid_and_never_overwrites(call: Geats, tmp_path: Path) -> None:
    file = tmp_path / "etc/geats.yaml"
    code, shown, _ = call("--config", str(file), "init", "--print")
    assert (code, file.exists()) == (0, False)
    code, out, err = call("--config", str(file), "init")
    assert (code, out.splitlines()[0], err) == (0, f"written: {file}", "")
    assert "next: geats doctor" in out
    assert (file.read_text(), file.stat().st_mode & 0o777) == (shown, 0o600)
    assert [path.name for path in file.parent.iterdir()] == ["geats.yaml"]
    code, _, err = call("--config", str(file), "init")
    assert (code, f"refused: {file}: is there already, and stays as it is" in err) == (2, True)
    assert file.read_text() == shown
