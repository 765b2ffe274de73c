"""The pool of logical volumes on an LVM in memory: it conforms, and is cut at every command."""

import itertools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError, Refused
from geats_host.storage import (
    DiskAdoptingPool,
    Pool,
    RenamingPool,
    VolumeId,
    ZeroingPool,
    lvm,
    memory,
)
from geats_host.storage.lvm import open_pool
from geats_host.storage.lvm_commands import LogicalVolume
from geats_host.storage.lvm_volumes import NEW, lv_name
from geats_host.testing import pool_conformance_content
from geats_host.testing.pool_conformance import PoolConformance
from geats_host.testing.pool_conformance_content import Reopen
from tests.real.storage.fake_lvm import FakeLvm

MIB = 2**20
VG, THIN_POOL = "vg-0", "pool-0"
VOLUME, SOURCE = VolumeId("web01", "root"), VolumeId("web-02", "root")
NAME, OLD = "geats.web01.root", "vm-100-disk-0"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeLvm:
    (tmp_path / "dev" / VG).mkdir(parents=True)
    (tmp_path / "store").mkdir()
    fake = FakeLvm(VG, tmp_path / "dev", tmp_path / "store")
    pool = LogicalVolume(name=THIN_POOL, size_bytes=2**30, is_thin_pool=True, zeroes=True)
    fake.volumes[THIN_POOL] = pool
    monkeypatch.setattr(lvm, "run", fake.run)
    monkeypatch.setattr(lvm, "own_bytes", fake.own_bytes)
    monkeypatch.setattr(lvm, "DEV", fake.dev)
    monkeypatch.setattr(shutil, "which", lambda tool: tool)
    return fake


def thick() -> Pool:
    return open_pool({"vg": VG, "default_size": 8 * MIB}, None)


def thin() -> Pool:
    return open_pool({"vg": VG, "thin_pool": THIN_POOL, "default_size": 8 * MIB}, None)


class TestThick(PoolConformance):
    size_bytes = 8 * MIB
    thin = False

    @pytest.fixture
    def reopen(self, fake: FakeLvm) -> Reopen:
        return thick


class TestThin(PoolConformance):
    size_bytes = 16 * MIB

    @pytest.fixture
    def reopen(self, fake: FakeLvm) -> Reopen:
        return thin


def test_a_group_tells_what_is_left_of_it_and_an_active_thin_pool_too(fake: FakeLvm) -> None:
    assert thick().facts.free_bytes == fake.free_bytes
    assert thin().facts.free_bytes is None
    fake.volumes[THIN_POOL] = replace(fake.volumes[THIN_POOL], active=True, full=12.5)
    facts = thin().facts
    assert (facts.size_bytes, facts.free_bytes) == (2**30, 2**30 * 7 // 8)


def make(pool: Pool, volume: VolumeId, text: str, size_bytes: int = 8 * MIB) -> None:
    pool.allocate(volume, size_bytes)
    pool.format(volume)
    pool.activate(volume)
    pool_conformance_content.put(pool, volume, text)


def prepare(pool: Pool) -> None:
    """A volume with a snapshot "first", grown since, and another volume."""
    make(pool, VOLUME, "one")
    make(pool, SOURCE, "source")
    if pool.facts.snapshots:
        pool.snapshot(VOLUME, "first", 1)
        pool.grow(VOLUME, 16 * MIB)
        pool.mark(VOLUME, replace(pool.observe()[VOLUME], stage=Stage.INSTALLED, guest="two"))
    pool_conformance_content.put(pool, VOLUME, "two")


@dataclass(frozen=True, slots=True)
class Case:
    """What is done to what ``prepare`` made, and what the volume holds then; None: it is gone."""

    change: Callable[[Pool], None]
    text: str | None
    stage: Stage = Stage.INSTALLED
    snapshots: tuple[str, ...] = ("first",)
    size_bytes: int = 16 * MIB


THIN_CASES: dict[str, Case] = {
    "snapshot": Case(
        lambda pool: pool.snapshot(VOLUME, "second", 2), "two", snapshots=("first", "second")
    ),
    "rollback": Case(lambda pool: pool.rollback(VOLUME, "first"), "one", Stage.FORMATTED),
    "delete": Case(lambda pool: pool.delete_snapshot(VOLUME, "first"), "two", snapshots=()),
    "clone": Case(lambda pool: pool.clone(SOURCE, VOLUME), "source"),
    "grow": Case(lambda pool: pool.grow(VOLUME, 32 * MIB), "two", size_bytes=32 * MIB),
    "destroy": Case(lambda pool: pool.destroy(VOLUME), None),
}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("case", THIN_CASES.values(), ids=THIN_CASES)
def test_what_is_cut_is_finished_by_doing_it_again(
    fake: FakeLvm, case: Case, *, after: bool
) -> None:
    """At each command; what is observed meanwhile is the volume, as long as it is not gone."""
    number, is_cut = 0, True
    while is_cut:
        number += 1
        prepare(thin())
        is_cut = fake.is_cut(lambda: case.change(thin()), number, after=after)
        assert case.text is None or VOLUME in thin().observe()
        case.change(thin())
        check(thin(), case)
        for volume in (VOLUME, SOURCE):
            thin().deactivate(volume)
            thin().destroy(volume)
        assert set(fake.volumes) == {THIN_POOL}
    assert number > 1


def check(pool: Pool, case: Case) -> None:
    seen = pool.observe().get(VOLUME)
    if case.text is None:
        assert seen is None
        return
    assert seen is not None
    assert (seen.stage, seen.size_bytes) == (case.stage, case.size_bytes)
    assert tuple(snapshot.name for snapshot in seen.snapshots) == case.snapshots
    pool.activate(VOLUME)
    pool_conformance_content.check(pool, VOLUME, case.text)


@pytest.mark.parametrize("open_one", [thick, thin])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_volume_whose_making_was_cut_is_made(
    fake: FakeLvm, open_one: Reopen, *, after: bool
) -> None:
    """And is clean: what a thick one had held before is gone."""
    number, is_cut = 0, True
    while is_cut:
        number += 1
        is_cut = fake.is_cut(lambda: make(open_one(), VOLUME, ""), number, after=after)
        converge(open_one())
        assert pool_conformance_content.held(open_one(), VOLUME) == ""
        open_one().destroy(VOLUME)
    assert number > 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_what_a_guest_gets_shows_nothing_of_what_others_left(fake: FakeLvm, *, after: bool) -> None:
    """Nor what it grows by, wherever that is cut: until it is zeroed, it is not seen as active."""

    def held() -> bytes:
        return (fake.store / NAME).read_bytes()

    def grown() -> None:
        pool = thick()
        assert isinstance(pool, ZeroingPool)
        pool.grow_zeroed(VOLUME, 16 * MIB)

    number, is_cut = 0, True
    while is_cut:
        number += 1
        pool = thick()
        assert isinstance(pool, ZeroingPool)
        pool.allocate(VOLUME, 7 * MIB)
        assert b"dirty" in held()
        pool.zero(VOLUME)
        assert not any(held())
        pool.format(VOLUME)
        pool.activate(VOLUME)
        own = b"what the guest wrote".ljust(8 * MIB, b".")  # in all of the extents
        (fake.store / NAME).write_bytes(own)
        pool.zero(VOLUME)  # it is formatted
        is_cut = fake.is_cut(grown, number, after=after)
        seen = thick().observe()[VOLUME]
        assert not (seen.active and b"dirty" in held())
        pool.mark(VOLUME, replace(seen, guest="marked"))
        thick().activate(VOLUME)
        assert held().rstrip(b"\0") == own
        grown()
        seen = thick().observe()[VOLUME]
        assert (seen.active, seen.size_bytes, seen.guest) == (True, 16 * MIB, "marked")
        assert held() == own + bytes(8 * MIB)
        assert not any("dirty" in tag for tag in fake.volumes[NAME].tags)
        thick().destroy(VOLUME)
    assert number > 3


def converge(pool: Pool) -> None:
    if VOLUME not in pool.observe():
        pool.allocate(VOLUME, 8 * MIB)
    if pool.observe()[VOLUME].stage < Stage.FORMATTED:
        assert not pool.observe()[VOLUME].active
        pool.format(VOLUME)
    if not pool.observe()[VOLUME].active:
        pool.activate(VOLUME)


def test_a_destroyed_volume_is_not_brought_back_by_what_a_cut_left(fake: FakeLvm) -> None:
    """What was to take its place goes first."""
    for of_clone, of_destroy in itertools.product(range(1, 8), range(1, 5)):
        prepare(thin())
        fake.is_cut(lambda: thin().clone(SOURCE, VOLUME), of_clone, after=True)
        fake.is_cut(lambda: thin().destroy(VOLUME), of_destroy, after=True)
        seen = thin().observe().get(VOLUME)
        assert seen is not None or all(not name.startswith(NAME) for name in fake.volumes)
        thin().destroy(VOLUME)
        thin().destroy(SOURCE)
        assert set(fake.volumes) == {THIN_POOL}


@pytest.mark.parametrize("open_one", [thick, thin])
def test_what_is_in_use_is_neither_destroyed_nor_replaced(fake: FakeLvm, open_one: Reopen) -> None:
    prepare(open_one())
    before = open_one().observe()
    fake.opened.add(NAME)
    changes: list[Callable[[Pool], None]] = [
        lambda pool: pool.destroy(VOLUME),
        lambda pool: pool.deactivate(VOLUME),
    ]
    if open_one().facts.snapshots:
        changes.append(lambda pool: pool.rollback(VOLUME, "first"))
        changes.append(lambda pool: pool.clone(SOURCE, VOLUME))
    for change in changes:
        with pytest.raises(HostError, match="in use"):
            change(open_one())
        assert open_one().observe() == before
        pool_conformance_content.check(open_one(), VOLUME, "two")


@pytest.mark.parametrize("tags", [frozenset[str](), frozenset({"geats"}), frozenset({"mine"})])
def test_what_geats_did_not_make_is_not_touched(fake: FakeLvm, tags: frozenset[str]) -> None:
    """Also where it has the name, or a tag, of what geats makes."""
    fake.volumes[NAME] = LogicalVolume(name=NAME, size_bytes=4 * MIB, tags=tags)
    before = dict(fake.volumes)
    with pytest.raises(HostError, match="exists already, and does not belong to this pool"):
        thick().allocate(VOLUME, 8 * MIB)
    thick().destroy(VOLUME)
    thick().deactivate(VOLUME)
    assert thick().observe() == {}
    assert fake.volumes == before


def test_a_copy_under_another_name_is_not_the_volume(fake: FakeLvm) -> None:
    make(thick(), VOLUME, "one")
    fake.volumes["copy"] = replace(fake.volumes[NAME], name="copy")
    (fake.store / "copy").touch()
    thick().destroy(VOLUME)
    assert set(fake.volumes) == {THIN_POOL, "copy"}


def test_two_pools_of_one_group_do_not_see_each_other(fake: FakeLvm) -> None:
    make(thick(), VOLUME, "thick")
    make(thin(), SOURCE, "thin")
    assert (set(thick().observe()), set(thin().observe())) == ({VOLUME}, {SOURCE})
    with pytest.raises(HostError, match="does not belong to this pool"):
        thin().allocate(VOLUME, 8 * MIB)


def test_a_snapshot_that_somebody_made_keeps_a_thick_volume(fake: FakeLvm) -> None:
    """LVM would remove it with the volume, and not ask."""
    make(thick(), VOLUME, "one")
    fake.volumes["mine"] = LogicalVolume(name="mine", size_bytes=4 * MIB, origin=NAME)
    with pytest.raises(HostError, match="is needed by mine"):
        thick().destroy(VOLUME)
    assert VOLUME in thick().observe()


def test_a_snapshot_that_somebody_made_keeps_a_thin_volume_as_it_is(fake: FakeLvm) -> None:
    """One that is not thin itself would go with the volume, too."""
    make(thin(), VOLUME, "one")
    thin().snapshot(VOLUME, "monday", 1)
    fake.volumes["mine"] = LogicalVolume(name="mine", size_bytes=4 * MIB, origin=NAME)
    with pytest.raises(HostError, match="is needed by mine"):
        thin().rollback(VOLUME, "monday")
    assert {NAME, "mine"} <= fake.volumes.keys()


def test_tags_that_people_add_stay(fake: FakeLvm) -> None:
    make(thin(), VOLUME, "one")
    fake.volumes[NAME] = replace(fake.volumes[NAME], tags=fake.volumes[NAME].tags | {"backup"})
    thin().grow(VOLUME, 16 * MIB)
    make(thin(), SOURCE, "source")
    thin().clone(SOURCE, VOLUME)
    assert "backup" in fake.volumes[NAME].tags


def test_marks_change_in_one_command(fake: FakeLvm) -> None:
    make(thin(), VOLUME, "one")
    wanted = replace(
        thin().observe()[VOLUME], stage=Stage.INSTALLED, template="deb", guest="a b%c~ü"
    )
    assert fake.is_cut(lambda: thin().mark(VOLUME, wanted), 1, after=True)
    assert thin().observe()[VOLUME] == wanted


def foreign(fake: FakeLvm, name: str = OLD, thin_pool: str | None = THIN_POOL) -> Path:
    """A logical volume that something else made, and that a guest uses; its device."""
    kind = [] if thin_pool is None else ["--thinpool", thin_pool]
    fake.run(["lvcreate", "--name", name, "--size", f"{8 * MIB}b", *kind, "--addtag", "pve", VG])
    fake.run(["lvchange", "--activate", "y", "--ignoreactivationskip", f"{VG}/{name}"])
    (fake.store / name).write_bytes(b"mine".ljust(8 * MIB, b"\0"))
    return fake.dev / VG / name


def adopting(pool: Pool) -> DiskAdoptingPool:
    assert isinstance(pool, DiskAdoptingPool)
    return pool


SEEN = VolumeSeen(
    name="root", pool="", stage=Stage.INSTALLED, active=True, size_bytes=8 * MIB, template="old"
)


@pytest.mark.parametrize("open_one", [thick, thin])
def test_an_adopted_volume_keeps_its_name_and_its_path(fake: FakeLvm, open_one: Reopen) -> None:
    device = foreign(fake, thin_pool=None if open_one is thick else THIN_POOL)
    fake.opened.add(OLD)
    assert adopting(open_one()).cannot_adopt(device, "raw") == ""
    adopting(open_one()).adopt_disk(VOLUME, device, SEEN)
    adopting(open_one()).adopt_disk(VOLUME, device, SEEN)
    assert open_one().path(VOLUME) == device
    assert open_one().observe()[VOLUME] == SEEN
    assert "pve" in fake.volumes[OLD].tags
    open_one().grow(VOLUME, 16 * MIB)
    open_one().mark(VOLUME, replace(SEEN, guest="marked"))
    open_one().set_locked(VOLUME, locked=True)
    assert open_one().observe()[VOLUME].locked
    assert open_one().path(VOLUME) == device
    with pytest.raises(HostError, match="in use"):
        open_one().destroy(VOLUME)
    with pytest.raises(HostError, match="has another disk already"):
        adopting(open_one()).adopt_disk(VOLUME, foreign(fake, "more", None), SEEN)
    fake.opened.clear()
    open_one().deactivate(VOLUME)
    pool = open_one()
    assert isinstance(pool, RenamingPool)
    pool.rename(VOLUME, SOURCE)
    pool.rename(VOLUME, SOURCE)
    assert (pool.path(SOURCE), open_one().path(SOURCE)) == (device, device)
    assert set(open_one().observe()) == {SOURCE}
    pool.destroy(SOURCE)
    assert OLD not in fake.volumes
    pool.allocate(SOURCE, 8 * MIB)
    assert pool.path(SOURCE).name == "geats.web-02.root"


def test_it_is_known_by_the_path_that_its_domain_has(fake: FakeLvm) -> None:
    device = foreign(fake)
    mapped = fake.dev / "mapper" / "vg--0-vm--100--disk--0"
    mapped.parent.mkdir()
    mapped.symlink_to(device)
    adopting(thin()).adopt_disk(VOLUME, mapped, SEEN)
    assert (thin().path(VOLUME), fake.volumes[OLD].name) == (mapped, OLD)


def test_what_no_pool_of_its_kind_can_have_is_told(fake: FakeLvm) -> None:
    of_thin, of_thick = foreign(fake), foreign(fake, "thick", None)
    snapshot = fake.dev / VG / "snapshot"
    fake.volumes["snapshot"] = LogicalVolume(name="snapshot", size_bytes=1, origin="thick")
    for pool, device, why in (
        (thick(), of_thin, "is thin, in pool-0; volumes of this pool are not thin"),
        (thin(), of_thick, "is not thin; volumes of this pool are thin, in pool-0"),
        (thick(), fake.dev / VG / THIN_POOL, "is a thin pool"),
        (thick(), snapshot, "is a snapshot of thick, and not thin"),
        (thick(), Path("/dev/sda"), "is no logical volume of the group vg-0"),
    ):
        assert adopting(pool).cannot_adopt(device, "raw") == f"{device} {why}"
        with pytest.raises(HostError, match=why):
            adopting(pool).adopt_disk(VOLUME, device, SEEN)
    assert "volumes of this pool are raw" in adopting(thin()).cannot_adopt(of_thin, "qcow2")
    adopting(thin()).adopt_disk(VOLUME, of_thin, SEEN)
    assert "is taken by web01/root" in adopting(thin()).cannot_adopt(of_thin, "raw")
    with pytest.raises(HostError, match="is taken by web01/root"):
        adopting(thin()).adopt_disk(SOURCE, of_thin, SEEN)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("work", ["adopt", "snapshot", "rollback", "destroy"])
def test_what_is_cut_of_an_adopted_volume_goes_on(fake: FakeLvm, work: str, *, after: bool) -> None:
    """At no moment is there a volume under another path."""
    works: dict[str, Callable[[], None]] = {
        "adopt": lambda: adopting(thin()).adopt_disk(VOLUME, fake.dev / VG / OLD, SEEN),
        "snapshot": lambda: thin().snapshot(VOLUME, "one", 1),
        "rollback": lambda: thin().rollback(VOLUME, "one"),
        "destroy": lambda: thin().destroy(VOLUME),
    }
    number, is_cut = 0, True
    while is_cut:
        number += 1
        device = foreign(fake)
        for before in [*works][: [*works].index(work)]:
            works[before]()
        is_cut = fake.is_cut(works[work], number, after=after)
        seen = thin().observe().get(VOLUME)
        assert seen is None or (seen.stage, thin().path(VOLUME)) == (Stage.INSTALLED, device)
        works[work]()
        assert (VOLUME in thin().observe()) is (work != "destroy")
        if work == "rollback":
            assert (fake.store / OLD).read_bytes().startswith(b"mine")
        thin().destroy(VOLUME)
        assert set(fake.volumes) == {THIN_POOL}
    assert number > 1


def test_a_full_group_is_an_error_and_the_next_attempt_carries_on(fake: FakeLvm) -> None:
    room, fake.free_bytes = fake.free_bytes, 4 * MIB
    with pytest.raises(HostError, match="insufficient free space"):
        make(thick(), VOLUME, "one")
    assert thick().observe() == {}
    fake.free_bytes = room
    make(thick(), VOLUME, "one")
    assert thick().observe()[VOLUME].active


def test_a_source_that_is_larger_is_not_cloned(fake: FakeLvm) -> None:
    for open_one in (thick, thin):
        make(open_one(), SOURCE, "source", 12 * MIB)
        make(open_one(), VOLUME, "kept")
        with pytest.raises(HostError, match="12MiB do not fit into 8MiB"):
            open_one().clone(SOURCE, VOLUME)
        pool_conformance_content.check(open_one(), VOLUME, "kept")
        for volume in (SOURCE, VOLUME):
            open_one().destroy(volume)


def test_long_names_are_told_apart(fake: FakeLvm) -> None:
    volumes = [VolumeId("a-" * 31 + "a", "b-" * 31 + letter) for letter in "xyz"]
    for volume in volumes:
        make(thin(), volume, str(volume)[-5:])
        thin().snapshot(volume, "first", 1)
        thin().rollback(volume, "first")
    assert set(thin().observe()) == set(volumes)
    assert all(len(name.replace("-", "--")) < 100 for name in fake.volumes)


def test_the_wrong_options_are_reported_at_once(fake: FakeLvm) -> None:
    below = memory.open_pool({"path": "/p"}, None)
    wrong: Sequence[tuple[dict[object, object], list[str]]] = (
        ({}, ["vg: is missing"]),
        ({"vg": "-a"}, ["vg: must be a name of LVM's, of 1 to 40 letters, digits and +_.-"]),
        ({"vg": "none"}, ["vg: there is no volume group 'none'"]),
        ({"vg": VG, "thin_pool": "p"}, [f"thin_pool: there is no thin pool 'p' in '{VG}'"]),
    )
    for options, said in wrong:
        with pytest.raises(Refused) as refused:
            open_pool(options, None)
        assert [text.split(", got")[0] for text in refused.value.problems] == said
    with pytest.raises(Refused) as refused:
        open_pool({"vg": "none", "thinpool": "p", "default_size": "big"}, below)
    assert [text.split(":")[0] for text in refused.value.problems] == [
        "default_size",
        "on",
        "vg",
        "thinpool",
    ]


def test_a_thin_pool_must_zero(fake: FakeLvm) -> None:
    """Else a guest could read what another had left in its chunks."""
    fake.volumes[THIN_POOL] = replace(fake.volumes[THIN_POOL], zeroes=False)
    with pytest.raises(Refused, match="thin_pool: must zero what it hands out"):
        thin()


def test_missing_programs_are_named(fake: FakeLvm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    with pytest.raises(Refused) as refused:
        thin()
    assert list(refused.value.problems) == [
        "type: lvcreate is not installed (package lvm2)",
        "type: thin_ls is not installed (package thin-provisioning-tools)",
    ]
    with pytest.raises(Refused, match="lvcreate"):
        thick()


def test_a_volume_without_its_stage_is_precious(fake: FakeLvm) -> None:
    make(thin(), VOLUME, "one")
    lv = fake.volumes[NAME]
    fake.volumes[NAME] = replace(lv, tags=lv.tags - {"geats.stage=FORMATTED"})
    assert thin().observe() == {
        VOLUME: VolumeSeen(
            name="root", pool="", stage=Stage.INSTALLED, active=True, size_bytes=8 * MIB
        )
    }


def test_no_snapshot_is_named_like_what_takes_a_place() -> None:
    with pytest.raises(HostError, match="cannot name a snapshot"):
        lvm.LvmPool(VG, THIN_POOL, MIB).snapshot(VOLUME, NEW, 1)
    assert lv_name(VG, VOLUME, NEW) == f"{NAME}.+new"
