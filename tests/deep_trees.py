"""Trees as a hostile guest makes them."""

import os
from pathlib import Path

RECURSION, BEYOND_PATH_MAX = 1_100, 20_000  # names on the way down


def make_deep(top: Path, depth: int, name: str = "a") -> None:
    """Directories in each other below *top*, with a file in the innermost one."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("innermost", os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=here))
    os.close(here)


def depth_of(top: Path, name: str = "a") -> int:
    """How many directories of that name are in each other; the innermost one holds the file."""
    here, depth = os.open(top, os.O_RDONLY), 0
    while name in os.listdir(here):
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here, depth = below, depth + 1
    assert os.listdir(here) == ["innermost"]
    os.close(here)
    return depth
