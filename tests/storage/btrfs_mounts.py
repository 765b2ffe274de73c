"""A btrfs for tests, in a file of its own: mounted for as long as it is needed."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geats_host.storage.conformance import traces


@contextmanager
def btrfs_in_a_file(at: Path, size: str = "1G") -> Iterator[Path]:
    """The mount point, whose modes let a guest pass; nothing of it is left afterwards."""
    at.mkdir(mode=0o711, exist_ok=True)
    image, point = at / "btrfs.img", at / "mounted"
    point.mkdir()
    subprocess.run(["truncate", "--size", size, image], check=True)
    subprocess.run(["mkfs.btrfs", "--quiet", "--nodiscard", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, point], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", point], check=True)
        image.unlink()
    assert traces(at) == ([], [])
