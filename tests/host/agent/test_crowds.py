"""Many clients at once, slow ones, and what is no request: nobody else is disturbed."""

import asyncio
import errno
import json
import resource
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from geats_host.agent import connections, listening
from geats_host.agent.callers import Caller
from geats_host.agent.service import Service
from geats_host.drivers import Ran
from geats_host.drivers.memory import MemoryDriver
from geats_host.errors import Refused
from tests.host.agent.conftest import HOST, TIMEOUT_S, Agent, Client

MIB = 1 << 20


def is_ended(client: Client) -> bool:
    """Whether the agent has closed the connection."""
    try:
        return client.connection.recv(1) == b""
    except ConnectionResetError:
        return True


def send_all(client: Client, data: bytes) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # it was closed before it had all
        client.connection.sendall(data)


@pytest.mark.parametrize(
    "garbage",
    [
        b"x" * (10 * MIB),
        b"\0" * (10 * MIB),
        b"GET / HTTP/1.1\r\n\r\n\0",
        b"\xff\xfe\0",
        b'{"a":' * 100_000 + b"\0",
        b"[" * MIB + b"\0",
        b"5\0",
        b"{}\0" * (3 * MIB),
    ],
    ids=["letters", "zeros", "http", "bytes", "deep", "brackets", "number", "empty"],
)
def test_what_is_no_message_ends_its_connection_and_no_other(
    agent: Agent, root: Client, garbage: bytes
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong = agent.client_of(0)
    send_all(wrong, garbage)
    assert is_ended(wrong)
    assert root.call("List")["vms"]
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 64 * 1024


def test_a_hundred_clients_are_all_answered(agent: Agent) -> None:
    clients = [agent.client_of(0) for _ in range(100)]
    for client in clients:
        client.send("List")
    for client in clients:
        assert [*client.reply()["parameters"]["vms"]] == ["db01", "web01"]


def test_half_a_request_and_no_reader_hold_nobody_up(agent: Agent, root: Client) -> None:
    for _ in range(50):
        agent.client_of(0).connection.sendall(b'{"method": "io.geats.Host.Li')
    deaf = [agent.client_of(0) for _ in range(10)]
    call = json.dumps({"method": "io.geats.Host.GetSchema"}).encode() + b"\0"
    for client in deaf:
        client.connection.setblocking(False)
        with suppress(BlockingIOError):
            while client.connection.send(call * 100):
                pass  # until it reads no more of them
    assert root.call("List")["vms"]
    assert threading.active_count() < 64


@pytest.mark.parametrize("uid", [0, 4711], ids=["root", "stranger"])
def test_calls_that_wait_are_forgotten_if_their_caller_goes_away(
    agent: Agent,
    root: Client,
    uid: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They are not answered one by one into the void, with a warning each."""
    begun: list[Caller] = []

    async def knows(service: Service, caller: Caller) -> bool:
        begun.append(caller)
        return await known(service, caller)

    known = Service.knows
    monkeypatch.setattr(Service, "knows", knows)
    call = json.dumps({"method": f"{HOST}.GetSchema"}).encode() + b"\0"
    hasty = agent.client_of(uid)
    hasty.connection.sendall(call * 50)
    hasty.connection.close()
    for _ in range(60):
        assert root.call("List")["vms"]
    assert len([caller for caller in begun if caller.uid == uid]) < 60 + 50
    assert caplog.messages == []


def test_one_user_cannot_take_all_connections(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MOST", 3)
    monkeypatch.setattr(listening, "FOR_ROOT", 0)
    kept = [agent.client() for _ in range(3)]
    for client in kept:
        client.send("org.varlink.service.GetInfo")
        client.connection.recv(10)
    assert is_ended(agent.client())
    kept[0].connection.close()
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until:
        again = agent.client()
        with suppress(BrokenPipeError):  # it was refused before it could ask
            again.send("org.varlink.service.GetInfo")
            if not is_ended(again):
                return
        again.connection.close()
    pytest.fail("no connection is taken any more")


def test_a_large_message_is_taken_up_to_a_limit(agent: Agent, root: Client) -> None:
    spec = {"template": "debian", "driver": "memory", "description": "x" * 4000}
    assert root.call("Plan", names=["new"], spec=spec)["plan"]
    wrong = agent.client_of(0)
    send_all(wrong, b'{"method": "' + b"x" * connections.LARGEST_BYTES + b'"}\0')
    assert is_ended(wrong)


def test_a_socket_that_nobody_listens_on_is_replaced_and_another_is_not(
    agent: Agent, tmp_path: Path
) -> None:
    stale = tmp_path / "stale"
    listening.bound(stale).close()
    listening.bound(stale).close()
    with pytest.raises(Refused, match="another agent listens there"):
        listening.bound(agent.path)


def test_programs_that_take_long_keep_nobody_from_looking(
    agent: Agent, root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.apply(names=["web01"], verb="start")
    may_end = threading.Event()

    def run(*_: object) -> Ran:
        assert may_end.wait(60)
        return Ran(code=0)

    monkeypatch.setattr(MemoryDriver, "exec", run)
    patient = [agent.client_of(0) for _ in range(20)]
    for client in patient:
        client.send("Exec", name="web01", argv=["sleep"])
    assert root.call("List")["vms"]
    may_end.set()
    assert [client.reply()["parameters"]["code"] for client in patient] == [0] * len(patient)


class Full(socket.socket):
    """Takes no connection in its first second, as there are no descriptors left."""

    tried: list[float]

    def accept(self) -> tuple[socket.socket, Any]:
        self.tried.append(time.monotonic())
        if self.tried[-1] < self.tried[0] + 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_without_descriptors_the_agent_waits_and_does_not_spin(file: Path, tmp_path: Path) -> None:
    async def run() -> int:
        path, listener = tmp_path / "full", listening.Listener(Service(file))
        full = Full(fileno=listening.bound(path).detach())
        full.tried = []
        full.listen(1)
        full.setblocking(False)
        asyncio.get_running_loop().add_reader(full, listener.accept, full)
        with full, socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{path}")
            while not listener.tasks:
                await asyncio.sleep(0.01)
            asyncio.get_running_loop().remove_reader(full)
        await asyncio.gather(*listener.tasks)
        return len(full.tried)

    assert asyncio.run(run()) < 20
