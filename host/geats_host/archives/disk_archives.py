"""The content of a disk, packed by zstd, and back: ``zstd -d --sparse`` reads it.

A disk of QEMU's own format is read through a raw file beside the archive, which is gone afterwards.
"""

import hashlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from os import close, pipe
from pathlib import Path
from typing import IO, BinaryIO, TypeVar

from geats_core.planning.offers import Offer
from geats_host.archives.volume_archives import CHUNK_BYTES, Packed, feed, running
from geats_host.errors import HostError
from geats_host.linux import qemu_img
from geats_host.linux.disks import chunks, size_of, write_stream
from geats_host.streams import meters
from geats_host.streams.meters import Readable

PACK = ("zstd", "--threads=0", "--check", "--quiet", "--stdout")
UNPACK = ("zstd", "--decompress", "--quiet", "--stdout")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Disk:
    """Where a volume that is no directory is on the host, and what it is; *aside* is a directory
    for what is needed meanwhile."""

    path: Path
    offers: Offer
    aside: Path


def pack_disk(disk: Disk, out: BinaryIO) -> Packed:
    """Write what the disk contains to *out*."""
    digest, packed_bytes = hashlib.sha256(), 0
    with raw_disk(disk) as raw:
        with running(PACK, Path("/"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            moved = meters.counter(size_of(raw))
            with _meanwhile(process, partial(_pour, raw, process.stdin, moved)):
                while chunk := process.stdout.read(CHUNK_BYTES):
                    digest.update(chunk)
                    packed_bytes += len(chunk)
                    out.write(chunk)
        return Packed(digest.hexdigest(), packed_bytes, size_of(raw))


def check_disk(file: BinaryIO, packed: Packed) -> None:
    """Read a packed disk, whole; ``HostError`` if it is not what it should be."""
    found = _unpacked(file, packed, _length)
    _check_length(found, packed)


def unpack_disk(file: Readable, packed: Packed, disk: Disk) -> None:
    """Let the disk begin with what is read from *file*, durably."""
    size_bytes = packed.disk_bytes or 0
    if disk.offers is not Offer.QCOW2:
        found = _unpacked(file, packed, lambda read: write_stream(read, size_bytes, disk.path))
        _check_length(found, packed)
        return
    with tempfile.TemporaryDirectory(dir=disk.aside) as aside:
        raw = Path(aside) / "disk"
        with raw.open("wb") as made:
            made.truncate(size_bytes)
        unpack_disk(file, packed, Disk(raw, Offer.FILE, disk.aside))
        qemu_img.fill(raw, disk.path, is_new=False)  # an interrupted try may have filled it


def _unpacked(file: Readable, packed: Packed, use: Callable[[BinaryIO], T]) -> T:
    """What comes of *use*, which reads the disk while it is unpacked."""
    ours, theirs = pipe()

    def used() -> T:
        with open(ours, "rb") as read:  # closed whatever happens: nobody waits for it then
            return use(read)

    with ThreadPoolExecutor(1) as user:
        result = user.submit(used)
        try:
            with _closing(theirs):
                feed(UNPACK, Path("/"), None, file, packed, stdout=theirs)
        except HostError:
            if result.exception() is None:
                raise  # else that is why nobody read on
        return result.result()


@contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        close(descriptor)


def _length(stream: BinaryIO) -> int:
    return sum(map(len, iter(lambda: stream.read(CHUNK_BYTES), b"")))


def _check_length(found: int, packed: Packed) -> None:
    if found != packed.disk_bytes:
        raise HostError(f"the archive is damaged: a disk of {packed.disk_bytes} bytes has {found}")


def _pour(raw: Path, stdin: IO[bytes], moved: Callable[[int], None]) -> None:
    try:
        with suppress(BrokenPipeError):  # it says why as it ends
            for chunk in chunks(raw):
                stdin.write(chunk)
                moved(len(chunk))
    finally:
        with suppress(BrokenPipeError):
            stdin.close()


@contextmanager
def _meanwhile(process: subprocess.Popen[bytes], work: Callable[[], None]) -> Iterator[None]:
    """Feed a process in a thread; raise what that raised. It never waits for one that ended."""
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(work)
        try:
            yield
        except BaseException:
            process.kill()
            raise
        done.result()


def disk_bytes(disk: Disk) -> int:
    """How large the disk is for a guest."""
    return qemu_img.size_of(disk.path) if disk.offers is Offer.QCOW2 else size_of(disk.path)


@contextmanager
def raw_disk(disk: Disk) -> Iterator[Path]:
    """The disk itself, or a raw copy of it."""
    if disk.offers is not Offer.QCOW2:
        yield disk.path
        return
    with tempfile.TemporaryDirectory(dir=disk.aside) as aside:
        qemu_img.read(disk.path, Path(aside) / "disk")
        yield Path(aside) / "disk"
