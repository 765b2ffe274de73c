"""The header of a disk image in QEMU's format qcow2: how large its disk is, and whether it is safe.

An image can name other files of the host that reads it, as its backing file or for its data: files
of the host would be in the guest then (CVE-2024-32498). So the header is judged here, before any
program reads the image, and what is not known to be harmless is refused. See
https://www.qemu.org/docs/master/interop/qcow2.html.
"""

import struct
from collections.abc import Iterable

from returns.result import Failure, Success

from geats_core.reading.checked import Checked, Problem, problem
from geats_core.reading.sizes import format_size

MAGIC = b"QFI\xfb"
HEADER = struct.Struct(">4sIQIIQIIQQIIQ")  # of version 2; version 3 goes on with features
FEATURES = struct.Struct(">Q")
HEADER_BYTES = HEADER.size + FEATURES.size  # all that is looked at
DIRTY, CORRUPT, OTHER_FILE, COMPRESSION, SUBCLUSTERS = (1 << bit for bit in range(5))
HARMLESS = DIRTY | COMPRESSION | SUBCLUSTERS
CLUSTER_BITS = range(9, 22)
SECTOR_BYTES = 512
LARGEST_DISK = 2**46  # 64 TiB: no disk is larger, but an image can say that it is


def disk_bytes(path: str, header: bytes) -> Checked[int]:
    """The size of the disk in an image, from its first ``HEADER_BYTES`` bytes; *path* names it."""
    if not header.startswith(MAGIC):
        return problem(path, "is not an image in the format qcow2")
    if len(header) < HEADER_BYTES:
        return problem(path, "is truncated: a part of its header is missing")
    found = tuple(Problem(path, message) for message in _wrong(header))
    _, _, _, _, _, size_bytes, *_ = HEADER.unpack_from(header)
    return Failure(found) if found else Success(int(size_bytes))


def _wrong(header: bytes) -> Iterable[str]:
    """All that is wrong with a whole header."""
    _, version, backing, _, cluster_bits, size_bytes, encrypted, *_ = HEADER.unpack_from(header)
    (features,) = FEATURES.unpack_from(header, HEADER.size) if version > 2 else (0,)
    if version not in (2, 3):
        yield f"must be of version 2 or 3 of qcow2, got {version}"
        return
    if backing:
        yield "has a backing file, which would be read from this host: flatten it first"
    if encrypted:
        yield "is encrypted"
    if features & OTHER_FILE:
        yield "has its data in another file, which would be read from this host"
    if features & CORRUPT:
        yield "is marked as corrupt"
    if features & ~(HARMLESS | OTHER_FILE | CORRUPT):
        yield "uses features of qcow2 that are not known"
    if cluster_bits not in CLUSTER_BITS:
        yield f"has clusters of 2^{cluster_bits} bytes"
    if not 0 < size_bytes <= LARGEST_DISK or size_bytes % SECTOR_BYTES:
        sizes = f"at most {format_size(LARGEST_DISK)} in sectors of {SECTOR_BYTES} bytes"
        yield f"must contain a disk of {sizes}, got {size_bytes} bytes"
