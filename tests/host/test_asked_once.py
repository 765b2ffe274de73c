"""A plan is made from one look: each pool, and the machine, is asked once, however many VMs fit."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from geats_core.planning.goal import Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_host.calls import lifecycle
from geats_host.drivers import DriverSeen
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from geats_host.observing import known_places
from geats_host.planning import facts as planning_facts
from geats_host.planning.facts import facts_of
from geats_host.planning.goals import Wishes
from geats_host.planning.plans import plan_boot, plan_wishes
from geats_host.registry import sqlite
from geats_host.registry.schema import opened_to_read
from geats_host.storage.memory import MemoryPool
from tests.memory_host import memory_config

Asked = dict[str, int]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    small = {"profile": "small", "autostart": True}
    vms = {
        **{f"vm{number}": small for number in range(5)},
        "huge": {**small, "memory": "1PiB"},
        "lost": {**small, "volumes": [{"name": "root", "pool": "nowhere"}]},
    }
    return Host.from_config({**memory_config(tmp_path), "registry": "sqlite", "vms": vms})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    counts: Asked = {"pools": 0, "memory": 0, "registry": 0}
    facts, total, opened = vars(MemoryPool)["facts"], planning_facts.memory_bytes, opened_to_read

    def counted(what: str, call: Callable[..., object]) -> Callable[..., object]:
        def counting(*arguments: object) -> object:
            counts[what] += 1
            return call(*arguments)

        return counting

    monkeypatch.setattr(MemoryPool, "facts", property(counted("pools", facts.fget)))
    monkeypatch.setattr(planning_facts, "memory_bytes", counted("memory", total))
    monkeypatch.setattr(sqlite, "opened_to_read", counted("registry", opened))
    return counts


def wished(host: Host) -> object:
    made = plan_wishes(host, Wishes(Goal(name="", target=Target.RUNNING)))
    assert sorted(made.refused) == ["huge", "lost"]
    return made


def booted(host: Host) -> object:
    return plan_boot(host)


def started(host: Host) -> object:
    return lifecycle.plan_verb(host, "start", "vm1")


def stopped(host: Host) -> object:
    return lifecycle.plan_verb(host, "stop", "vm0")


@pytest.mark.parametrize(("make", "looks"), [(wished, 1), (booted, 1), (started, 2), (stopped, 2)])
def test_everything_is_asked_once_for_a_plan(
    host: Host, asked: Asked, make: Callable[[Host], object], looks: int
) -> None:
    """The registry is opened once for the look that says what a verb means, and once for a plan."""
    apply_plan(host, lifecycle.plan_verb(host, "start", "vm0")).unwrap()
    asked.update(dict.fromkeys(asked, 0))
    make(host)
    assert asked == {"pools": 1, "memory": 1, "registry": looks}


def test_what_the_machine_remembers_of_its_places_is_read_once_for_a_plan(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, reads = known_places.known, []

    def read() -> known_places.Machine:
        reads.append("read")
        return known()

    monkeypatch.setattr(known_places, "known", read)
    wished(host)
    assert reads == ["read"]


@pytest.mark.parametrize(("verb", "whole"), [("stop", False), ("freeze", False), ("start", True)])
def test_who_applies_one_vms_plan_looks_at_all_only_if_it_takes_what_they_could_want(
    host: Host, monkeypatch: pytest.MonkeyPatch, verb: str, whole: bool
) -> None:
    """Memory, addresses and space are of the whole host; powering off and freezing are not."""
    for name in ("vm0", "vm1"):
        apply_plan(host, lifecycle.plan_verb(host, "start", name)).unwrap()
    if whole:
        apply_plan(host, lifecycle.plan_verb(host, "stop", "vm0")).unwrap()
    made = lifecycle.plan_verb(host, verb, "vm0")
    observe, seen = MemoryDriver.observe, []

    def observed(driver: MemoryDriver, only: str | None = None) -> Mapping[str, DriverSeen]:
        seen.append(only)
        return observe(driver, only)

    monkeypatch.setattr(MemoryDriver, "observe", observed)
    apply_plan(host, made).unwrap()
    assert (None in seen) is whole
    assert set(seen) <= {None, "vm0"}


def test_facts_are_asked_anew_for_each_plan(host: Host, asked: Asked) -> None:
    facts: list[HostFacts] = [facts_of(host, host.drivers) for _ in range(2)]
    assert facts[0] == facts[1]
    assert asked["pools"] == 2
