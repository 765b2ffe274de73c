"""Disks, byte by byte: read from a file or a block device, and written to another one.

A disk has ranges that were never written, or are zeros again. They take no space if they come
to: files get holes there, and of a block device only what is something else is written, so that a
thin one stays thin.
"""

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from geats_core.reading.sizes import format_size
from geats_host.errors import HostError

CHUNK_BYTES = 2**20
GRAIN_BYTES = 2**12  # what is all zeros takes no space
ZEROS = bytes(CHUNK_BYTES)
BLKZEROOUT = 0x127F  # of linux/fs.h: the device does it by itself, if it can
ZEROED_AT_ONCE_BYTES = 2**26  # a process that is killed ends after so many


def size_of(disk: Path) -> int:
    """How many bytes a file or a block device is long."""
    with opened(disk, os.O_RDONLY) as file:
        return os.lseek(file, 0, os.SEEK_END)


def write_disk(source: Path, target: Path, moved: Callable[[int], None] | None = None) -> None:
    """Copy the file *source* to the beginning of the file or block device *target*, durably.

    It stays as large as it is, and is zero after that: a device may contain what another guest
    left. *moved* is told of bytes as they are written.
    """
    pieces = chunks(source) if moved is None else _counted(chunks(source), moved)
    _write(pieces, size_of(source), target)


def write_stream(stream: BinaryIO, size_bytes: int, target: Path) -> int:
    """The same of *size_bytes* that are read from *stream*; how many there were, and no more."""
    pieces = iter(lambda: stream.read(CHUNK_BYTES), b"")
    return _write(pieces, size_bytes, target)


def _counted(pieces: Iterable[bytes], moved: Callable[[int], None]) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        moved(len(piece))


def zero(disk: Path, start: int = 0) -> None:
    """Overwrite a file or a block device with zeros from *start* on, durably."""
    with opened(disk, os.O_RDWR) as file:
        end = os.lseek(file, 0, os.SEEK_END)
        if disk.is_block_device():
            for at in range(start, end, ZEROED_AT_ONCE_BYTES):
                length = min(ZEROED_AT_ONCE_BYTES, end - at)
                fcntl.ioctl(file, BLKZEROOUT, struct.pack("QQ", at, length))
        else:
            os.ftruncate(file, min(start, end))
            os.ftruncate(file, end)
        os.fsync(file)


def chunks(source: Path) -> Iterator[bytes]:
    """All that a disk contains, in order; its holes are not read."""
    with opened(source, os.O_RDONLY) as file:
        at, end = 0, os.lseek(file, 0, os.SEEK_END)
        for start, hole in data_ranges(file, end):
            for zeros in range(at, start, CHUNK_BYTES):
                yield ZEROS[: start - zeros]
            at = start
            while at < hole:
                chunk = os.pread(file, min(CHUNK_BYTES, hole - at), at)
                if not chunk:
                    raise HostError(f"{source}: became shorter while it was read")
                yield chunk
                at += len(chunk)


def data_ranges(file: int, end: int) -> Iterator[tuple[int, int]]:
    """From where to where there is data, in order; and last the end, at which there is none.

    Of a block device nobody knows its holes: all of it is data.
    """
    at = 0
    if not stat.S_ISREG(os.fstat(file).st_mode):
        yield 0, end
        return
    while at < end and (start := _data_from(file, at)) is not None:
        at = min(os.lseek(file, start, os.SEEK_HOLE), end)
        yield start, at
    yield end, end


def _data_from(file: int, at: int) -> int | None:
    """Where the next data is; None if only a hole is left."""
    try:
        return os.lseek(file, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None


def _write(pieces: Iterable[bytes], size_bytes: int, target: Path) -> int:
    at = 0
    with opened(target, os.O_RDWR) as file:
        room = os.lseek(file, 0, os.SEEK_END)
        if size_bytes > room:
            sizes = f"{format_size(size_bytes)} does not fit into {format_size(room)}"
            raise HostError(f"{target}: a disk of {sizes}")
        is_device = target.is_block_device()
        if not is_device:
            os.ftruncate(file, 0)
            os.ftruncate(file, room)
        for chunk in pieces:
            if at + len(chunk) > size_bytes:
                raise HostError(f"{target}: is not made larger than {format_size(size_bytes)}")
            there = os.pread(file, len(chunk), at) if is_device else ZEROS[: len(chunk)]
            if chunk != there:
                write_what_differs(file, chunk, there, at)
            at += len(chunk)
        if is_device:
            _clear(file, at, room)
        os.fsync(file)
    return at


def _clear(file: int, start: int, end: int) -> None:
    """Let it be zero from *start* on; what is zero already is not written."""
    for at in range(start, end, CHUNK_BYTES):
        there = os.pread(file, min(CHUNK_BYTES, end - at), at)
        write_what_differs(file, ZEROS[: len(there)], there, at)


def write_what_differs(file: int, chunk: bytes, there: bytes, at: int) -> None:
    grains = range(0, len(chunk), GRAIN_BYTES)
    for differs, run in groupby(grains, lambda g: not _are_equal(chunk, there, g)):
        starts = list(run)
        if differs:
            _put(file, chunk[starts[0] : starts[-1] + GRAIN_BYTES], at + starts[0])


def _are_equal(chunk: bytes, there: bytes, start: int) -> bool:
    return chunk[start : start + GRAIN_BYTES] == there[start : start + GRAIN_BYTES]


def _put(file: int, data: bytes, at: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(file, left, at)
        left, at = left[written:], at + written


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from None
