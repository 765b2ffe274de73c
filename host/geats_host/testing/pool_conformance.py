"""The suite that every storage plugin passes, for pytest; for a plugin of your own as well.

A test module of yours names the pool, opened again at each call, and inherits all tests::

    import pytest
    from geats_host.testing.pool_conformance import PoolConformance

    class TestMyPool(PoolConformance):
        @pytest.fixture
        def reopen(self, tmp_path):
            return lambda: open_pool({"path": str(tmp_path / "pool")}, None)

What a pool cannot do, by its ``facts`` and ``offers``, it must refuse; what it does in its own way
is said by the attributes of ``PoolConformance``. The suite needs root, and pytest from the extra
``test``. For asserts that show values, ``pytest.register_assert_rewrite`` this module and
``geats_host.testing.pool_conformance_content`` in a conftest.py before they are imported.
"""

import itertools
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias, assert_never

import pytest
from returns.result import Failure, Success

from geats_core.planning.actions import (
    ActivateVolume,
    AdoptVolume,
    AllocateVolume,
    CloneVolume,
    ConfigureGuest,
    DeleteSnapshot,
    DestroyVolume,
    FormatVolume,
    GrowVolume,
    InstallTemplate,
    MoveVolume,
    RenameVolume,
    ReserveVolume,
    RollbackVolume,
    SnapshotVolume,
    UnpackVolume,
    VolumeAction,
)
from geats_core.planning.model import after
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.observation import (
    UNFINISHED_COPY,
    Observation,
    Stage,
    VolumeSeen,
    volumes_in_order,
)
from geats_core.vm.spec import ROOT, VMSpec, Volume
from geats_host.errors import HostError
from geats_host.linux.loops import loops
from geats_host.linux.mounts import mounts
from geats_host.storage import TEMPLATES, Pool, RenamingPool, VolumeId
from geats_host.testing.pool_conformance_content import ContentConformance, Reopen

Change: TypeAlias = Callable[[Pool], object]

SPEC = VMSpec(
    name="web01",
    driver="memory",
    template="debian",
    hostname="web01",
    volumes=(Volume(name=ROOT, pool="p", mount="/"),),
)
ROOT_ID = VolumeId(SPEC.name, ROOT)
TEMPLATE_ID = VolumeId(TEMPLATES, "0123456789" * 4)
INSTALLED = VolumeSeen(name="x", pool="", stage=Stage.INSTALLED)
NOT_NAMES = ["..", ".", "", "a/b", "/etc", "-x", "_A", "a\n", "a" * 64, "a\0b", "*", "a..b"]
# These must all be different volumes, and none is refused, whatever names a pool makes of them.
ALIKE = [("a.b", "c"), ("a", "b"), ("a_b", "c"), ("A.B", "c"), ("web01.example.com", "root")]
ALIKE += [("db_tdata", "root"), ("a-b", "c"), ("_".join("x" * 32), "y" * 63)]
STEPS = 17  # in ``actions``


class PoolConformance(ContentConformance):
    """See the module. The fixture ``reopen`` gives a function that opens the same pool again."""

    @pytest.fixture(autouse=True)
    def nothing_is_left(self, reopen: Reopen, tmp_path: Path) -> Iterator[None]:
        """After each test all volumes are destroyed, and their mounts and loop devices gone."""
        reopen()
        before = traces(tmp_path)
        yield
        pool = reopen()
        for volume in sorted(pool.observe(), key=lambda volume: volume.is_template):
            pool.deactivate(volume)
            pool.destroy(volume)
        assert pool.observe() == {}
        assert traces(tmp_path) == before

    def actions(self) -> Sequence[VolumeAction]:
        """A life of two volumes, each action possible after those before it."""
        free = None if self.unsized else self.size_bytes
        done: tuple[VolumeAction, ...] = (
            AllocateVolume("p", ROOT, self.size_bytes),
            FormatVolume("p", ROOT),
            ActivateVolume("p", ROOT),
            InstallTemplate("p", ROOT, "debian"),
            ConfigureGuest("p", ROOT, SPEC),
            GrowVolume("p", ROOT, 2 * self.size_bytes),
            AllocateVolume("p", "data", free),
            FormatVolume("p", "data"),
            ActivateVolume("p", "data"),
            GrowVolume("p", "data", 3 * self.size_bytes),
            DestroyVolume("p", "data"),
            AllocateVolume("p", "data", self.size_bytes),
            FormatVolume("p", "data"),
            DestroyVolume("p", "data"),
            DestroyVolume("p", ROOT),
            AllocateVolume("p", ROOT, free),
            DestroyVolume("p", ROOT),
        )
        assert len(done) == STEPS
        return done

    def test_the_pool_agrees_with_the_model_after_every_action(self, reopen: Reopen) -> None:
        """Also if it is opened again between any two: what it knows is durable."""
        have = Observation(recorded=SPEC)
        for action in self.actions():
            perform(action, reopen())
            expected = after(action, have)
            assert isinstance(expected, Success), expected
            have = expected.unwrap()
            assert observed(reopen()) == have, action

    def test_volumes_of_vms_with_names_alike_are_apart(self, reopen: Reopen) -> None:
        volumes = {VolumeId(vm, volume) for vm, volume in ALIKE}
        for volume in volumes:
            reopen().allocate(volume, self.size_bytes)
        assert reopen().observe().keys() == volumes
        reopen().destroy(VolumeId("a.b", "c"))
        assert reopen().observe().keys() == volumes - {VolumeId("a.b", "c")}

    def test_a_renamed_volume_is_the_same_under_its_new_name(self, reopen: Reopen) -> None:
        """With its snapshots, marks and lock; and renamed again, nothing happens."""
        pool, new = reopen(), VolumeId("web02.example.com", ROOT)
        if not (pool.facts.renames and isinstance(pool, RenamingPool)):
            return
        for action in self.actions()[:5]:
            perform(action, pool)
        if pool.facts.snapshots:
            pool.snapshot(ROOT_ID, "before", 1)
        pool.set_locked(ROOT_ID, locked=True)
        before = pool.observe()[ROOT_ID]
        for _ in range(2):
            perform(RenameVolume("p", ROOT, SPEC.name, new.vm), reopen())
            assert reopen().observe().keys() == {new}
            assert replace(reopen().observe()[new], active=True) == before
        reopen().activate(new)
        assert reopen().observe() == {new: before}
        with pytest.raises(HostError, match="no such volume"):
            perform(RenameVolume("p", "data", SPEC.name, new.vm), reopen())
        perform(AllocateVolume("p", ROOT, self.size_bytes), reopen())
        with pytest.raises(HostError, match="already"):
            perform(RenameVolume("p", ROOT, SPEC.name, new.vm), reopen())

    def test_one_volume_is_observed_as_among_all(self, reopen: Reopen) -> None:
        for action in self.actions()[:9]:
            perform(action, reopen())
            pool = reopen()
            everything = pool.observe()
            assert {volume: pool.observe(volume) for volume in everything} == {
                volume: {volume: seen} for volume, seen in everything.items()
            }
            assert pool.observe(VolumeId("nobody", "root")) == {}
            assert pool.observe(VolumeId(ROOT_ID.vm, "nothing")) == {}

    @pytest.mark.parametrize("done", range(STEPS))
    def test_every_action_may_be_done_twice(self, reopen: Reopen, done: int) -> None:
        """After an interruption, nobody knows whether the action was complete."""
        pool = reopen()
        for action in self.actions()[: done + 1]:
            perform(action, pool)
        once = observed(pool)
        perform(self.actions()[done], pool)
        assert observed(pool) == once

    def test_deactivating_ends_the_use_and_keeps_the_rest(self, reopen: Reopen) -> None:
        pool = reopen()
        for action in self.actions()[:5]:
            perform(action, pool)
        before = pool.observe()[ROOT_ID]
        pool.deactivate(ROOT_ID)
        pool.deactivate(ROOT_ID)
        assert before.active
        assert reopen().observe() == {ROOT_ID: replace(before, active=False)}
        reopen().activate(ROOT_ID)
        assert reopen().observe() == {ROOT_ID: before}

    def test_a_volume_never_shrinks(self, reopen: Reopen) -> None:
        pool = reopen()
        for action in self.actions()[:3]:
            perform(action, pool)
        pool.grow(ROOT_ID, 1)
        assert pool.observe()[ROOT_ID].size_bytes == self.size_bytes

    def test_the_mark_that_a_vm_is_protected_stays_until_it_is_taken_away(
        self, reopen: Reopen
    ) -> None:
        pool = reopen()
        for action in self.actions()[:3]:
            perform(action, pool)
        seen = pool.observe()[ROOT_ID]
        for _ in range(2):
            pool.set_locked(ROOT_ID, locked=True)
            assert reopen().observe()[ROOT_ID].locked
        reopen().mark(ROOT_ID, replace(seen, stage=Stage.INSTALLED, template="debian"))
        if pool.facts.snapshots:
            pool.set_locked(ROOT_ID, locked=False)
            pool.snapshot(ROOT_ID, "one", 1)
            pool.set_locked(ROOT_ID, locked=True)
            pool.deactivate(ROOT_ID)
            pool.rollback(ROOT_ID, "one")
        pool.deactivate(ROOT_ID)
        now = reopen().observe()[ROOT_ID]
        assert (now.locked, now.stage, now.template) == (True, Stage.INSTALLED, "debian")
        for _ in range(2):
            pool.set_locked(ROOT_ID, locked=False)
            assert not reopen().observe()[ROOT_ID].locked
        assert reopen().observe()[ROOT_ID] == now

    def test_a_pool_that_needs_sizes_says_so(self, reopen: Reopen) -> None:
        if self.unsized:
            return reopen().allocate(ROOT_ID, None)
        with pytest.raises(HostError, match="size"):
            reopen().allocate(ROOT_ID, None)
        assert reopen().observe() == {}
        return None

    def test_an_unformatted_volume_cannot_be_activated(self, reopen: Reopen) -> None:
        """The model refuses it too."""
        pool = reopen()
        pool.allocate(ROOT_ID, self.size_bytes)
        assert isinstance(after(ActivateVolume("p", ROOT), observed(pool)), Failure)
        with pytest.raises(HostError):
            pool.activate(ROOT_ID)

    def test_an_unpacked_template_is_a_volume_as_any_other(self, reopen: Reopen) -> None:
        """It is told apart by its owner, and lives beside a VM's volume of the same name."""
        same = VolumeId("web01", TEMPLATE_ID.volume)
        for volume in (TEMPLATE_ID, same):
            reopen().allocate(volume, self.size_bytes)
            reopen().format(volume)
            reopen().activate(volume)
        seen = reopen().observe()[TEMPLATE_ID]
        wanted = VolumeSeen(
            name=same.volume,
            pool="",
            stage=Stage.FORMATTED,
            active=True,
            size_bytes=self.size_bytes,
        )
        assert reopen().observe() == {TEMPLATE_ID: wanted, same: wanted}
        reopen().mark(TEMPLATE_ID, replace(seen, stage=Stage.INSTALLED, template="debian"))
        installed = replace(wanted, stage=Stage.INSTALLED, template="debian")
        assert reopen().observe() == {TEMPLATE_ID: installed, same: wanted}
        reopen().deactivate(same)
        reopen().destroy(same)
        assert reopen().observe() == {TEMPLATE_ID: installed}

    def test_destroying_one_volume_keeps_all_others(self, reopen: Reopen) -> None:
        pool = reopen()
        volumes = [VolumeId(vm, name) for vm in ("a", "b") for name in ("root", "data")]
        for volume in volumes:
            pool.allocate(volume, self.size_bytes)
        pool.destroy(volumes[0])
        assert set(pool.observe()) == set(volumes[1:])
        assert len({pool.path(volume) for volume in volumes}) == len(volumes)

    def test_volumes_may_be_made_and_destroyed_at_the_same_time(self, reopen: Reopen) -> None:
        """As ``apply`` does, which runs independent steps side by side."""
        pool = reopen()
        volumes = [VolumeId(vm, name) for vm in "abcd" for name in ("root", "data")]

        def make(volume: VolumeId) -> None:
            pool.allocate(volume, self.size_bytes)
            pool.format(volume)
            pool.activate(volume)

        def remove(volume: VolumeId) -> None:
            pool.deactivate(volume)
            pool.destroy(volume)

        with ThreadPoolExecutor(len(volumes)) as threads:
            list(threads.map(make, volumes))
            assert {seen.active for seen in reopen().observe().values()} == {True}
            assert set(reopen().observe()) == set(volumes)
            list(threads.map(remove, volumes))
        assert reopen().observe() == {}

    def test_observing_runs_no_program_for_each_volume(
        self, reopen: Reopen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        programs: list[object] = []

        class Started(subprocess.Popen[bytes]):
            def _execute_child(self, args: object, *rest: object) -> None:
                programs.append(args)
                super()._execute_child(args, *rest)  # type: ignore[misc]

        monkeypatch.setattr(subprocess, "Popen", Started)
        counts = []
        for volume in (VolumeId(vm, "root") for vm in "abcd"):
            reopen().allocate(volume, self.size_bytes)
            reopen().format(volume)
            reopen().activate(volume)
            pool = reopen()
            programs.clear()
            pool.observe()
            counts.append(len(programs))
        assert len(set(counts)) == 1, counts

    @pytest.mark.parametrize("bad", NOT_NAMES)
    def test_no_other_name_than_a_plain_one_is_taken(self, reopen: Reopen, bad: str) -> None:
        """Names come from the registry, from backups and from directories as well."""
        pool = reopen()
        for call, volume in itertools.product(
            self.calls(pool), (VolumeId(bad, "root"), VolumeId("a", bad))
        ):
            with pytest.raises(HostError, match="cannot name"):
                call(volume)
        assert pool.observe() == {}

    @pytest.mark.parametrize("bad", NOT_NAMES)
    def test_a_snapshot_has_a_plain_name(self, reopen: Reopen, bad: str) -> None:
        pool = reopen()
        for action in self.actions()[:3]:
            perform(action, pool)
        before = pool.observe()
        changes: Sequence[Change] = (
            lambda pool: pool.snapshot(ROOT_ID, bad, 1),
            lambda pool: pool.rollback(ROOT_ID, bad),
            lambda pool: pool.delete_snapshot(ROOT_ID, bad),
        )
        for change in changes:
            with pytest.raises(HostError, match="cannot name"):
                change(pool)
        assert pool.observe() == before

    def test_its_identity_is_there_with_the_first_volume_and_stays(self, reopen: Reopen) -> None:
        """If a pool has one at all: None is no identity, and never compared."""
        perform(AllocateVolume("p", ROOT, self.size_bytes), reopen())
        first = reopen().facts.identity
        assert first != ""
        for action in self.actions()[1:]:
            perform(action, reopen())
            assert reopen().facts.identity == first, action

    def test_a_volume_that_is_not_there_cannot_be_changed(self, reopen: Reopen) -> None:
        changes: Sequence[Change] = (
            lambda pool: pool.format(ROOT_ID),
            lambda pool: pool.activate(ROOT_ID),
            lambda pool: pool.grow(ROOT_ID, self.size_bytes),
            lambda pool: pool.mark(ROOT_ID, INSTALLED),
            lambda pool: pool.set_locked(ROOT_ID, locked=True),
            lambda pool: pool.snapshot(ROOT_ID, "first", 1),
            lambda pool: pool.rollback(ROOT_ID, "first"),
            lambda pool: pool.used_bytes(ROOT_ID),
            lambda pool: pool.clone(TEMPLATE_ID, ROOT_ID),
        )
        for change in changes:
            with pytest.raises(HostError):
                change(reopen())
            assert reopen().observe() == {}

    def test_a_volume_that_is_not_there_is_out_of_use_and_destroyed(self, reopen: Reopen) -> None:
        reopen().deactivate(ROOT_ID)
        reopen().destroy(ROOT_ID)
        assert reopen().observe() == {}

    def test_snapshots_agree_with_the_model_or_are_refused(self, reopen: Reopen) -> None:
        have = Observation(recorded=SPEC)
        for action in self.actions()[:4]:
            perform(action, reopen())
            have = after(action, have).unwrap()
        for action in (
            SnapshotVolume("p", ROOT, "first", 1),
            ConfigureGuest("p", ROOT, replace(SPEC, hostname="other")),
            SnapshotVolume("p", ROOT, "second", 2),
            RollbackVolume("p", ROOT, "first"),
            DeleteSnapshot("p", ROOT, "first"),
            DeleteSnapshot("p", ROOT, "second"),
        ):
            if reopen().facts.snapshots:
                perform(action, reopen())
                perform(action, reopen())
                have = after(action, have).unwrap()
                assert observed(reopen()) == have, action
            elif isinstance(action, SnapshotVolume | RollbackVolume):
                with pytest.raises(HostError, match="has no snapshots"):
                    perform(action, reopen())

    def calls(self, pool: Pool) -> Sequence[Callable[[VolumeId], object]]:
        """All that a pool does with a volume; the other one is made up."""
        other = VolumeId("other", "root")
        return (
            pool.path,
            lambda volume: pool.allocate(volume, self.size_bytes),
            pool.format,
            pool.activate,
            pool.deactivate,
            lambda volume: pool.grow(volume, self.size_bytes),
            pool.destroy,
            lambda volume: pool.snapshot(volume, "first", 1),
            lambda volume: pool.rollback(volume, "first"),
            lambda volume: pool.delete_snapshot(volume, "first"),
            lambda volume: pool.clone(volume, other),
            lambda volume: pool.clone(other, volume),
            pool.used_bytes,
            lambda volume: pool.mark(volume, INSTALLED),
        )


def perform(action: VolumeAction, pool: Pool) -> None:
    """What ``apply`` does for *action* on the VM of ``SPEC``, without the files."""
    volume = VolumeId(SPEC.name, action.volume)
    match action:
        case AllocateVolume(_, _, size_bytes):
            pool.allocate(volume, size_bytes)
        case FormatVolume():
            pool.format(volume)
        case ActivateVolume():
            pool.activate(volume)
        case GrowVolume(_, _, size_bytes):
            pool.grow(volume, size_bytes)
        case DestroyVolume():
            pool.deactivate(volume)
            pool.destroy(volume)
        case SnapshotVolume(_, _, snapshot, taken_s):
            pool.snapshot(volume, snapshot, taken_s)
        case RollbackVolume(_, _, snapshot):
            pool.rollback(volume, snapshot)
        case DeleteSnapshot(_, _, snapshot):
            pool.delete_snapshot(volume, snapshot)
        case InstallTemplate(_, _, template):
            seen = pool.observe()[volume]
            pool.mark(volume, replace(seen, stage=Stage.FILLING))
            pool.mark(volume, replace(seen, stage=Stage.INSTALLED, template=template))
        case ConfigureGuest(_, _, spec):
            pool.mark(volume, replace(pool.observe()[volume], guest=guest_digest(spec)))
        case ReserveVolume():
            seen = replace(pool.observe()[volume], stage=Stage.FILLING)
            pool.mark(volume, replace(seen, template=UNFINISHED_COPY))
        case UnpackVolume(template=template) | CloneVolume(template=template):
            stage = Stage.FORMATTED if template is None else Stage.INSTALLED
            pool.mark(volume, replace(pool.observe()[volume], stage=stage, template=template))
        case RenameVolume(_, _, _, new_name):
            assert isinstance(pool, RenamingPool)
            pool.rename(volume, VolumeId(new_name, action.volume))
        case MoveVolume():
            raise AssertionError("it is of two pools: see tests/host/engine")
        case AdoptVolume():
            raise AssertionError("what a pool adopts is on the host: see tests/real/storage")
        case _:
            assert_never(action)


def observed(pool: Pool) -> Observation:
    """The VM of ``SPEC``, as the model shows it."""
    found = pool.observe()
    assert all(at == VolumeId(SPEC.name, seen.name) for at, seen in found.items())
    volumes = [replace(seen, pool="p") for seen in found.values()]
    return Observation(recorded=SPEC, volumes=volumes_in_order(volumes))


def traces(path: Path) -> tuple[list[str], list[str]]:
    """All that volumes could leave below *path*: mounts, and files behind loop devices."""
    return (
        sorted(mount.point for mount in mounts() if mount.point.startswith(f"{path}/")),
        sorted(f"{file}" for file in loops() if file.is_relative_to(path)),
    )
