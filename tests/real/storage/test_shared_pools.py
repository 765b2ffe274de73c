"""A pool that two hosts use: each sees and touches what is of its own VMs only."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from geats_core.declared.config import HostConfig
from geats_core.declared.shared_pools import Owner
from geats_core.planning.plugin_facts import Leftover
from geats_core.vm.observation import Stage
from geats_host.calls.shared_pools import shared_pools
from geats_host.errors import HostError, Refused
from geats_host.observing import known_places
from geats_host.plugins import entry_points
from geats_host.storage import TEMPLATES, VolumeId, memory, owners, sparsefile
from geats_host.storage.owners import Us
from geats_host.storage.shared import SharedPool, shared
from geats_host.testing.pool_conformance import PoolConformance
from geats_host.testing.pool_conformance_content import Reopen

ROOT, MIB = VolumeId("web01", "root"), 2**20
TEMPLATE = VolumeId(TEMPLATES, "0123456789" * 4)


def seen_by(folder: Path, host: str, *recorded: str) -> SharedPool:
    pool = sparsefile.open_pool({"path": str(folder / "pool"), "default_size": "64MiB"}, None)
    return shared(pool, pool, Us(host, folder / host / "owner.json"), lambda vm: vm in recorded)


class TestShared(PoolConformance):
    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Reopen:
        return lambda: seen_by(tmp_path, "a")


@pytest.fixture
def a(tmp_path: Path) -> SharedPool:
    """One host, whose VM has a volume."""
    pool = seen_by(tmp_path, "a")
    pool.allocate(ROOT, MIB)
    pool.format(ROOT)
    return pool


def test_only_the_host_that_made_a_volume_sees_it_and_can_change_it(
    a: SharedPool, tmp_path: Path
) -> None:
    b = seen_by(tmp_path, "b", "web01")
    assert (list(a.observe()), b.observe(), b.observe(ROOT)) == ([ROOT], {}, {})
    assert (a.facts.elsewhere, b.facts.elsewhere) == ({}, {"web01": "a"})
    changes: tuple[Callable[[], object], ...] = (
        lambda: b.allocate(ROOT, MIB),
        lambda: b.format(ROOT),
        lambda: b.activate(ROOT),
        lambda: b.grow(ROOT, 2 * MIB),
        lambda: b.set_locked(ROOT, locked=True),
        lambda: b.allocate(VolumeId("web01", "data"), MIB),
    )
    for change in changes:
        with pytest.raises(HostError, match="a has web01 there"):
            change()
    b.deactivate(ROOT)
    b.destroy(ROOT)
    assert a.observe()[ROOT].stage is Stage.FORMATTED


def test_what_is_passed_on_is_that_of_the_other_host_alone(a: SharedPool, tmp_path: Path) -> None:
    b = seen_by(tmp_path, "b")
    there = b.us.made()
    a.pass_on("web01", there)
    a.pass_on("web01", there)  # as often as one likes
    assert (a.observe(), list(b.observe())) == ({}, [ROOT])
    assert a.owner_of("web01") == Owner(host="b", identity=there.identity)
    with pytest.raises(HostError, match="b has web01 there, and not a"):
        a.pass_on("web01", Owner(host="c", identity="c"))


def test_of_two_that_take_a_vm_of_a_lost_host_one_has_it(a: SharedPool, tmp_path: Path) -> None:
    b, c = seen_by(tmp_path, "b"), seen_by(tmp_path, "c")
    lost = b.vms()["web01"]
    assert lost == a.us.known()
    b.take("web01", lost)
    with pytest.raises(HostError, match="b has web01 there"):
        c.take("web01", lost)
    assert (list(b.observe()), a.observe(), c.observe()) == ([ROOT], {}, {})


def test_a_vm_without_volumes_is_nobodys(a: SharedPool, tmp_path: Path) -> None:
    a.destroy(ROOT)
    b = seen_by(tmp_path, "b")
    assert (a.owner_of("web01"), b.vms()) == (None, {})
    b.allocate(ROOT, MIB)
    assert (a.observe(), list(b.observe())) == ({}, [ROOT])


def test_a_pool_that_was_one_hosts_becomes_shared_with_its_vms_still_that_hosts(
    tmp_path: Path,
) -> None:
    before = sparsefile.open_pool({"path": str(tmp_path / "pool")}, None)
    before.allocate(ROOT, MIB)
    before.format(ROOT)
    a, b = seen_by(tmp_path, "a", "web01"), seen_by(tmp_path, "b")
    assert (a.observe()[ROOT].unreadable, "take" in b.observe()[ROOT].unreadable) == ("", True)
    changes: tuple[Callable[[], object], ...]
    changes = (lambda: b.destroy(ROOT), lambda: b.allocate(ROOT, MIB))
    for change in changes:
        with pytest.raises(HostError, match="no host has this VM"):
            change()
    a.activate(ROOT)
    assert b.observe() == {}
    with pytest.raises(HostError, match="a has web01 there"):
        b.take("web01", None)


def test_each_host_has_templates_of_its_own_there(tmp_path: Path) -> None:
    a, b = seen_by(tmp_path, "a"), seen_by(tmp_path, "b")
    for pool in (a, b):
        pool.allocate(TEMPLATE, MIB)
    a.destroy(TEMPLATE)
    assert (a.observe(), list(b.observe())) == ({}, [TEMPLATE])


def test_an_owner_that_cannot_be_read_is_another_host(a: SharedPool, tmp_path: Path) -> None:
    (tmp_path / "pool/_owners/web01.owner").write_text('{"format": 99}')
    assert a.observe() == {}
    assert a.facts.elsewhere == {"web01": "a host whose name cannot be read"}
    with pytest.raises(HostError, match="whose name cannot be read has web01"):
        a.format(ROOT)


def test_a_pool_that_is_in_memory_is_shared_with_nobody(tmp_path: Path) -> None:
    pool = memory.open_pool({}, None)
    with pytest.raises(Refused, match="only pools of files"):
        shared(pool, pool, Us("a", tmp_path / "owner.json"), lambda _: False)


def test_doctor_says_which_hosts_use_it_and_what_they_do_not_see_alike(
    a: SharedPool, tmp_path: Path
) -> None:
    pools = {"disks": {"type": "sparsefile", "path": f"{tmp_path}/pool", "shared": "b"}}
    raw = {"state_dir": f"{tmp_path}/state", "pools": pools}
    before, tried = [found.found for found in shared_pools(raw)], a.owners.hosts()
    assert (
        before[-1] == f"is shared as pool {a.facts.identity} by a (this host is none of them yet)"
    )
    b = seen_by(tmp_path, "a")
    other = SharedPool(b.pool, b.lowest, Us("a", tmp_path / "state/owner.json"), lambda _: False)
    other.allocate(VolumeId("web02", "root"), MIB)
    found = [(str(each.health), each.found) for each in shared_pools(raw)]
    assert ("warning", "several hosts that use it are called a") in found
    assert len(tried) == 1
    (tmp_path / "pool/_owners/_lock").unlink()
    (tmp_path / "pool/_owners/_lock").mkdir()
    assert [str(each.health) for each in shared_pools(raw)] == ["problem"]


def test_what_could_not_be_made_leaves_its_name_to_others(a: SharedPool, tmp_path: Path) -> None:
    def no_room(*_: object) -> None:
        raise HostError("no space")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(a.pool), "allocate", no_room)
        for vm in ("web01", "db01"):
            with pytest.raises(HostError, match="no space"):
                a.allocate(VolumeId(vm, "data"), MIB)
    assert {*a.owners.all()} == {"web01"}
    seen_by(tmp_path, "b").allocate(VolumeId("db01", "root"), MIB)


def test_a_claim_without_a_volume_is_left_over_until_its_vm_is_there(
    tmp_path: Path,
) -> None:
    a, b = seen_by(tmp_path, "a"), seen_by(tmp_path, "b")
    a.lowest.make_root()
    a.owners.claim("web01", a.us.made())
    assert b.facts.elsewhere == {"web01": "a"}
    assert [*b.leftovers([]), *a.leftovers(["web01"])] == []
    (left,) = a.leftovers([])
    assert (left.kind, left.name, left.vm) == (Leftover.OWNER, "web01", "web01")
    a.allocate(ROOT, MIB)  # the same command, once more
    assert [*a.leftovers([])] == []
    left.remove()
    assert a.owner_of("web01") == a.us.known()
    a.destroy(ROOT)
    a.owners.claim("web01", a.us.made())
    left.remove()
    assert b.facts.elsewhere == {}


def test_a_host_that_is_copied_to_another_machine_is_no_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = tmp_path / "machine-id"
    monkeypatch.setattr(owners, "MACHINE_ID", machine)
    machine.write_text("a" * 32)
    us = Us("a", tmp_path / "owner.json")
    mine = us.made()
    assert (us.known(), "a" * 32 in us.file.read_text()) == (mine, False)
    machine.write_text("b" * 32)
    with pytest.raises(HostError, match="was made on another machine"):
        us.known()
    said = json.loads(us.file.read_text())
    us.file.write_text(json.dumps({key: said[key] for key in said if key != owners.MACHINE}))
    assert us.known() == mine
    us.file.write_text("{}")
    with pytest.raises(HostError, match="says not who this host is"):
        us.made()


def test_who_a_host_is_stands_in_a_file_of_its_own() -> None:
    """Another file of that name would make all hosts with it one owner."""
    assert Path(HostConfig().state_dir, entry_points.HOST) != Path(known_places.DEFAULT_FILE)
