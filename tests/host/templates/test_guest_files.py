"""Files are written into a guest's tree, and a hostile guest leads them nowhere else."""

import os
import stat
from pathlib import Path

import pytest

from geats_host.errors import HostError
from geats_host.guest_trees.guest_files import is_guest_file, write_guest_files

HOSTNAME = {"etc/hostname": "web01\n"}


def leftovers(target: Path) -> list[Path]:
    return list(target.rglob(".geats-*"))


def test_missing_folders_are_made(target: Path) -> None:
    before = os.umask(0o077)
    try:
        write_guest_files(target, {"a/b/c": "x", "top": "y"})
    finally:
        os.umask(before)
    assert (target / "a/b/c").read_text() == "x"
    assert (target / "top").read_text() == "y"
    modes = [(target / name).stat().st_mode & 0o7777 for name in ("a", "a/b", "a/b/c")]
    assert modes == [0o755, 0o755, 0o644]


def test_the_mode_is_the_one_asked_for(target: Path) -> None:
    write_guest_files(target, HOSTNAME, mode=0o600)
    found = (target / "etc/hostname").stat()
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o600, 0, 0)


def test_files_and_new_folders_belong_to_the_owner_that_is_given(target: Path) -> None:
    write_guest_files(target, {"a/b": "x"}, owner=100_000)
    found = [(target / name).stat() for name in ("a", "a/b")]
    assert [(each.st_uid, each.st_gid) for each in found] == [(100_000, 100_000)] * 2


def test_a_linked_folder_leads_to_the_guests_own(target: Path, victim: Path) -> None:
    """For the guest, its absolute link starts at its own root."""
    inside = target / str(victim).lstrip("/")
    inside.mkdir(parents=True)
    (target / "etc").symlink_to(victim)
    write_guest_files(target, HOSTNAME)
    assert (inside / "hostname").read_text() == "web01\n"


@pytest.mark.parametrize("to", ["{victim}/etc", "../../victim/etc", "/proc/self/root{victim}/etc"])
def test_a_folder_linked_to_the_host_is_refused(target: Path, victim: Path, to: str) -> None:
    (target / "etc").symlink_to(to.format(victim=victim))
    with pytest.raises(HostError, match="etc/hostname"):
        write_guest_files(target, HOSTNAME)
    assert leftovers(target) == []


def test_a_magic_link_is_refused(target: Path) -> None:
    with pytest.raises(HostError):
        write_guest_files(Path("/proc/self"), {"cwd/geats-was-here": ""})
    assert not Path("geats-was-here").exists()


@pytest.mark.parametrize("to", ["{victim}/etc/hostname", "../../../victim/etc/hostname", "gone"])
def test_a_link_in_the_files_place_is_replaced(target: Path, victim: Path, to: str) -> None:
    (target / "etc").mkdir()
    (target / "etc/hostname").symlink_to(to.format(victim=victim))
    write_guest_files(target, HOSTNAME)
    assert not (target / "etc/hostname").is_symlink()
    assert (target / "etc/hostname").read_text() == "web01\n"


def test_a_hard_link_of_the_hosts_is_replaced(target: Path, tmp_path: Path) -> None:
    (target / "etc").mkdir()
    (tmp_path / "file").write_text("host")
    (target / "etc/hostname").hardlink_to(tmp_path / "file")
    write_guest_files(target, HOSTNAME)
    assert (tmp_path / "file").read_text() == "host"


def test_a_fifo_in_the_files_place_is_replaced(target: Path) -> None:
    (target / "etc").mkdir()
    os.mkfifo(target / "etc/hostname")
    write_guest_files(target, HOSTNAME)
    assert (target / "etc/hostname").read_text() == "web01\n"


def test_a_folder_in_the_files_place_is_refused(target: Path) -> None:
    (target / "etc/hostname").mkdir(parents=True)
    with pytest.raises(HostError, match="etc/hostname: Is a directory"):
        write_guest_files(target, HOSTNAME)
    assert leftovers(target) == []


def test_a_fifo_or_file_in_the_folders_place_is_refused(target: Path) -> None:
    os.mkfifo(target / "etc")
    (target / "file").write_text("")
    for path in ("etc/hostname", "file/hostname"):
        with pytest.raises(HostError, match="Not a directory"):
            write_guest_files(target, {path: ""})


def test_what_a_write_that_was_cut_left_goes_with_the_next(target: Path) -> None:
    (target / "etc").mkdir()
    for name in (".geats-0123456789abcdef", ".geats-mine"):
        (target / "etc" / name).write_text("")
    (target / "etc/.geats-fedcba9876543210").mkdir()
    write_guest_files(target, HOSTNAME)
    assert sorted(os.listdir(target / "etc")) == [
        ".geats-fedcba9876543210",
        ".geats-mine",
        "hostname",
    ]


def test_links_in_a_circle_are_refused(target: Path) -> None:
    (target / "etc").symlink_to("cte")
    (target / "cte").symlink_to("etc")
    with pytest.raises(HostError, match="etc/hostname"):
        write_guest_files(target, HOSTNAME)


def test_a_rootfs_that_is_a_link_is_refused(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "rootfs").symlink_to(victim)
    with pytest.raises(HostError):
        write_guest_files(tmp_path / "rootfs", HOSTNAME)


@pytest.mark.parametrize("path", ["", "/etc/x", "../x", "a/../../x", "a//b", "a/", ".", "a\0b"])
def test_only_plain_relative_paths_are_taken(target: Path, path: str) -> None:
    with pytest.raises(HostError, match="not a plain path"):
        write_guest_files(target, {path: ""})


def test_only_a_regular_file_within_the_guest_counts(target: Path, victim: Path) -> None:
    (target / "etc").mkdir()
    (target / "etc/file").write_text("")
    (target / "etc/link").symlink_to("file")
    (target / "host").symlink_to(victim)
    found = {
        path: is_guest_file(target, path)
        for path in ("etc/file", "etc/link", "etc", "no", "no/no", "etc/file/x", "host/etc/passwd")
    }
    assert found == {path: path == "etc/file" for path in found}


def test_each_directory_is_synced_once_after_all_of_its_files(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content before its name, and all names of a directory together."""
    done: list[str] = []
    fsync, rename = os.fsync, os.rename

    def synced(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        place = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        done.append(f"sync {place}" if is_folder else "sync a file")
        fsync(descriptor)

    def renamed(old: str, new: str, **at: int) -> None:
        done.append(new)
        rename(old, new, **at)

    (target / "etc").mkdir(exist_ok=True)
    (target / "opt").mkdir(exist_ok=True)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)

    write_guest_files(target, {"etc/a": "1", "opt/b": "2", "etc/c": "3"}, private=("etc/c",))

    files = ["a", "b", "c"]
    assert done[:6] == [each for name in files for each in ("sync a file", name)]
    assert sorted(done[6:]) == ["sync etc", "sync opt"]
    assert [stat.S_IMODE((target / "etc" / name).stat().st_mode) for name in "ac"] == [0o644, 0o600]
