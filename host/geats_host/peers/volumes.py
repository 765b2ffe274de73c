"""The content of a volume, sent to another host and received there.

Theory of operation
-------------------
Of a disk, the host that receives it says what it has already, piece by piece, and only what differs
is sent: so one that was interrupted goes on, and one that is there is only compared. A disk of
QEMU's own format is read, and written, through a raw file beside it, which is gone afterwards; a
tree is sent as a stream of tar. Both begin anew if they are cut. What was received is durable, and
was checked against what the other host read.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, assert_never

from geats_core.planning.offers import Offer
from geats_host.archives.disk_archives import Disk, raw_disk
from geats_host.archives.vm_archives import Content
from geats_host.archives.volume_archives import Tree, pack, unpack
from geats_host.errors import HostError
from geats_host.linux import qemu_img
from geats_host.linux.disks import opened
from geats_host.peers import disk_pieces
from geats_host.peers.frames import END, Frame, FramesIn, FramesOut, read_frames, write_frame
from geats_host.streams.meters import Readable

HAD = 40  # bytes for each piece that the receiver has: its number, and its digest


def had(content: Content) -> bytes:
    """What the receiver has of a volume already, in the form in which the sender is told."""
    match content:
        case Disk(path, offers) if offers is not Offer.QCOW2:
            found = disk_pieces.digests(path)
            return b"".join(number.to_bytes(8, "big") + found[number] for number in sorted(found))
        case _:
            return b""


def send(content: Content, had_there: bytes, out: IO[bytes]) -> None:
    """Write what the receiver does not have."""
    match content:
        case Disk():
            with raw_disk(content) as raw:
                _send_disk(raw, _read_had(had_there), out)
        case Tree() | None:
            frames = FramesOut(out)
            if content is not None:
                pack(content, frames)
            frames.end()
        case _:
            assert_never(content)


def receive(content: Content, had_here: bytes, stream: Readable, disk_bytes: int | None) -> None:
    """Replace the content of the volume by what is sent, durably.

    *disk_bytes* is how large the disk is there; None if it is a tree.
    """
    if isinstance(content, Disk) is not (disk_bytes is not None) and content is not None:
        raise HostError("what the other host has is of another kind than the volume")
    match content:
        case Disk(path, Offer.QCOW2, aside):
            with tempfile.TemporaryDirectory(dir=aside) as folder:
                raw = Path(folder) / "disk"
                with raw.open("wb") as made:
                    made.truncate(disk_bytes or 0)
                _receive_disk(raw, {}, stream)
                qemu_img.fill(raw, path, is_new=False)
        case Disk(path):
            _receive_disk(path, _read_had(had_here), stream)
        case Tree():
            frames = FramesIn(read_frames(stream))
            unpack(frames, None, content)
            while frames.read(HAD):
                pass  # what comes after the end of the tree is checked as well
        case None:
            for frame in read_frames(stream):
                if frame.number != END:
                    raise HostError("files came for a volume that exists in memory only")
        case _:
            assert_never(content)


def _send_disk(raw: Path, there: dict[int, bytes], out: IO[bytes]) -> None:
    found: dict[int, bytes] = {}
    for number, piece in disk_pieces.pieces(raw):
        digest = found[number] = disk_pieces.digest_of(piece)
        if there.pop(number, b"") != digest:
            write_frame(out, Frame(number, piece, digest))
    for number in sorted(there):  # what is zero here
        write_frame(out, Frame(number, b"", disk_pieces.digest_of(b"")))
    write_frame(out, Frame(END, b"", disk_pieces.digest_of_all(found)))


def _receive_disk(path: Path, here: dict[int, bytes], stream: Readable) -> None:
    with opened(path, os.O_RDWR) as file:
        for frame in read_frames(stream):
            if frame.number == END:
                os.fsync(file)
                if frame.digest != disk_pieces.digest_of_all(here):
                    raise HostError(f"{path}: contains something else than what was sent")
                return
            disk_pieces.write_piece(file, frame.number, frame.data)
            if frame.data:
                here[frame.number] = frame.digest
            else:
                here.pop(frame.number, None)


def _read_had(said: bytes) -> dict[int, bytes]:
    parts = (said[at : at + HAD] for at in range(0, len(said), HAD))
    found: Mapping[int, bytes] = {int.from_bytes(part[:8], "big"): part[8:] for part in parts}
    return dict(found)
