"""The same methods without a connection; and the agent on standard input and output."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from geats_host import metrics
from geats_host.agent import one_shot
from geats_host.agent.schemas import request_schema
from geats_host.host import Host
from geats_host.inputs.configuration import from_file
from tests.host.agent.conftest import HOST, Client, Reply


def ask(file: Path, method: str, **parameters: object) -> tuple[Reply, int]:
    """The answer in one shot, and the exit code; both are as their schema says."""
    request = {"method": f"{HOST}.{method}", "parameters": parameters}
    schema = request_schema()
    jsonschema.validate(request, schema)
    answer, code = one_shot.answered(file, json.dumps(request).encode(), threading.Event())
    jsonschema.validate(answer, {**schema["definitions"]["answer"]})  # type: ignore[index]
    return answer, code


def problems(text: str | bytes) -> list[tuple[str, str]]:
    """What is wrong with a request: the path, and how the message begins."""
    raw = text.encode() if isinstance(text, str) else text
    answer, code = one_shot.answered(None, raw, threading.Event())
    assert (answer["error"], code) == (f"{HOST}.Refused", 2)
    return [
        (each["path"], each["message"].split(",")[0]) for each in answer["parameters"]["problems"]
    ]


def test_a_request_is_answered_as_by_the_agent(file: Path) -> None:
    listed, code = ask(file, "List")
    assert (code, [*listed["parameters"]["vms"]]) == (0, ["db01", "web01"])
    planned, _ = ask(file, "Plan", names=["web01"], verb="start")
    fingerprint = planned["parameters"]["fingerprint"]
    wish: dict[str, Any] = {"names": ["web01"], "verb": "start", "id": "1"}
    applied = ask(file, "Apply", **wish, fingerprint=fingerprint)
    assert applied[0]["parameters"]["result"]["vms"]["web01"]["failed"] is None
    assert ask(file, "Apply", **wish, fingerprint=fingerprint) == applied
    assert ask(file, "Apply", **wish | {"verb": "stop"})[0]["error"] == f"{HOST}.OtherRequest"
    moved, code = ask(file, "Apply", names=["web01"], verb="stop", fingerprint=fingerprint)
    assert (moved["error"], code) == (f"{HOST}.Moved", 2)
    assert "geats_vm_power" in ask(file, "Metrics")[0]["parameters"]["text"]
    assert ask(file, "Info", name="nobody")[0]["error"] == f"{HOST}.NotFound"
    with Host.from_config(from_file(file)).locks.operation("web01"):
        busy, code = ask(file, "Apply", names=["web01"], verb="stop")
    assert (busy["error"], code) == (f"{HOST}.Busy", 6)


def test_what_is_wrong_with_a_request_is_told_at_once() -> None:
    assert problems("{") == [("", "is not JSON")]
    assert problems("[" * 100_000) == [("", "is not JSON")]
    assert problems(b"x" * (one_shot.LARGEST_BYTES + 1)) == [("", "is larger than 1 MiB")]
    assert problems("[1]") == [("", "must be a mapping with a method")]
    assert [path for path, _ in problems('{"methd": "x"}')] == ["methd", "method"]
    assert problems('{"method": "io.geats.Host.Watch"}') == [
        ("method", "needs a connection: ask the agent")
    ]
    assert [path for path, _ in problems('{"method": "Plan", "parameters": []}')] == ["parameters"]
    wrong = {"method": "Exec", "parameters": {"argv": ["a", 1], "nam": "x", "options": 5}}
    assert [path for path, _ in problems(json.dumps(wrong))] == ["nam", "name", "argv"]
    wrong = {"method": "Apply", "parameters": {"wait": True, "id": 5, "names": "web01"}}
    assert problems(json.dumps(wrong)) == [
        ("names", "must be of type list of strings or null"),
        ("id", "must be of type string or null"),
        ("wait", "must be of type number or null"),
    ]


def test_only_metrics_need_a_library(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(metrics, "prometheus", raising=False)
    monkeypatch.setitem(sys.modules, "geats_host.metrics.prometheus", None)
    answer, code = ask(file, "Metrics")
    assert (answer["error"], code) == (f"{HOST}.HostFailed", 1)
    assert "install saltext-geats[agent]" in answer["parameters"]["message"]
    assert ask(file, "List")[1] == 0


def geats(file: Path, *words: str, **others: Any) -> "subprocess.Popen[Any]":
    argv = [sys.executable, "-m", "geats_host.cli.main", "--config", f"{file}", *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(argv, env=environment, **others)


def test_the_command_answers_with_json_and_an_exit_code(file: Path) -> None:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with geats(file, "request", **pipes) as process:
        said, _ = process.communicate(b'{"method": "io.geats.Host.List"}', 60)
    assert [*json.loads(said)["parameters"]["vms"]] == ["db01", "web01"]
    with geats(file, "request", "--schema", **pipes) as process:
        assert json.loads(process.communicate(b"", 60)[0]) == request_schema()
    with geats(file, "metrics", **pipes) as process:
        assert b"geats_up 1.0" in process.communicate(b"", 60)[0]


def test_a_request_that_is_not_complete_yet_ends_with_ctrl_c(file: Path) -> None:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    # A shell has what is in the background ignore Ctrl-C.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with geats(file, "request", **pipes, preexec_fn=heard) as process:
        assert process.stdin is not None
        process.stdin.write(b"{" * (1 << 18))  # more than a pipe holds: it reads by now
        process.stdin.flush()
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        ended = process.poll() is not None
        process.kill()
    assert ended


def test_the_agent_speaks_on_standard_input_and_output_until_that_ends(file: Path) -> None:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with geats(file, "agent", **pipes) as process:
        calls = b'{"method": "io.geats.Host.List"}\0{"method": "io.geats.Host.Console",'
        calls += b' "parameters": {"name": "web01"}}\0'
        listed, refused, rest = process.communicate(calls, 60)[0].split(b"\0")
        assert process.returncode == 0
    assert [*json.loads(listed)["parameters"]["vms"]] == ["db01", "web01"]
    assert "needs a unix socket" in f"{json.loads(refused)}"
    assert rest == b""


@pytest.mark.parametrize("by_systemd", [False, True], ids=["path", "systemd"])
def test_the_agent_listens_on_a_socket_and_ends_with_a_signal(
    file: Path, tmp_path: Path, *, by_systemd: bool
) -> None:
    path = tmp_path / "socket"
    if by_systemd:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"{path}")
            process = as_of_systemd(file, listening)
    else:
        process = geats(file, "agent", "--listen", f"{path}")
    with process, connected(path) as connection:
        assert Client(connection).call("List")["vms"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def as_of_systemd(file: Path, listening: socket.socket) -> "subprocess.Popen[bytes]":
    """The agent with that socket as descriptor 3, see sd_listen_fds(3)."""
    said = 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=varlink exec "$@" 3<&"$FD"'
    argv = [sys.executable, "-m", "geats_host.cli.main", "--config", f"{file}", "agent"]
    number = listening.fileno()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "FD": f"{number}"}
    return subprocess.Popen(["bash", "-c", said, "bash", *argv], env=environment, pass_fds=[number])


def connected(path: Path) -> socket.socket:
    """A connection, once somebody listens."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    until = time.monotonic() + 60
    while True:
        try:
            connection.connect(f"{path}")
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return connection
