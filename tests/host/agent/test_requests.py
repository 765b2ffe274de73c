"""The same request again: the same answer, once it has one, or a place among those who wait."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from geats_host.agent import callers, kept_answers, methods, runs
from geats_host.agent.faults import Fault
from geats_host.drivers.memory import MemoryDriver
from geats_host.errors import HostError
from tests.host.agent.conftest import Agent, Client, Error

START: dict[str, Any] = {"names": ["web01"], "verb": "start", "id": "42"}


def error(client: Client, **parameters: Any) -> Error:
    with pytest.raises(Error) as raised:
        client.apply(**parameters)
    return raised.value


class Slow:
    """Starts that wait until they may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.may_go_on, self.count = threading.Event(), threading.Event(), 0
        start = MemoryDriver.start

        def slow(driver: MemoryDriver, *words: Any) -> Any:
            self.count += 1
            self.begun.set()
            assert self.may_go_on.wait(60)
            return start(driver, *words)

        monkeypatch.setattr(MemoryDriver, "start", slow)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    return Slow(monkeypatch)


def test_the_same_request_again_is_answered_the_same_and_does_nothing(root: Client) -> None:
    first = root.apply(**START)
    root.apply(names=["web01"], verb="stop")

    assert root.apply(**START) == first
    assert root.call("List")["vms"]["web01"]["power"] == "stopped"
    other = error(root, **START | {"verb": "define"})
    assert (other.name, other.parameters) == ("OtherRequest", {"id": "42"})


def test_ids_are_those_of_a_user(agent: Agent, root: Client) -> None:
    agent.configure(lambda raw: raw.update(agent={"allow": {"operators": ["apply"]}}))
    root.apply(**START)
    other = agent.client_of(1001, "operators")
    assert other.apply(**START | {"verb": "define"})["vms"]["web01"]["failed"] is None


def test_who_asks_again_meanwhile_hears_of_all_steps_and_nothing_is_done_twice(
    agent: Agent, root: Client, slow: Slow
) -> None:
    root.send("Apply", more=True, **START)
    assert slow.begun.wait(60)
    joined = agent.client_of(0)
    joined.send("Apply", more=True, **START)
    assert error(agent.client_of(0), **START | {"wait": 1.0}).name == "OtherRequest"
    first = joined.reply()["parameters"]  # what was told before it joined
    slow.may_go_on.set()

    assert (first["id"], bool(first["plan"])) == ("42", True)
    told = [first]
    while "result" not in told[-1]:
        told.append(joined.reply()["parameters"])
    same = [root.reply()["parameters"] for _ in told]
    assert same == told
    assert slow.count == 1


def test_an_apply_goes_on_if_its_caller_goes_away(agent: Agent, root: Client, slow: Slow) -> None:
    root.send("Apply", more=True, **START)
    assert slow.begun.wait(60)
    root.connection.close()
    slow.may_go_on.set()
    assert agent.client_of(0).apply(**START)["vms"]["web01"]["failed"] is None
    assert slow.count == 1


def test_a_call_that_is_cancelled_finishes_its_step_and_begins_no_other(
    agent: Agent, root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_go_on = threading.Event(), threading.Event()
    define = MemoryDriver.define

    def slow(driver: MemoryDriver, *words: Any) -> Any:
        begun.set()
        assert may_go_on.wait(60)
        return define(driver, *words)

    monkeypatch.setattr(MemoryDriver, "define", slow)
    root.send("Apply", more=True, names=["web01"], verb="start")  # without an id, it gets one
    assert begun.wait(60)
    told = root.reply()["parameters"]
    other = agent.client_of(0)
    assert other.call("Cancel", id="nothing") == {"cancelled": False}
    assert other.call("Cancel", id=told["id"]) == {"cancelled": True}
    may_go_on.set()
    with pytest.raises(Error) as raised:
        list(iter(root.reply, None))

    cancelled = raised.value
    assert (cancelled.name, cancelled.parameters["step"]) == ("Failed", None)
    assert "because it was cancelled" in cancelled.parameters["error"]
    assert cancelled.parameters["not_tried"][-1]["do"] == "Start"
    assert other.apply(names=["web01"], verb="start")["vms"]["web01"]["failed"] is None


def test_what_changed_nothing_is_not_kept_and_what_failed_is(
    agent: Agent, root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with agent.host.locks.operation("web01"):
        assert error(root, **START).name == "Busy"

    def fail(*_: object) -> None:
        raise HostError("no such luck")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryDriver, "start", fail)
        failed = error(root, **START)
    assert failed.name == "Failed"
    assert error(root, **START).parameters == failed.parameters
    assert root.apply(**START | {"id": "43"})["vms"]["web01"]["failed"] is None


def test_what_was_cancelled_before_its_first_step_can_be_sent_again(
    agent: Agent, root: Client
) -> None:
    """As all that wait for a thread are when the agent is restarted."""
    asked = methods.Asked(agent.file, callers.caller(0, 0))
    asked.over.set()
    cancelled = runs.carried_out(asked, kept_answers.request(0, "42", START), START, is_kept=True)
    assert isinstance(cancelled, Fault)
    assert (cancelled.name, cancelled.parameters["done"]) == ("Failed", [])
    assert root.apply(**START)["vms"]["web01"]["failed"] is None


def test_only_the_newest_answers_of_each_user_are_kept(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_answers, "MOST", 2)
    registry = agent.host.registry
    of_another = kept_answers.request(12, "0", {})
    kept_answers.keep(registry, of_another, {"result": "another"})
    wanted = [kept_answers.request(0, f"{number}", {}) for number in range(3)]
    for each in wanted:
        kept_answers.keep(registry, each, {"result": each.id})

    assert [kept_answers.answered(registry, each) for each in wanted] == [
        None,
        {"result": "1"},
        {"result": "2"},
    ]
    with pytest.raises(Fault, match="OtherRequest"):
        kept_answers.answered(registry, kept_answers.request(0, "2", {"x": 1}))
    assert len(registry.notes(kept_answers.REQUESTS)) == 3
    assert kept_answers.answered(registry, of_another) == {"result": "another"}


@pytest.mark.parametrize("id_", ["", "x" * 201, "a\0b", "\ud800"])
def test_an_id_that_cannot_be_kept_is_refused_before_anything_is_done(
    root: Client, id_: str
) -> None:
    refused = error(root, **START | {"id": id_})
    assert [each["path"] for each in refused.parameters["problems"]] == ["id"]
    assert root.call("List")["vms"]["web01"]["power"] is None


def test_a_bug_ends_the_call_and_not_the_agent(
    agent: Agent, root: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(kept_answers, "keep", broken)
        assert error(root, **START).parameters == {"message": runs.BUG}
    assert root.apply(**START)["vms"]["web01"]["failed"] is None
    agent.service.runs.workers.shutdown()
    assert "ZeroDivisionError" in caplog.text


def test_the_same_request_by_another_process_waits_for_the_answer(
    agent: Agent, root: Client, slow: Slow
) -> None:
    """As two connections by ssh have a process each: no restart is done twice."""
    asked = [methods.Asked(agent.file, callers.caller(0, 0)) for _ in range(3)]
    request = kept_answers.request(0, "42", START)

    def ask(each: methods.Asked) -> Any:
        return runs.carried_out(each, request, START, is_kept=True)

    with ThreadPoolExecutor(3) as processes:
        first = processes.submit(ask, asked[0])
        assert slow.begun.wait(60)
        others = [processes.submit(ask, each) for each in asked[1:]]
        asked[2].over.set()
        cancelled = others[1].result(60)
        slow.may_go_on.set()
        assert others[0].result(60) == first.result(60)
    assert (cancelled.name, cancelled.parameters["step"]) == ("Failed", None)
    assert "cancelled" in cancelled.parameters["error"]
    assert slow.count == 1
    assert [*Path(agent.host.config.run_dir, "requests").iterdir()] == []
