"""A disk that a pool has as a volume where something else made it."""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError
from geats_host.storage import DiskAdoptingPool, VolumeId, blockdevice, sparsefile
from geats_host.storage.sparsefile import SparseFilePool
from tests.real.storage.places import loop_device

VOLUME, OTHER = VolumeId("web01", "root"), VolumeId("db01", "root")
SEEN = VolumeSeen(name="root", pool="", stage=Stage.INSTALLED, template="debian", guest="f")
SIZE = 1 << 20


class Killed(BaseException):
    """The process is dead: no code of geats may catch this."""


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    made = tmp_path / "images/web01.img"
    made.parent.mkdir()
    made.write_bytes(b"mine".ljust(SIZE, b"\0"))
    return made


@pytest.fixture
def pool(tmp_path: Path) -> SparseFilePool:
    opened = sparsefile.open_pool({"path": f"{tmp_path}/pool"}, None)
    assert isinstance(opened, SparseFilePool)
    assert isinstance(opened, DiskAdoptingPool)
    return opened


def test_an_adopted_disk_is_a_volume_where_it_is(pool: SparseFilePool, disk: Path) -> None:
    assert pool.cannot_adopt(disk, "raw") == ""
    pool.adopt_disk(VOLUME, disk, SEEN)
    pool.adopt_disk(VOLUME, disk, SEEN)
    seen = pool.observe()[VOLUME]
    assert (pool.path(VOLUME), seen.stage, seen.active) == (disk, Stage.INSTALLED, True)
    pool.grow(VOLUME, 2 * SIZE)
    assert disk.stat().st_size == 2 * SIZE
    pool.deactivate(VOLUME)
    pool.rename(VOLUME, OTHER)
    assert pool.path(OTHER) == disk
    with pytest.raises(HostError, match="has another disk already"):
        _adopt_another(pool, disk)
    pool.destroy(OTHER)
    assert not disk.exists()
    assert pool.observe() == {}
    pool.destroy(OTHER)


def _adopt_another(pool: SparseFilePool, disk: Path) -> None:
    other = disk.with_name("other.img")
    other.write_bytes(b"other")
    pool.adopt_disk(OTHER, other, SEEN)


def test_what_takes_the_place_of_an_adopted_disk_is_found_by_its_name(
    pool: SparseFilePool, disk: Path
) -> None:
    pool.adopt_disk(VOLUME, disk, SEEN)
    pool.deactivate(VOLUME)
    pool.allocate(OTHER, SIZE)
    pool.format(OTHER)
    pool.path(OTHER).write_bytes(b"new".ljust(SIZE, b"\0"))
    pool.clone(OTHER, VOLUME)
    assert disk.read_bytes().startswith(b"new")
    assert os.path.samefile(disk, pool.own_path(VOLUME))
    assert pool.observe()[VOLUME].unreadable == ""


def test_another_file_under_its_name_is_left_alone(pool: SparseFilePool, disk: Path) -> None:
    pool.adopt_disk(VOLUME, disk, SEEN)
    pool.deactivate(VOLUME)
    disk.unlink()
    assert "is not the disk that was adopted" in pool.observe()[VOLUME].unreadable
    disk.write_bytes(b"of another")
    assert "is not the disk that was adopted" in pool.observe()[VOLUME].unreadable
    pool.destroy(VOLUME)
    assert disk.read_bytes() == b"of another"


def test_what_cannot_be_adopted_is_told(pool: SparseFilePool, disk: Path) -> None:
    link = disk.with_name("link")
    link.symlink_to(disk)
    memory = Path("/dev/shm/geats-test-disk")
    memory.write_bytes(b"x")
    try:
        assert "is in the format qcow2" in pool.cannot_adopt(disk, "qcow2")
        assert "No such file" in pool.cannot_adopt(disk.with_name("none"), "raw")
        assert "a link leads to it" in pool.cannot_adopt(link, "raw")
        assert "is on another filesystem" in pool.cannot_adopt(memory, "raw")
        with pytest.raises(HostError, match="a link leads to it"):
            pool.adopt_disk(VOLUME, link, SEEN)
    finally:
        memory.unlink()
    assert pool.observe() == {}


@pytest.mark.parametrize("work", ["adopt", "destroy"])
def test_what_is_cut_goes_on_and_never_makes_another_disk_of_it(
    pool: SparseFilePool, disk: Path, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    """At no moment is there a volume without the disk that would be filled in its place."""
    moment = 0
    for moment in count():
        disk.write_bytes(b"mine".ljust(SIZE, b"\0"))
        if work == "destroy":
            pool.adopt_disk(VOLUME, disk, SEEN)
        adopts: Callable[[], None] = lambda: pool.adopt_disk(VOLUME, disk, SEEN)  # noqa: E731
        does = adopts if work == "adopt" else lambda: pool.destroy(VOLUME)
        with monkeypatch.context() as patched, suppress(Killed):
            _die_at(patched, moment)
            does()
            patched.undo()
            does()
            break
        found = pool.observe().get(VOLUME)
        if found is not None and found.stage is Stage.ALLOCATED:
            assert pool.path(VOLUME) != disk
        does()
        assert (disk.exists(), VOLUME in pool.observe()) == ((work == "adopt"),) * 2
        pool.destroy(VOLUME)
        assert not disk.exists()
    assert moment > 2


def _die_at(patched: pytest.MonkeyPatch, moment: int) -> None:
    left = [moment]

    def dying(real: Callable[..., object], *args: object, **more: object) -> object:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return real(*args, **more)

    for name in ("mkdir", "rename", "symlink", "link", "unlink", "rmdir"):
        patched.setattr(os, name, partial(dying, getattr(os, name)))


def test_a_device_is_adopted_as_it_is_by_its_own_pool(tmp_path: Path) -> None:
    with loop_device(tmp_path / "disk.img", 64 << 20) as device:
        device.write_bytes(b"mine")
        options: dict[object, object] = {"device": f"{device}", "marks": f"{tmp_path}/marks"}
        pool = blockdevice.open_pool(options, None)
        assert isinstance(pool, DiskAdoptingPool)
        assert pool.cannot_adopt(device, "raw") == ""
        assert "and the disk is /dev/other" in pool.cannot_adopt(Path("/dev/other"), "raw")
        pool.adopt_disk(VOLUME, device, SEEN)
        pool.adopt_disk(VOLUME, device, SEEN)
        assert pool.observe()[VOLUME].stage is Stage.INSTALLED
        assert "is taken by web01/root" in pool.cannot_adopt(device, "raw")
        with pytest.raises(HostError, match="is taken by"):
            pool.adopt_disk(OTHER, device, SEEN)
        assert device.open("rb").read(4) == b"mine"
