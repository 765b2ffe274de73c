"""Disks, byte by byte: what a sparse file holds, written to another file or to a block device."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geats_core.reading.sizes import format_size
from geats_host.errors import HostError

CHUNK_BYTES = 2**22
ZEROS = bytes(CHUNK_BYTES)
Range = tuple[int, int]  # from one byte to before another


def data_ranges(file: int) -> Iterator[Range]:
    """Where an open file holds data, in order: the rest is holes, which read as zeros."""
    end, at = os.fstat(file).st_size, 0
    while at < end:
        try:
            start = os.lseek(file, at, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            return
        at = os.lseek(file, start, os.SEEK_HOLE)
        yield start, at


def write_disk(source: Path, target: Path) -> None:
    """Let the file or block device *target* begin with what the file *source* holds, durably.

    It stays as large as it is. A file has holes where *source* has any, and after it; of a block
    device, only what is not zero yet is written there, so that a thin one stays thin. What a device
    holds after that is left alone.
    """
    with _opened(source, os.O_RDONLY) as read, _opened(target, os.O_RDWR) as written:
        size_bytes = os.fstat(read).st_size
        room = os.lseek(written, 0, os.SEEK_END)
        if size_bytes > room:
            sizes = f"{format_size(size_bytes)} does not fit into {format_size(room)}"
            raise HostError(f"{target}: a disk of {sizes}")
        if target.is_block_device():
            _write_to_device(read, written, size_bytes)
        else:
            os.ftruncate(written, 0)
            os.ftruncate(written, room)
            _copy(read, written)
        os.fsync(written)


def _copy(source: int, target: int) -> None:
    """Copy the data; zeros become holes of a *target* that has nothing else."""
    for data in data_ranges(source):
        for at, chunk in _chunks(source, data):
            if chunk != ZEROS[: len(chunk)]:
                _write(target, chunk, at)


def _write_to_device(source: int, target: int, size_bytes: int) -> None:
    at = 0
    for start, end in (*data_ranges(source), (size_bytes, size_bytes)):
        for place, chunk in _chunks(target, (at, start)):
            if chunk != ZEROS[: len(chunk)]:
                _write(target, ZEROS[: len(chunk)], place)
        for place, chunk in _chunks(source, (start, end)):
            if chunk != ZEROS[: len(chunk)] or os.pread(target, len(chunk), place) != chunk:
                _write(target, chunk, place)
        at = end


def _chunks(file: int, data: Range) -> Iterator[tuple[int, bytes]]:
    at, end = data
    while at < end and (chunk := os.pread(file, min(CHUNK_BYTES, end - at), at)):
        yield at, chunk
        at += len(chunk)


def _write(file: int, data: bytes, at: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(file, left, at)
        left, at = left[written:], at + written


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW * path.is_file())
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from None
