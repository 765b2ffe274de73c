"""The btrfs pool, on a real btrfs."""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from geats_core.declared.template import Files, Template
from geats_core.planning.actions import InstallTemplate
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.perform import Performer
from geats_host.errors import HostError, Refused
from geats_host.guest_trees import subvolumes
from geats_host.registry.memory import MemoryRegistry
from geats_host.storage import Pool, VolumeId
from geats_host.storage.btrfs import open_pool
from geats_host.storage.directory import open_pool as open_directory
from geats_host.templates import cache, fill
from geats_host.templates.store import Store
from geats_host.testing.pool_conformance import PoolConformance
from geats_host.testing.pool_conformance_content import MIB, Reopen, victim, write_durably
from tests.host.templates import archives
from tests.real.storage.btrfs_mounts import btrfs_in_a_file, leftovers

VOLUME, OTHER = VolumeId("web01", "root"), VolumeId("web02", "root")


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with btrfs_in_a_file(tmp_path_factory.mktemp("btrfs")) as point:
        yield point


@pytest.fixture
def root(mounted: Path, tmp_path: Path) -> Path:
    """A pool of this test's own."""
    return mounted / tmp_path.name


class TestBtrfs(PoolConformance):
    @pytest.fixture
    def reopen(self, root: Path) -> Reopen:
        return lambda: open_pool({"path": str(root)}, None)


class TestBtrfsWithQuotas(PoolConformance):
    @pytest.fixture
    def reopen(self, root: Path) -> Reopen:
        return lambda: open_pool({"path": str(root), "quota": True}, None)


def open_at(root: Path) -> Pool:
    return open_pool({"path": str(root)}, None)


@pytest.fixture
def pool(root: Path) -> Iterator[Pool]:
    """At the end it is emptied, and no subvolume of it is left."""
    pool = open_at(root)
    yield pool
    for volume in pool.observe():
        pool.destroy(volume)
    assert leftovers(root) == []


def made(pool: Pool, volume: VolumeId = VOLUME) -> Path:
    pool.allocate(volume, None)
    pool.format(volume)
    pool.activate(volume)
    return pool.path(volume)


def subvolume(path: Path, text: str) -> None:
    """What systemd makes of /var/lib/machines, and Docker of each layer."""
    subprocess.run(["btrfs", "--quiet", "subvolume", "create", path], check=True)
    (path / "file").write_text(text)


def nested(pool: Pool, volume: VolumeId = VOLUME) -> Path:
    """A tree with subvolumes: in a directory, in another, and one that is read-only."""
    tree = made(pool, volume)
    (tree / "var/lib").mkdir(parents=True)
    subvolume(tree / "var/lib/machines", "one")
    (tree / "var/lib/machines/a b").mkdir()
    subvolume(tree / "var/lib/machines/a b/in\nner", "two")
    subvolume(tree / "fixed", "three")
    subvolume(tree / "fixed/below", "four")
    subprocess.run(["btrfs", "property", "set", "-ts", tree / "fixed", "ro", "true"], check=True)
    return tree


def files(tree: Path) -> dict[str, str]:
    found = [path for path in sorted(tree.rglob("*")) if path.is_file()]
    return {str(path.relative_to(tree)): path.read_text() for path in found}


NESTED = {
    "fixed/below/file": "four",
    "fixed/file": "three",
    "var/lib/machines/a b/in\nner/file": "two",
    "var/lib/machines/file": "one",
}


def test_a_path_on_another_filesystem_is_refused_with_all_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = subprocess.run(
        ["findmnt", "--noheadings", "--output=FSTYPE", "--target", tmp_path],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    below = open_directory({"path": str(tmp_path / "below")}, None)
    monkeypatch.setenv("PATH", str(tmp_path))
    options: dict[object, object] = {
        "path": str(tmp_path / "not/there"),
        "quota": "1G",
        "qouta": True,
    }
    with pytest.raises(Refused) as refused:
        open_pool(options, below)
    assert refused.value.problems == (
        "quota: must be true or false, got '1G'",
        "on: a btrfs pool cannot be on another pool",
        "type: btrfs is not installed (package btrfs-progs)",
        f"path: must be on btrfs, and '{tmp_path}' is on {on}: '{tmp_path}/not/there'",
        "qouta: unknown key 'qouta', did you mean 'quota'? "
        "(there is: guest_group, mount_point, mount_type, path, quota)",
    )


def test_only_the_guests_group_can_pass_into_a_vm(root: Path, pool: Pool) -> None:
    """As in a pool of directories; what is in snapshots may be setuid root as well."""
    before = os.umask(0o077)
    try:
        tree = made(open_pool({"path": str(root), "guest_group": 100_000}, None))
        pool.snapshot(VOLUME, "first", 1)
    finally:
        os.umask(before)
    folders = (root, root / "web01", tree.parent, tree, tree.parent / "snapshots")
    assert [path.stat().st_mode & 0o7777 for path in folders] == [0o711, 0o710, 0o711, 0o755, 0o700]
    assert (root / "web01").stat().st_gid == 100_000


def test_a_snapshot_cannot_be_written_to(pool: Pool) -> None:
    tree = nested(pool)
    pool.snapshot(VOLUME, "first", 1)
    kept = tree.parent / "snapshots/first"
    assert files(kept) == NESTED
    with pytest.raises(OSError, match="Read-only"):
        (kept / "new").touch()


def test_subvolumes_of_the_guests_come_back_with_a_rollback(pool: Pool) -> None:
    tree = nested(pool)
    pool.snapshot(VOLUME, "first", 1)
    (tree / "var/lib/machines/file").write_text("changed")
    subprocess.run(["btrfs", "property", "set", "-ts", tree / "fixed", "ro", "false"], check=True)
    (tree / "fixed/below/file").unlink()
    subvolume(tree / "later", "five")
    pool.snapshot(VOLUME, "second", 2)
    later = files(tree)
    for name, wanted in (("first", NESTED), ("second", later), ("first", NESTED)):
        pool.rollback(VOLUME, name)
        assert files(tree) == wanted
    (tree / "var/lib/machines/a b/in\nner/file").write_text("it can be written to")
    pool.delete_snapshot(VOLUME, "first")
    assert sorted(path.name for path in tree.parent.iterdir()) == [
        "geats.json",
        "rootfs",
        "snapshots",
    ]


def test_subvolumes_of_the_guests_are_cloned(pool: Pool) -> None:
    nested(pool)
    tree = nested(pool, OTHER)
    for _ in range(2):
        pool.clone(VOLUME, OTHER)
        assert files(tree) == NESTED
    pool.destroy(VOLUME)
    assert files(tree) == NESTED


def test_many_subvolumes_and_deep_ones_go_with_their_volume(pool: Pool) -> None:
    """More than the kernel tells of at once, and more than a process may have open."""
    tree = made(pool)
    top = os.open(tree, os.O_RDONLY)
    for number in range(260):
        subvolumes.create(f"many{number}", top)
    for _ in range(80):
        subvolumes.create("deep", top)
        inner = os.open("deep", os.O_RDONLY, dir_fd=top)
        os.close(top)
        top = inner
    os.close(top)
    pool.snapshot(VOLUME, "first", 1)
    assert len(list((tree.parent / "snapshots/first").iterdir())) == 261
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
    try:
        pool.rollback(VOLUME, "first")
        pool.destroy(VOLUME)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_links_among_the_guests_subvolumes_are_not_followed(pool: Pool, tmp_path: Path) -> None:
    tree = nested(pool)
    with victim(tmp_path) as outside:
        (tree / "var/lib/machines/link").symlink_to(outside)
        (tree / "link").symlink_to("var")
        pool.snapshot(VOLUME, "first", 1)
        pool.rollback(VOLUME, "first")
        pool.destroy(VOLUME)


def test_snapshots_whose_marks_are_lost_are_kept(pool: Pool) -> None:
    """Only destroying the volume, or giving one up by its name, removes them."""
    tree = made(pool)
    (tree / "file").write_text("one")
    pool.snapshot(VOLUME, "first", 1)
    (tree.parent / "geats.json").write_text("{")
    assert pool.observe()[VOLUME].snapshots == ()
    pool.activate(VOLUME)
    pool.snapshot(VOLUME, "second", 2)
    pool.delete_snapshot(VOLUME, "second")
    changes: Sequence[Callable[[], None]] = (
        lambda: pool.rollback(VOLUME, "first"),
        lambda: pool.snapshot(VOLUME, "first", 1),
    )
    for change in changes:
        with pytest.raises(HostError, match="the marks of this snapshot are lost"):
            change()
    assert (tree.parent / "snapshots/first/file").read_text() == "one"
    pool.delete_snapshot(VOLUME, "first")
    assert list((tree.parent / "snapshots").iterdir()) == []


def test_a_plain_directory_in_place_of_the_subvolume_is_refused_and_destroyed(pool: Pool) -> None:
    """As when a pool of directories is opened as one of subvolumes."""
    pool.allocate(VOLUME, None)
    pool.path(VOLUME).mkdir()
    (pool.path(VOLUME) / "file").touch()
    pool.activate(VOLUME)
    with pytest.raises(HostError, match="Invalid argument"):
        pool.snapshot(VOLUME, "first", 1)
    assert list((pool.path(VOLUME).parent / "snapshots").iterdir()) == []


def test_limits_outlive_cloning_and_rolling_back(root: Path) -> None:
    pool = open_pool({"path": str(root), "quota": True}, None)
    pool.allocate(VOLUME, 16 * MIB)
    tree = made(pool)
    made(pool, OTHER)
    pool.snapshot(VOLUME, "first", 1)
    changes: Sequence[Callable[[], None]] = (
        lambda: pool.clone(OTHER, VOLUME),
        lambda: pool.rollback(VOLUME, "first"),
    )
    for change in changes:
        change()
        with pytest.raises(OSError, match="quota"):
            write_durably(tree / "big", bytes(32 * MIB))
        (tree / "big").unlink()
    for volume in (VOLUME, OTHER):
        pool.destroy(volume)
    assert leftovers(root) == []


def test_ten_vms_are_cloned_from_one_unpacked_template(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [archives.folder("etc"), archives.file("etc/issue", "hello")]
    path = archives.write(tmp_path / "small.tar", members)
    template = Template(name="small", source=Files(path=str(path)))
    filled: list[VolumeId] = []

    def counted(
        template: Template, into: Pool, volume: VolumeId, store: Store, size_bytes: int | None
    ) -> None:
        filled.append(volume)
        fill(template, into, volume, store, size_bytes)

    monkeypatch.setattr(cache, "fill", counted)
    names = [f"vm{number}" for number in range(10)]
    for name in names:
        made(pool, VolumeId(name, "root"))
        performer = Performer(
            name=name,
            registry=MemoryRegistry(),
            driver_of=MemoryDriver,
            pools={"p": pool},
            templates={"small": template},
            store=Store(tmp_path / "store", tmp_path / "run"),
        )
        performer.perform(InstallTemplate("p", "root", "small"))
    assert len(filled) == 1
    assert {seen.template for seen in pool.observe().values()} == {"small"}
    assert len(pool.observe()) == 11
    for name in names:
        assert files(pool.path(VolumeId(name, "root")))["etc/issue"] == "hello"
