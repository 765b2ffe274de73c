"""A pool on a filesystem that is not mounted is told apart from an empty one."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from geats_host.errors import Refused
from geats_host.plugins.entry_points import OpenPool
from geats_host.storage import directory, sparsefile
from tests.real.storage.places import mounted, own_mounts, sh

__all__ = ["own_mounts"]

OPENERS = [directory.open_pool, sparsefile.open_pool]


@pytest.fixture
def point(own_mounts: None, tmp_path: Path) -> Path:
    """Where nothing is mounted yet."""
    point = tmp_path / "mnt"
    point.mkdir()
    return point


def problems(open_pool: OpenPool, options: Mapping[object, object]) -> list[str]:
    """What is said of the options."""
    try:
        open_pool(options, None)
    except Refused as refused:
        return list(map(str, refused.problems))
    return []


@pytest.mark.parametrize("open_pool", OPENERS)
def test_what_must_be_mounted(open_pool: OpenPool, point: Path) -> None:
    options: Mapping[object, object] = {
        "path": f"{point}/pool",
        "mount_point": f"{point}",
        "mount_type": "ramfs",
    }
    on = sh("findmnt", "-n", "-o", "FSTYPE", "-T", point).strip()
    unmounted = problems(open_pool, options)
    assert unmounted[0] == f"mount_point: nothing is mounted there: '{point}'"
    assert unmounted[1].startswith(f"path: must be on ramfs, and '{point}' is on {on}")
    with mounted("none", point, "-t", "ramfs"):
        assert problems(open_pool, options) == []
    assert problems(open_pool, options) == unmounted
    assert not list(point.iterdir())


def test_a_pool_beside_its_mount_point(point: Path) -> None:
    (point.parent / "link").symlink_to(point.parent)
    with mounted("none", point, "-t", "tmpfs"):
        path = f"{point.parent}/link/pool"
        assert problems(directory.open_pool, {"path": path, "mount_point": f"{point}"}) == [
            f"path: must be on the mount point '{point}': '{path}'"
        ]
        through = f"{point.parent}/link/mnt/pool"
        assert problems(directory.open_pool, {"path": through, "mount_point": f"{point}"}) == []


def test_all_problems_of_the_options_at_once() -> None:
    found = problems(
        directory.open_pool, {"path": "srv", "mount_point": 1, "mount_type": "a\nb", "size": 3}
    )
    assert [each.split(":")[0] for each in found] == ["path", "mount_point", "mount_type", "size"]
