"""Disks in pieces, to bring one up to date with another: only pieces that differ have to travel.

A piece is known by its number, and is what it contains without the zeros at its end. A piece of
zeros only is nothing: holes are neither read nor written. So disks of different sizes can be
compared.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from geats_host.errors import HostError
from geats_host.linux.disks import data_ranges, opened, write_what_differs

PIECE_BYTES = 2**22


def pieces(disk: Path) -> Iterator[tuple[int, bytes]]:
    """Every piece that contains something, in order."""
    with opened(disk, os.O_RDONLY) as file:
        end, done = os.lseek(file, 0, os.SEEK_END), -1
        for start, hole in data_ranges(file, end):
            for number in range(max(start // PIECE_BYTES, done + 1), -(-hole // PIECE_BYTES)):
                done = number
                if piece := _read(file, number).rstrip(b"\0"):
                    yield number, piece


def digest_of(piece: bytes) -> bytes:
    """By which a piece is compared."""
    return hashlib.sha256(piece).digest()


def digests(disk: Path) -> dict[int, bytes]:
    """The digest of every piece that contains something."""
    return {number: digest_of(piece) for number, piece in pieces(disk)}


def digest_of_all(found: Mapping[int, bytes]) -> bytes:
    """The digest of a whole disk, from those of its pieces."""
    whole = hashlib.sha256()
    for number in sorted(found):
        whole.update(number.to_bytes(8, "big") + found[number])
    return whole.digest()


def write_piece(file: int, number: int, piece: bytes) -> None:
    """Let the piece of an open disk be *piece*, and zeros; what is so already is not written."""
    there = _read(file, number)
    if len(piece) > min(len(there), PIECE_BYTES):
        raise HostError(f"the disk is too small for what is at byte {number * PIECE_BYTES}")
    write_what_differs(file, piece.ljust(len(there), b"\0"), there, number * PIECE_BYTES)


def _read(file: int, number: int) -> bytes:
    """A whole piece; the last one of a disk may be shorter."""
    found, at = bytearray(), number * PIECE_BYTES
    while len(found) < PIECE_BYTES:
        more = os.pread(file, PIECE_BYTES - len(found), at + len(found))
        if not more:
            break
        found += more
    return bytes(found)
