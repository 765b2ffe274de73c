"""What idempotent callers need: a VM described by a file, a wait, and nothing to do as no error."""

import json
import threading
from pathlib import Path

import pytest
import yaml

from geats_host.host import Host
from geats_host.inputs.configuration import from_file
from tests.host.cli.conftest import Geats, answer

SPEC = {"driver": "memory", "template": "debian", "memory": "1GiB", "labels": {"owner": "ada"}}


@pytest.fixture
def spec(tmp_path: Path) -> str:
    file = tmp_path / "new01.json"
    file.write_text(json.dumps(SPEC))
    return str(file)


@pytest.mark.parametrize("words", [("define",), ("provision",), ("apply", "-y")])
def test_a_vm_that_is_not_declared_is_described_by_a_file(
    geats: Geats, spec: str, words: tuple[str, ...]
) -> None:
    assert geats(*words, "new01", "--spec", spec)[0] == 0
    rows = answer(geats, "list", "new01")
    assert isinstance(rows, dict)
    assert (rows["new01"]["memory_bytes"], rows["new01"]["labels"]) == (2**30, {"owner": "ada"})
    assert geats("plan", "new01", "--spec", spec, "--to", "defined", "--exit-code")[0] == 0


def test_a_file_that_describes_no_vm_is_refused(geats: Geats, spec: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("[1, 2]")
    refused = f"refused: {wrong}: must be a mapping of keys of a VM, got a list\n"
    assert geats("define", "new01", "--spec", str(wrong)) == (2, "", refused)
    wrong.write_text("{a: ]")
    assert "is not valid YAML" in geats("define", "new01", "--spec", str(wrong))[2]
    wrong.write_text("memroy: 5")
    assert "new01.memroy: unknown key 'memroy'" in geats("plan", "new01", "--spec", str(wrong))[2]
    assert "describes one VM: name it" in geats("define", "a", "b", "--spec", spec)[2]
    assert "describes one VM: name it" in geats("apply", "--spec", spec)[2]
    assert "--from for one that was" in geats("plan", "a", "--spec", spec, "--from", spec)[2]


@pytest.mark.parametrize("verb", ["undefine", "deprovision"])
def test_that_a_vm_be_gone_which_is_not_there_is_done(geats: Geats, verb: str) -> None:
    code, out, err = geats(verb, "nobody")
    assert (code, err) == (0, "")
    assert "warning: nobody is not there: nothing to do" in out
    assert geats(verb, "nobody", "db01")[0] == 0
    assert geats("stop", "nobody")[0] == 2


@pytest.mark.parametrize("verb", ["undefine", "deprovision"])
def test_a_vm_that_may_be_out_of_sight_is_not_said_to_be_gone(
    geats: Geats, config: Path, verb: str
) -> None:
    raw = yaml.safe_load(config.read_text())
    raw["geats"]["drivers"]["nosuch"] = {}
    config.write_text(yaml.safe_dump(raw))
    code, out, err = geats(verb, "nobody")
    assert (code, out) == (2, "")
    assert "refused: nobody: is not seen, but may be where nobody can look now" in err
    assert geats(verb, "nobody", "noone")[0] == 2


def test_another_operation_on_the_vm_has_an_exit_code_of_its_own_and_can_be_waited_for(
    geats: Geats, config: Path
) -> None:
    locks = Host.from_config(from_file(config)).locks
    let_go, held = threading.Event(), threading.Event()

    def work() -> None:
        with locks.operation("web01"):
            held.set()
            let_go.wait(30)

    other = threading.Thread(target=work)
    other.start()
    held.wait(30)
    code, _, err = geats("start", "web01")
    assert (code, "another operation is under way" in err) == (6, True)
    assert geats("start", "web01", "--wait", "0.2")[0] == 6
    threading.Timer(0.3, let_go.set).start()
    assert geats("start", "web01", "--wait", "30")[0] == 0
    other.join()
