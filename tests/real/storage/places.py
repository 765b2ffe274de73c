"""Places for pools: in memory, on an image of xfs, on loop devices; and mounts that nobody sees."""

import ctypes
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from geats_host.linux.loops import loops
from geats_host.linux.mounts import mounts

CLONE_NEWNS = 0x20000
GIB = 2**30


def sh(*argv: str | Path) -> str:
    """Run a program that must succeed."""
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="session")
def own_mounts() -> None:
    """Leave the machine's mounts for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "cannot unshare")
    sh("mount", "--make-rprivate", "/")


@pytest.fixture(scope="module")
def in_memory(own_mounts: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory where nothing waits for a disk."""
    place = tmp_path_factory.mktemp("memory")
    with mounted("none", place, "-t", "tmpfs", "-o", "size=3G"):
        yield place


@pytest.fixture(scope="module")
def on_xfs(in_memory: Path) -> Iterator[Path]:
    """A directory where files can share their content."""
    image, place = in_memory / "xfs.img", in_memory / "xfs"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(4 * GIB)
    sh("mkfs.xfs", "-q", "-K", image)
    with mounted(image, place, "-o", "loop,discard"):
        yield place


@pytest.fixture
def memory(in_memory: Path, tmp_path: Path) -> Iterator[Path]:
    """A place of this test's own, at whose end nothing is in use."""
    yield from fresh(in_memory / tmp_path.name)


@pytest.fixture
def sharing(on_xfs: Path, tmp_path: Path) -> Iterator[Path]:
    """The same, where files can share their content."""
    yield from fresh(on_xfs / tmp_path.name)


def fresh(place: Path) -> Iterator[Path]:
    """Make it, and see at the end that nothing in it is mounted or stands under a loop device."""
    place.mkdir()
    yield place
    assert uses(place) == []


def uses(place: Path) -> list[str]:
    """What is mounted below *place*, and the files there that loop devices stand on."""
    found = [mount.point for mount in mounts()] + [str(file) for file in loops()]
    return [path for path in found if path.startswith(f"{place}/")]


@contextmanager
def mounted(source: str | Path, place: Path, *options: str) -> Iterator[None]:
    """Mount, and unmount whatever happens."""
    sh("mount", *options, source, place)
    try:
        yield
    finally:
        sh("umount", place)


@contextmanager
def loop_device(file: Path, size_bytes: int) -> Iterator[Path]:
    """A block device in place of a disk."""
    with file.open("wb") as made:
        made.truncate(size_bytes)
    device = sh("losetup", "--find", "--show", file).strip()
    try:
        yield Path(device)
    finally:
        sh("losetup", "--detach", device)
        file.unlink()
