"""Trees as a hostile guest makes them: a part of the suite of ``pool_conformance``."""

import os
from pathlib import Path

DEPTH = 1_100  # with NAME, the path is longer than any call takes
NAME = "deep"


def make_deep(top: Path, depth: int = DEPTH, name: str = NAME) -> None:
    """Directories in each other below *top*, with a file in the innermost one."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("innermost", os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=here))
    os.close(here)


def depth_of(top: Path, name: str = NAME) -> int:
    """How many directories of that name are in each other; the innermost one contains the file."""
    here, depth = os.open(top, os.O_RDONLY), 0
    while name in os.listdir(here):
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here, depth = below, depth + 1
    assert os.listdir(here) == ["innermost"]
    os.close(here)
    return depth
