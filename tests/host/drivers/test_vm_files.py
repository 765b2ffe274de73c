"""The files of a VM are read whole, or not at all."""

from pathlib import Path

import pytest

from geats_host.drivers import vm_files
from geats_host.drivers.vm_files import LARGEST, USUAL


@pytest.mark.parametrize("size", [0, 1, USUAL - 1, USUAL, USUAL + 1, LARGEST])
def test_a_file_is_read_whole(tmp_path: Path, size: int) -> None:
    (tmp_path / "record").write_bytes(b"x" * size)
    assert vm_files.read(tmp_path, "record") == "x" * size


def test_what_is_too_large_or_no_plain_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (LARGEST + 1))
    (tmp_path / "link").symlink_to("large")
    (tmp_path / "folder").mkdir()
    found = [vm_files.read(tmp_path, name) for name in ("large", "link", "folder", "absent")]
    assert found == [None] * 4
