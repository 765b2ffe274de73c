"""Real logical volumes conform: thick and thin ones, alone and under filesystems.

The whole suite passes on the LVM in memory of tests/real/storage. Here each command takes a good
part of a second, so that only those tests of it run in which LVM could do otherwise.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import pytest

from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError, Refused
from geats_host.storage import VolumeId, filesystem, lvm
from geats_host.testing import pool_conformance_content
from geats_host.testing.pool_conformance import PoolConformance as Suite
from geats_host.testing.pool_conformance_content import Reopen
from tests.real.storage.places import mounted, sh
from tests.real.storage.test_filesystem_pool import SIZES

MIB = 2**20
VG, THIN_POOL = "geats-test", "thin-pool"
VOLUME, SOURCE = VolumeId("web01", "root"), VolumeId("web-02", "root")

OfSuite: TypeAlias = Callable[[Suite, Reopen], None]


@pytest.fixture(scope="module")
def group(disks: tuple[Path, Path]) -> Iterator[str]:
    """A volume group with a thin pool."""
    sh("vgcreate", "-q", VG, *disks)
    sh("lvcreate", "-q", "--type=thin-pool", "--size=4G", f"--name={THIN_POOL}", VG)
    yield VG
    assert names() == [THIN_POOL]
    sh("vgremove", "-q", "--yes", VG)


def names() -> list[str]:
    """The logical volumes there are."""
    return sh("lvs", "--noheadings", "--options=lv_name", VG).split()


def opener(*, thin: bool, size_bytes: int) -> Reopen:
    """Opens the pool anew, but for the look at what the host has, which is taken once."""
    options: dict[object, object] = {"vg": VG, "default_size": size_bytes}
    if thin:
        options["thin_pool"] = THIN_POOL
    pool = lvm.open_pool(options, None)
    assert isinstance(pool, lvm.LvmPool)
    return lambda: replace(pool)


@dataclass(frozen=True, slots=True)
class Layers:
    """A pool of logical volumes, and the filesystem that is on them, if any."""

    thin: bool
    fstype: str | None = None

    @property
    def size_bytes(self) -> int:
        return 64 * MIB if self.fstype is None else SIZES[self.fstype]

    def opener(self, mounts: Path) -> Reopen:
        below = opener(thin=self.thin, size_bytes=self.size_bytes)
        if self.fstype is None:
            return below
        options: dict[object, object] = {"fstype": self.fstype, "mounts": f"{mounts}"}
        return lambda: filesystem.open_pool(options, below())


def a_clone_of_what_is_out_of_use(suite: Suite, reopen: Reopen) -> None:
    """Its source has no device, until it is activated for that."""
    source = pool_conformance_content.SOURCE
    suite.test_a_clone_holds_what_its_source_holds(reopen, source, active=False)


def a_renamed_volume_in_use(suite: Suite, reopen: Reopen) -> None:
    """It keeps what it held, and its device gets the new name."""
    suite.test_a_renamed_volume_holds_what_it_held(reopen, active=True)


ALWAYS: tuple[OfSuite, ...] = (
    a_renamed_volume_in_use,
    Suite.test_a_renamed_volume_is_the_same_under_its_new_name,
    Suite.test_clones_of_one_source_have_nothing_to_do_with_each_other,
    Suite.test_growing_keeps_the_content,
)
OF_DEVICES: tuple[OfSuite, ...] = (
    *ALWAYS,
    Suite.test_the_pool_agrees_with_the_model_after_every_action,
    Suite.test_volumes_may_be_made_and_destroyed_at_the_same_time,
    Suite.test_a_destroyed_volume_leaves_nothing_to_its_successor,
)
OF_THIN: tuple[OfSuite, ...] = (
    *OF_DEVICES,
    Suite.test_a_rollback_brings_the_content_back,
    Suite.test_a_volume_out_of_use_can_be_rolled_back,
    Suite.test_snapshots_agree_with_the_model_or_are_refused,
    Suite.test_a_volume_takes_about_what_is_written_to_it,
    Suite.test_a_clone_takes_little_until_it_is_written_to,
)
ON_THIN: tuple[OfSuite, ...] = (
    *ALWAYS,
    a_clone_of_what_is_out_of_use,
    Suite.test_a_rollback_brings_the_content_back,
)
CHOSEN = {
    "thick": (Layers(thin=False), OF_DEVICES),
    "thin": (Layers(thin=True), OF_THIN),
    "ext4 on thin": (Layers(thin=True, fstype="ext4"), ON_THIN),
    "xfs on thin": (Layers(thin=True, fstype="xfs"), ON_THIN),
    "ext4 on thick": (Layers(thin=False, fstype="ext4"), ALWAYS),
}


@pytest.mark.parametrize(
    ("layers", "test"),
    [
        pytest.param(layers, test, id=f"{name}: {test.__name__.removeprefix('test_')}")
        for name, (layers, tests) in CHOSEN.items()
        for test in tests
    ],
)
def test_it_conforms(layers: Layers, test: OfSuite, group: str, tmp_path: Path) -> None:
    suite = Suite()
    suite.size_bytes, suite.thin = layers.size_bytes, layers.thin
    reopen = layers.opener(tmp_path / "mounts")
    try:
        test(suite, reopen)
    finally:
        for volume in reopen().observe():
            reopen().deactivate(volume)
            reopen().destroy(volume)
    assert names() == [THIN_POOL]


def test_what_is_mounted_is_snapshotted_whole_and_neither_destroyed_nor_replaced(
    group: str, tmp_path: Path
) -> None:
    """LVM freezes it, and refuses the rest."""
    pool = opener(thin=True, size_bytes=64 * MIB)()
    for volume in (VOLUME, SOURCE):
        pool.allocate(volume, None)
        pool.format(volume)
        pool.activate(volume)
    device, place = pool.path(VOLUME), tmp_path / "place"
    sh("mkfs.ext4", "-q", device)
    place.mkdir()
    with mounted(f"{device}", place):
        (place / "file").write_text("kept")
        pool.snapshot(VOLUME, "first", 1)
        (place / "file").write_text("changed")
        before = pool.observe()
        changes: list[Callable[[], None]] = [
            lambda: pool.destroy(VOLUME),
            lambda: pool.deactivate(VOLUME),
            lambda: pool.rollback(VOLUME, "first"),
            lambda: pool.clone(SOURCE, VOLUME),
        ]
        for change in changes:
            with pytest.raises(HostError, match="in use"):
                change()
            assert pool.observe() == before
    pool.rollback(VOLUME, "first")
    with mounted(f"{device}", place):
        assert (place / "file").read_text() == "kept"
    for volume in (VOLUME, SOURCE):
        pool.destroy(volume)


@pytest.mark.parametrize("thin", [False, True], ids=["thick", "thin"])
def test_a_volume_that_something_else_made_is_adopted_while_it_is_open(
    group: str, *, thin: bool
) -> None:
    """As QEMU has it open: it keeps its name, gets tags, grows, and goes only once it is closed."""
    space = ["--virtualsize=8M", f"--thinpool={THIN_POOL}"] if thin else ["--size=8M"]
    sh("lvcreate", "-q", "--yes", "--addtag=pve", "--name=vm-100-disk-0", *space, VG)
    device = Path("/dev", VG, "vm-100-disk-0")
    seen = VolumeSeen(name="root", pool="", stage=Stage.INSTALLED, active=True, size_bytes=8 * MIB)
    pool = opener(thin=thin, size_bytes=8 * MIB)()
    other = opener(thin=not thin, size_bytes=8 * MIB)()
    assert isinstance(pool, lvm.LvmPool)
    assert isinstance(other, lvm.LvmPool)
    assert "volumes of this pool" in other.cannot_adopt(device, "raw")
    with device.open("r+b") as file:
        file.write(b"mine")
        file.flush()
        mapped = Path("/dev/mapper", f"{VG.replace('-', '--')}-vm--100--disk--0")
        for name in (device, mapped, device.resolve()):
            assert pool.cannot_adopt(name, "raw") == ""
        pool.adopt_disk(VOLUME, device, seen)
        assert (pool.path(VOLUME), pool.observe()[VOLUME]) == (device, seen)
        pool.grow_zeroed(VOLUME, 16 * MIB)
        if thin:
            pool.snapshot(VOLUME, "first", 1)
        with pytest.raises(HostError, match="in use"):
            pool.destroy(VOLUME)
    assert device.open("rb").read(4) == b"mine"
    if thin:
        device.write_bytes(b"other")
        pool.rollback(VOLUME, "first")
        assert device.open("rb").read(4) == b"mine"
    pool.deactivate(VOLUME)
    pool.rename(VOLUME, SOURCE)
    pool.activate(SOURCE)
    assert pool.path(SOURCE) == device
    assert device.is_block_device()
    pool.deactivate(SOURCE)
    pool.destroy(SOURCE)
    assert names() == [THIN_POOL]


def test_marks_are_one_commit_of_metadata_whatever_they_say(group: str) -> None:
    pool = opener(thin=False, size_bytes=8 * MIB)()
    pool.allocate(VOLUME, None)
    wanted = replace(
        pool.observe()[VOLUME], stage=Stage.INSTALLED, template="deb", guest="a b%c~ü\n" * 20
    )
    before = int(sh("vgs", "--noheadings", "--options=seqno", VG))
    pool.mark(VOLUME, wanted)
    assert int(sh("vgs", "--noheadings", "--options=seqno", VG)) == before + 1
    assert pool.observe()[VOLUME] == wanted
    pool.destroy(VOLUME)


def test_a_full_group_is_an_error_and_the_next_attempt_carries_on(group: str) -> None:
    pool = opener(thin=False, size_bytes=8 * MIB)()
    with pytest.raises(HostError, match="insufficient free space"):
        pool.allocate(VOLUME, 100 * 2**30)
    assert pool.observe() == {}
    pool.allocate(VOLUME, None)
    pool.format(VOLUME)
    with pytest.raises(HostError, match="nsufficient free space"):
        pool.grow(VOLUME, 100 * 2**30)
    pool.grow(VOLUME, 12 * MIB)
    assert pool.observe()[VOLUME].size_bytes == 12 * MIB
    pool.destroy(VOLUME)


def test_what_is_missing_is_named(group: str) -> None:
    with pytest.raises(Refused, match="vg: there is no volume group 'none'"):
        lvm.open_pool({"vg": "none"}, None)
    with pytest.raises(Refused, match="thin_pool: there is no thin pool 'none'"):
        lvm.open_pool({"vg": VG, "thin_pool": "none"}, None)


def test_the_longest_names_are_taken(group: str) -> None:
    pool = opener(thin=True, size_bytes=8 * MIB)()
    volumes = [VolumeId("a-" * 31 + "a", "b-" * 31 + letter) for letter in "xy"]
    for volume in volumes:
        pool.allocate(volume, None)
        pool.format(volume)
        pool.activate(volume)
        pool.snapshot(volume, "c-" * 31 + "c", 1)
    assert set(pool.observe()) == set(volumes)
    for volume in volumes:
        pool.destroy(volume)
