"""A volume moves between pools of a host in memory, and is interrupted at each call."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.planning.actions import MoveVolume
from geats_core.vm.observation import Observation
from geats_host.archives import export_clones
from geats_host.calls import copies, inventory, lifecycle, volumes
from geats_host.engine.apply_plan import apply_plan
from geats_host.engine.perform import Performer
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.observing import unfinished_moves
from geats_host.registry.memory import MemoryRegistry
from geats_host.storage import VolumeId
from geats_host.storage.memory import MemoryPool
from tests.memory_host import memory_config

POOLS = ("default", "fast", "third")
CALLS = (  # which may fail, each as it is called, or once it was done
    *((MemoryPool, name) for name in ("allocate", "format", "mark", "activate", "destroy")),
    *((MemoryRegistry, name) for name in ("record", "note", "forget_note")),
)


def host_in(directory: Path, **changed: object) -> Host:
    pools = {name: {"type": "memory", "path": str(directory / name)} for name in POOLS}
    return Host.from_config({**memory_config(directory), "pools": pools, **changed})


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
        if back:
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


def interrupted(directory: Path, kind: type, name: str, at: int = 0, *, done: bool = False) -> Host:
    """A move to the pool fast that ended at that call."""
    host = provisioned(directory)
    with pytest.MonkeyPatch.context() as patch:
        struck = striking(patch, kind, name, at, done=done)
        apply_plan(host, volumes.move(host, "web01", "root", "fast"))
        assert struck()
    return host


IN_FAST: Mapping[object, object] = {
    "profile": "small",
    "volumes": [{"name": "root", "pool": "fast"}],
}


MARKED, WHOLE = 0, 1  # the calls that mark the copy
ROOT = VolumeId("web01", "root")


@pytest.mark.parametrize("at", [MARKED, WHOLE])
@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("verb", ["define", "provision"])
def test_while_it_moves_the_copy_is_not_declared_to_be_the_volume(
    tmp_path: Path, at: int, done: bool, verb: str
) -> None:
    host = interrupted(tmp_path, MemoryPool, "mark", at, done=done)
    with pytest.raises(Refused, match="geats move-volume web01 root --to default"):
        lifecycle.plan_verb(host, verb, "web01", IN_FAST, allow_data_loss=True)


@pytest.mark.parametrize("noted", [False, True])
def test_an_unfinished_copy_says_so_itself_and_never_counts(tmp_path: Path, noted: bool) -> None:
    host = interrupted(tmp_path, MemoryPool, "mark", WHOLE)
    assert host.pools["fast"].observe()[ROOT].is_moving
    if not noted:
        unfinished_moves.forget(host.registry, "web01", "root", "fast")
    recorded = host.observe("web01").recorded
    assert recorded is not None
    root = replace(recorded.root, pool="fast")
    spec = replace(recorded, volumes=(root,))
    host.registry.record(spec)  # as nothing of geats does
    now = host.observe("web01")
    assert {seen.pool: seen.is_moving for seen in now.volumes} == {"default": False, "fast": True}
    ground = performer(host)
    for action in (
        MoveVolume("fast", "root", "default", None, spec),
        MoveVolume("default", "root", "fast", None, recorded),
    ):
        with pytest.raises(HostError, match="is not whole"):
            ground.perform(action)
    assert host.pools["default"].observe()[ROOT].template == "debian"


def performer(host: Host) -> Performer:
    return Performer(
        "web01",
        host.registry,
        lambda: host.driver("web01"),
        host.pools,
        host.config.templates,
        host.store,
    )


@pytest.mark.parametrize("at", [MARKED, WHOLE])
def test_it_goes_to_no_third_pool_and_the_vm_keeps_its_name(tmp_path: Path, at: int) -> None:
    host = interrupted(tmp_path, MemoryPool, "mark", at, done=True)
    with pytest.raises(Refused, match="an interrupted move left a copy of it in pool fast"):
        volumes.move(host, "web01", "root", "third")
    recorded = host.observe("web01").recorded
    assert recorded is not None
    spec = replace(recorded, volumes=(replace(recorded.root, pool="third"),))
    with pytest.raises(HostError, match="left a copy of it in pool fast"):  # unseen by the plan
        performer(host).perform(MoveVolume("third", "root", "default", None, spec))
    move(host, "default")
    move(host, "third")
    assert pools_of(host.observe("web01")) == ["third"]


@pytest.mark.parametrize("lost", [False, True])
def test_a_note_is_forgotten_with_the_definition_that_it_is_about(
    tmp_path: Path, lost: bool
) -> None:
    host = interrupted(tmp_path, MemoryPool, "mark", WHOLE, done=True)
    if lost:
        host.registry.forget("web01")
    else:
        apply_plan(host, lifecycle.plan_verb(host, "undefine", "web01")).unwrap()
    planned = lifecycle.plan_verb(host, "define", "web01", IN_FAST, allow_data_loss=True)
    apply_plan(host, planned).unwrap()
    have = host.observe("web01")
    assert pools_of(have) == ["default", "fast"]
    assert not any(seen.is_moving for seen in have.volumes)
    assert volumes.move(host, "web01", "root", "fast").plan.is_empty


def test_another_volume_is_not_copied_over(tmp_path: Path) -> None:
    host = provisioned(tmp_path)
    recorded = host.observe("web01").recorded
    assert recorded is not None
    host.pools["fast"].allocate(ROOT, None)
    host.pools["fast"].format(ROOT)
    spec = replace(recorded, volumes=(replace(recorded.root, pool="fast"),))
    with pytest.raises(HostError, match="there is another volume"):
        performer(host).perform(MoveVolume("fast", "root", "default", None, spec))


def test_a_clone_that_an_export_left_goes_with_the_old_one(tmp_path: Path) -> None:
    host = provisioned(tmp_path)
    clone, pool = export_clones.clone_of(ROOT), host.pools["default"]
    pool.allocate(clone, None)
    move(host)
    assert pool.observe() == {}


def test_a_copy_that_is_smaller_than_the_volume_is_now_is_made_anew(tmp_path: Path) -> None:
    host = interrupted(tmp_path, MemoryPool, "mark", MARKED, done=True)
    host.pools["default"].grow(ROOT, 2**40)
    move(host)
    assert host.pools["fast"].observe()[ROOT].size_bytes == 2**40


def test_a_move_that_made_nothing_yet_hinders_nobody(tmp_path: Path) -> None:
    host = interrupted(tmp_path / "moved", MemoryPool, "allocate")
    move(host, "third")
    assert pools_of(host.observe("web01")) == ["third"]
    host = interrupted(tmp_path / "renamed", MemoryPool, "allocate")
    host = host_in(tmp_path / "renamed", vms={})
    apply_plan(host, copies.rename(host, "web01", "web02")).unwrap()
    assert "web02" in host.observe_all()
    assert unfinished_moves.noted(host.registry) == {}
