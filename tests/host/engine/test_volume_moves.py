"""A volume moves between pools of a host in memory, and is interrupted at each call."""

from collections.abc import Callable
from pathlib import Path

import pytest

from geats_core.vm.observation import Observation
from geats_host.calls import inventory, lifecycle, volumes
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.registry.memory import MemoryRegistry
from geats_host.storage.memory import MemoryPool
from tests.memory_host import memory_config

POOLS = ("default", "fast")
CALLS = (  # which may fail, each as it is called, or once it was done
    *((MemoryPool, name) for name in ("allocate", "format", "mark", "activate", "destroy")),
    *((MemoryRegistry, name) for name in ("record", "note", "forget_note")),
)


def host_in(directory: Path) -> Host:
    pools = {name: {"type": "memory", "path": str(directory / name)} for name in POOLS}
    return Host.from_config({**memory_config(directory), "pools": pools})


def provisioned(directory: Path) -> Host:
    host = host_in(directory)
    apply_plan(host, lifecycle.plan_verb(host, "provision", "web01")).unwrap()
    return host


def move(host: Host, pool: str = "fast") -> None:
    apply_plan(host, volumes.move(host, "web01", "root", pool)).unwrap()


def pools_of(have: Observation) -> list[str]:
    return [seen.pool for seen in have.volumes]


def test_a_volume_moves_and_back(tmp_path: Path) -> None:
    host = provisioned(tmp_path)
    before = host.observe("web01")
    planned = volumes.move(host, "web01", "root", "fast")
    assert planned.warnings == (
        "web01 is declared with volume root in pool default: write pool: fast there, or the next "
        "plan is refused",
    )
    apply_plan(host, planned).unwrap()
    there = host.observe("web01")
    assert pools_of(there) == ["fast"]
    assert there.recorded == there.defined
    assert there.volumes[0].template == "debian"
    assert volumes.move(host, "web01", "root", "fast").plan.is_empty
    assert [row["wanted"] for row in inventory.volumes_report(host)] == [True]
    move(host, "default")
    assert host.observe("web01") == before


def test_a_locked_vm_stays_locked(tmp_path: Path) -> None:
    host = provisioned(tmp_path)
    apply_plan(host, lifecycle.plan_verb(host, "lock", "web01")).unwrap()
    move(host)
    have = host.observe("web01")
    assert (have.locked, have.half_locked, have.volumes[0].locked) == (True, False, True)


def test_what_is_asked_wrongly_is_refused(tmp_path: Path) -> None:
    host = provisioned(tmp_path)
    with pytest.raises(Refused, match="unknown pool"):
        volumes.move(host, "web01", "root", "fats")
    with pytest.raises(Refused, match="volume: must be"):
        volumes.move(host, "web01", "../x", "fast")


def striking(
    monkeypatch: pytest.MonkeyPatch, kind: type, name: str, at: int, *, done: bool
) -> Callable[[], bool]:
    """Let the call number *at* of this method fail, before or after it is *done*; whether it
    did."""
    whole = getattr(kind, name)
    count = iter(range(1000))
    struck_at: list[int] = []

    def method(self: object, *arguments: object, **words: object) -> object:
        if next(count) != at:
            return whole(self, *arguments, **words)
        struck_at.append(at)
        if done:
            whole(self, *arguments, **words)
        raise HostError("struck")

    monkeypatch.setattr(kind, name, method)
    return lambda: bool(struck_at)


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize(("kind", "name"), CALLS)
def test_wherever_it_is_interrupted_one_counts_and_the_same_move_ends_it(
    tmp_path: Path, kind: type, name: str, done: bool, back: bool
) -> None:
    for at in range(20):
        host = provisioned(tmp_path / str(at))
        with pytest.MonkeyPatch.context() as patch:
            struck = striking(patch, kind, name, at, done=done)
            apply_plan(host, volumes.move(host, "web01", "root", "fast"))
            if not struck():
                break
        now = host.observe("web01")
        assert now.recorded is not None
        counts = now.recorded.root.pool
        assert counts in pools_of(now)
        if back and counts == "default":
            move(host, "default")
            assert pools_of(host.observe("web01")) == ["default"]
        else:
            move(host)
            assert pools_of(host.observe("web01")) == ["fast"]
        have = host.observe("web01")
        assert (have.volumes[0].template, have.missing) == ("debian", ())
        assert have.recorded == have.defined
    else:
        pytest.fail("it has too many calls")
    assert at > 0 or name == "forget_note"
