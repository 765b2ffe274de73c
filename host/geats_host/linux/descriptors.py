"""File descriptors that are closed at the end of a block."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def closing(descriptor: int) -> Iterator[int]:
    """Close it at the end, however that comes."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def open_directory(path: Path) -> Iterator[int]:
    """A directory, opened until the end; a symbolic link is none."""
    with closing(
        os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    ) as opened:
        yield opened
