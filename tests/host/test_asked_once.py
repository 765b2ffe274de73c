"""A plan is made from one look: each pool, and the machine, is asked once, however many VMs fit."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from geats_core.planning.goal import Goal, HostFacts, Target
from geats_host.calls import lifecycle
from geats_host.engine.goals import Wishes
from geats_host.host import Host
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
    facts, memory, opened = vars(MemoryPool)["facts"], psutil.virtual_memory, opened_to_read

    def counted(what: str, call: Callable[..., object]) -> Callable[..., object]:
        def counting(*arguments: object) -> object:
            counts[what] += 1
            return call(*arguments)

        return counting

    monkeypatch.setattr(MemoryPool, "facts", property(counted("pools", facts.fget)))
    monkeypatch.setattr(psutil, "virtual_memory", counted("memory", memory))
    monkeypatch.setattr(sqlite, "opened_to_read", counted("registry", opened))
    return counts


def wished(host: Host) -> object:
    made = host.plan_wishes(Wishes(Goal(name="", target=Target.RUNNING)))
    assert sorted(made.refused) == ["huge", "lost"]
    return made


def booted(host: Host) -> object:
    return host.plan_boot()


def started(host: Host) -> object:
    return lifecycle.plan_verb(host, "start", "vm1")


def stopped(host: Host) -> object:
    return lifecycle.plan_verb(host, "stop", "vm0")


@pytest.mark.parametrize(("make", "looks"), [(wished, 1), (booted, 1), (started, 2), (stopped, 1)])
def test_everything_is_asked_once_for_a_plan(
    host: Host, asked: Asked, make: Callable[[Host], object], looks: int
) -> None:
    """The registry is opened once for each look at the VMs, and once for its own version."""
    host.apply(lifecycle.plan_verb(host, "start", "vm0")).unwrap()
    asked.update(dict.fromkeys(asked, 0))
    make(host)
    assert asked == {"pools": 1, "memory": 1, "registry": looks + 1}


def test_facts_are_asked_anew_for_each_plan(host: Host, asked: Asked) -> None:
    facts: list[HostFacts] = [host.facts(host.drivers) for _ in range(2)]
    assert facts[0] == facts[1]
    assert asked["pools"] == 2
