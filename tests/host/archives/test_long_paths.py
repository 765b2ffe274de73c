"""A path that a guest can make, and no archive can bring back, is refused before it is packed."""

import io
import os
from pathlib import Path

import pytest

from geats_host.archives import volume_archives
from geats_host.archives.volume_archives import Tree, check, pack, unpack
from geats_host.errors import HostError

STEP = "d" * 199 + "\n"
SAID = r"it contains a path of {} bytes; one of more than 4095 cannot be unpacked: .* below \./dd"


def deep(top: Path, steps: int) -> Path:
    """A tree with a file at the end of a path that only its own guest can make."""
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(steps):
        os.mkdir(STEP, dir_fd=here)
        below = os.open(STEP, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.symlink("/" + "x" * 4000, "link", dir_fd=here)
    os.close(here)
    return top


def test_a_path_that_can_be_unpacked_is_packed_and_comes_back(tmp_path: Path) -> None:
    tree, out = Tree(deep(tmp_path / "source", 20)), io.BytesIO()
    packed = pack(tree, out)
    (tmp_path / "target").mkdir()
    out.seek(0)
    check(out, packed)
    out.seek(0)
    unpack(out, packed, Tree(tmp_path / "target"))
    assert at_the_end(tmp_path / "target", 20) == ["file", "link"]


def at_the_end(top: Path, steps: int) -> list[str]:
    here = os.open(top, os.O_RDONLY)
    for _ in range(steps):
        below = os.open(STEP, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    try:
        return sorted(os.listdir(here))
    finally:
        os.close(here)


@pytest.mark.parametrize("steps", [21, 90])
def test_a_path_that_cannot_be_unpacked_is_refused_before_anything_is_written(
    tmp_path: Path, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, out = Tree(deep(tmp_path / "source", steps)), io.BytesIO()
    said = SAID.format(len("./file") + steps * (len(STEP) + 1))
    with pytest.raises(HostError, match=said):
        pack(tree, out)
    assert out.getvalue() == b""

    monkeypatch.setattr(volume_archives, "_longest_below", lambda _: b"")  # as an older geats did
    packed = pack(tree, out)
    out.seek(0)
    with pytest.raises(HostError, match=said):
        check(out, packed)
