"""Filesystems on sparse files conform, whether or not the files can share their content."""

import errno
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from geats_core.declared.config import StackLayer
from geats_core.vm.observation import Stage
from geats_host.errors import HostError, Refused
from geats_host.plugins import entry_points
from geats_host.plugins.entry_points import OpenPool
from geats_host.storage import TEMPLATES, Pool, VolumeId, filesystem, fstypes, sparsefile
from geats_host.testing import pool_conformance_content
from geats_host.testing.pool_conformance import PoolConformance
from geats_host.testing.pool_conformance_content import Reopen
from tests.real.storage.cuts import converge, cuts_of
from tests.real.storage.places import (
    in_memory,
    memory,
    mounted,
    on_xfs,
    own_mounts,
    sh,
    sharing,
    uses,
)

__all__ = ["in_memory", "memory", "on_xfs", "own_mounts", "sharing"]

MIB = 2**20
SIZES = {"ext4": 64 * MIB, "xfs": 320 * MIB, "btrfs": 256 * MIB}
VOLUME, OTHER = VolumeId("web01", "root"), VolumeId("web02", "root")


def opener(path: Path, fstype: str = "ext4", size_bytes: int = 64 * MIB) -> Reopen:
    def reopen() -> Pool:
        below = sparsefile.open_pool({"path": f"{path}/pool", "default_size": size_bytes}, None)
        options: Mapping[object, object] = {"fstype": fstype, "mounts": str(path / "mounts")}
        return filesystem.open_pool(options, below)

    return reopen


def room_of(pool: Pool, volume: VolumeId) -> int:
    """How large the filesystem is, by its own word."""
    found = os.statvfs(pool.path(volume))
    return found.f_blocks * found.f_frsize


class TestExt4(PoolConformance):
    @pytest.fixture
    def reopen(self, memory: Path) -> Reopen:
        return opener(memory)


class TestExt4OnReflinks(PoolConformance):
    @pytest.fixture
    def reopen(self, sharing: Path) -> Reopen:
        return opener(sharing, size_bytes=128 * MIB)


class TestXfsOnReflinks(PoolConformance):
    size_bytes = SIZES["xfs"]

    @pytest.fixture
    def reopen(self, sharing: Path, monkeypatch: pytest.MonkeyPatch) -> Reopen:
        monkeypatch.setattr(pool_conformance_content, "fill", room_of)  # so much is not written
        return opener(sharing, "xfs", self.size_bytes)

    def test_a_clone_takes_little_until_it_is_written_to(self, reopen: Reopen) -> None:
        """Little is 2 MiB: so much of the log is cleared when a clone is mounted."""
        for volume in (OTHER, VOLUME):
            self.ready(reopen(), volume)
        pool_conformance_content.write(reopen(), OTHER, 16 * MIB)
        reopen().clone(OTHER, VOLUME)
        assert reopen().used_bytes(VOLUME) < 3 * MIB


class TestBtrfsOnReflinks(PoolConformance):
    size_bytes = SIZES["btrfs"]

    @pytest.fixture
    def reopen(self, sharing: Path, monkeypatch: pytest.MonkeyPatch) -> Reopen:
        monkeypatch.setattr(pool_conformance_content, "fill", room_of)
        return opener(sharing, "btrfs", self.size_bytes)


@pytest.fixture(params=SIZES)
def fstype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pool(sharing: Path) -> Pool:
    return opener(sharing)()


@pytest.fixture
def disk(sharing: Path) -> Path:
    return sharing / "pool/web01/root/disk.raw"


def remove(pool: Pool, volume: VolumeId = VOLUME) -> None:
    pool.deactivate(volume)
    pool.destroy(volume)
    assert volume not in pool.observe()


def test_what_is_mounted_is_for_the_guest_alone(sharing: Path) -> None:
    options: Mapping[object, object] = {"mounts": f"{sharing}/mounts", "guest_group": 100_000}
    below = sparsefile.open_pool({"path": f"{sharing}/pool"}, None)
    pool = filesystem.open_pool(options, below)
    converge(pool, VOLUME, 64 * MIB)
    rootfs = pool.path(VOLUME)
    assert list(rootfs.iterdir()) == []  # no lost+found
    found = [path.stat() for path in (rootfs, rootfs.parent, rootfs.parent.parent)]
    assert [(each.st_gid, each.st_mode & 0o7777) for each in found] == [
        (0, 0o755),
        (0, 0o711),
        (100_000, 0o710),
    ]
    remove(pool)


def test_after_a_restart_of_the_host_nothing_is_active(pool: Pool, fstype: str) -> None:
    """Whatever the marks say: it is seen in the mount table."""
    converge(pool, VOLUME, 64 * MIB)
    (pool.path(VOLUME) / "file").write_text("kept")
    sh("umount", pool.path(VOLUME).parent)
    assert not pool.observe()[VOLUME].active
    converge(pool, VOLUME, 64 * MIB)
    assert (pool.path(VOLUME) / "file").read_text() == "kept"
    remove(pool)


def test_a_loop_device_that_was_left_is_taken_away(pool: Pool, disk: Path) -> None:
    converge(pool, VOLUME, 64 * MIB)
    pool.deactivate(VOLUME)
    for bring_in_use in (pool.activate, pool.deactivate):
        sh("losetup", "--find", disk)
        bring_in_use(VOLUME)
    pool.destroy(VOLUME)


def test_a_filesystem_is_never_made_over_another(pool: Pool, disk: Path) -> None:
    pool.allocate(VOLUME, 64 * MIB)
    for make, held in (
        (("mkfs.ext4", "-q", "-F", "-L", "other"), "ext4"),
        (("mkfs.btrfs", "-q", "-f", "-m", "single"), "btrfs"),
        (("mkswap", "-q"), "swap"),
    ):
        sh("wipefs", "--all", disk)
        subprocess.run([*make, disk], check=True, capture_output=True)
        before = disk.read_bytes()
        with pytest.raises(HostError, match=f"contains {held}, and is not formatted"):
            pool.format(VOLUME)
        assert disk.read_bytes() == before
    assert pool.observe()[VOLUME].stage is Stage.ALLOCATED
    remove(pool)


def test_a_filesystem_of_another_name_is_not_mounted(pool: Pool, disk: Path) -> None:
    """As where the names of devices changed places."""
    converge(pool, VOLUME, 64 * MIB)
    pool.deactivate(VOLUME)
    sh("tune2fs", "-L", "other", disk)
    with pytest.raises(HostError, match="contains the filesystem 'other', where 'web01/root'"):
        pool.activate(VOLUME)
    remove(pool)


def test_damage_is_repaired_before_it_is_mounted(pool: Pool, disk: Path) -> None:
    converge(pool, VOLUME, 64 * MIB)
    pool.deactivate(VOLUME)
    sh("debugfs", "-w", "-R", "ssv free_blocks_count 1", disk)
    sh("debugfs", "-w", "-R", "ssv state 2", disk)
    pool.activate(VOLUME)
    remove(pool)


def test_what_a_cut_left_frozen_is_thawed(pool: Pool) -> None:
    converge(pool, VOLUME, 64 * MIB)
    rootfs = pool.path(VOLUME)
    ways: Sequence[Callable[[], None]] = (
        lambda: pool.snapshot(VOLUME, "first", 1),
        lambda: pool.activate(VOLUME),
        lambda: pool.deactivate(VOLUME),
    )
    for way in ways:
        sh("fsfreeze", "--freeze", rootfs)
        way()
        pool.activate(VOLUME)
        (rootfs / "file").write_text("x")
    remove(pool)


def test_what_is_mounted_is_not_destroyed(pool: Pool) -> None:
    converge(pool, VOLUME, 64 * MIB)
    with pytest.raises(HostError, match="is mounted"):
        pool.destroy(VOLUME)
    assert pool.observe()[VOLUME].active
    remove(pool)


def test_what_a_container_has_mounted_stays_mounted(pool: Pool, tmp_path: Path) -> None:
    """Or the next plan would find it out of use, while it is used."""
    converge(pool, VOLUME, 64 * MIB)
    pool_conformance_content.put(pool, VOLUME, "kept")
    with pool_conformance_content.mounted_elsewhere(pool.path(VOLUME), tmp_path / "elsewhere"):
        with pytest.raises(HostError, match=f"is in use: it is mounted on {tmp_path}"):
            pool.deactivate(VOLUME)
        assert pool.observe()[VOLUME].active
    remove(pool)


def test_what_is_used_is_not_unmounted(pool: Pool) -> None:
    converge(pool, VOLUME, 64 * MIB)
    with (pool.path(VOLUME) / "file").open("w"), pytest.raises(HostError, match="busy"):
        pool.deactivate(VOLUME)
    assert pool.observe()[VOLUME].active
    remove(pool)


def test_a_clone_in_a_larger_volume_takes_all_of_it(sharing: Path, fstype: str) -> None:
    pool, size_bytes = opener(sharing, fstype)(), SIZES[fstype]
    converge(pool, VOLUME, size_bytes)
    (pool.path(VOLUME) / "file").write_text("kept")
    converge(pool, OTHER, 2 * size_bytes)
    pool.clone(VOLUME, OTHER)
    assert room_of(pool, OTHER) > size_bytes * 3 // 2
    assert (pool.path(OTHER) / "file").read_text() == "kept"
    found = [
        fstypes.found_on(pool.path(volume).parents[4] / f"pool/{volume}/disk.raw")
        for volume in (VOLUME, OTHER)
    ]
    assert [each and each.label for each in found] == ["web01/root", "web02/root"]
    for volume in (VOLUME, OTHER):
        remove(pool, volume)


def test_a_cut_anywhere_is_finished_by_the_next_attempt(sharing: Path, fstype: str) -> None:
    pool, size_bytes = opener(sharing, fstype)(), SIZES[fstype]

    def work() -> None:
        converge(pool, VOLUME, size_bytes)
        converge(pool, VOLUME, size_bytes + 64 * MIB)

    for number in cuts_of(work):
        converge(pool, VOLUME, size_bytes + 64 * MIB)
        assert room_of(pool, VOLUME) > (size_bytes + 64 * MIB) * 3 // 4, number
        remove(pool)
        assert uses(sharing) == []


def test_a_cut_in_what_there_is_keeps_all_of_it(sharing: Path, fstype: str) -> None:
    """Content is either all old or all new, after the next attempt too."""
    pool, size_bytes = opener(sharing, fstype)(), SIZES[fstype]
    converge(pool, OTHER, size_bytes)
    (pool.path(OTHER) / "file").write_text("new")
    converge(pool, VOLUME, size_bytes)
    (pool.path(VOLUME) / "file").write_text("new")
    pool.snapshot(VOLUME, "first", 1)

    def read() -> str:
        converge(pool, VOLUME, size_bytes)
        file = pool.path(VOLUME) / "file"
        return file.read_text()

    changes: Sequence[Callable[[], None]] = (
        lambda: pool.snapshot(VOLUME, "second", 2),
        lambda: pool.rollback(VOLUME, "first"),
    )
    for change in changes:
        (pool.path(VOLUME) / "file").write_text("old")
        for _ in cuts_of(change):
            assert read() in ("old", "new")
            change()
            pool.delete_snapshot(VOLUME, "second")
            (pool.path(VOLUME) / "file").write_text("old")
    for volume in (VOLUME, OTHER):
        remove(pool, volume)


def test_a_cut_clone_is_finished_by_the_next_one(sharing: Path, fstype: str) -> None:
    """It is being filled, as ``apply`` marks it first, and so loses nothing."""
    pool, size_bytes = opener(sharing, fstype)(), SIZES[fstype]
    converge(pool, OTHER, size_bytes)
    (pool.path(OTHER) / "file").write_text("new")
    converge(pool, VOLUME, size_bytes)
    filling = replace(pool.observe()[VOLUME], stage=Stage.FILLING)
    pool.mark(VOLUME, filling)
    for _ in cuts_of(lambda: pool.clone(OTHER, VOLUME)):
        converge(pool, VOLUME, size_bytes)
        pool.clone(OTHER, VOLUME)
        assert (pool.path(VOLUME) / "file").read_text() == "new"
        assert pool.observe()[VOLUME] == filling
    for volume in (VOLUME, OTHER):
        remove(pool, volume)


def test_a_template_that_is_larger_is_cloned_by_several_at_once(sharing: Path) -> None:
    """Each mounts it to copy its files, unless another has; none takes it away from another."""
    pool, size_bytes = opener(sharing)(), SIZES["ext4"]
    template, targets = VolumeId(TEMPLATES, "key"), [VolumeId(f"web0{i}", "root") for i in range(6)]
    converge(pool, template, 2 * size_bytes)
    (pool.path(template) / "file").write_bytes(b"x" * MIB)
    pool.deactivate(template)
    for volume in targets:
        converge(pool, volume, size_bytes)
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda volume: pool.clone(template, volume), targets))
    for volume in targets:
        assert (pool.path(volume) / "file").stat().st_size == MIB
    for volume in (template, *targets):
        remove(pool, volume)


def test_a_full_disk_is_told_and_the_next_attempt_carries_on(memory: Path) -> None:
    small = memory / "small"
    small.mkdir()
    with mounted("none", small, "-t", "tmpfs", "-o", "size=40k"):
        pool = opener(small)()
        pool.allocate(VOLUME, 64 * MIB)
        with pytest.raises(HostError, match=r"mkfs.ext4 failed"):
            pool.format(VOLUME)
        assert pool.observe()[VOLUME].stage is Stage.ALLOCATED
        sh("mount", "-o", "remount,size=64M", small)
        converge(pool, VOLUME, 64 * MIB)
        remove(pool)


@pytest.mark.parametrize("seen_as_broken", [True, False])
def test_what_a_full_disk_broke_is_mounted_anew(memory: Path, seen_as_broken: bool) -> None:
    """The files below take more space with what is written, and the kernel has to give up.

    It tells so with the first write that it refuses: an install may be that.
    """
    small = memory / "small"
    small.mkdir()
    with mounted("none", small, "-t", "tmpfs", "-o", f"size={64 * MIB}"):
        pool = opener(small)()
        converge(pool, VOLUME, 64 * MIB)
        kept = pool.path(VOLUME) / "kept"
        kept.write_text("kept")
        sync(kept)
        sync(kept.parent)
        left = os.statvfs(small)
        sh("fallocate", "-l", str(left.f_bavail * left.f_frsize), small / "filler")
        make_directories_until(pool.path(VOLUME), errno.EROFS if seen_as_broken else errno.EIO)
        seen = pool.observe()[VOLUME]
        assert seen.active != seen_as_broken
        (small / "filler").unlink()
        if seen_as_broken:
            converge(pool, VOLUME, 64 * MIB)
        pool.mark(VOLUME, replace(seen, stage=Stage.FILLING))
        assert pool.observe()[VOLUME].active
        assert kept.read_text() == "kept"
        (kept.parent / "more").write_bytes(bytes(MIB))
        sync(kept.parent / "more")
        remove(pool)


def make_directories_until(place: Path, code: int) -> None:
    """Write what needs room below, until the kernel fails so."""
    for number in range(10_000):
        try:
            (place / f"{number}").mkdir()
            sync(place)
        except OSError as error:
            if error.errno == code:
                return
    raise AssertionError(f"never failed with {os.strerror(code)}")


def sync(place: Path) -> None:
    """Wait until a file's content, or a directory's names, are on disk."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def test_a_volume_that_is_too_small_is_refused(sharing: Path) -> None:
    pool = opener(sharing, "xfs")()
    with pytest.raises(HostError, match="xfs needs at least 300MiB, got 64MiB"):
        pool.allocate(VOLUME, 64 * MIB)
    assert (pool.facts.least_bytes, pool.observe()) == (300 * MIB, {})


def test_ext4_grows_while_it_is_used_where_the_kernel_lets_it(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wants CAP_SYS_RESOURCE, which root of a container may lack: then the VM has to be off."""
    programs: list[Sequence[str]] = []
    for has in (True, False):
        monkeypatch.setattr(fstypes, "has_capability", {fstypes.CAP_SYS_RESOURCE: has}.get)
        assert pool.facts.grows_online is has
    monkeypatch.setattr(fstypes, "run", lambda argv, **_: programs.append(argv))
    fstypes.grow(fstypes.EXT4, Path("/dev/loop7"), Path("/mnt"), 64 * MIB)
    assert programs == [["resize2fs", "/dev/loop7", "16384"]]


def test_long_names_have_labels_that_differ() -> None:
    names = [f"{'a' * 40}{number}/root" for number in range(9)]
    for kind in fstypes.FILESYSTEMS.values():
        labels = {kind.label(name) for name in names}
        assert len(labels) == len(names)
        assert all(len(label) <= kind.label_bytes for label in labels)


def test_every_wrong_option_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Refused) as refused:
        filesystem.open_pool({"fstype": "xfs", "mounts": "x", "mount": 1}, None)
    assert refused.value.problems == (
        "mounts: must be an absolute path without '..', got 'x'",
        "fstype: mkfs.xfs is not installed (package xfsprogs)",
        "fstype: xfs_repair is not installed (package xfsprogs)",
        "fstype: xfs_growfs is not installed (package xfsprogs)",
        "on: filesystem needs a file or a block device",
        "mount: unknown key 'mount', did you mean 'mounts'? "
        "(there is: fstype, guest_group, mounts)",
    )


def stack(top: str, *others: str) -> StackLayer:
    """Layers from the top down, with the options that each needs."""
    options: Mapping[object, object] = {"path": "/nonexistent/pool"}
    given = {} if top == "filesystem" else options
    return StackLayer(type=top, options=given, on=stack(*others) if others else None)


@pytest.mark.parametrize(
    ("types", "problem"),
    [
        (
            ("filesystem", "directory"),
            "on.type: filesystem needs a file or a block device, and directory offers a directory",
        ),
        (
            ("filesystem", "memory"),
            "on.type: filesystem needs a file or a block device, and memory offers nothing",
        ),
        (("filesystem",), "on: filesystem needs a file or a block device"),
        (
            ("filesystem", "filesystem", "sparsefile"),
            "on.type: filesystem needs a file or a block device, and filesystem offers a directory",
        ),
        (
            ("filesystem", "filesystem", "directory"),
            "on.on.type: filesystem needs a file or a block device, "
            "and directory offers a directory",
        ),
        (
            ("overlay", "sparsefile"),
            "on.type: an overlay pool cannot be on another pool, and sparsefile offers a file",
        ),
    ],
)
def test_a_stack_that_cannot_work_is_refused_layer_by_layer(
    types: tuple[str, ...], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plugin(path: str, name: str) -> OpenPool:
        opened: OpenPool = import_module(f"geats_host.storage.{name}").open_pool
        return opened

    monkeypatch.setattr(entry_points, "storage_plugin", plugin)
    with pytest.raises(HostError) as refused:
        _ = entry_points.open_pools({"disks": stack(*types)})["disks"]
    assert str(refused.value) == f"geats.pools.disks.{problem}"


def test_a_layer_of_an_unknown_type_is_named_with_its_place() -> None:
    with pytest.raises(HostError) as refused:
        _ = entry_points.open_pools({"disks": stack("filesystem", "filesystem", "sparesfile")})[
            "disks"
        ]
    unknown = "geats.pools.disks.on.on.type: unknown storage plugin 'sparesfile', did you mean"
    assert str(refused.value).startswith(f"{unknown} 'sparsefile'? (there is: ")
