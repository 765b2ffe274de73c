"""The commands that write archives and read them."""

from pathlib import Path

from tests.host.cli.conftest import Geats, answer


def test_a_vm_is_exported_and_imported_under_another_name(geats: Geats, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    assert geats("start", "web01")[0] == 0
    assert "export web01" in geats("export", "web01", str(archive), "--dry-run")[1]
    assert not archive.exists()
    report = answer(geats, "export", "web01", str(archive))
    assert isinstance(report, dict)
    assert (report["path"], report["bytes"]) == (str(archive), archive.stat().st_size)

    digest = str(report["sha256"])
    copy = ["import", str(archive), "--name", "web02", "--sha256", digest, "--set", "nics=[]"]
    assert "define web02" in geats(*copy, "--dry-run")[1]
    assert geats(*copy)[0] == 0
    listed = answer(geats, "list")
    assert isinstance(listed, dict)
    assert (listed["web02"]["power"], listed["web01"]["power"]) == ("stopped", "running")
    assert geats(*copy) == (
        2,
        "",
        "refused: web02: there is a VM of this name, or a volume of one: give another name\n",
    )


def test_addresses_of_the_vm_are_not_given_to_its_copy(geats: Geats, tmp_path: Path) -> None:
    archive = str(tmp_path / "a.tar")
    assert geats("start", "web01")[0] == 0
    assert geats("export", "web01", archive)[0] == 0
    assert geats("import", archive, "--name", "web02") == (
        2,
        "",
        "refused: web02.nics[eth0].addresses: the address 10.0.0.2 is also that of "
        "web01.nics[eth0].addresses\n",
    )


def test_changes_that_are_none_are_refused(geats: Geats, tmp_path: Path) -> None:
    for word in ("nics", "=5"):
        said = f"refused: set: must be KEY=VALUE with a value in YAML, got {word!r}\n"
        assert geats("import", str(tmp_path / "a.tar"), "--set", word) == (2, "", said)


def test_a_value_that_is_no_yaml_is_refused_with_the_reason(geats: Geats, tmp_path: Path) -> None:
    for value in ("[", "!!bool abc", "[" * 3000):
        code, _, said = geats("import", str(tmp_path / "a.tar"), "--set", f"nics={value}")
        assert code == 2
        assert said.startswith("refused: set: nics: ")
        assert len(said) < 200


def test_a_vm_is_cloned(geats: Geats) -> None:
    assert geats("start", "web01")[0] == 0
    assert geats("clone", "web01", "web02")[0] == 2
    assert "clone volume web02/root" in geats(*CLONE, "--dry-run")[1]
    assert geats(*CLONE)[0] == 0
    listed = answer(geats, "list")
    assert isinstance(listed, dict)
    assert (listed["web02"]["power"], listed["web01"]["power"]) == ("stopped", "running")


CLONE = ("clone", "web01", "web02", "--set", "nics=[]")
