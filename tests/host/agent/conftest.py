"""An agent in a thread, for a host in memory, and clients that speak varlink by themselves."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from geats_host.agent.callers import Caller
from geats_host.agent.listening import answering, bound, spoken
from geats_host.agent.service import Service
from geats_host.host import Host
from geats_host.inputs.configuration import from_file
from tests.memory_host import memory_config

HOST = "io.geats.Host"
TIMEOUT_S = 60
Reply = dict[str, Any]


class Error(Exception):
    """An error that the agent answered with."""

    def __init__(self, reply: Reply) -> None:
        self.name = str(reply["error"]).removeprefix(f"{HOST}.")
        self.parameters: Reply = reply.get("parameters", {})
        super().__init__(f"{reply}")


@dataclass
class Client:
    """A connection; it knows nothing of the library that the agent uses."""

    connection: socket.socket
    rest: bytes = b""

    def send(self, method: str, *, more: bool = False, **parameters: object) -> None:
        """Call a method of the host's interface, or one with its whole name."""
        name = method if "." in method else f"{HOST}.{method}"
        call = {"method": name, "parameters": parameters, **({"more": True} if more else {})}
        self.connection.sendall(json.dumps(call).encode() + b"\0")

    def reply(self) -> Reply:
        """The next reply; raises ``Error`` if it is one, and ``EOFError`` at the end."""
        while b"\0" not in self.rest:
            data = self.connection.recv(1 << 16)
            if not data:
                raise EOFError
            self.rest += data
        text, _, self.rest = self.rest.partition(b"\0")
        reply: Reply = json.loads(text)
        if "error" in reply:
            raise Error(reply)
        return reply

    def call(self, method: str, **parameters: object) -> Reply:
        """The answer to a call."""
        self.send(method, more=False, **parameters)
        found: Reply = self.reply().get("parameters", {})
        return found

    def stream(self, method: str, **parameters: object) -> Iterator[Reply]:
        """The replies to a call that has several."""
        self.send(method, more=True, **parameters)
        while True:
            reply = self.reply()
            yield reply.get("parameters", {})
            if not reply.get("continues"):
                return

    def apply(self, **parameters: object) -> Reply:
        """The result of Apply."""
        *_, last = self.stream("Apply", **parameters)
        result: Reply = last["result"]
        return result


@dataclass
class Agent:
    """An agent that listens."""

    file: Path
    path: Path
    loop: asyncio.AbstractEventLoop
    service: Service
    clients: list[socket.socket]

    def client(self) -> Client:
        """A new connection, of the user who runs this test."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(TIMEOUT_S)
        connection.connect(f"{self.path}")
        self.clients.append(connection)
        return Client(connection)

    def client_of(self, uid: int, *groups: str) -> Client:
        """A new connection of another user."""
        ours, theirs = socket.socketpair()
        ours.settimeout(TIMEOUT_S)
        theirs.setblocking(False)
        self.clients.append(ours)
        caller = Caller(uid, f"user{uid}", frozenset(groups))
        speaking = spoken(self.service, theirs, theirs, caller, passes_descriptors=True)
        asyncio.run_coroutine_threadsafe(speaking, self.loop)
        return Client(ours)

    @property
    def host(self) -> Host:
        """The host that it is about."""
        return Host.from_config(from_file(self.file))

    def configure(self, change: Callable[[Reply], object]) -> None:
        """Change the configuration, while the agent runs."""
        raw = yaml.safe_load(self.file.read_text())
        change(raw["geats"])
        self.file.write_text(yaml.safe_dump(raw))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The configuration of the host."""
    file = tmp_path / "geats.yaml"
    file.write_text(yaml.safe_dump({"geats": memory_config(tmp_path)}))
    return file


@pytest.fixture
def agent(tmp_path: Path, file: Path) -> Iterator[Agent]:
    """An agent; root may do everything, and so may who runs this test."""
    started: list[Agent] = []
    ready, ending = threading.Event(), asyncio.Event()

    async def run() -> None:
        path = tmp_path / "agent.socket"
        listening = bound(path)
        listening.listen(512)
        loop = asyncio.get_running_loop()
        started.append(Agent(file, path, loop, Service(file), []))
        ready.set()
        await answering(started[0].service, listening, ending)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(TIMEOUT_S)
    yield started[0]
    for connection in started[0].clients:
        connection.close()
    started[0].loop.call_soon_threadsafe(ending.set)
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()


@pytest.fixture
def root(agent: Agent) -> Client:
    """Somebody who may do everything."""
    return agent.client_of(0)
