"""Who may ask for what: root for all, others what their groups may, and strangers for nothing."""

import os
import socket
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

from geats_core.plans.plan_files import fingerprint
from geats_host.agent import callers, listening
from geats_host.planning.goals import wishes
from geats_host.planning.plans import plan_wishes
from tests.host.agent.conftest import Agent, Client, Error

STRANGER = 65534
ASKING = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.sendall(b'{"method": "org.varlink.service.GetInfo"}\\0')
print(connection.recv(65536).decode())
"""


def allow(agent: Agent, **groups: list[str]) -> None:
    agent.configure(lambda raw: raw.update(agent={"allow": groups}))


def error(client: Client, method: str, **parameters: Any) -> str:
    with pytest.raises(Error) as raised:
        list(client.stream(method, **parameters))
    return raised.value.name


def test_a_stranger_learns_nothing_whatever_the_question(agent: Agent) -> None:
    allow(agent, operators=["read"])
    stranger = agent.client_of(STRANGER, "users")
    for method in ("List", "GetHost", "Apply", "NoSuchMethod", "org.varlink.service.GetInfo"):
        assert error(stranger, method) == "NotAllowed"
    assert error(stranger, "Plan", names=5) == "NotAllowed"


def test_a_stranger_takes_little_memory(agent: Agent) -> None:
    """Messages are kept, and read, before it is known whether their sender may call."""
    allow(agent, operators=["read"])
    large = {"vms": ["x" * 100] * 100}
    assert agent.client_of(1002, "operators").call("List", filter=large)["vms"] == {}
    stranger = agent.client_of(STRANGER, "users")
    with suppress(BrokenPipeError, ConnectionResetError):
        stranger.send("List", filter=large)
    with pytest.raises((EOFError, ConnectionResetError)):
        stranger.reply()


def test_a_stranger_stays_not_for_long(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "FOR_STRANGERS_S", 0.1)
    with pytest.raises(EOFError):
        agent.client_of(STRANGER, "users").reply()


def test_strangers_leave_room_for_root(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "MOST", 3)
    monkeypatch.setattr(listening, "FOR_ROOT", 1)
    listener = listening.Listener(agent.service, Counter({1001: 1, 1002: 1}))
    assert not listener._has_room_for(1003)
    assert listener._has_room_for(0)


def test_the_kernel_says_who_calls(agent: Agent) -> None:
    agent.path.parent.chmod(0o755)
    folder = os.open(agent.path.parent, os.O_PATH)  # no folder above it is opened to anybody
    argv = [sys.executable, "-S", "-c", ASKING, f"/proc/self/fd/{folder}/{agent.path.name}"]
    user: dict[str, Any] = {"user": STRANGER, "group": STRANGER, "extra_groups": []}
    user = user if os.getuid() == 0 else {}
    said = subprocess.run(argv, capture_output=True, text=True, cwd="/", pass_fds=[folder], **user)
    os.close(folder)
    assert "io.geats.Host.NotAllowed" in said.stdout, said.stderr
    if os.getuid() == 0:
        assert agent.client().call("List")["vms"]


def test_groups_may_what_the_configuration_says_of_them(agent: Agent, root: Client) -> None:
    allow(agent, monitoring=["read"], operators=["read", "apply"], owners=["apply", "data_loss"])
    reader = agent.client_of(1001, "monitoring")
    assert reader.call("List")["vms"]
    assert reader.call("Plan")["fingerprint"]
    for method in ("Apply", "Exec", "Cancel"):
        words: dict[str, Any] = {"Exec": {"name": "web01", "argv": ["x"]}, "Cancel": {"id": "x"}}
        assert error(reader, method, **words.get(method, {})) == "NotAllowed"
    operator = agent.client_of(1002, "operators", "users")
    assert operator.apply(names=["web01"], verb="start")["vms"]["web01"]["done"]
    assert error(operator, "Apply", names=["web01"], verb="deprovision") == "NotAllowed"
    assert root.call("List")["vms"]["web01"]["power"] == "running"
    entries = root.call("Journal")["entries"]
    assert {entry["origin"] for entry in entries} == {"agent, called by user1002"}
    owner = agent.client_of(1003, "operators", "owners")
    assert owner.apply(names=["web01"], verb="deprovision")["vms"]["web01"]["done"]


def test_who_may_only_read_cannot_try_what_a_secret_is(agent: Agent, root: Client) -> None:
    allow(agent, monitoring=["read"], operators=["read", "apply"])
    reader, operator = (agent.client_of(1001, of) for of in ("monitoring", "operators"))
    spec: dict[str, Any] = {"driver": "memory", "template": "debian"}
    assert reader.call("Plan", names=["new01"], spec=spec)["plan"]
    for key in ("metadata", "environment", "users", "minion", "raw"):
        guess = {**spec, key: {"PIN": "1234"}}
        assert error(reader, "Plan", names=["new01"], spec=guess) == "NotAllowed"
    assert operator.call("Plan", names=["new01"], spec={**spec, "metadata": {"PIN": "1"}})["plan"]
    host = agent.host
    told = root.call("Plan", names=["web01"])["fingerprint"]
    assert told == root.call("Plan", names=["web01"])["fingerprint"]
    assert told != fingerprint(plan_wishes(host, wishes({}, ("web01",))))


def test_if_the_configuration_is_wrong_only_root_may_anything(agent: Agent, root: Client) -> None:
    allow(agent, operators=["read"])
    operator = agent.client_of(1002, "operators")
    assert operator.call("List")["vms"]
    agent.configure(lambda raw: raw["agent"]["allow"].update(operators=["raed"]))
    assert error(operator, "List") == "NotAllowed"
    assert root.call("List")["vms"]
    agent.file.write_text("geats: [")
    assert error(operator, "List") == "NotAllowed"
    assert error(root, "List") == "Refused"


def test_groups_are_those_of_the_users_database() -> None:
    assert callers.caller(0, 0).name == "root"
    assert "root" in callers.caller(0, 0).groups
    assert callers.caller(3_999_999, 3_999_998) == callers.Caller(
        3_999_999, "user 3999999", frozenset()
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert callers.peer(ours).uid == os.getuid()


def test_who_gave_us_a_socket_as_standard_input_is_not_root_because_we_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        monkeypatch.setattr(os, "getuid", lambda: 0)
        monkeypatch.setattr(os, "dup", lambda _: ours.detach())
        monkeypatch.setattr(callers, "peer", lambda _: "the other end")
        assert f"{callers.on_standard_input()}" == "the other end"
