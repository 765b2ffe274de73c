"""A guest whose memory and disk are full, so that it takes a while to send it elsewhere.

It is the tiny guest, but for what it does first: it writes to ``FULL_BYTES`` of its memory. What is
zero would be sent in no time.
"""

from pathlib import Path
from random import Random

from geats_host.testing.tiny_guest import GUEST

FULL_BYTES = 48 << 20
FIRST, WORD = 1 << 20, 0x5EED5EED
BOOT = 0x7C00  # where the BIOS puts the sector
# 16-bit code: let es reach all of the memory, by way of protected mode; then fill it.
FILL = (
    "fa 31c0 8ed8 0f0116 {table}"  # cli; xor ax, ax; mov ds, ax; lgdt [table]
    "0f20c0 0c01 0f22c0"  # mov eax, cr0; or al, 1; mov cr0, eax
    "bb0800 8ec3"  # mov bx, 8; mov es, bx
    "24fe 0f22c0"  # and al, 0xfe; mov cr0, eax
    "66bf {first} 66b9 {count} 66b8 {word}"  # mov edi, FIRST; mov ecx, count; mov eax, WORD
    "fc f3 67 66 ab"  # cld; rep stosd
)
SEGMENTS = bytes.fromhex("0000000000000000 ffff000000 92 cf 00")  # none; all, to be written


def _sector() -> bytes:
    """The table of segments comes after the code, and what is said of it after that."""
    four = {"first": FIRST, "count": FULL_BYTES // 4, "word": WORD}
    said = {key: each.to_bytes(4, "little").hex() for key, each in four.items()}
    length = len(bytes.fromhex(FILL.format(table="0000", **said))) + len(GUEST)
    at = (BOOT + length + len(SEGMENTS)).to_bytes(2, "little").hex()
    code = bytes.fromhex(FILL.format(table=at, **said)) + GUEST
    where = (BOOT + length).to_bytes(4, "little")
    return code + SEGMENTS + (len(SEGMENTS) - 1).to_bytes(2, "little") + where


def disk(path: Path, size_bytes: int) -> Path:
    """Make a raw image of a disk with that guest, and with noise up to its end."""
    noise = Random(1).randbytes(size_bytes - 512)
    path.write_bytes(_sector().ljust(510, b"\0") + b"\x55\xaa" + noise)
    return path
