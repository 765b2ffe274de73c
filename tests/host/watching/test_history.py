"""The journal and the events of a host that exists in memory only."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from geats_core import Goal, Target
from geats_core.deciding.keeping_up import Ended
from geats_core.requests import beacon
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.planning.plans import plan_vm
from geats_host.registry import Entry, Outcome
from geats_host.watching import history
from tests.memory_host import memory_host


def bring(host: Host, name: str, target: Target) -> None:
    apply_plan(
        host, plan_vm(host, Goal(name=name, target=target, spec=host.declared(name)))
    ).unwrap()


def test_the_journal_of_the_whole_host_names_the_vm_of_each_step(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    bring(host, "web01", Target.DEFINED)
    host.registry.write(Entry(time_s=1.0, vm="", action="old", outcome=Outcome.DONE))
    told = [(row["vm"], row["action"], row["outcome"]) for row in history.journal_report(host)]
    assert told[:2] == [("web01", "define web01", "intent"), ("web01", "define web01", "done")]
    assert told[-1] == ("", "old", "done")
    recent = history.journal_report(host, since="1h")
    assert {row["vm"] for row in recent} == {"web01"}
    assert history.journal_report(host, "db01", since="1h") == []
    with pytest.raises(Refused, match="since: must be a duration"):
        history.journal_report(host, since="yesterday")


def test_events_are_steps_that_ended(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    for vm, outcome, detail in (
        ("web01", Outcome.INTENT, ""),
        ("web01", Outcome.FAILED, "no space"),
        ("db01", Outcome.DONE, ""),
    ):
        entry = Entry(
            time_s=0.0, vm=vm, action=f"start {vm}", outcome=outcome, detail=detail, origin="ada"
        )
        host.registry.write(entry)
    failed, done = history.events_report(host)
    assert failed == {
        "time": "1970-01-01T00:00:00+00:00",
        "vm": "web01",
        "what": "step",
        "event": "start web01: failed: no space",
        "origin": "ada",
    }
    assert done["event"] == "start db01"
    assert history.events_report(host, ["w*"]) == [failed]
    assert history.events_report(host, limit=1) == [done]


@dataclass
class Acts:
    """What happens between two looks, one after the other; then somebody presses Ctrl-C."""

    acts: list[object] = field(default_factory=list)

    def __call__(self, _: float) -> None:
        if not self.acts:
            raise KeyboardInterrupt
        act = self.acts.pop(0)
        assert callable(act)
        act()


def followed(host: Host, names: list[str], *acts: object) -> list[str]:
    events = history.follow(host, names, sleep=Acts(list(acts)))
    told: list[str] = []
    with suppress(KeyboardInterrupt):
        told.extend(f"{each['what']} {each['vm']}: {each['event']}" for each in events)
    return told


def test_who_follows_sees_steps_and_what_changes_by_itself(tmp_path: Path) -> None:
    host, other = memory_host(tmp_path), memory_host(tmp_path)
    bring(host, "web01", Target.RUNNING)

    def dies() -> None:
        other.drivers["memory"].stop("web01")

    told = followed(host, [], lambda: None, dies, lambda: bring(other, "web01", Target.RUNNING))
    assert told == [
        "state web01: running → stopped",
        "step web01: start web01",
        "state web01: stopped → running",
    ]
    assert followed(host, ["db*"], lambda: bring(other, "web01", Target.OFF)) == []


def test_a_step_that_ends_between_the_list_and_what_follows_is_told_once(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    bring(host, "web01", Target.DEFINED)
    newest = history.newest(host)
    bring(host, "db01", Target.DEFINED)
    listed = history.events_report(host, since="1h", until=newest)
    assert [each["event"] for each in listed] == ["define web01"]
    with suppress(KeyboardInterrupt):
        for each in history.follow(host, sleep=Acts(), after=newest):
            listed.append(each)
    assert [each["event"] for each in listed] == ["define web01", "define db01"]


def test_a_host_that_cannot_be_looked_at_is_an_event_and_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = memory_host(tmp_path)
    whole = type(host.registry).definitions

    def fails() -> None:
        def definitions(_: object) -> object:
            raise HostError("disk I/O error")

        monkeypatch.setattr(type(host.registry), "definitions", definitions)

    def works() -> None:
        monkeypatch.setattr(type(host.registry), "definitions", whole)

    assert followed(host, [], fails, lambda: None, works) == [
        "trouble : disk I/O error",
        "trouble : the host can be looked at again",
    ]


def test_a_container_of_others_that_no_vm_can_be_called_is_off_and_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = memory_host(tmp_path)
    looks = iter(["running", "stopped", "running"])

    def overview(*_: object) -> dict[str, object]:
        return {**beacon.NOTHING, "states": {"Windows 10": next(looks)}}

    monkeypatch.setattr(history, "overview_report", overview)
    assert followed(host, [], lambda: None, lambda: None) == [
        "state Windows 10: running → stopped",
        "state Windows 10: stopped → running",
    ]


def test_that_a_vm_is_off_is_told_also_if_nobody_can_say_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, other = memory_host(tmp_path), memory_host(tmp_path)
    bring(host, "web01", Target.RUNNING)

    def fails(*_: object) -> object:
        raise HostError("disk I/O error")

    def dies() -> None:
        other.drivers["memory"].stop("web01")
        monkeypatch.setattr(Host, "observe", fails)

    assert followed(host, [], lambda: None, dies) == ["state web01: running → stopped"]


def test_of_a_vm_that_is_on_again_by_now_nobody_says_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its driver knows only what is: liblxc's log begins anew, and has no end in it, as of a 0."""
    host = memory_host(tmp_path)
    bring(host, "web01", Target.RUNNING)
    monkeypatch.setattr(MemoryDriver, "ended", lambda *_: Ended(code=0))
    was = {"tag": "state/web01", "vm": "web01", "from": "running", "to": "stopped"}
    assert history.with_its_end(host, was) == was
    host.drivers["memory"].stop("web01")
    assert history.with_its_end(host, was) == {**was, "code": 0, "ended": "exited (0)"}
