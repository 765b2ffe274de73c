"""Tests of what the kernel here may lack, in a virtual machine whose kernel has it.

::

    script/test --vm                                  # install, then all of tests/vm
    script/test --vm tests/vm/test_device_mapper.py   # install, then pytest with these arguments
    script/test --vm --debian 13 tests/vm/test_confined_guests.py    # on Debian 13
    script/vm .venv/bin/python -m pytest -p no:cacheprovider tests/vm/test_device_mapper.py

The last installs nothing: for a checkout whose .venv is a link to that of another one. In the
machine the checkout is read-only, and /tmp is on a disk that is thrown away.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.storage.places import sh

DISKS = (Path("/dev/disk/by-id/virtio-scratch1"), Path("/dev/disk/by-id/virtio-scratch2"))

pytest.register_assert_rewrite(
    "geats_host.testing.pool_conformance", "geats_host.testing.pool_conformance_content"
)


def pytest_configure() -> None:
    """Refuse to run elsewhere: the suite writes to whole disks."""
    if not all(disk.is_block_device() for disk in DISKS):
        raise pytest.UsageError("tests/vm runs in a virtual machine: script/test --vm")


@pytest.fixture(scope="module")
def disks() -> Iterator[tuple[Path, Path]]:
    """Two empty disks of 8 GiB; after the tests of the module nothing may use them."""
    for disk in DISKS:
        sh("blkdiscard", "--zeroout", "--force", disk)
    yield DISKS
    sh("udevadm", "settle")
    for disk in DISKS:
        assert list(Path("/sys/class/block", disk.resolve().name, "holders").iterdir()) == []
