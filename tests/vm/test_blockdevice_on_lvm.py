"""Filesystems of pools stand on logical volumes of LVM as they do on other block devices."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from geats_host.storage import Pool, filesystem
from geats_host.testing.pool_conformance import PoolConformance
from geats_host.testing.pool_conformance_content import Reopen
from tests.real.storage.one_device_each import Devices, OneDeviceEach
from tests.real.storage.places import in_memory, memory, own_mounts, sh
from tests.real.storage.test_filesystem_pool import SIZES
from tests.vm.test_device_mapper import GROUP, thin_pool

__all__ = ["in_memory", "memory", "own_mounts", "thin_pool"]


@contextmanager
def logical_volume(file: Path, size_bytes: int) -> Iterator[Path]:
    """A thin logical volume, named as the file that a loop device would stand on."""
    volume = f"{GROUP}/{file.name}"
    size = f"--virtualsize={size_bytes}b"
    sh("lvcreate", "-q", "--thin", size, f"--name={file.name}", f"{GROUP}/thin")
    yield Path("/dev", volume)
    sh("lvremove", "-q", "--yes", volume)


@pytest.fixture(params=SIZES)
def fstype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def reopen(thin_pool: str, memory: Path, fstype: str) -> Iterator[Reopen]:
    options: Mapping[object, object] = {"fstype": fstype, "mounts": f"{memory}/mounts"}
    with ExitStack() as stack:
        devices = Devices(memory, 3 * SIZES[fstype], stack, logical_volume)

        def open_pool() -> Pool:
            return filesystem.open_pool(options, OneDeviceEach(devices))

        yield open_pool


def test_the_pool_agrees_with_the_model_after_every_action(fstype: str, reopen: Reopen) -> None:
    """The one of the suite that does most: the rest passes on loops in tests/real/storage."""
    suite = PoolConformance()
    suite.size_bytes = SIZES[fstype]
    suite.test_the_pool_agrees_with_the_model_after_every_action(reopen)
