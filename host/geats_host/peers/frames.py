"""What a volume is on its way: frames, each with the digest of what it contains, and an end.

A stream that is interrupted has no end, and one that was changed has a wrong digest: both are
``HostError`` when they are read, and nothing that was not checked is ever given out.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from geats_host.errors import HostError
from geats_host.streams.meters import Readable

HEAD = struct.Struct(">QI32s")  # number, length, digest
END = 2**64 - 1  # the number of the last frame, which contains nothing
LARGEST_BYTES = 2**24
CUT = "the connection ended before all was there: the same command goes on where it ended"


@dataclass(frozen=True, slots=True)
class Frame:
    """A part of a volume; ``digest`` is that of ``data``, at the END that of the whole."""

    number: int
    data: bytes
    digest: bytes


def write_frame(out: IO[bytes], frame: Frame) -> None:
    """Write one frame."""
    out.write(HEAD.pack(frame.number, len(frame.data), frame.digest))
    out.write(frame.data)


def read_frames(stream: Readable) -> Iterator[Frame]:
    """Every frame up to the END, which is the last."""
    while True:
        number, length, digest = HEAD.unpack(_exactly(stream, HEAD.size))
        if length > LARGEST_BYTES:
            raise HostError("what came is not from geats, or was changed on the way")
        frame = Frame(number, _exactly(stream, length), digest)
        if number != END and hashlib.sha256(frame.data).digest() != digest:
            raise HostError("what came has another checksum than what was sent")
        yield frame
        if number == END:
            return


def _exactly(stream: Readable, count: int) -> bytes:
    found = bytearray()
    while len(found) < count:
        more = stream.read(count - len(found))
        if not more:
            raise HostError(CUT)
        found += more
    return bytes(found)


@dataclass(slots=True)
class FramesOut:
    """A file that puts what is written to it into frames; ``end`` writes the last one."""

    out: IO[bytes]
    number: int = 0
    whole: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def write(self, data: bytes) -> int:
        """Write one frame, or several."""
        for at in range(0, len(data), LARGEST_BYTES):
            part = data[at : at + LARGEST_BYTES]
            frame = Frame(self.number, part, hashlib.sha256(part).digest())
            self.whole.update(frame.digest)
            write_frame(self.out, frame)
            self.number += 1
        return len(data)

    def end(self) -> None:
        """Say that this was all."""
        write_frame(self.out, Frame(END, b"", self.whole.digest()))


@dataclass(slots=True)
class FramesIn:
    """A file with what ``FramesOut`` was given; only what was checked is read from it."""

    frames: Iterator[Frame]
    left: bytes = b""
    number: int = 0
    whole: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    is_at_end: bool = False

    def read(self, count: int) -> bytes:
        """At most *count* bytes; none at the end."""
        while not self.left and not self.is_at_end:
            self._next()
        found, self.left = self.left[:count], self.left[count:]
        return found

    def _next(self) -> None:
        frame = next(self.frames)
        if frame.number == END:
            self.is_at_end = True
            if frame.digest != self.whole.digest():
                raise HostError("what came has another checksum than what was sent")
            return
        if frame.number != self.number:
            raise HostError("what came is not in order")
        self.number += 1
        self.whole.update(frame.digest)
        self.left = frame.data
