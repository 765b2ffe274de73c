"""The pool of ZFS datasets conforms, as far as a stand-in for ZFS can tell."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from geats_core.vm.observation import Stage
from geats_host.errors import HostError, Refused
from geats_host.storage import TEMPLATES, Pool, VolumeId, directory, zfs, zfs_datasets
from geats_host.testing.pool_conformance import PoolConformance
from geats_host.testing.pool_conformance_content import FIRST, SOURCE, Reopen, check, put
from tests.real.storage.fake_zfs import FakeZfs
from tests.real.storage.places import own_mounts

__all__ = ["own_mounts"]

VOLUME, OTHER = VolumeId("web01", "root"), VolumeId("web02", "root")
TEMPLATE = VolumeId(TEMPLATES, "f" * 40)


@pytest.fixture
def fake(own_mounts: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeZfs:
    """A ZFS of our own."""
    made = FakeZfs(tmp_path / "tank")
    for module in (zfs, zfs_datasets):
        monkeypatch.setattr(module, "run", made.run)
    monkeypatch.setattr(zfs, "snapshot_at", made.snapshot_at)
    monkeypatch.setattr(shutil, "which", lambda name: f"/sbin/{name}")
    return made


@pytest.fixture
def reopen(fake: FakeZfs, tmp_path: Path) -> Reopen:
    options: dict[object, object] = {"dataset": "tank/geats", "mounts": f"{tmp_path}/mounts"}
    return lambda: zfs.open_pool(options, None)


@pytest.fixture
def pool(reopen: Reopen) -> Pool:
    return reopen()


class TestZfs(PoolConformance):
    @pytest.fixture
    def reopen(self, reopen: Reopen) -> Reopen:
        return reopen

    def test_a_volume_holds_no_more_than_its_size(self, reopen: Reopen) -> None:
        """A directory cannot be limited; that the limit is set is tested below."""

    def test_a_clone_keeps_the_size_of_its_own(self, reopen: Reopen) -> None:
        """The same."""

    def test_a_tree_of_any_depth_is_no_obstacle(self, reopen: Reopen) -> None:
        """ZFS goes into no tree to clone or destroy a dataset; the stand-in does."""


def ready(pool: Pool, volume: VolumeId, text: str = "") -> None:
    pool.allocate(volume, 2**20)
    pool.format(volume)
    pool.activate(volume)
    if text:
        put(pool, volume, text)


def clear(pool: Pool) -> None:
    for volume in sorted(pool.observe(), key=lambda volume: volume.is_template):
        pool.deactivate(volume)
        pool.destroy(volume)


@pytest.mark.parametrize("reserve", [False, True])
def test_a_size_is_a_limit_and_perhaps_reserved(
    fake: FakeZfs, tmp_path: Path, reserve: bool
) -> None:
    options: dict[object, object] = {"dataset": "tank/geats", "mounts": f"{tmp_path}/mounts"}
    pool = zfs.open_pool(options | {"reserve": reserve}, None)
    pool.allocate(VOLUME, 1000)
    properties = fake.datasets["tank/geats/web01:root"].properties
    assert (properties["refquota"], "refreservation" in properties) == ("1000", reserve)
    pool.grow(VOLUME, 5000)
    assert properties["refquota"] == "5000"
    assert properties.get("refreservation") == ("5000" if reserve else None)
    assert json.loads(properties["geats:volume"])["size_bytes"] == 5000
    pool.allocate(OTHER, None)
    assert "refquota" not in fake.datasets["tank/geats/web02:root"].properties
    clear(pool)


def test_a_foreign_dataset_is_left_alone(fake: FakeZfs, pool: Pool) -> None:
    fake.run(["zfs", "create", "tank/geats/web01:root"])
    fake.run(["zfs", "create", "tank/geats/backup"])
    assert pool.observe() == {}
    with pytest.raises(HostError, match="exists, and was not made by geats"):
        pool.allocate(VOLUME, None)
    pool.destroy(VOLUME)
    assert sorted(fake.datasets) == ["tank/geats/backup", "tank/geats/web01:root"]


def test_what_others_stand_on_is_not_destroyed(fake: FakeZfs, pool: Pool) -> None:
    ready(pool, TEMPLATE, "template")
    ready(pool, VOLUME)
    pool.clone(TEMPLATE, VOLUME)
    assert fake.datasets["tank/geats/web01:root"].properties["refquota"] == f"{2**20}"
    pool.deactivate(TEMPLATE)
    with pytest.raises(HostError, match="in use: tank/geats/web01:root is a clone of it"):
        pool.destroy(TEMPLATE)
    pool.deactivate(VOLUME)
    pool.destroy(VOLUME)
    assert fake.datasets["tank/geats/_templates:" + "f" * 40].snapshots == {}
    pool.destroy(TEMPLATE)


def test_a_rollback_keeps_newer_snapshots(pool: Pool) -> None:
    ready(pool, VOLUME, "one")
    for name in ("one", "two", "three"):
        put(pool, VOLUME, name)
        pool.snapshot(VOLUME, name, 1)
    for name in ("one", "three", "two"):
        pool.rollback(VOLUME, name)
        check(pool, VOLUME, name)
        assert [each.name for each in pool.observe()[VOLUME].snapshots] == ["one", "two", "three"]
    clear(pool)


def test_a_snapshot_that_a_clone_stands_on_is_no_snapshot_of_the_users(pool: Pool) -> None:
    """And a rollback to the newest one of the user's goes on, though it is newer."""
    ready(pool, TEMPLATE, "one")
    pool.snapshot(TEMPLATE, "one", 1)
    ready(pool, OTHER)
    pool.clone(TEMPLATE, OTHER)
    put(pool, TEMPLATE, "two")
    assert [each.name for each in pool.observe()[TEMPLATE].snapshots] == ["one"]
    pool.rollback(TEMPLATE, "one")
    check(pool, TEMPLATE, "one")
    with pytest.raises(HostError, match="has snapshots"):
        pool.clone(OTHER, TEMPLATE)
    clear(pool)


class Cut(Exception):
    """The process ends here."""


def cut_at(fake: FakeZfs, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command of that number be the last one that is done."""
    done = 0

    def run(argv: list[str], **options: object) -> str:
        nonlocal done
        if argv[:2] in (["zfs", "list"], ["zfs", "get"]):
            return fake.run(argv)
        if done == number:
            raise Cut
        done += 1
        return fake.run(argv)

    for module in (zfs, zfs_datasets):
        monkeypatch.setattr(module, "run", run)


def cuts_of(
    call: Callable[[], object], fake: FakeZfs, monkeypatch: pytest.MonkeyPatch, number: int
) -> bool:
    """Cut *call* after so many commands; whether it was cut."""
    cut_at(fake, number, monkeypatch)
    try:
        call()
    except Cut:
        return True
    finally:
        for module in (zfs, zfs_datasets):
            monkeypatch.setattr(module, "run", fake.run)
    return False


@pytest.mark.parametrize("number", range(8))
def test_a_clone_that_is_cut_anywhere_is_made_by_the_next_call(
    reopen: Reopen, fake: FakeZfs, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(reopen(), SOURCE, "template")
    ready(reopen(), FIRST, "old")
    was_cut = cuts_of(lambda: reopen().clone(SOURCE, FIRST), fake, monkeypatch, number)
    assert was_cut == (number < 7)
    assert set(reopen().observe()) == {SOURCE, FIRST}
    assert reopen().observe()[FIRST].stage is Stage.FORMATTED
    reopen().clone(SOURCE, FIRST)
    reopen().activate(FIRST)
    check(reopen(), FIRST, "template")
    put(reopen(), FIRST, "mine")
    check(reopen(), SOURCE, "template")
    clear(reopen())
    assert fake.datasets == {}


@pytest.mark.parametrize("name", ["one", "two"])
@pytest.mark.parametrize("number", range(6))
def test_a_rollback_that_is_cut_anywhere_is_finished_by_the_next_activation(
    reopen: Reopen, fake: FakeZfs, name: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(reopen(), FIRST)
    for each in ("one", "two"):
        put(reopen(), FIRST, each)
        reopen().snapshot(FIRST, each, 1)
    put(reopen(), FIRST, "now")
    was_cut = cuts_of(lambda: reopen().rollback(FIRST, name), fake, monkeypatch, number)
    before = number <= 1  # nothing is noted yet
    if not before and was_cut:
        assert not reopen().observe()[FIRST].active or number > 2
    reopen().activate(FIRST)
    check(reopen(), FIRST, "now" if before else name)
    clear(reopen())


def test_every_wrong_option_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = directory.open_pool({"path": f"{tmp_path}/below"}, None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    options: dict[object, object] = {"dataset": "-tank", "reserve": 2, "mounts": "x", "path": "/x"}
    with pytest.raises(Refused) as refused:
        zfs.open_pool(options, below)
    assert [text.split(":")[0] for text in refused.value.problems] == [
        "dataset",
        "reserve",
        "mounts",
        "on",
        "type",
        "path",
    ]
    assert "type: zfs is not installed (package zfsutils-linux)" in refused.value.problems


def test_a_dataset_that_is_not_there(fake: FakeZfs) -> None:
    with pytest.raises(Refused) as refused:
        zfs.open_pool({"dataset": "tank/other"}, None)
    (problem,) = refused.value.problems
    assert problem.startswith("dataset: cannot open 'tank/other': dataset does not exist")
    assert problem.endswith("(zfs create tank/other makes it)")


def test_the_control_directory_is_left_alone(pool: Pool) -> None:
    """Where ``snapdir=visible``, it is seen in the top of the dataset."""
    ready(pool, VOLUME, "one")
    for name in ("one", "two"):
        pool.snapshot(VOLUME, name, 1)
    (pool.path(VOLUME) / ".zfs").mkdir()
    pool.rollback(VOLUME, "one")
    assert sorted(os.listdir(pool.path(VOLUME))) == [".zfs", "content"]
    clear(pool)
