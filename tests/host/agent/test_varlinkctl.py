"""systemd's own client speaks with the agent, as the documentation says, where it is installed."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.host.agent.conftest import HOST
from tests.host.agent.test_one_shot import connected, geats

VARLINKCTL = shutil.which("varlinkctl")
pytestmark = pytest.mark.skipif(VARLINKCTL is None, reason="needs varlinkctl, of systemd 255")


@pytest.fixture
def address(file: Path, tmp_path: Path) -> Iterator[str]:
    """Where an agent listens."""
    path = tmp_path / "agent.socket"
    with geats(file, "agent", "--listen", f"{path}") as process:
        connected(path).close()
        yield f"{path}"
        process.terminate()


def asked(*arguments: str, code: int = 0, **environment: str) -> str:
    argv = [VARLINKCTL or "", *arguments]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def called(address: str, method: str, *options: str, **parameters: object) -> list[Any]:
    """Each reply."""
    name, said = f"{HOST}.{method}", json.dumps(parameters)
    text = asked("call", "--json=short", *options, address, name, said)
    return [json.loads(line) for line in text.replace("\x1e", "").split("\n") if line]


def test_it_reads_what_the_interface_says_of_itself(address: str, tmp_path: Path) -> None:
    assert asked("list-interfaces", address).split() == [HOST, "org.varlink.service"]
    (tmp_path / "idl").write_text(asked("introspect", address, HOST))
    assert "method Apply(" in asked("validate-idl", f"{tmp_path / 'idl'}")


def test_it_plans_applies_and_watches(address: str) -> None:
    [planned] = called(address, "Plan", names=["web01"])
    fingerprint = {"names": ["web01"], "fingerprint": planned["fingerprint"], "id": "1"}
    first, *steps, last = called(address, "Apply", "--more", **fingerprint)
    assert first["plan"] == planned["plan"]
    assert {"step"} == {key for each in steps for key in each}
    assert last["result"]["vms"]["web01"]["failed"] is None
    [listed] = called(address, "List")
    assert listed["vms"]["web01"]["power"] == "running"


def test_it_runs_an_agent_of_its_own_as_by_ssh(file: Path, tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    agent.write_text(f'#!/bin/sh\nexec geats --config {file} agent "$@"\n')
    agent.chmod(0o755)
    [listed] = called(f"exec:{agent}", "List")
    assert [*listed["vms"]] == ["db01", "web01"]
    ssh = tmp_path / "ssh"  # which is given: -e none -T HOST COMMAND
    ssh.write_text('#!/bin/sh\nshift 4\nexec sh -c "$*"\n')
    ssh.chmod(0o755)
    name = f"{HOST}.List"
    text = asked("call", f"ssh-exec:root@host-a:{agent}", name, "{}", SYSTEMD_SSH=f"{ssh}")
    assert "db01" in text
