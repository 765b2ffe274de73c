"""Disk images: what is wrong with one, and how large its disk is, by its header alone."""

import os
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from geats_core.declared.template import DiskFormat
from geats_core.foreign.qcow2 import HEADER_BYTES, MAGIC, disk_bytes
from geats_core.reading.values import dataclass
from geats_host.errors import HostError, sound
from geats_host.linux import qemu_img
from geats_host.templates.digests import Identity, identity_of
from geats_host.templates.tarballs import problems_of_checksum

NOT_RAW = {  # how files begin that no machine starts from: they were meant to be another thing
    MAGIC: "an image in the format qcow2",
    b"KDMV": "an image in the format vmdk: convert it",
    b"vhdxfile": "an image in the format vhdx: convert it",
    b"\xfd7zXZ\0": "compressed by xz: decompress it",
    b"\x1f\x8b\x08": "compressed by gzip: decompress it",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: decompress it",
}
LONGEST_MAGIC = max(map(len, NOT_RAW))


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a file of the host."""

    path: Path
    format: DiskFormat


def problems_of_image(image: Image, sha256: str | None) -> tuple[str, ...]:
    """All that is wrong with an image; it is read whole if a digest is given."""
    path = f"{image.path}"
    try:
        found = os.stat(path)
    except OSError as error:
        return (f"cannot be read: {error.strerror}: {path!r}",)
    if not stat.S_ISREG(found.st_mode):
        return (f"must be a regular file, got {path!r}",)
    return _problems(image, sha256, identity_of(found))


def size_of(image: Image) -> int:
    """How large the disk in an image is, in bytes; ``HostError`` for an image that is not sound."""
    try:
        with _opened(image.path) as file:
            if image.format is DiskFormat.QCOW2:
                return sound(disk_bytes(f"{image.path}", file.read(HEADER_BYTES)))
            size_bytes = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise HostError(f"{image.path}: {error.strerror}") from None
    if not size_bytes:
        raise HostError(f"{image.path}: is empty")
    return size_bytes


def _opened(path: Path) -> BinaryIO:
    """To read it; nothing that a FIFO or a device would make wait."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise HostError(f"{path}: is not a regular file")
    return file


@lru_cache(maxsize=64)
def _problems(image: Image, sha256: str | None, _: Identity) -> tuple[str, ...]:
    return (*problems_of_checksum(f"{image.path}", sha256), *_problems_of_format(image))


def _problems_of_format(image: Image) -> Iterator[str]:
    if image.format is DiskFormat.QCOW2 and not qemu_img.is_installed():
        yield qemu_img.missing()
    try:
        size_of(image)
        with _opened(image.path) as file:
            begin = file.read(LONGEST_MAGIC) if image.format is DiskFormat.RAW else b""
    except HostError as error:
        yield from str(error).splitlines()
        return
    for magic, is_what in NOT_RAW.items():
        if begin.startswith(magic):
            yield f"{image.path}: is {is_what}, and declared as format: raw"
