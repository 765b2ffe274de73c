"""Files that share content until one is written to, if they can: on xfs and btrfs, not on ext4."""

import fcntl
import os
import stat
import struct
from contextlib import suppress
from pathlib import Path

from geats_host.guest_trees.guest_files import openat2
from geats_host.guest_trees.trees import READ, WITHIN, walk
from geats_host.linux.run import run

COPY_TIMEOUT_S = 3600
FICLONE = 0x40049409  # linux/fs.h
FS_IOC_FIEMAP = 0xC020660B
FIEMAP_FLAG_SYNC = 1
EXTENT_LAST, EXTENT_SHARED = 0x1, 0x2000  # linux/fiemap.h
HEADER = struct.Struct("=QQIIII")
EXTENT = struct.Struct("=QQQQQIIII")
EXTENTS_AT_ONCE = 512


def can_share(directory: Path) -> bool:
    """Whether files in *directory* can share their content; two that have no name try it."""
    flags = os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC
    descriptors: list[int] = []
    with suppress(OSError):
        try:
            descriptors += [os.open(directory, flags, 0o600), os.open(directory, flags, 0o600)]
            fcntl.ioctl(descriptors[1], FICLONE, descriptors[0])
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True
    return False


def copy_file(source: int, target: int) -> None:
    """Copy *source* to the empty file *target*: shared, else copied with its holes."""
    with suppress(OSError):
        fcntl.ioctl(target, FICLONE, source)
        return
    paths = [f"/proc/{os.getpid()}/fd/{descriptor}" for descriptor in (source, target)]
    argv = ["cp", "--sparse=always", "--reflink=auto", "--", *paths]
    run(argv, timeout_s=COPY_TIMEOUT_S, ends_with_us=True)


def own_bytes(file: int) -> int:
    """How much space an open file takes that no other file shares."""
    try:
        return sum(length for length, shared in _extents(file) if not shared)
    except OSError:  # tmpfs does not tell
        found = os.stat(file)
        return found.st_blocks * 512 if stat.S_ISREG(found.st_mode) else 0


def own_bytes_below(directory: int) -> int:
    """The same of all files in a tree; one that goes away meanwhile takes none."""
    total = 0
    for entry in walk(directory, lambda _: True):
        if stat.S_ISREG(entry.found.st_mode):
            with suppress(FileNotFoundError):
                file = openat2(entry.parent, entry.name, READ, WITHIN)
                try:
                    total += own_bytes(file)
                finally:
                    os.close(file)
    return total


def _extents(file: int) -> list[tuple[int, bool]]:
    found: list[tuple[int, bool]] = []
    start = 0
    while True:
        header = HEADER.pack(start, 2**64 - 1 - start, FIEMAP_FLAG_SYNC, 0, EXTENTS_AT_ONCE, 0)
        asked = bytearray(header + bytes(EXTENT.size * EXTENTS_AT_ONCE))
        fcntl.ioctl(file, FS_IOC_FIEMAP, asked)
        mapped = HEADER.unpack_from(asked)[3]
        flags = 0
        for number in range(mapped):
            at = HEADER.size + number * EXTENT.size
            logical, _, length, _, _, flags, _, _, _ = EXTENT.unpack_from(asked, at)
            found.append((length, bool(flags & EXTENT_SHARED)))
            start = logical + length
        if not mapped or flags & EXTENT_LAST:
            return found
