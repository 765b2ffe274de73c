"""Guests that ended by themselves come back, on a host in memory."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.deciding.keeping_up import Kept
from geats_core.planning.action_words import describe
from geats_core.plans.plan_files import SavedPlan
from geats_host.calls import copies, inventory, lifecycle
from geats_host.calls.guests import keeping_up
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError
from geats_host.host import Host
from geats_host.metrics import counted
from geats_host.registry import kept_up
from tests.memory_host import memory_host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """web01 runs, and is started again if it fails; db01 runs, and says nothing of that."""
    small = {"profile": "small"}
    vms = {"web01": {**small, "restart": "on-failure"}, "db01": small}
    host = memory_host(tmp_path, {"vms": vms})
    for name in vms:
        to(host, name, "running")
    return host


def to(host: Host, name: str, target: str, raw: Mapping[object, object] | None = None) -> None:
    apply_plan(host, lifecycle.plan_to(host, name, target, raw)).unwrap()


def driver(host: Host) -> MemoryDriver:
    found = host.drivers["memory"]
    assert isinstance(found, MemoryDriver)
    return found


def ends(host: Host, name: str = "web01", code: int = 3, ago_s: int = 5) -> None:
    driver(host).end_by_itself(name, code, int(time.time()) - ago_s)


def power(host: Host, name: str = "web01") -> str:
    return str(host.observe(name).power)


def test_it_is_started_again_with_the_reason_and_counted(host: Host) -> None:
    noted = kept_up.noted(host.registry)["web01"]
    kept_up.note(host.registry, "web01", type(noted)(started_s=int(time.time()) - 60))
    ends(host)
    assert inventory.list_report(host)["web01"]["ended"] == "exited (3), restarts now"

    assert keeping_up.keep_up(host, only_look=True) == [
        {"vm": "web01", "why": "it exited (3) by itself"}
    ]
    assert power(host) == "stopped"
    assert keeping_up.keep_up(host) == [{"vm": "web01", "why": "it exited (3) by itself"}]
    assert power(host) == "running"
    assert keeping_up.keep_up(host) == []
    assert inventory.list_report(host)["web01"]["ended"] == ""
    restarts = [each for each in counted.samples(host) if each.metric == "geats_vm_restarts_total"]
    assert [(each.value, each.labels) for each in restarts] == [(1, {"vm": "web01"})]


def test_what_ends_again_soon_waits_for_longer(host: Host) -> None:
    now = int(time.time())
    noted = kept_up.noted(host.registry)["web01"]
    kept_up.note(host.registry, "web01", type(noted)(started_s=now - 10, times=6))
    ends(host, ago_s=0)

    (said,) = [row["ended"] for row in inventory.list_report(host).values() if row["ended"]]
    assert str(said).startswith("exited (3), restarts in 6")
    assert keeping_up.keep_up(host) == []
    assert power(host) == "stopped"


def test_two_that_look_at_once_count_one_restart(host: Host) -> None:
    """As two beacons do: the second has its plan before the first has noted anything."""
    kept_up.note(host.registry, "web01", Kept(started_s=int(time.time()) - 60, times=2))
    ends(host)
    first, second = keeping_up.plan_keep_up(host), keeping_up.plan_keep_up(host)
    assert keeping_up.note_restarts(host, first) == {"web01"}
    assert keeping_up.note_restarts(host, second) == frozenset()
    noted = kept_up.noted(host.registry)["web01"]
    assert (noted.times, noted.restarts, noted.again) == (3, 1, True)
    assert keeping_up.keep_up(host) == []


def test_of_two_that_look_at_once_each_starts_what_it_has_noted(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the plan of one is refused for what the other has started, and starts nothing."""
    to(host, "db01", "running", raw={"profile": "small", "restart": "always"})
    for name in ("db01", "web01"):
        kept_up.note(host.registry, name, Kept(started_s=int(time.time()) - 60))
        ends(host, name)
    note, looked = keeping_up.note_restarts, host.observe_all()

    def after_another(host: Host, planned: SavedPlan) -> frozenset[str]:
        """The other one notes db01 and starts it."""
        theirs = keeping_up._plan_of(
            host, {"db01": keeping_up.fallen(host, looked)["db01"]}, looked
        )
        assert note(host, theirs) == {"db01"}
        apply_plan(host, theirs).unwrap()
        return note(host, planned)

    monkeypatch.setattr(keeping_up, "note_restarts", after_another)
    assert keeping_up.keep_up(host) == [{"vm": "web01", "why": "it exited (3) by itself"}]
    assert (power(host), power(host, "db01")) == ("running", "running")


def test_what_ended_well_or_was_powered_off_or_says_nothing_stays_off(host: Host) -> None:
    ends(host, code=0)
    ends(host, "db01")
    assert keeping_up.keep_up(host) == []
    assert inventory.list_report(host)["web01"]["ended"] == "exited (0)"
    assert inventory.list_report(host)["db01"]["ended"] == ""

    to(host, "web01", "running")
    to(host, "web01", "stopped")
    assert keeping_up.keep_up(host) == []
    assert inventory.list_report(host)["web01"]["ended"] == ""
    to(host, "web01", "deprovisioned")
    assert kept_up.noted(host.registry) == {}


def test_one_that_is_on_is_kept_up_from_when_its_description_says_so(host: Host) -> None:
    to(host, "db01", "defined", raw={"profile": "small", "restart": "always"})
    to(host, "web01", "stopped")
    ends(host, "db01", code=0, ago_s=-1)
    assert "db01" in kept_up.noted(host.registry)
    assert inventory.list_report(host)["db01"]["ended"] == "exited (0), restarts in 2 s"


def test_a_new_vm_that_gets_the_name_of_one_that_ended_is_not_started(host: Host) -> None:
    ends(host)
    gone = replace(host, config=replace(host.config, vms={}))
    apply_plan(gone, copies.rename(gone, "web01", "web02")).unwrap()
    assert "web01" not in kept_up.noted(host.registry)
    to(host, "web01", "provisioned")
    assert keeping_up.keep_up(host) == []
    assert power(host) == "stopped"


@pytest.mark.parametrize("verb", ["stop", "shutdown"])
def test_one_that_ended_and_is_stopped_then_is_not_started_again(host: Host, verb: str) -> None:
    ends(host)
    planned = lifecycle.plan_verb(host, verb, "web01")
    assert [describe(step.action, "web01") for step in planned.plan.steps] == ["keep web01 off"]
    assert "it ended by itself" in planned.plan.steps[0].reason
    apply_plan(host, planned).unwrap()
    assert keeping_up.keep_up(host) == []
    assert (power(host), inventory.list_report(host)["web01"]["ended"]) == ("stopped", "")
    assert lifecycle.plan_verb(host, verb, "web01").plan.is_empty


def test_what_a_description_says_no_more_is_forgotten_and_begins_with_the_next_start(
    host: Host,
) -> None:
    ends(host)
    for restart in ("no", "always"):
        to(host, "web01", "defined", raw={"profile": "small", "restart": restart})
        assert (host.observe("web01").ended, keeping_up.keep_up(host)) == (False, [])


@pytest.mark.parametrize("off", [{"enabled": False}, {"power": "stopped"}])
def test_what_is_described_off_has_nothing_to_be_kept_from_and_does_not_come_back(
    host: Host, off: dict[object, object]
) -> None:
    kept: dict[object, object] = {"profile": "small", "restart": "always"}
    ends(host)
    to(host, "web01", "defined", raw={**kept, **off})
    assert not host.observe("web01").ended
    assert lifecycle.plan_to(host, "web01", "stopped", {**kept, **off}).plan.is_empty
    to(host, "web01", "defined", raw=kept)
    assert (keeping_up.keep_up(host), power(host)) == ([], "stopped")


def started_ago(host: Host, seconds: int) -> None:
    noted = kept_up.noted(host.registry)["web01"]
    kept_up.note(host.registry, "web01", replace(noted, started_s=int(time.time()) - seconds))


def test_a_start_that_fails_is_tried_again_after_longer_each_time(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_driver: MemoryDriver, _name: str) -> None:
        raise HostError("its template has no init")

    started_ago(host, 60)
    ends(host, ago_s=50)
    monkeypatch.setattr(MemoryDriver, "start", fails)
    for times in (1, 2, 3):
        assert keeping_up.keep_up(host) == [{"vm": "web01", "error": "its template has no init"}]
        assert (kept_up.noted(host.registry)["web01"].times, power(host)) == (times, "stopped")
        said = f"{inventory.list_report(host)['web01']['ended']}"
        assert said.startswith("exited (3), restarts in ")
        assert keeping_up.keep_up(host) == []  # its time has not come
        started_ago(host, 30)
    monkeypatch.undo()
    assert keeping_up.keep_up(host) == [{"vm": "web01", "why": "it exited (3) by itself"}]
    assert power(host) == "running"
