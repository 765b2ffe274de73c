"""``vmctl`` says what it said, and its actions are carried out."""

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import yaml

from geats_host.first_geats import vmctl
from tests.memory_host import memory_config

Vmctl: TypeAlias = Callable[..., tuple[int, str, str]]
WEB = {
    "name": "web",
    "description": "the web",
    "vm_type": "lxc",
    "template": "debian",
    "ram": 256,
    "colour": "blue",
    "storage": [{"type": "dummy"}],
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The file of a host in memory, whose VMs say that they are containers of LXC."""
    raw = {**memory_config(tmp_path), "drivers": {"lxc": {"type": "memory"}}, "vms": {}}
    (tmp_path / "geats.yaml").write_text(yaml.safe_dump({"geats": raw}))
    (tmp_path / "web.yaml").write_text(yaml.safe_dump(WEB))
    return tmp_path / "geats.yaml"


@pytest.fixture
def run(config: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Vmctl:
    """The program with these arguments: its exit code, output and errors."""

    def called(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vmctl", "--config", f"{config}", *arguments])
        with pytest.raises(SystemExit) as ended:
            vmctl.main()
        out, err = capfd.readouterr()
        if isinstance(ended.value.code, str):
            return 1, out, ended.value.code
        return int(ended.value.code or 0), out, err

    return called


def test_a_vm_goes_through_its_life(run: Vmctl, config: Path) -> None:
    file = f"{config.with_name('web.yaml')}"
    left = "define: colour is left out: is not known, nor was it to the first geats\n"
    assert run("define", "web", file) == (0, "define: OK (web)\n", left)
    assert run("start", "web") == (0, "start: OK (web)\n", "")
    assert run("lock", "web") == (0, "", "")
    assert run("list") == (0, "web: running/running (the web) [locked]\n", "")
    assert run("deprovision", "web")[0] == 1
    assert run("unlock", "web") == (0, "", "")
    assert run("stop", "web") == (0, "stop: OK (web)\n", "")
    told = json.loads(run("info", "web")[1])
    assert (told["state"], told["locked"]) == ("stopped/stopped", False)
    assert told["definition"]["ram"] == 256
    shown = run("status")[1]
    assert shown.startswith("# web:\n{")
    assert run("deprovision", "web") == (0, "deprovision: OK (web)\n", "")
    assert run("deprovision", "web") == (0, "deprovision: OK (web)\n", "")
    assert run("list") == (0, "", "")


def test_what_cannot_be_done_is_told_and_fails(run: Vmctl, config: Path) -> None:
    assert run("start", "web") == (1, "", "Error: Unknown VM: web")
    wrong = config.with_name("wrong.yaml")
    wrong.write_text("[")
    assert run("define", "web", f"{wrong}")[2].startswith(f"Error: {wrong}: is not valid YAML")
    wrong.write_text("a: 1\n---\nb: 1\n")
    assert run("define", "web", f"{wrong}")[2] == (
        "Error: web: must be the definition of a VM, got a list"
    )
    run("define", "web", f"{config.with_name('web.yaml')}")
    off = "Error: web is currently in state 'stopped'. Cannot access console."
    assert run("console", "web") == (1, "", off)
    assert run("ssh", "root@web")[2] == "Error: web is currently in state 'stopped'. Cannot SSH."


@pytest.mark.parametrize("known_as", ["here.example", "localhost", "localhost.localdomain"])
def test_another_host_fetches_a_vm_that_is_to_migrate(
    run: Vmctl, config: Path, monkeypatch: pytest.MonkeyPatch, known_as: str
) -> None:
    """By a name that is this host's for the other one too."""
    run("define", "web", f"{config.with_name('web.yaml')}")
    ran: list[str] = []

    def become(_: str, command: list[str]) -> None:
        ran.extend(command)
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "execvp", become)
    monkeypatch.setattr(socket, "getfqdn", lambda: known_as)
    monkeypatch.setattr(socket, "gethostname", lambda: "here.example")
    failed = "Error: ssh cannot be run: No such file or directory"
    said = "ssh root@there geats fetch ssh://root@here.example/web --shutdown"
    assert run("migrate", "web", "there") == (1, f"$ {said}\n", failed)
    assert " ".join(ran) == said
