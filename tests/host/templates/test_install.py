"""A template is installed whole, and nothing outside the target is ever written or linked."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from geats_core.declared.template import Template
from geats_host import templates
from geats_host.errors import HostError
from geats_host.streams import meters
from geats_host.templates.store import Store
from geats_host.testing.pool_conformance_trees import make_deep
from tests.host.templates.archives import (
    Members,
    device,
    fifo,
    file,
    folder,
    hard_link,
    link,
    tarball,
    write,
)

BASE: Members = (
    folder("./", mode=0o700, owner=7),
    folder("./usr"),
    folder("./usr/lib"),
    file("./usr/lib/libc", "base"),
    link("./lib", "usr/lib"),
    folder("./etc"),
    file("./etc/machine-id", "0123", mode=0o444),
    folder("./dev"),
    device("./dev/null"),
    file("./home", "100000's", mode=0o4755, owner=100000),
    link("./absolute", "/etc"),
    fifo("./fifo"),
    hard_link("./home2", "./home"),
)


def template(tmp_path: Path, base: Members, overlay: Members | None = None) -> Template:
    on_top = [] if overlay is None else [write(tmp_path / "overlay.tar", overlay)]
    return tarball(write(tmp_path / "base.tar", base), *on_top)


def test_owners_modes_and_links_are_those_of_the_archive(
    tmp_path: Path, target: Path, store: Store
) -> None:
    templates.install(template(tmp_path, BASE), target, store)
    home = (target / "home").stat()
    assert (home.st_uid, home.st_gid, home.st_mode & 0o7777) == (100000, 100000, 0o4755)
    assert home.st_nlink == 2
    assert os.readlink(target / "absolute") == "/etc"
    assert (target / "fifo").is_fifo()


def test_the_target_is_roots_whatever_the_archive_says(
    tmp_path: Path, target: Path, store: Store
) -> None:
    templates.install(template(tmp_path, BASE), target, store)
    found = target.lstat()
    assert (found.st_uid, found.st_gid, found.st_mode) == (0, 0, 0o40755)


def test_the_machine_id_is_emptied_and_devices_are_left_out(
    tmp_path: Path, target: Path, store: Store
) -> None:
    templates.install(template(tmp_path, BASE), target, store)
    assert (target / "etc" / "machine-id").read_text() == ""
    assert list((target / "dev").iterdir()) == []


def test_only_the_top_dev_is_left_out(tmp_path: Path, target: Path, store: Store) -> None:
    inner = (folder("usr"), folder("usr/dev"), file("usr/dev/keep", "kept"), device("dev/null"))
    templates.install(template(tmp_path, inner), target, store)
    assert (target / "usr" / "dev" / "keep").read_text() == "kept"
    assert not (target / "dev").exists()


def test_extended_attributes_and_acls_are_kept(tmp_path: Path, target: Path, store: Store) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "ping").write_text("x")
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    os.setxattr(source / "ping", "security.capability", capability)
    os.setxattr(source / "ping", "user.note", b"hello")
    archive = tmp_path / "base.tar"
    options = ("--xattrs", "--xattrs-include=*")
    subprocess.run(["tar", "-C", source, *options, "-cf", archive, "."], check=True)
    templates.install(tarball(archive), target, store)
    assert os.getxattr(target / "ping", "security.capability") == capability
    assert os.getxattr(target / "ping", "user.note") == b"hello"


def test_an_overlay_goes_through_the_links_of_a_merged_usr(
    tmp_path: Path, target: Path, store: Store
) -> None:
    overlay = (folder("./lib"), file("./lib/libc", "overlay"), file("./lib/new", "new"))
    templates.install(template(tmp_path, BASE, overlay), target, store)
    assert (target / "lib").is_symlink()
    assert (target / "usr/lib/libc").read_text() == "overlay"
    assert (target / "usr/lib/new").read_text() == "new"


def test_what_was_in_the_target_is_gone(
    tmp_path: Path, target: Path, store: Store, victim: Path
) -> None:
    (target / "old").mkdir()
    (target / "old" / "link").symlink_to(victim)
    (target / "oldlink").symlink_to(victim)
    (target / "oldfile").write_text("x")
    templates.install(template(tmp_path, (file("./new", "x"),)), target, store)
    assert [path.name for path in target.iterdir()] == ["new"]


@pytest.mark.parametrize("kind", ["w", "w:gz", "w:xz"])
def test_how_it_is_packed_is_seen_by_its_content(
    tmp_path: Path, target: Path, store: Store, kind: str
) -> None:
    path = write(tmp_path / "misnamed.zip", (file("./new", "x"),), kind)
    templates.install(tarball(path), target, store)
    assert (target / "new").read_text() == "x"


def test_zstd_is_unpacked(tmp_path: Path, target: Path, store: Store) -> None:
    path = write(tmp_path / "base.tar", (file("./new", "x"),))
    subprocess.run(["zstd", "-q", path, "-o", tmp_path / "base"], check=True)
    templates.install(tarball(tmp_path / "base"), target, store)
    assert (target / "new").read_text() == "x"


@pytest.mark.parametrize("kind", ["w", "w:gz", "w:xz"])
def test_it_is_told_how_far_it_is_through_all_archives(
    tmp_path: Path, target: Path, store: Store, kind: str
) -> None:
    files = [
        write(tmp_path / name, (file(f"./{name}", content),), kind)
        for name, content in (("a", "x" * 300_000), ("b", "y"))
    ]
    with meters.metered(files):
        templates.install(tarball(*files), target, store)
        meter = meters.of(files)
        assert meter is not None
        sizes = sum(path.stat().st_size for path in map(Path, files))
        assert meter.total_bytes == sizes
        assert sizes // 2 < meter.seen() <= sizes  # tar stops at the end of an archive


def test_another_procfs_of_the_host_leads_nowhere(
    tmp_path: Path, target: Path, store: Store, victim: Path
) -> None:
    """A chroot's, say: its links into processes would lead to where writing is possible."""
    proc = tmp_path / "chroot proc"
    proc.mkdir()
    subprocess.run(["mount", "-t", "proc", "proc", proc], check=True)
    try:
        base = (link("x", f"{proc}/1/root{victim}/etc"),)
        with pytest.raises(HostError):
            templates.install(template(tmp_path, base, (file("x/passwd"),)), target, store)
        assert (proc / "self").exists()
    finally:
        subprocess.run(["umount", proc], check=True)


def test_the_callers_own_namespace_is_left_as_it_is(
    tmp_path: Path, target: Path, store: Store
) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    namespace = os.readlink("/proc/self/ns/mnt")
    templates.install(template(tmp_path, BASE), target, store)
    assert Path("/proc/self/mountinfo").read_text() == before
    assert os.readlink("/proc/thread-self/ns/mnt") == namespace


def test_a_mount_within_the_target_is_not_emptied(
    tmp_path: Path, target: Path, store: Store, victim: Path
) -> None:
    (target / "mnt").mkdir()
    subprocess.run(["mount", "--bind", victim, target / "mnt"], check=True)
    try:
        with pytest.raises(HostError, match="is mounted"):
            templates.install(template(tmp_path, BASE), target, store)
    finally:
        subprocess.run(["umount", target / "mnt"], check=True)


def test_a_target_that_is_a_link_is_refused(
    tmp_path: Path, target: Path, store: Store, victim: Path
) -> None:
    linked = tmp_path / "linked"
    linked.symlink_to(victim)
    with pytest.raises(HostError):
        templates.install(template(tmp_path, BASE), linked, store)


def on_a_small_disk(target: Path, work: Callable[[], None]) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", target], check=True)
    try:
        work()
    finally:
        subprocess.run(["umount", target], check=True)


def test_a_target_may_be_a_mount_itself(tmp_path: Path, target: Path, store: Store) -> None:
    def work() -> None:
        templates.install(template(tmp_path, (file("new", "x"),)), target, store)
        assert (target / "new").read_text() == "x"

    on_a_small_disk(target, work)


def test_a_full_disk_is_told(tmp_path: Path, target: Path, store: Store) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(10**6))
    archive = tmp_path / "base.tar"
    subprocess.run(["tar", "-C", tmp_path, "-cf", archive, "large"], check=True)

    def work() -> None:
        with pytest.raises(HostError, match="No space left on device"):
            templates.install(tarball(archive), target, store)

    on_a_small_disk(target, work)


def test_a_tree_of_any_depth_in_the_target_is_gone(
    tmp_path: Path, target: Path, store: Store
) -> None:
    make_deep(target)
    templates.install(template(tmp_path, BASE), target, store)
    assert not (target / "deep").exists()
