"""``geats_jsonagent`` answers controllers as the agent of the first geats did."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import yaml

from geats_host.first_geats.jsonagent import main, run
from geats_host.inputs import configuration
from geats_host.inputs.yaml_text import LARGEST_BYTES
from tests.memory_host import memory_config

Answer: TypeAlias = dict[str, object]
Ask: TypeAlias = Callable[..., Answer]
DEFINITION = {"vm_type": "lxc", "template": "debian", "storage": [{"type": "dummy"}]}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host in memory is this host."""
    raw = {**memory_config(tmp_path), "drivers": {"lxc": {"type": "memory"}}, "vms": {}}
    (tmp_path / "geats.yaml").write_text(yaml.safe_dump({"geats": raw}))
    monkeypatch.setattr(configuration, "DEFAULT_FILE", tmp_path / "geats.yaml")
    return tmp_path


@pytest.fixture
def ask(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """A request on standard input, and its answer."""

    def asked(request: object) -> Answer:
        text = request if isinstance(request, bytes) else json.dumps(request).encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        assert run([]) == 0
        answer: Answer = json.loads(capsys.readouterr().out)
        return answer

    return asked


def of_vm(action: str, **data: object) -> Answer:
    return {"action": action, "data": {"vm_name": "web", **data}}


def test_a_controller_takes_a_vm_through_its_life(ask: Ask) -> None:
    defined = ask(of_vm("define", definition=DEFINITION))
    assert defined["success"]
    data = defined["data"]
    assert isinstance(data, dict)
    assert (data["state"], data["definition"]["name"]) == (["stopped", "stopped"], "web")
    for action in ("start", "reboot", "lock", "unlock", "stop"):
        assert ask(of_vm(action)) == {"success": True, "data": None}
    told = ask({"action": "status"})["data"]
    assert isinstance(told, dict)
    assert told["vms"]["web"] == data
    assert {"mem_total", "swap_used", "load_avg", "cpu_idle"} <= told["status"].keys()
    assert ask({"action": "info", "name": "web"}) == {"success": True, "data": data}
    for _ in range(2):
        assert ask(of_vm("deprovision"))["success"]
    assert ask({"action": "status"})["data"]["vms"] == {}  # type: ignore[index]


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (b"{", "invalid_data", "is not valid JSON"),
        (b"[]", "invalid_data", "must be an object"),
        (b" " * (LARGEST_BYTES + 1), "invalid_data", "is larger than 16 MiB"),
        ({"action": "jump"}, "unknown_action", "action: must be one of"),
        ({"action": "start"}, "missing_data", "Missing vm_name parameter"),
        (of_vm("define"), "missing_data", "Missing definition parameter"),
        (of_vm("define", definition=[]), "invalid_data", "must be the definition of a VM"),
        (of_vm("start"), "invalid_data", "Unknown VM: web"),
    ],
)
def test_what_cannot_be_done_is_told(ask: Ask, request_: object, code: str, message: str) -> None:
    answer = ask(request_)
    assert (answer["success"], answer["errorcode"]) == (False, code)
    assert message in str(answer["message"])


def test_files_are_answered_as_mcollective_had_it(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    request, answer = config / "request", config / "answer"
    request.write_text(json.dumps(of_vm("undefine")))
    assert (run([f"{request}", f"{answer}"]), json.loads(answer.read_text())) == (0, None)
    request.write_text(json.dumps({"action": "jump"}))
    assert run([f"{request}", f"{answer}"]) == 2
    assert run(["one"]) == 5
    assert run([f"{config}/none", f"{answer}"]) == 1
    assert "usage" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["geats_jsonagent", "one"])
    with pytest.raises(SystemExit, match="5"):
        main()


@pytest.mark.usefixtures("config")
def test_a_request_file_without_end_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["/dev/zero", f"{tmp_path}/answer"]) == 4
    assert "is larger than 16 MiB" in capsys.readouterr().err
    assert not (tmp_path / "answer").exists()
