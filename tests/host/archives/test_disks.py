"""Disks in archives: whole, or not at all, and nobody waits for what does not come."""

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest

from geats_core.planning.offers import Offer
from geats_host.archives.disk_archives import Disk, check_disk, pack_disk, unpack_disk
from geats_host.archives.volume_archives import Packed
from geats_host.errors import HostError
from geats_host.linux import qemu_img
from tests.host.templates.disks import MIB, qcow2_disk, raw_disk


def file_of(path: Path, size_bytes: int) -> Disk:
    with path.open("wb") as made:
        made.truncate(size_bytes)
    return Disk(path, Offer.FILE, path.parent)


def packed(disk: Disk) -> tuple[io.BytesIO, Packed]:
    out = io.BytesIO()
    found = pack_disk(disk, out)
    out.seek(0)
    return out, found


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(raw_disk(tmp_path / "disk"), Offer.FILE, tmp_path)


def test_a_disk_comes_out_as_it_went_in(disk: Disk, tmp_path: Path) -> None:
    file, found = packed(disk)
    check_disk(file, found)
    file.seek(0)
    target = file_of(tmp_path / "target", 5 * MIB)
    unpack_disk(file, found, target)
    assert found.disk_bytes == 4 * MIB
    assert target.path.read_bytes() == disk.path.read_bytes() + bytes(MIB)
    assert target.path.stat().st_blocks <= disk.path.stat().st_blocks


def test_one_in_the_format_of_qemu_does_as_well(tmp_path: Path) -> None:
    image = Disk(qcow2_disk(tmp_path / "image"), Offer.QCOW2, tmp_path)
    file, found = packed(image)
    back = Disk(tmp_path / "back", Offer.QCOW2, tmp_path)
    qemu_img.create(back.path, 4 * MIB)
    unpack_disk(file, found, back)
    raw = raw_disk(tmp_path / "raw")
    qemu_img.read(back.path, tmp_path / "read")
    assert (tmp_path / "read").read_bytes() == raw.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"image", "back", "raw", "read"}


def test_what_is_damaged_is_told(disk: Disk, tmp_path: Path) -> None:
    file, found = packed(disk)
    content = bytearray(file.getvalue())
    content[len(content) // 2] ^= 1
    target = file_of(tmp_path / "target", 4 * MIB)
    with pytest.raises(HostError):
        check_disk(io.BytesIO(content), found)
    with pytest.raises(HostError):
        unpack_disk(io.BytesIO(content), found, target)
    with pytest.raises(HostError, match="checksum is different"):
        check_disk(io.BytesIO(file.getvalue()), replace(found, sha256="0" * 64))


@pytest.mark.parametrize("disk_bytes", [3 * MIB, 5 * MIB])
def test_a_disk_of_another_length_than_the_archive_says_is_damaged(
    disk: Disk, tmp_path: Path, disk_bytes: int
) -> None:
    file, found = packed(disk)
    lied = replace(found, disk_bytes=disk_bytes)
    with pytest.raises(HostError, match="the archive is damaged: a disk of"):
        check_disk(file, lied)
    file.seek(0)
    target = file_of(tmp_path / "target", 8 * MIB)
    with pytest.raises(HostError, match=r"is not made larger than|the archive is damaged"):
        unpack_disk(file, lied, target)


def test_nobody_waits_for_a_target_that_is_too_small(tmp_path: Path) -> None:
    """With more than fits into any pipe."""
    source = tmp_path / "source"
    source.write_bytes(os.urandom(4 * MIB))
    file, found = packed(Disk(source, Offer.FILE, tmp_path))
    with pytest.raises(HostError, match="a disk of 4MiB does not fit into 1MiB"):
        unpack_disk(file, found, file_of(tmp_path / "target", MIB))


def test_nobody_waits_for_an_archive_that_cannot_be_written(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(4 * MIB))

    class Full(io.BytesIO):
        def write(self, *_: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        pack_disk(Disk(source, Offer.FILE, tmp_path), Full())


def test_a_disk_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="No such file"):
        pack_disk(Disk(tmp_path / "gone", Offer.FILE, tmp_path), io.BytesIO())
