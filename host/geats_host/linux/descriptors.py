"""File descriptors that are closed at the end of a block."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def closing(descriptor: int) -> Iterator[int]:
    """Close it at the end, however that comes."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)
