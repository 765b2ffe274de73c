"""The agent and a real container: plans, steps as they come, a console, counters, and a kill."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from geats_host.host import Host
from geats_host.inputs.configuration import from_file
from tests.host.agent.conftest import Client

VM = "geats-test-agent"
SPEC = {
    "template": "busybox",
    "init": "busybox",
    "memory": "64MiB",
    "shutdown_timeout": 1,
    "labels": {"owner": "ada"},
    "nics": [{"name": "eth0", "bridge": "gtbr0", "addresses": ["10.99.0.7/24"]}],
}
KEYS: dict[str, Any] = {"names": [VM], "spec": SPEC}


@pytest.fixture
def file(own_namespaces: None, busybox_rootfs: Path, bridge: str, tmp_path: Path) -> Iterator[Path]:
    """The configuration of a host, which is left without VMs."""
    written = tmp_path / "geats.yaml"
    raw = {
        "state_dir": f"{tmp_path}/state",
        "run_dir": f"{tmp_path}/run",
        "drivers": {"lxc": {"settle": 0.1, "path": f"{tmp_path}/lxc"}},
        "pools": {"default": {"type": "directory", "path": f"{tmp_path}/pool"}},
        "templates": {"busybox": {"path": f"{busybox_rootfs}"}},
    }
    written.write_text(yaml.safe_dump({"geats": raw}))
    yield written
    with listening(written) as client:
        client.apply(names=[VM], verb="deprovision")


@contextmanager
def listening(file: Path) -> Iterator[Client]:
    """An agent, and a connection to it; it is killed at the end, if it still runs."""
    path = file.with_name("socket")
    argv = [sys.executable, "-m", "geats_host.cli.main", "--config", f"{file}"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    agent = subprocess.Popen([*argv, "agent", "--listen", f"{path}"], env=environment)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with suppress(FileNotFoundError, ConnectionRefusedError):
                connection.connect(f"{path}")
                break
            time.sleep(0.02)
        yield Client(connection)
        agent.send_signal(signal.SIGKILL)
        agent.wait()


def test_a_controller_makes_a_container_and_uses_it(file: Path) -> None:
    with listening(file) as client:
        planned = client.call("Plan", **KEYS)
        told = [*client.stream("Apply", **KEYS, fingerprint=planned["fingerprint"], id="1")]
        assert [each["do"] for each in planned["plan"]["steps"]] == [
            reply["step"]["do"]
            for reply in told
            if "step" in reply and reply["step"]["outcome"] == "done"
        ]
        info = client.call("Info", name=VM)["vm"]
        assert (info["power"], info["labels"]) == ("running", {"owner": "ada"})
        assert info["cpu_time_s"] > 0
        assert info["network_sent_bytes"] >= 0
        said = client.call("Exec", name=VM, argv=["sh", "-c", "echo $((6*7))"])
        assert (said["code"], said["stdout"]) == (0, "42\n")
        assert client.apply(**KEYS)["vms"][VM]["done"] == []
        text = client.call("Metrics")["text"]
        assert f'geats_vm_power{{power="running",vm="{VM}"}} 1.0' in text
        assert f'geats_vm_network_sent_bytes_total{{vm="{VM}"}}' in text
        assert is_a_terminal(client)


def is_a_terminal(client: Client) -> bool:
    """Whether Console hands one over."""
    client.send("Console", name=VM)
    said, (terminal,), _, _ = socket.recv_fds(client.connection, 1 << 16, 1)
    try:
        assert "terminal" in json.loads(said.rstrip(b"\0"))["parameters"]
        return os.isatty(terminal)
    finally:
        os.close(terminal)


def test_an_agent_that_is_killed_loses_nothing(file: Path) -> None:
    with listening(file) as client:
        client.send("Apply", more=True, **KEYS, id="1")
        while (step := client.reply()["parameters"].get("step", {})).get("do") != "Define":
            pass  # it is killed in the midst of its steps
        assert step["outcome"] == "intent"
    with listening(file) as client:
        result = client.apply(**KEYS, id="1")
        assert result["vms"][VM]["failed"] is None
        assert client.apply(**KEYS, id="1") == result
        assert client.call("List")["vms"][VM]["power"] == "running"
    assert Host.from_config(from_file(file)).observe(VM).is_recorded
