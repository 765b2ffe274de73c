"""A volume whose destruction was cut is seen, and the same step finishes it, or makes it anew."""

from collections.abc import Callable
from pathlib import Path

import pytest

from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.storage import Pool, VolumeId, directory, filesystem, overlay, sparsefile
from tests.real.storage.cuts import converge
from tests.real.storage.places import in_memory, memory, own_mounts

__all__ = ("in_memory", "memory", "own_mounts")  # fixtures

VOLUME = VolumeId("web01", "root")
SIZE_BYTES = 2**26


def files(at: Path) -> Pool:
    return sparsefile.open_pool({"path": f"{at}/pool"}, None)


def ext4(at: Path) -> Pool:
    return filesystem.open_pool({"fstype": "ext4", "mounts": f"{at}/mnt"}, files(at))


@pytest.fixture(
    params=[
        lambda at: directory.open_pool({"path": f"{at}/pool"}, None),
        lambda at: overlay.open_pool({"path": f"{at}/pool"}, None),
        files,
        ext4,
    ],
    ids=["directory", "overlay", "sparsefile", "ext4"],
)
def pool(request: pytest.FixtureRequest, memory: Path) -> Pool:
    """One with a volume that holds something, and whose destruction was cut."""
    open_pool: Callable[[Path], Pool] = request.param
    pool = open_pool(memory)
    converge(pool, VOLUME, SIZE_BYTES)
    if pool.path(VOLUME).is_dir():
        (pool.path(VOLUME) / "old").write_text("old")
    pool.deactivate(VOLUME)
    (memory / "pool/web01/root").rename(memory / "pool/.destroying-web01.root")
    return pool


def test_it_is_seen_as_a_volume_that_holds_nothing(pool: Pool) -> None:
    seen = VolumeSeen(name="root", pool="", stage=Stage.ALLOCATED, size_bytes=SIZE_BYTES)
    assert pool.observe() == pool.observe(VOLUME) == {VOLUME: seen}
    assert pool.used_bytes(VOLUME) > 0


def test_it_is_destroyed_whole_by_the_same_step(pool: Pool, memory: Path) -> None:
    pool.deactivate(VOLUME)
    pool.destroy(VOLUME)
    assert pool.observe() == {}
    assert list((memory / "pool").glob("*web01*")) == []
    assert list((memory / "pool").glob(".*")) == []


def test_it_is_made_anew_and_holds_nothing_of_what_it_was(pool: Pool, memory: Path) -> None:
    converge(pool, VOLUME, SIZE_BYTES)
    if pool.path(VOLUME).is_dir():
        assert not (pool.path(VOLUME) / "old").exists()
    assert list((memory / "pool").glob(".*")) == []
    pool.deactivate(VOLUME)
    pool.destroy(VOLUME)
    assert pool.observe() == {}
