"""The content of a volume is the same in another pool, in all that a guest sees of it."""

import os
import subprocess
from pathlib import Path

import pytest

from geats_core.planning.offers import Offer
from geats_host.archives.disk_archives import Disk
from geats_host.archives.volume_archives import Tree
from geats_host.archives.volume_copies import copy_volume
from geats_host.errors import HostError
from geats_host.guest_trees.tree_digests import digest
from tests.real.conftest import open_folder


def guests_tree(path: Path, shifted_by: int = 0) -> Path:
    """What is hard to copy: links, holes, owners, attributes, a pipe, odd names, a folder dev."""
    (path / "a").mkdir(parents=True)
    (path / "dev").mkdir()
    (path / "dev/project").touch()
    file = path / "a/file"
    file.write_bytes(b"hello")
    os.link(file, path / "again")
    (path / "link").symlink_to("/etc/passwd")
    os.mkfifo(path / "pipe")
    with (path / "hole").open("wb") as hole:
        hole.truncate(1 << 20)
    (path / "a/odd\nname").touch()
    os.setxattr(file, "user.x", b"y")
    for each in (path, *path.rglob("*")):
        os.chown(each, shifted_by, shifted_by, follow_symlinks=False)
    os.chown(file, shifted_by + 12, shifted_by + 34)
    file.chmod(0o4711)
    return path


def sum_of(path: Path, shifted_by: int = 0) -> str:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return digest(descriptor, shifted_by)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("shifted_by", [0, 100000])
def test_a_tree_is_copied_with_all_that_a_guest_sees(shifted_by: int) -> None:
    with open_folder() as folder:
        old, new = guests_tree(folder / "old"), folder / "new"
        new.mkdir()
        (new / "left").touch()  # of an interrupted try
        for each in (new, new / "left"):
            os.chown(each, shifted_by, shifted_by)
        copy_volume(Tree(old), Tree(new, shifted_by))
        assert sum_of(old) == sum_of(new, shifted_by)
        copied = (new / "a/file").stat()
        assert (copied.st_uid - shifted_by, copied.st_gid - shifted_by) == (12, 34)
        assert copied.st_ino == (new / "again").stat().st_ino
        assert not (new / "left").exists()
        assert (new / "hole").stat().st_blocks == 0


def test_trees_that_differ_in_anything_have_other_sums(tmp_path: Path) -> None:
    path = guests_tree(tmp_path / "tree")
    sums = [sum_of(path)]
    for change in (
        lambda: (path / "a/file").chmod(0o4710),
        lambda: os.chown(path / "link", 1, 1, follow_symlinks=False),
        lambda: os.setxattr(path / "a/file", "user.x", b"z"),
        lambda: (path / "link").unlink(),
        lambda: (path / "a/odd\nname").rename(path / "odd\nname"),
        lambda: (path / "hole").write_bytes(b"1" * (1 << 20)),
    ):
        change()
        sums.append(sum_of(path))
    assert len({*sums}) == len(sums)


@pytest.mark.parametrize("offers", [Offer.FILE, Offer.QCOW2])
def test_a_disk_is_copied_whole(tmp_path: Path, offers: Offer) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(os.urandom(1 << 20) + bytes(1 << 20))
    if offers is Offer.QCOW2:
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", new, "3M"], check=True)
    else:
        new.write_bytes(b"x" * (3 << 20))
    copy_volume(Disk(old, Offer.FILE, tmp_path), Disk(new, offers, tmp_path))
    if offers is Offer.QCOW2:
        raw = tmp_path / "raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", new, raw], check=True)
        new = raw
    assert new.read_bytes() == old.read_bytes() + bytes(1 << 20)


def test_what_cannot_be_the_same_is_refused(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(bytes(512))
    large = tmp_path / "large"
    large.write_bytes(bytes(1024))
    with pytest.raises(HostError, match="has less than"):
        copy_volume(Disk(large, Offer.FILE, tmp_path), Disk(small, Offer.FILE, tmp_path))
    with pytest.raises(HostError, match="different kinds"):
        copy_volume(Tree(tmp_path), Disk(small, Offer.FILE, tmp_path))
    with pytest.raises(HostError, match="No such file"):
        copy_volume(Tree(tmp_path / "nowhere"), Tree(tmp_path / "there"))
