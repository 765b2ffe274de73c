"""Disk images: what is wrong with one, and how large its disk is, by its header alone."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from geats_core.declared.template import DiskFormat
from geats_core.foreign.qcow2 import HEADER_BYTES, disk_bytes
from geats_host.errors import HostError, sound
from geats_host.linux import qemu_img
from geats_host.templates.digests import Identity, identity_of
from geats_host.templates.tarballs import problems_of_checksum


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
    except HostError as error:
        yield from str(error).splitlines()
