"""Between ranges of ids, a volume is copied through an archive: with all that is in it."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from geats_host.archives import volume_copies
from geats_host.archives.volume_archives import Tree, pack, unpack
from geats_host.archives.volume_copies import copy_volume
from geats_host.guest_trees import tree_copies
from geats_host.streams import meters

MIB = 1 << 20


@pytest.mark.parametrize("every_file", [True, False])
def test_a_folder_of_the_name_dev_is_left_out_unless_every_file_is_asked_for(
    tmp_path: Path, every_file: bool
) -> None:
    old, new, out = tmp_path / "old", tmp_path / "new", io.BytesIO()
    (old / "dev").mkdir(parents=True)
    (old / "dev/project").write_text("mine")
    new.mkdir()
    packed = pack(Tree(old), out, every_file=True)
    out.seek(0)
    unpack(out, packed, Tree(new), every_file=every_file)
    assert os.listdir(new / "dev") == ["project"] * every_file
    less = pack(Tree(old), io.BytesIO(), every_file=every_file)
    assert (less == packed) is every_file


def test_it_is_told_how_far_a_copy_is_and_then_the_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, told = tmp_path / "old", tmp_path / "new", list[str]()
    (old / "folder").mkdir(parents=True)
    new.mkdir()
    (old / "data").write_bytes(b"x" * MIB)
    os.link(old / "data", old / "folder/again")
    os.truncate(old / "data", 3 * MIB)

    with meters.metered(told):
        meter, comparing = meters.of(told), volume_copies._tree_sum
        assert meter is not None

        def compared(tree: Tree, other: Tree) -> str:
            said = comparing(tree, other)
            told.append(f"{meter.doing} {meter.seen()} of {meter.total_bytes}")
            return said

        def copied(from_: int, to: int, moved: Callable[[int], None]) -> None:
            tree_copies.copy(from_, to, moved)
            told.append(f"{meter.doing} {meter.seen()} of {meter.total_bytes}")

        monkeypatch.setattr(volume_copies, "_tree_sum", compared)
        monkeypatch.setattr(volume_copies, "copy", copied)
        copy_volume(Tree(old), Tree(new))
    both = f"comparing {6 * MIB} of {6 * MIB}"
    assert told == [f" {3 * MIB} of {3 * MIB}", both, both]
