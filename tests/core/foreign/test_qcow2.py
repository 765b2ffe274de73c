"""Headers of disk images: what is not known to be harmless is refused, whatever the bytes are."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core.foreign.qcow2 import HEADER, HEADER_BYTES, LARGEST_DISK, disk_bytes

MIB = 2**20


def header(
    *,
    magic: bytes = b"QFI\xfb",
    version: int = 3,
    backing: int = 0,
    cluster_bits: int = 16,
    size_bytes: int = MIB,
    encrypted: int = 0,
    features: int = 0,
) -> bytes:
    fixed = (magic, version, backing, 0, cluster_bits, size_bytes, encrypted)
    return HEADER.pack(*fixed, 1, 2 * MIB, MIB, 1, 0, 0) + struct.pack(">Q", features)


@pytest.mark.parametrize("version", [2, 3])
def test_a_plain_image_has_the_size_of_its_disk(version: int) -> None:
    assert disk_bytes("d", header(version=version)) == Success(MIB)
    assert disk_bytes("d", header(size_bytes=LARGEST_DISK)) == Success(LARGEST_DISK)


def test_features_that_others_have_to_know_are_harmless() -> None:
    """Left open, compressed by zstd, and with smaller parts of clusters."""
    assert disk_bytes("d", header(features=0b11001)) == Success(MIB)
    assert disk_bytes("d", header(version=2, features=2**63)) == Success(MIB)  # it has none


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (header(magic=b"QED\0"), "is not an image in the format qcow2"),
        (header(backing=0x130), "has a backing file, which would be read from this host"),
        (header(features=0b100), "has its data in another file, which would be read from this"),
        (header(encrypted=2), "is encrypted"),
        (header(features=0b10), "is marked as corrupt"),
        (header(features=0b100000), "uses features of qcow2 that are not known"),
        (header(version=1), "must be of version 2 or 3 of qcow2, got 1"),
        (header(version=4), "must be of version 2 or 3 of qcow2, got 4"),
        (header(cluster_bits=8), "has clusters of 2^8 bytes"),
        (header(cluster_bits=22), "has clusters of 2^22 bytes"),
        (header(size_bytes=0), "must contain a disk of at most 64TiB"),
        (header(size_bytes=MIB + 1), "must contain a disk of at most 64TiB"),
        (header(size_bytes=LARGEST_DISK + 512), "must contain a disk of at most 64TiB"),
        (header()[:-1], "is truncated: a part of its header is missing"),
        (b"", "is not an image in the format qcow2"),
    ],
)
def test_what_is_not_harmless_is_refused(wrong: bytes, why: str) -> None:
    (found,) = disk_bytes("d", wrong).failure()
    assert str(found).startswith(f"d: {why}")


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert len(disk_bytes("d", header(backing=1, encrypted=1, size_bytes=0)).failure()) == 3


@given(st.binary(max_size=HEADER_BYTES + 9) | st.binary().map(lambda rest: b"QFI\xfb" + rest))
def test_whatever_the_bytes_are_there_is_an_answer(raw: bytes) -> None:
    match disk_bytes("d", raw):
        case Success(size_bytes):
            assert 0 < size_bytes <= LARGEST_DISK
        case Failure(found):
            assert found
