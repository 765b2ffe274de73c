"""A directory is copied as it is, and known by all that it holds."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from geats_host import templates
from geats_host.errors import HostError, Refused
from geats_host.guest_trees import trees
from geats_host.guest_trees.folders import open_directory
from geats_host.templates.digests import digest_of_tree
from geats_host.templates.store import Store
from geats_host.testing.pool_conformance_trees import DEPTH, make_deep
from tests.host.templates.archives import tarball


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    for folder in ("etc", "dev", "usr/lib", "usr/dev"):
        (tree / folder).mkdir(parents=True)
    (tree / "etc/machine-id").write_text("0123")
    (tree / "usr/lib/libc").write_text("base")
    (tree / "usr/lib/same").hardlink_to(tree / "usr/lib/libc")
    (tree / "usr/dev/keep").write_text("kept")
    (tree / "lib").symlink_to("usr/lib")
    os.chown(tree / "usr/lib/libc", 100000, 100000)
    (tree / "usr/lib/libc").chmod(0o4755)
    os.setxattr(tree / "usr/lib/libc", "user.note", b"hello")
    subprocess.run(["mknod", tree / "dev/null", "c", "1", "3"], check=True)
    return tree


def test_owners_modes_links_and_attributes_are_kept(tree: Path, target: Path, store: Store) -> None:
    templates.verify(tarball(tree), store)
    templates.install(tarball(tree), target, store)
    found = (target / "usr/lib/libc").stat()
    assert (found.st_uid, found.st_mode & 0o7777, found.st_nlink) == (100000, 0o4755, 2)
    assert os.getxattr(target / "usr/lib/libc", "user.note") == b"hello"
    assert os.readlink(target / "lib") == "usr/lib"
    assert (target / "usr/dev/keep").read_text() == "kept"
    assert (target / "etc/machine-id").read_text() == ""
    assert list((target / "dev").iterdir()) == []
    assert (tree / "etc/machine-id").read_text() == "0123"


def test_several_overlays_are_put_on_in_order(
    tree: Path, tmp_path: Path, target: Path, store: Store
) -> None:
    overlays = [tmp_path / "first", tmp_path / "second"]
    for overlay in overlays:
        (overlay / "lib").mkdir(parents=True)
        (overlay / "lib/libc").write_text(overlay.name)
        (overlay / "lib" / overlay.name).write_text("new")
    templates.install(tarball(tree, *overlays), target, store)
    assert (target / "lib").is_symlink()
    assert (target / "usr/lib/libc").read_text() == "second"
    assert {"first", "second"} <= set(os.listdir(target / "usr/lib"))
    assert list((store.root / "scratch").iterdir()) == []


def test_an_empty_directory_is_a_template(tmp_path: Path, target: Path, store: Store) -> None:
    (tmp_path / "empty").mkdir()
    (target / "old").write_text("x")
    templates.install(tarball(tmp_path / "empty"), target, store)
    assert list(target.iterdir()) == []


def test_a_device_elsewhere_is_refused_and_never_made(
    tree: Path, target: Path, store: Store
) -> None:
    subprocess.run(["mknod", tree / "usr/null", "c", "1", "3"], check=True)
    with pytest.raises(Refused) as refused:
        templates.verify(tarball(tree), store)
    (problem,) = refused.value.problems
    assert problem.startswith("templates.t.path: must have device nodes in its dev only")
    with pytest.raises(HostError, match="cannot be copied"):
        templates.install(tarball(tree), target, store)


def test_the_checksum_of_a_directory_is_its_digest(tree: Path, store: Store) -> None:
    templates.verify(tarball(tree, sha256=digest_of_tree(str(tree))), store)
    with pytest.raises(Refused, match="must have the sha256 0000"):
        templates.verify(tarball(tree, sha256="0" * 64), store)


def rename(tree: Path) -> None:
    (tree / "usr").rename(tree / "opt")


def relink(tree: Path) -> None:
    (tree / "usr/lib/same").unlink()
    (tree / "usr/lib/same").write_text("base")
    os.chown(tree / "usr/lib/same", 100000, 100000)
    (tree / "usr/lib/same").chmod(0o4755)
    os.setxattr(tree / "usr/lib/same", "user.note", b"hello")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda tree: (tree / "usr/lib/libc").write_text("Base"),
    "mode": lambda tree: (tree / "usr/lib").chmod(0o700),
    "owner": lambda tree: os.chown(tree / "etc", 1, 0),
    "group": lambda tree: os.chown(tree / "etc", 0, 1),
    "attribute": lambda tree: os.setxattr(tree / "usr/lib/libc", "user.note", b"other"),
    "new": lambda tree: (tree / "new").mkdir(),
    "name": rename,
    "link": lambda tree: (tree / "lib").replace(tree / "old"),
    "hard link": relink,
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_content_has_another_key(tree: Path, store: Store, change: str) -> None:
    before = templates.key_of(tarball(tree), store)
    CHANGES[change](tree)
    assert templates.key_of(tarball(tree), store) != before


def test_times_and_devices_do_not_count(tree: Path, tmp_path: Path, store: Store) -> None:
    before = templates.key_of(tarball(tree), store)
    (tree / "dev/null").unlink()
    os.utime(tree / "etc/machine-id", (1, 1))
    assert templates.key_of(tarball(tree), store) == before
    subprocess.run(["cp", "-a", tree, tmp_path / "copy"], check=True)
    assert templates.key_of(tarball(tmp_path / "copy"), store) == before


def test_the_order_of_overlays_counts_for_the_key(tmp_path: Path, store: Store) -> None:
    for name in ("base", "a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    base, a, b = (tmp_path / name for name in ("base", "a", "b"))
    keys = {templates.key_of(tarball(*each), store) for each in ((base, a, b), (base, b, a))}
    assert len(keys) == 2


def test_a_directory_that_cannot_be_read_is_a_problem(tmp_path: Path, store: Store) -> None:
    with pytest.raises(Refused, match="No such file or directory"):
        templates.verify(tarball(tmp_path / "gone"), store)
    with pytest.raises(HostError, match="No such file or directory"):
        templates.key_of(tarball(tmp_path / "gone"), store)


def test_a_directory_of_any_depth_is_known_by_what_it_holds(tree: Path) -> None:
    make_deep(tree)
    first = digest_of_tree(f"{tree}")
    assert digest_of_tree(f"{tree}") == first
    with open_directory(tree) as top:
        trees.remove("deep", top)
        make_deep(tree, DEPTH + 1)
        assert digest_of_tree(f"{tree}") != first
        trees.remove("deep", top)
