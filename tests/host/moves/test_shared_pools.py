"""VMs that move between hosts which share a pool: it is passed on, and nothing is copied."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.vm.observation import Power, VolumeSeen
from geats_core.vm.parse import to_plain
from geats_host.calls import lifecycle
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.moves import sending
from geats_host.moves.fetch import fetch
from geats_host.observing import kept_memories
from geats_host.observing.kept_memories import all_noted
from geats_host.peers import peer
from geats_host.storage import VolumeId
from geats_host.storage.owners import Owners
from geats_host.storage.shared import SharedPool
from tests.host.moves.test_moves import (
    DISKS,
    MEMORY,
    TREES,
    URL,
    TwoHosts,
    content,
    driver_of,
    host_at,
    undeclared,
    write,
)
from tests.host.templates.disks import qcow2_disk

MIXED = {
    **DISKS,
    "volumes": [
        {"name": "root", "size": "24MiB"},
        {"name": "data", "pool": "own", "size": "6MiB"},
    ],
}
OTHER = {
    **DISKS,
    "volumes": [
        {"name": "root", "pool": "own", "size": "24MiB"},
        {"name": "data", "size": "6MiB"},
    ],
}


def sharing(directory: Path, vm: dict[str, object], said: object) -> Host:
    """A host whose pool ``default`` is shared with others beside it, or so it is said."""
    kind = "directory" if vm is TREES else "sparsefile"
    shared = {"type": kind, "path": f"{directory.parent}/shared", "shared": said}
    pools = {"default": shared, "own": {"type": kind, "path": f"{directory}/own"}}
    return host_at(directory, vm, pools)


def a_vm(tmp_path: Path, vm: dict[str, object]) -> TwoHosts:
    """It is on ``a``, with something that the guest wrote."""
    qcow2_disk(tmp_path / "image")
    (tmp_path / "tree/etc").mkdir(parents=True)
    a, b = (sharing(tmp_path / name, vm, f"host-{name}") for name in "ab")
    apply_plan(a, lifecycle.plan_to(a, "web01")).unwrap()
    for volume in a.observe("web01").volumes:
        write(place(a, volume), b"by the guest, on " + volume.name.encode())
    driver_of(a).memories["web01"] = MEMORY
    root = a.observe("web01").roots[0]
    kept_memories.note(a.registry, "web01", root.pool, "monday", MEMORY)
    return TwoHosts(undeclared(a), undeclared(b))


def place(host: Host, volume: VolumeSeen) -> Path:
    return host.pools[volume.pool].path(VolumeId("web01", volume.name))


def everything(host: Host) -> object:
    return {v.name: content(place(host, v)) for v in host.observe("web01").volumes}


@pytest.fixture(params=[DISKS, TREES, MIXED, OTHER], ids=["disks", "trees", "mixed", "other"])
def hosts(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[TwoHosts]:
    two = a_vm(tmp_path, request.param)
    peer.IN_MEMORY["a"] = two.serve
    yield two
    del peer.IN_MEMORY["a"]


def kept(host: Host) -> Mapping[str, object]:
    """What is kept with the snapshots of the root, in either pool."""
    pools = ("default", "own")
    return {k: v for p in pools for k, v in all_noted(host.registry, "web01", p).items()}


def shared_pool(host: Host) -> SharedPool:
    pool = host.pools["default"]
    assert isinstance(pool, SharedPool)
    return pool


def test_a_vm_moves_and_what_is_shared_stays_where_it_is(hosts: TwoHosts) -> None:
    before, pool = everything(hosts.a), shared_pool(hosts.a)
    files = {
        volume: pool.path(volume).stat().st_ino for volume in pool.observe() if volume.is_of_vm
    }
    hosts.move()
    there = shared_pool(hosts.b)
    assert {each: there.path(each).stat().st_ino for each in files} == files
    assert everything(hosts.b) == before
    assert not hosts.a.observe("web01").exists
    root = hosts.b.observe("web01").roots[0]
    came = {} if root.pool == "own" else {"monday": MEMORY}  # with the snapshots that stay there
    assert (kept(hosts.a), kept(hosts.b)) == ({}, came)
    assert hosts.b.observe("web01").power is Power.RUNNING
    assert (hosts.who_can_run_it(), driver_of(hosts.b).memories) == ("b", {"web01": MEMORY})
    assert fetch(hosts.b, URL).planned.plan.is_empty
    assert hosts.a.pools["default"].facts.elsewhere == {"web01": "host-b"}
    with pytest.raises(Refused, match="is shared, and host-b has web01 there: move it here"):
        lifecycle.plan_to(sharing_again(hosts.a, hosts.b), "web01")
    apply_plan(hosts.b, lifecycle.plan_to(hosts.b, "web01", "deprovisioned")).unwrap()
    assert (there.vms(), there.owners.all()) == ({}, {})


def sharing_again(a: Host, b: Host) -> Host:
    """``a``, if it declares the VM again."""
    spec = b.observe("web01").recorded
    assert spec is not None
    return replace(a, config=replace(a.config, vms={"web01": to_plain(spec)}))


# offer twice, what the machine remembers or volumes, give, forget
REQUESTS = ((DISKS, 5), (TREES, 5), (OTHER, 5), (MIXED, 6))
CUTS = [
    (vm, wrong, is_done)
    for vm, requests in REQUESTS
    for wrong in range(requests)
    for is_done in (True, False)
]


@pytest.mark.parametrize(("hosts", "wrong", "is_done"), CUTS, indirect=["hosts"])
def test_whatever_is_cut_at_most_one_host_has_it_and_asking_again_ends_it(
    hosts: TwoHosts, wrong: int, is_done: bool
) -> None:
    before = everything(hosts.a)
    hosts.wrong, hosts.is_done = wrong, is_done
    try:
        hosts.move()
    except HostError:
        assert hosts.who_can_run_it() in ("", "a", "b")
        assert len(shared_pool(hosts.a).owners.all()) == 1
    hosts.move()
    assert everything(hosts.b) == before
    assert hosts.who_can_run_it() == "b"
    assert hosts.b.observe("web01").power is Power.RUNNING
    assert not hosts.a.observe("web01").exists
    assert (driver_of(hosts.a).memories, driver_of(hosts.b).memories) == ({}, {"web01": MEMORY})
    is_shared = hosts.b.observe("web01").roots[0].pool == "default"
    assert (kept(hosts.a), kept(hosts.b)) == ({}, {"monday": MEMORY} if is_shared else {})


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_a_vm_that_runs_goes_on_elsewhere_on_the_same_disks(hosts: TwoHosts) -> None:
    before = everything(hosts.a)
    found = fetch(hosts.b, URL, live=True, test=True)
    assert "stay where they are" in found.planned.of_vm.steps[-1].reason
    hosts.move(live=True)
    assert (hosts.b.observe("web01").power, hosts.who_can_run_it()) == (Power.RUNNING, "b")
    assert everything(hosts.b) == before
    assert not hosts.a.observe("web01").exists
    assert hosts.b.observe("web01").copy_of == ""
    assert (kept(hosts.a), kept(hosts.b)) == ({}, {"monday": MEMORY})


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
@pytest.mark.parametrize("live", [True, False])
def test_of_a_move_that_is_given_up_nothing_of_its_snapshots_is_kept(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch, live: bool
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Owners, "has_token", lambda *_: len(hosts.sent) < (3 if live else 0))
        with pytest.raises(HostError, match="is not seen here"):
            hosts.move(live=live)
    assert kept(hosts.b) == kept(hosts.a) == {"monday": MEMORY}
    apply_plan(hosts.b, lifecycle.plan_to(hosts.b, "web01", "deprovisioned")).unwrap()
    assert (kept(hosts.b), kept(hosts.a)) == ({}, {"monday": MEMORY})
    assert hosts.who_can_run_it() == "a"


LIVE = [
    (vm, wrong, is_done) for vm in (DISKS, MIXED) for wrong in range(5) for is_done in (True, False)
]


@pytest.mark.parametrize(("hosts", "wrong", "is_done"), LIVE, indirect=["hosts"])
def test_whatever_of_a_live_move_is_cut_asking_again_ends_it(
    hosts: TwoHosts, wrong: int, is_done: bool
) -> None:
    hosts.wrong, hosts.is_done = wrong, is_done
    with pytest.raises(HostError):
        hosts.move(live=True)
    assert hosts.who_can_run_it() in ("", "a", "b")
    hosts.move(live=True)
    assert (hosts.b.observe("web01").power, hosts.who_can_run_it()) == (Power.RUNNING, "b")
    assert not hosts.a.observe("web01").exists
    assert (kept(hosts.a), kept(hosts.b)) == ({}, {"monday": MEMORY})


@pytest.mark.parametrize("hosts", [DISKS, TREES], indirect=True)
def test_a_source_that_is_cut_before_it_forgets_what_it_passed_on_cannot_start_it(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise HostError("cut")

    with monkeypatch.context() as patch:
        patch.setattr(sending, "plan_verb", cut)
        with pytest.raises(HostError, match="cut"):
            hosts.move()
    assert hosts.a.observe("web01").is_recorded
    assert hosts.who_can_run_it() == ""
    hosts.move()
    assert hosts.who_can_run_it() == "b"
    assert not hosts.a.observe("web01").exists


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_what_only_one_of_them_calls_shared_stays(hosts: TwoHosts, tmp_path: Path) -> None:
    b = undeclared(sharing(tmp_path / "b", DISKS, said=False))
    with pytest.raises(Refused, match="on both hosts: say `shared: true` of it on both"):
        fetch(b, URL, shutdown=True)
    assert hosts.a.observe("web01").power is Power.RUNNING


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_nothing_is_passed_on_to_a_host_whose_files_are_not_seen(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the pool was a disk that each of them has mounted."""
    monkeypatch.setattr(Owners, "has_token", lambda *_: False)
    with pytest.raises(HostError, match="that the other host wrote there is not seen here"):
        hosts.move()
    assert hosts.who_can_run_it() == "a"


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_a_disk_that_is_cached_does_not_move_as_it_runs(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryDriver, "cached", lambda *_: ("root", "other"))
    with pytest.raises(Refused, match=r"hardware\.disks\.root\.cache: .* say `cache: none`"):
        hosts.move(live=True)
    assert hosts.a.observe("web01").power is Power.RUNNING


@pytest.mark.parametrize("hosts", [DISKS], indirect=True)
def test_no_volume_is_torn_from_another_in_a_shared_pool(hosts: TwoHosts) -> None:
    with pytest.raises(Refused, match=r"volumes\[data\]\.pool: is to leave a pool that others"):
        fetch(hosts.b, URL, {"pools": {"data": "own"}}, shutdown=True)
