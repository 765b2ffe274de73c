"""The file of a configuration is rewritten whole, and stays its owner's."""

import stat
from pathlib import Path

import pytest

from geats_host.errors import HostError, Refused
from geats_host.inputs import configuration
from geats_host.inputs.declaration_files import DeclarationFile


def test_a_file_keeps_its_mode_and_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "geats.yaml"
    real.write_text("old\n")
    real.chmod(0o600)
    link.symlink_to(real)
    DeclarationFile.at(link).replace("new\n")
    assert (real.read_text(), stat.S_IMODE(real.stat().st_mode)) == ("new\n", 0o600)
    assert link.is_symlink()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["geats.yaml", "real.yaml"]


def test_what_somebody_else_wrote_meanwhile_is_not_lost(tmp_path: Path) -> None:
    file = tmp_path / "geats.yaml"
    file.write_text("old\n")
    read = DeclarationFile.at(file)
    file.write_text("theirs\n")
    with pytest.raises(Refused, match="has changed meanwhile"):
        read.replace("ours\n")
    assert file.read_text() == "theirs\n"


def test_only_the_default_file_need_not_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = tmp_path / "etc/geats.yaml"
    monkeypatch.setattr(configuration, "DEFAULT_FILE", default)
    DeclarationFile.at(None).replace("new\n")
    assert default.read_text() == "new\n"
    with pytest.raises(Refused, match="No such file"):
        DeclarationFile.at(tmp_path / "other.yaml")


def test_what_the_host_cannot_write_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "geats.yaml"
    file.write_text("old\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(HostError, match="No space left"):
        DeclarationFile.at(file).replace("new\n")
    assert [each.name for each in tmp_path.iterdir()] == ["geats.yaml"]
    assert file.read_text() == "old\n"
