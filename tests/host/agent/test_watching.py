"""Watch: nothing is missed between two calls, whoever reads slowly catches up."""

import time
from typing import Any

import pytest

from geats_host.agent import watching
from geats_host.agent.faults import Fault
from geats_host.agent.watching import Watching, caught_up
from geats_host.drivers.memory import MemoryDriver
from tests.host.agent.conftest import Agent, Client, Error


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "EVERY_S", 0.05)


def watch(client: Client, **parameters: Any) -> dict[str, Any]:
    """Begin to watch; the first reply."""
    client.send("Watch", more=True, **parameters)
    reply: dict[str, Any] = client.reply()["parameters"]
    return reply


def events(client: Client, until: str) -> list[dict[str, Any]]:
    """The events up to one whose text has that."""
    found: list[dict[str, Any]] = []
    while not found or until not in found[-1]["event"]["event"]:
        found.append(client.reply()["parameters"])
    return found


def test_what_happens_is_told_as_it_happens_and_numbers_go_on(agent: Agent, root: Client) -> None:
    first = watch(root)
    assert first["sequence"] == 0
    assert first["overview"]["states"] == {"db01": None, "web01": None}
    agent.client_of(0).apply(names=["web01"], verb="start")
    told = events(root, "start web01")
    if not any("running" in each["event"]["event"] for each in told):  # it may be seen before
        told += events(root, "running")
    numbers = [each["sequence"] for each in told]
    assert numbers == sorted(numbers)
    assert {each["event"]["vm"] for each in told} <= {"web01", ""}


def test_between_two_calls_nothing_is_missed(agent: Agent, root: Client) -> None:
    other = agent.client_of(0)
    other.apply(names=["web01"], verb="define")
    known = other.call("List")["sequence"]
    other.apply(names=["web01"], verb="start")
    first = watch(root, since=known)
    assert first["overview"]["states"]["web01"] == "running"
    told = events(root, "start web01")
    done = [e for e in other.call("Journal", after=known)["entries"] if e["outcome"] == "done"]
    assert [each["sequence"] for each in told] == [each["number"] for each in done]


def test_how_a_job_ended_is_told_as_it_ends_and_when_it_is_asked(
    agent: Agent, root: Client
) -> None:
    agent.client_of(0).apply(names=["web01"], verb="start")
    watch(root)
    driver = agent.host.drivers["memory"]
    assert isinstance(driver, MemoryDriver)
    driver.end_by_itself("web01", 3, int(time.time()))
    *_, last = events(root, "stopped")
    said = {key: last["event"][key] for key in ("vm", "event", "code", "ended")}
    assert said == {
        "vm": "web01",
        "event": "running → stopped: exited (3)",
        "code": 3,
        "ended": "exited (3)",
    }
    other = agent.client_of(0)
    assert other.call("Info", name="web01")["vm"]["exit_code"] == 3
    other.apply(names=["web01"], verb="start")
    assert other.call("Info", name="web01")["vm"]["exit_code"] is None


def test_only_vms_that_match_are_told(agent: Agent, root: Client) -> None:
    watch(root, vms=["db*"])
    other = agent.client_of(0)
    other.apply(names=["web01"], verb="define")
    other.apply(names=["db01"], verb="define")
    assert {each["event"]["vm"] for each in events(root, "define db01")} <= {"db01", ""}


@pytest.mark.parametrize("vms", [["*"] * 1001, ["*a" * 51]])
def test_patterns_that_would_keep_the_agent_busy_are_refused(root: Client, vms: list[str]) -> None:
    with pytest.raises(Error) as refused:
        list(root.stream("Watch", vms=vms))
    assert [each["path"] for each in refused.value.parameters["problems"]] == ["vms"]


def test_steps_that_are_gone_from_the_journal_are_not_left_out_silently(
    agent: Agent, root: Client
) -> None:
    root.apply(names=["web01"], verb="start")
    with pytest.raises(Error) as later:
        list(root.stream("Watch", since=10_000))
    assert later.value.name == "TooOld"
    host = agent.host
    newest = root.call("List")["sequence"]
    host.registry.prune(0, 2)
    assert [each["sequence"] for each in caught_up(host, newest - 1, newest)] == [newest]
    with pytest.raises(Fault, match="TooOld"):
        caught_up(host, 0, newest)
    host.registry.prune(10**12, 1)
    with pytest.raises(Fault, match="TooOld"):
        caught_up(host, 0, newest)


def test_who_reads_too_slowly_is_told_so(
    agent: Agent, root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MOST", 3)
    seen = Watching()
    seen.look(agent.host)
    root.apply(names=["web01"], verb="start")
    seen.overview = seen.overview or {}
    monkeypatch.setattr(watching, "MOST", 3)
    while seen.end < 5:
        before = seen.end
        root.apply(names=["web01"], verb="stop")
        root.apply(names=["web01"], verb="start")
        seen.look(agent.host)
        assert seen.end > before
    assert len(seen.told) == 3
    with pytest.raises(Fault, match="TooOld"):
        seen.after(0)
    assert len(seen.after(seen.end - 1)) == 1
