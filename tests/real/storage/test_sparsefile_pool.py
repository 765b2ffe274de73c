"""Sparse files conform, on a filesystem that can share content and on one that cannot."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError, Refused
from geats_host.storage import Pool, VolumeId
from geats_host.storage import memory as in_memory_only
from geats_host.storage.sparsefile import open_pool
from geats_host.testing.pool_conformance import PoolConformance
from geats_host.testing.pool_conformance_content import Reopen
from tests.real.storage.cuts import converge, cuts_of
from tests.real.storage.places import (
    in_memory,
    memory,
    mounted,
    on_xfs,
    own_mounts,
    sh,
    sharing,
    uses,
)

__all__ = ["in_memory", "memory", "on_xfs", "own_mounts", "sharing"]

MIB = 2**20
VOLUME, OTHER = VolumeId("web01", "root"), VolumeId("web02", "root")


def opener(path: Path) -> Reopen:
    options: Mapping[object, object] = {"path": str(path), "default_size": "64MiB"}
    return lambda: open_pool(options, None)


class TestCopied(PoolConformance):
    @pytest.fixture
    def reopen(self, memory: Path) -> Reopen:
        return opener(memory / "pool")

    def test_it_has_no_snapshots(self, reopen: Reopen) -> None:
        facts = reopen().facts
        assert (facts.snapshots, facts.clones) == (False, False)


class TestShared(PoolConformance):
    @pytest.fixture
    def reopen(self, sharing: Path) -> Reopen:
        return opener(sharing / "pool")

    def test_it_has_snapshots_and_clones(self, reopen: Reopen) -> None:
        facts = reopen().facts
        assert (facts.snapshots, facts.clones) == (True, True)


@pytest.fixture
def pool(sharing: Path) -> Pool:
    return opener(sharing / "pool")()


def ready(pool: Pool, text: str, volume: VolumeId = VOLUME) -> Path:
    converge(pool, volume, MIB)
    disk = pool.path(volume)
    with disk.open("r+") as file:
        file.write(text)
    return disk


def test_every_wrong_option_is_reported_at_once() -> None:
    below = in_memory_only.open_pool({}, None)
    with pytest.raises(Refused) as refused:
        open_pool({"path": "x", "default_size": "ten bananas", "sise": 1}, below)
    places = [text.split(":")[0] for text in refused.value.problems]
    assert sorted(places) == ["default_size", "on", "path", "sise"]


def test_only_root_can_read_a_file_and_it_takes_no_space(pool: Pool) -> None:
    pool.allocate(VOLUME, 10 * MIB)
    found = pool.path(VOLUME).stat()
    assert (found.st_mode & 0o7777, found.st_size, found.st_blocks) == (0o600, 10 * MIB, 0)


def test_a_linked_file_is_not_followed(pool: Pool, tmp_path: Path) -> None:
    disk = ready(pool, "mine")
    precious = tmp_path / "precious"
    precious.write_text("precious")
    disk.unlink()
    disk.symlink_to(precious)
    changes: Sequence[Callable[[], None]] = (
        lambda: pool.grow(VOLUME, 2 * MIB),
        lambda: pool.snapshot(VOLUME, "first", 1),
        lambda: pool.clone(OTHER, VOLUME),
    )
    for change in changes:
        with pytest.raises(HostError):
            change()
    pool.destroy(VOLUME)
    assert precious.read_text() == "precious"


def test_a_file_under_a_loop_device_is_neither_destroyed_nor_replaced(pool: Pool) -> None:
    disk = ready(pool, "mine")
    ready(pool, "other", OTHER)
    pool.snapshot(VOLUME, "first", 1)
    device = sh("losetup", "--find", "--show", disk).strip()
    try:
        changes: Sequence[Callable[[], None]] = (
            lambda: pool.destroy(VOLUME),
            lambda: pool.rollback(VOLUME, "first"),
            lambda: pool.clone(OTHER, VOLUME),
        )
        for change in changes:
            with pytest.raises(HostError, match=f"in use by {device}"):
                change()
    finally:
        sh("losetup", "--detach", device)
    assert disk.read_text().startswith("mine")
    pool.destroy(VOLUME)


def test_a_volume_is_not_cloned_into_a_smaller_one(pool: Pool) -> None:
    pool.allocate(OTHER, 2 * MIB)
    disk = ready(pool, "mine")
    with pytest.raises(HostError, match="2MiB do not fit into 1MiB"):
        pool.clone(OTHER, VOLUME)
    assert disk.read_text().startswith("mine")


def test_lost_marks_never_make_data_look_like_nothing(pool: Pool) -> None:
    disk = ready(pool, "mine")
    (disk.parent / "geats.json").unlink()
    wanted = VolumeSeen(name="root", pool="", stage=Stage.INSTALLED, size_bytes=MIB)
    assert pool.observe() == {VOLUME: wanted}


def test_a_rollback_keeps_the_size_that_the_volume_has_grown_to(pool: Pool) -> None:
    disk = ready(pool, "mine")
    pool.snapshot(VOLUME, "first", 1)
    pool.grow(VOLUME, 2 * MIB)
    pool.rollback(VOLUME, "first")
    assert (disk.stat().st_size, pool.observe()[VOLUME].size_bytes) == (2 * MIB, 2 * MIB)


def test_a_cut_anywhere_is_finished_by_the_next_attempt(pool: Pool) -> None:
    def work() -> None:
        converge(pool, VOLUME, MIB)
        converge(pool, VOLUME, 2 * MIB)

    for number in cuts_of(work):
        converge(pool, VOLUME, 2 * MIB)
        assert pool.path(VOLUME).stat().st_size == 2 * MIB, number
        pool.destroy(VOLUME)
        assert pool.observe() == {}


def test_a_cut_rollback_or_clone_leaves_the_old_content_or_the_new(pool: Pool) -> None:
    ready(pool, "new")
    pool.snapshot(VOLUME, "first", 1)
    ready(pool, "other", OTHER)
    ready(pool, "old")
    changes: Sequence[tuple[Callable[[], None], str]] = (
        (lambda: pool.rollback(VOLUME, "first"), "new"),
        (lambda: pool.clone(OTHER, VOLUME), "other"),
    )
    for change, new in changes:
        for _ in cuts_of(change):
            assert pool.path(VOLUME).read_text().rstrip("\0") in ("old", new)
            assert pool.observe()[VOLUME].snapshots
            change()
            ready(pool, "old".ljust(len(new), "\0"))


def test_a_cut_leaves_no_file_of_a_snapshot_that_is_not_there(pool: Pool) -> None:
    """It would take space that nobody sees, and that deleting the snapshot again does not free."""
    disk = ready(pool, "mine")

    def files() -> list[str]:
        return sorted(each.name for each in disk.parent.glob("*.snapshot"))

    def known() -> list[str]:
        return [f"{each.name}.snapshot" for each in pool.observe()[VOLUME].snapshots]

    for _ in cuts_of(lambda: pool.snapshot(VOLUME, "first", 1)):
        assert files() == known()
        pool.snapshot(VOLUME, "first", 1)
        assert (files(), known()) == (["first.snapshot"], ["first.snapshot"])
        pool.delete_snapshot(VOLUME, "first")
    for _ in cuts_of(lambda: pool.delete_snapshot(VOLUME, "first")):
        assert files() == known()
        pool.delete_snapshot(VOLUME, "first")
        assert (files(), known()) == ([], [])
        pool.snapshot(VOLUME, "first", 1)


def test_a_full_disk_is_told_and_leaves_no_part(in_memory: Path, tmp_path: Path) -> None:
    small = in_memory / tmp_path.name
    small.mkdir()
    with mounted("none", small, "-t", "tmpfs", "-o", "size=3500k"):
        pool = opener(small / "pool")()
        ready(pool, "x" * MIB)
        ready(pool, "y" * MIB, OTHER)
        pool.grow(OTHER, 4 * MIB)
        third = VolumeId("web03", "root")
        converge(pool, third, 4 * MIB)
        before = replace(pool.observe()[third])
        with pool.path(OTHER).open("r+b") as disk:
            disk.write(b"y" * (MIB // 2) + b"z" * MIB)
        with pytest.raises(HostError, match="No space left on device"):
            pool.clone(OTHER, third)
        assert pool.observe()[third] == before
        assert not list(pool.path(third).parent.glob("*.new"))
        pool.destroy(VOLUME)
        pool.clone(OTHER, third)
        assert pool.path(third).read_bytes() == pool.path(OTHER).read_bytes()
        assert uses(small) == []
