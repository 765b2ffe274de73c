"""The directory pool never destroys what is not its own, and never loses what it was told."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError
from geats_host.storage import Pool, VolumeId, identity
from geats_host.storage.directory import open_pool

VOLUME = VolumeId("web01", "root")
INSTALLED = VolumeSeen(name="root", pool="", stage=Stage.INSTALLED, template="debian", guest="f")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "pool"


@pytest.fixture
def pool(root: Path) -> Pool:
    return open_pool({"path": str(root)}, None)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """Something of the host's, unharmed at the end of every test."""
    victim = tmp_path / "victim"
    (victim / "root" / "rootfs").mkdir(parents=True)
    (victim / "root" / "rootfs" / "precious").write_text("mine")
    yield victim
    assert (victim / "root" / "rootfs" / "precious").read_text() == "mine"


def filled(pool: Pool) -> Path:
    pool.allocate(VOLUME, None)
    pool.format(VOLUME)
    rootfs = pool.path(VOLUME)
    (rootfs / "file").write_text("a")
    return rootfs


def test_only_root_can_list_what_is_in_the_pool(pool: Pool, root: Path) -> None:
    before = os.umask(0o077)
    try:
        rootfs = filled(pool)
    finally:
        os.umask(before)
    modes = [path.stat().st_mode & 0o7777 for path in (root, root / "web01", rootfs.parent, rootfs)]
    assert modes == [0o711, 0o710, 0o711, 0o755]
    assert (rootfs.parent / "geats.json").stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize("umask", [0o077, 0])
def test_what_is_above_a_pool_is_passed_and_not_listed_whatever_the_umask(
    tmp_path: Path, umask: int
) -> None:
    tmp_path.chmod(0o750)
    before = os.umask(umask)
    try:
        filled(open_pool({"path": f"{tmp_path}/run/mounts/key"}, None))
    finally:
        os.umask(before)
    made = (tmp_path, *(tmp_path / each for each in ("run", "run/mounts", "run/mounts/key")))
    assert [path.stat().st_mode & 0o7777 for path in made] == [0o750, 0o711, 0o711, 0o711]


def test_only_the_guests_group_can_pass_into_a_vm(root: Path) -> None:
    filled(open_pool({"path": str(root), "guest_group": 100_000}, None))
    vm = (root / "web01").stat()
    assert (vm.st_uid, vm.st_gid, vm.st_mode & 0o7777) == (0, 100_000, 0o710)


def test_foreign_entries_are_passed_over_and_left(pool: Pool, root: Path) -> None:
    rootfs = filled(pool)
    for name in ("lost+found", "-upper", ".hidden"):
        (root / name / "root").mkdir(parents=True)
    (root / "plainfile").write_text("x")
    (root / "link").symlink_to(root / "web01")
    (rootfs.parent.parent / "Other").mkdir()
    before = sorted(root.rglob("*"))
    assert set(pool.observe()) == {VOLUME}
    assert sorted(root.rglob("*")) == before


def test_a_symlinked_vm_is_not_destroyed(pool: Pool, root: Path, victim: Path) -> None:
    root.mkdir()
    (root / "web01").symlink_to(victim)
    for call in (pool.destroy, pool.format, lambda v: pool.allocate(v, None)):
        with pytest.raises(HostError, match="symbolic link"):
            call(VOLUME)


def test_a_symlinked_volume_is_not_destroyed(pool: Pool, root: Path, victim: Path) -> None:
    (root / "web01").mkdir(parents=True)
    (root / "web01" / "root").symlink_to(victim / "root")
    for call in (pool.destroy, pool.format, lambda v: pool.allocate(v, None)):
        with pytest.raises(HostError, match="symbolic link"):
            call(VOLUME)


def test_a_symlinked_rootfs_is_not_followed(pool: Pool, root: Path, victim: Path) -> None:
    pool.allocate(VOLUME, None)
    (root / "web01" / "root" / "rootfs").symlink_to(victim / "root" / "rootfs")
    with pytest.raises(HostError, match="symbolic link"):
        pool.activate(VOLUME)
    assert pool.observe()[VOLUME].stage is Stage.ALLOCATED
    pool.destroy(VOLUME)
    assert pool.observe() == {}


def test_links_within_a_guest_are_removed_and_not_followed(pool: Pool, victim: Path) -> None:
    rootfs = filled(pool)
    (rootfs / "etc").symlink_to(victim)
    (rootfs / "sub").mkdir()
    (rootfs / "sub" / "up").symlink_to("../../../../../victim")
    os.mkfifo(rootfs / "fifo")
    pool.destroy(VOLUME)
    assert not rootfs.exists()


@pytest.mark.parametrize("where", [".", "rootfs", "rootfs/a b/mnt"])
def test_a_volume_with_a_mount_is_not_destroyed(pool: Pool, victim: Path, where: str) -> None:
    """Bind mounts on one filesystem too, which ``os.path.ismount`` does not see."""
    point = filled(pool).parent / where
    point.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", victim, point], check=True)
    try:
        with pytest.raises(HostError, match="is mounted"):
            pool.destroy(VOLUME)
    finally:
        subprocess.run(["umount", point], check=True)
    pool.destroy(VOLUME)
    assert pool.observe() == {}


def test_what_a_cut_destroy_left_is_nobody_elses_business(pool: Pool, root: Path) -> None:
    """Not even where it cannot be removed, as a guest's root can see to."""
    rootfs, other = filled(pool), VolumeId("other", "root")
    subprocess.run(["chattr", "+i", rootfs / "file"], check=True)
    try:
        with pytest.raises(HostError, match=r"not permitted .*rootfs/file"):
            pool.destroy(VOLUME)
        left = {VOLUME: VolumeSeen(name="root", pool="", stage=Stage.ALLOCATED)}
        assert pool.observe() == left
        pool.allocate(other, None)
        pool.destroy(other)
        assert pool.observe() == pool.observe(VOLUME) == left
        assert pool.used_bytes(VOLUME) > 0
        for work in (pool.destroy, pool.format):
            with pytest.raises(HostError, match=r"not permitted .*rootfs/file"):
                work(VOLUME)
    finally:
        subprocess.run(["chattr", "-i", *root.glob(".destroying-*/rootfs/file")], check=True)
    pool.destroy(VOLUME)
    assert [each.name for each in root.iterdir()] == [identity.FILE]


def test_an_empty_vm_directory_goes_with_its_last_volume(pool: Pool, root: Path) -> None:
    pool.allocate(VOLUME, None)
    pool.allocate(VolumeId("web01", "data"), None)
    pool.destroy(VOLUME)
    assert (root / "web01").exists()
    pool.destroy(VolumeId("web01", "data"))
    assert [each.name for each in root.iterdir()] == [identity.FILE]


DAMAGED = ["", "{", "[]", '{"stage": "INSTALLED"}', '{"stage": 4}', "\x00", "null"]


@pytest.mark.parametrize("marks", DAMAGED)
def test_files_whose_marks_are_damaged_are_neither_trusted_nor_emptied(
    pool: Pool, marks: str
) -> None:
    """INSTALLED from no template: replaced only with leave to lose data, see ``plan``."""
    rootfs = filled(pool)
    pool.mark(VOLUME, INSTALLED)
    (rootfs.parent / "geats.json").write_text(marks)
    assert pool.observe() == {VOLUME: VolumeSeen(name="root", pool="", stage=Stage.INSTALLED)}


def test_an_empty_volume_whose_marks_are_lost_is_merely_formatted(pool: Pool) -> None:
    rootfs = filled(pool)
    (rootfs / "file").unlink()
    (rootfs.parent / "geats.json").unlink()
    assert pool.observe() == {VOLUME: VolumeSeen(name="root", pool="", stage=Stage.FORMATTED)}


def test_marks_without_a_tree_are_not_believed(pool: Pool) -> None:
    pool.allocate(VOLUME, 7)
    pool.mark(VOLUME, INSTALLED)
    seen = VolumeSeen(name="root", pool="", stage=Stage.ALLOCATED, size_bytes=7)
    assert pool.observe() == {VOLUME: seen}


def test_half_written_marks_leave_the_old_ones(pool: Pool) -> None:
    at = filled(pool).parent
    (at / "geats.json.new").write_text("{")
    pool.mark(VOLUME, INSTALLED)
    assert json.loads((at / "geats.json").read_text())["template"] == "debian"
    assert not (at / "geats.json.new").exists()


def test_a_full_disk_is_told_and_leaves_the_old_marks(tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", mounted], check=True)
    try:
        pool = open_pool({"path": str(mounted / "pool")}, None)
        filled(pool)
        fill_up(mounted / "filler")
        before = pool.observe()
        with pytest.raises(HostError, match=r"small/pool/web01/root: No space left on device"):
            pool.mark(VOLUME, INSTALLED)
        assert pool.observe() == before
    finally:
        subprocess.run(["umount", mounted], check=True)


def fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_marks_that_say_so_already_are_not_written_by_format(pool: Pool) -> None:
    pool.allocate(VOLUME, 1 << 20)
    marks = pool.path(VOLUME).parent / "geats.json"
    before = marks.stat().st_ino

    pool.format(VOLUME)

    assert marks.stat().st_ino == before
    assert pool.observe()[VOLUME].stage is Stage.FORMATTED


def test_marks_of_an_earlier_tree_are_written_anew_by_format(pool: Pool) -> None:
    rootfs = filled(pool)
    pool.mark(VOLUME, INSTALLED)
    (rootfs / "file").unlink()
    rootfs.rmdir()

    pool.format(VOLUME)

    formatted = VolumeSeen(name="root", pool="", stage=Stage.FORMATTED)
    assert pool.observe() == {VOLUME: formatted}
