"""Mounts and loop devices that an interruption left of a pool of filesystems are found, and go."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from geats_core.planning.plugin_facts import Leftover
from geats_host.errors import HostError
from geats_host.leftovers import Clearing, Left
from geats_host.linux.loops import loops_on
from geats_host.storage import ForeseeingPool, Pool, VolumeId
from geats_host.storage.filesystem import FilesystemPool
from geats_host.storage.mounted import is_mounted
from tests.real.storage.places import in_memory, memory, mounted, own_mounts, sh
from tests.real.storage.test_filesystem_pool import opener

__all__ = ["in_memory", "memory", "own_mounts"]

VOLUME, OTHER = VolumeId("web01", "root"), VolumeId("web02", "root")


def ready(pool: Pool, volume: VolumeId) -> None:
    pool.allocate(volume, None)
    pool.format(volume)
    pool.activate(volume)


def found(pool: Pool) -> list[Left]:
    assert isinstance(pool, Clearing)
    return list(pool.leftovers(()))


def shown(left: Iterable[Left]) -> list[tuple[str, str, str, str]]:
    return [(str(each.kind), each.name, each.vm, each.owner) for each in left]


@pytest.fixture
def pool(memory: Path) -> FilesystemPool:
    opened = opener(memory)()
    assert isinstance(opened, FilesystemPool)
    return opened


def test_of_volumes_that_are_in_use_or_not_nothing_is_left_over(pool: FilesystemPool) -> None:
    assert found(pool) == []
    for volume in (VOLUME, OTHER):
        ready(pool, volume)
    pool.deactivate(OTHER)
    assert found(pool) == []
    for volume in (VOLUME, OTHER):
        pool.deactivate(volume)
        pool.destroy(volume)


def test_the_mount_of_a_volume_that_is_gone_goes(pool: FilesystemPool) -> None:
    ready(pool, VOLUME)
    point, disk = pool.path(VOLUME).parent, pool.below.path(VOLUME)
    sh("rm", "-r", disk.parent.parent)
    (left,) = found(pool)
    assert shown([left]) == [("mount", f"{point}", "web01", "")]
    assert left.reason == "there is no volume web01/root any more"
    with (pool.path(VOLUME) / "file").open("w"), pytest.raises(HostError, match="busy"):
        left.remove()
    left.remove()
    assert not is_mounted(point)
    assert not point.exists()
    assert found(pool) == []


def test_a_mount_point_of_a_volume_that_is_gone_goes(pool: FilesystemPool) -> None:
    ready(pool, VOLUME)
    pool.deactivate(VOLUME)
    sh("rm", "-r", pool.below.path(VOLUME).parent.parent)
    (left,) = found(pool)
    assert left.kind is Leftover.FOLDER
    left.remove()
    assert found(pool) == []


def test_what_somebody_else_mounted_there_is_named_and_stays(
    pool: FilesystemPool, tmp_path: Path
) -> None:
    pool.points.allocate(VOLUME, None)
    point = pool.path(VOLUME).parent
    with mounted(tmp_path, point, "--bind"):
        (left,) = found(pool)
        assert left.owner == "it is not a filesystem that geats made"
        pool.allocate(VOLUME, None)
        pool.format(VOLUME)
        with pytest.raises(HostError, match="something else is mounted there"):
            pool.activate(VOLUME)
    pool.activate(VOLUME)
    pool.deactivate(VOLUME)
    pool.destroy(VOLUME)


def test_a_loop_device_on_a_volume_that_is_not_mounted_goes(pool: FilesystemPool) -> None:
    ready(pool, VOLUME)
    pool.deactivate(VOLUME)
    disk = pool.below.path(VOLUME)
    device = sh("losetup", "--find", "--show", disk).strip()
    (left,) = found(pool)
    assert shown([left]) == [("loop device", device, "web01", "")]
    left.remove()
    assert loops_on(disk) == []
    assert found(pool) == []
    pool.activate(VOLUME)
    with pytest.raises(HostError, match="is mounted by now"):
        left.remove()
    pool.deactivate(VOLUME)
    pool.destroy(VOLUME)


def test_a_loop_device_that_somebody_mounted_is_named_and_stays(
    pool: FilesystemPool, tmp_path: Path
) -> None:
    ready(pool, VOLUME)
    pool.deactivate(VOLUME)
    with mounted(pool.below.path(VOLUME), tmp_path, "-o", "loop"):
        (left,) = found(pool)
        assert left.owner.startswith(f"is mounted on {tmp_path} where process ")
    assert found(pool) == []
    pool.destroy(VOLUME)


def test_who_has_it_mounted_elsewhere_is_known_beforehand(
    pool: FilesystemPool, tmp_path: Path
) -> None:
    ready(pool, VOLUME)
    assert pool.cannot_destroy(VOLUME) == ""
    with mounted(pool.path(VOLUME).parent, tmp_path, "--bind"):
        told = pool.cannot_destroy(VOLUME)
    assert told.startswith(f"it is mounted on {tmp_path} where process ")
    pool.deactivate(VOLUME)
    pool.destroy(VOLUME)


def test_a_file_on_which_a_loop_device_stands_is_known_to_be_in_use(pool: FilesystemPool) -> None:
    ready(pool, VOLUME)
    below, device = pool.below, loops_on(pool.below.path(VOLUME))[0]
    assert isinstance(below, ForeseeingPool)
    assert below.cannot_destroy(VOLUME).startswith(f"it is in use by {device}, which is mounted")
    pool.deactivate(VOLUME)
    assert below.cannot_destroy(VOLUME) == ""
    pool.destroy(VOLUME)
