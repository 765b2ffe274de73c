"""Between ranges of ids, a volume is copied through an archive: with all that is in it."""

import io
import os
from pathlib import Path

import pytest

from geats_host.archives.volume_archives import Tree, pack, unpack


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
