"""Archives of VMs, through Salt's real loader."""

import pytest
from salt.exceptions import CommandExecutionError


@pytest.fixture
def testmode():
    return False


def power(modules, name="web01"):
    return modules["geats.list"]()[name]["power"]


def test_a_vm_is_exported_and_imported(modules, tmp_path):
    modules["geats.start"]("web01")
    shown = modules["geats.export"]("web01", test=True)
    assert len(shown["changes"]["steps"]) == 3
    report = modules["geats.export"]("web01")
    assert (report["failed"], report["path"].endswith(".geats.tar")) == (None, True)
    assert power(modules) == "running"

    call = {"name": "web02", "sha256": report["sha256"], "changes": {"nics": []}}
    shown = modules["geats.import_"](report["path"], test=True, **call)
    assert shown["changes"]["steps"]
    assert "web02" not in modules["geats.list"]()
    assert modules["geats.import_"](report["path"], **call)["error"] is None
    assert power(modules, "web02") == "stopped"
    with pytest.raises(CommandExecutionError, match="give another name"):
        modules["geats.import_"](report["path"])


def test_a_vm_that_arrives_counts_once_it_is_accepted(modules):
    modules["geats.start"]("web01")
    report = modules["geats.export"]("web01")
    call = {"name": "web02", "changes": {"nics": []}, "arriving": "minion1", "to_run": True}
    assert modules["geats.import_"](report["path"], **call)["error"] is None
    with pytest.raises(CommandExecutionError, match="unfinished copy of the VM web01 of the host"):
        modules["geats.start"]("web02")
    assert modules["geats.accept"]("web02", test=True)["changes"]["steps"]
    modules["geats.accept"]("web02")
    assert modules["geats.accept"]("web02")["changes"] == {}
    assert modules["geats.list"]()["web02"]["to_run"]
    modules["geats.start"]("web02")
    assert power(modules, "web02") == "running"


def test_an_archive_elsewhere_is_fetched_by_salt(modules, opts, tmp_path):
    modules["geats.start"]("web01")
    report = modules["geats.export"]("web01", str(tmp_path / "web01.geats.tar"))
    opts["file_roots"]["base"] = [str(tmp_path)]
    modules["geats.import_"]("salt://web01.geats.tar", "web02", {"nics": []}, report["sha256"])
    assert power(modules, "web02") == "stopped"
    with pytest.raises(CommandExecutionError, match="there is no 'salt://none"):
        modules["geats.import_"]("salt://none.tar")


def test_a_vm_is_cloned(modules):
    modules["geats.start"]("web01")
    with pytest.raises(CommandExecutionError, match=r"10\.0\.0\.2 is also that of web01"):
        modules["geats.clone"]("web01", "web02")
    shown = modules["geats.clone"]("web01", "web02", {"nics": []}, test=True)
    report = modules["geats.clone"]("web01", "web02", {"nics": []})
    assert report["changes"] == shown["changes"]
    assert (power(modules, "web02"), power(modules)) == ("stopped", "running")
