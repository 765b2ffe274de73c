"""A btrfs for tests, in a file of its own: mounted for as long as it is needed."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geats_host.storage import identity
from geats_host.testing.pool_conformance import traces

DETACHED_WITHIN_S = 20  # a mount namespace that others made meanwhile keeps a copy until it ends


@contextmanager
def btrfs_in_a_file(at: Path, size: str = "1G") -> Iterator[Path]:
    """The mount point, whose modes let a guest pass; nothing of it is left afterwards."""
    at.mkdir(mode=0o711, exist_ok=True)
    image, point = at / "btrfs.img", at / "mounted"
    point.mkdir()
    subprocess.run(["truncate", "--size", size, image], check=True)
    subprocess.run(["mkfs.btrfs", "--quiet", "--nodiscard", image], check=True)
    subprocess.run(["mount", "-o", "loop,nobarrier", image, point], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", point], check=True)
        image.unlink()
    deadline = time.monotonic() + DETACHED_WITHIN_S
    while traces(at) != ([], []) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert traces(at) == ([], [])


def leftovers(root: Path) -> list[str]:
    """All below the pool, and subvolumes wherever they are."""
    said = subprocess.run(
        ["btrfs", "subvolume", "list", root.parent], check=True, capture_output=True, text=True
    )
    listed = [line for line in said.stdout.splitlines() if f" path {root.name}/" in line]
    below = root.iterdir() if root.exists() else ()
    return [*(f"{each}" for each in below if each.name != identity.FILE), *listed]
