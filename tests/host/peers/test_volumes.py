"""Volumes on the way: disks become the same, whatever was there; wrong streams are errors."""

from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geats_core.planning.offers import Offer
from geats_host.archives.disk_archives import Disk
from geats_host.errors import HostError
from geats_host.peers import disk_pieces
from geats_host.peers.frames import FramesIn, FramesOut, read_frames
from geats_host.peers.volumes import had, receive, send

SMALL = 4096
contents = st.lists(st.sampled_from([b"\0", b"a", b"b"]), max_size=6).map(
    lambda parts: b"".join(part * SMALL for part in parts)
)


def disk(path: Path, content: bytes, size: int) -> Disk:
    path.write_bytes(content)
    with path.open("r+b") as file:
        file.truncate(size)
    return Disk(path, Offer.FILE, path.parent)


@settings(max_examples=60, deadline=None)
@given(contents, contents)
def test_a_disk_becomes_what_the_other_is_whatever_it_was(
    tmp_path_factory: pytest.TempPathFactory, theirs: bytes, ours: bytes
) -> None:
    folder = tmp_path_factory.mktemp("disks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk_pieces, "PIECE_BYTES", 2 * SMALL)
        size = 7 * SMALL
        source, target = disk(folder / "a", theirs, size), disk(folder / "b", ours, size + SMALL)
        sent, here = BytesIO(), had(target)
        send(source, here, sent)
        sent.seek(0)
        receive(target, here, sent, size)
        assert target.path.read_bytes() == theirs.ljust(size + SMALL, b"\0")
        again = BytesIO()
        send(source, had(target), again)
        assert len(again.getvalue()) < 100


def test_a_disk_that_is_too_small_is_told(tmp_path: Path) -> None:
    source, target = disk(tmp_path / "a", b"x" * SMALL, SMALL), disk(tmp_path / "b", b"", 10)
    sent = BytesIO()
    send(source, b"", sent)
    sent.seek(0)
    with pytest.raises(HostError, match="too small"):
        receive(target, b"", sent, SMALL)


def test_a_disk_does_not_become_a_tree(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="of another kind"):
        receive(disk(tmp_path / "b", b"", 10), b"", BytesIO(), None)


def stream() -> bytes:
    out = BytesIO()
    frames = FramesOut(out)
    frames.write(b"one")
    frames.write(b"two")
    frames.end()
    return out.getvalue()


def everything(raw: bytes) -> bytes:
    frames = FramesIn(read_frames(BytesIO(raw)))
    return b"".join(iter(lambda: frames.read(2), b""))


def test_a_stream_is_read_whole() -> None:
    assert everything(stream()) == b"onetwo"


def test_a_stream_that_is_cut_anywhere_is_an_error() -> None:
    for length in range(len(stream())):
        with pytest.raises(HostError, match="ended before all was there"):
            everything(stream()[:length])


def test_a_stream_that_was_changed_is_an_error() -> None:
    raw, frame = stream(), 44 + 3
    swapped = raw[frame : 2 * frame] + raw[:frame] + raw[2 * frame :]
    for wrong in (raw.replace(b"two", b"twO"), swapped, raw[:frame] + raw[2 * frame :], b"x" * 99):
        with pytest.raises(HostError):
            everything(wrong)
