"""Disks of virtual machines grow while they are open, in every pool of the device mapper.

What a guest sees is what the process that runs it sees: so a descriptor stands for QEMU here, which
asks its own for its size when libvirt tells it that a disk has grown.
"""

import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from geats_host.storage import Pool, VolumeId, ZeroingPool, lvm, sparsefile
from tests.vm.test_device_mapper import GROUP, thin_pool
from tests.vm.test_luks_pool import encrypted, key

__all__ = ["key", "thin_pool"]

MIB = 2**20
VOLUME = VolumeId("db01", "root")
SMALL, LARGE = 16 * MIB, 32 * MIB
WORDS = b"of the guest".ljust(4096, b".")


def thick() -> Pool:
    return lvm.open_pool({"vg": GROUP}, None)


def thin(name: str) -> Pool:
    return lvm.open_pool({"vg": GROUP, "thin_pool": name}, None)


POOLS: dict[str, Callable[[str, Path, Path], Pool]] = {
    "thick": lambda name, folder, key: thick(),
    "thin": lambda name, folder, key: thin(name),
    "encrypted, thick": lambda name, folder, key: encrypted(thick(), key),
    "encrypted, thin": lambda name, folder, key: encrypted(thin(name), key),
    "encrypted, files": lambda name, folder, key: encrypted(
        sparsefile.open_pool({"path": f"{folder}/pool"}, None), key
    ),
}


@contextmanager
def as_qemu(disk: Path) -> Iterator[int]:
    """The disk, open as a machine without a cache has it."""
    descriptor = os.open(disk, os.O_RDWR | os.O_DIRECT)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write(disk: int, at: int) -> None:
    with mmap.mmap(-1, len(WORDS)) as aligned:
        aligned.write(WORDS)
        assert os.pwritev(disk, [aligned], at) == len(WORDS)


def read(disk: int, at: int) -> bytes:
    with mmap.mmap(-1, len(WORDS)) as aligned:
        assert os.preadv(disk, [aligned], at) == len(WORDS)
        return bytes(aligned)


@pytest.mark.parametrize("kind", POOLS)
def test_a_disk_that_is_open_grows_and_is_what_it_was(
    kind: str, thin_pool: str, tmp_path: Path, key: Path
) -> None:
    pool = POOLS[kind](thin_pool.rpartition("/")[2], tmp_path, key)
    pool.allocate(VOLUME, SMALL)
    if isinstance(pool, ZeroingPool):
        pool.zero(VOLUME)
    pool.format(VOLUME)
    pool.activate(VOLUME)
    with as_qemu(pool.path(VOLUME)) as disk:
        assert os.lseek(disk, 0, os.SEEK_END) == SMALL
        write(disk, SMALL - len(WORDS))
        if isinstance(pool, ZeroingPool):
            pool.grow_zeroed(VOLUME, LARGE)
        else:
            pool.grow(VOLUME, LARGE)
        assert os.lseek(disk, 0, os.SEEK_END) == LARGE
        assert read(disk, SMALL - len(WORDS)) == WORDS
        if "encrypted" not in kind:  # what is zero there is noise here
            assert read(disk, LARGE - len(WORDS)) == bytes(len(WORDS))
        write(disk, LARGE - len(WORDS))
    seen = pool.observe(VOLUME)[VOLUME]
    assert (seen.size_bytes, seen.active) == (LARGE, True)
    pool.deactivate(VOLUME)
    pool.destroy(VOLUME)
