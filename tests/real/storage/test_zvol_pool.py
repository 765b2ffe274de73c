"""The pool of devices of ZFS conforms, as far as a stand-in for ZFS can tell."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from geats_host.errors import HostError, Refused
from geats_host.storage import TEMPLATES, Pool, VolumeId, directory, zfs_datasets, zvol
from geats_host.testing.pool_conformance import PoolConformance
from geats_host.testing.pool_conformance_content import FIRST, MIB, SOURCE, Reopen, check, put
from tests.real.storage.fake_zfs import FakeZfs

VOLUME = VolumeId("web01", "root")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeZfs:
    """A ZFS of our own."""
    made = FakeZfs(tmp_path / "tank")
    patched(made.run, monkeypatch)
    monkeypatch.setattr(zvol, "DEV", made.dev)
    monkeypatch.setattr(zvol, "APPEARS_S", 0.1)
    monkeypatch.setattr(shutil, "which", lambda name: f"/sbin/{name}")
    return made


def patched(run: object, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (zvol, zfs_datasets):
        monkeypatch.setattr(module, "run", run)


@pytest.fixture
def reopen(fake: FakeZfs) -> Reopen:
    return lambda: zvol.open_pool({"dataset": "tank/geats", "default_size": 64 * MIB}, None)


@pytest.fixture
def pool(reopen: Reopen) -> Pool:
    return reopen()


class TestZvol(PoolConformance):
    @pytest.fixture
    def reopen(self, reopen: Reopen) -> Reopen:
        return reopen


def ready(pool: Pool, volume: VolumeId, text: str = "", size_bytes: int = 8 * MIB) -> None:
    pool.allocate(volume, size_bytes)
    pool.format(volume)
    pool.activate(volume)
    if text:
        put(pool, volume, text)


@pytest.mark.parametrize("reserve", [False, True])
def test_a_size_is_of_whole_blocks_and_perhaps_reserved(fake: FakeZfs, reserve: bool) -> None:
    asked: list[list[str]] = []

    def run(argv: list[str]) -> str:
        asked.append(argv)
        return fake.run(argv)

    with pytest.MonkeyPatch.context() as patch:
        patched(run, patch)
        pool = zvol.open_pool({"dataset": "tank/geats", "reserve": reserve}, None)
        ready(pool, VOLUME, size_bytes=8 * MIB + 1)
        pool.grow(VOLUME, 12 * MIB)
    made, grown = (next(a for a in asked if a[1] == do) for do in ("create", "set"))
    assert ("-s" in made, made[-3:]) == (
        not reserve,
        ["-V", f"{9 * MIB}", "tank/geats/web01:root"],
    )
    assert "volmode=dev" in made
    (resized,) = (each for each in asked if f"volsize={12 * MIB}" in each)
    assert ("refreservation=auto" in resized) is reserve
    assert grown[-1] == "tank/geats/web01:root"
    assert pool.path(VOLUME).stat().st_size == 12 * MIB
    assert pool.path(VOLUME) == fake.dev / "tank/geats/web01:root"


def test_a_clone_is_as_large_as_what_it_replaces_and_shares_its_template(
    fake: FakeZfs, pool: Pool
) -> None:
    ready(pool, SOURCE, "template", 4 * MIB)
    ready(pool, VOLUME)
    pool.clone(SOURCE, VOLUME)
    assert pool.path(VOLUME).stat().st_size == 8 * MIB
    assert fake.datasets["tank/geats/web01:root"].origin.startswith("tank/geats/_templates:")
    ready(pool, FIRST_OF_ALL := VolumeId("small", "root"), size_bytes=2 * MIB)
    with pytest.raises(HostError, match="4MiB do not fit into 2MiB"):
        pool.clone(SOURCE, FIRST_OF_ALL)
    pool.deactivate(SOURCE)
    with pytest.raises(HostError, match="in use: tank/geats/web01:root is a clone of it"):
        pool.destroy(SOURCE)


def test_a_rollback_keeps_newer_snapshots_and_the_size_of_now(fake: FakeZfs, pool: Pool) -> None:
    ready(pool, VOLUME)
    for name in ("one", "two", "three"):
        put(pool, VOLUME, name)
        pool.snapshot(VOLUME, name, 1)
    pool.grow(VOLUME, 12 * MIB)
    for name in ("one", "three", "two"):
        pool.rollback(VOLUME, name)
        check(pool, VOLUME, name)
        assert [each.name for each in pool.observe()[VOLUME].snapshots] == ["one", "two", "three"]
        assert pool.path(VOLUME).stat().st_size == 12 * MIB
    assert [*fake.datasets] == ["tank/geats/web01:root"]


def test_a_device_that_udev_does_not_make_is_told(fake: FakeZfs, pool: Pool) -> None:
    pool.allocate(VOLUME, 8 * MIB)
    pool.format(VOLUME)
    pool.path(VOLUME).unlink()
    with pytest.raises(HostError, match=r"did not appear within 0\.1 s: is udev running"):
        pool.activate(VOLUME)


class Cut(Exception):
    """The process ends here."""


def is_cut(call: Callable[[], object], fake: FakeZfs, number: int) -> bool:
    """Cut *call* after so many commands that change anything; whether it was cut."""
    left = number

    def run(argv: list[str]) -> str:
        nonlocal left
        if argv[1] not in ("list", "get"):
            if left == 0:
                raise Cut
            left -= 1
        return fake.run(argv)

    with pytest.MonkeyPatch.context() as patch:
        patched(run, patch)
        try:
            call()
        except Cut:
            return True
    return False


@pytest.mark.parametrize("source", [SOURCE, VolumeId("old", "root")], ids=["template", "vm"])
@pytest.mark.parametrize("number", range(8))
def test_a_clone_that_is_cut_anywhere_is_made_by_the_next_call(
    reopen: Reopen, fake: FakeZfs, source: VolumeId, number: int
) -> None:
    ready(reopen(), source, "template")
    ready(reopen(), FIRST, "old")
    was_cut = is_cut(lambda: reopen().clone(source, FIRST), fake, number)
    assert was_cut == (number < (5 if source.vm == TEMPLATES else 4))
    assert set(reopen().observe()) == {source, FIRST}
    reopen().clone(source, FIRST)
    reopen().activate(FIRST)
    check(reopen(), FIRST, "template")
    put(reopen(), FIRST, "mine")
    check(reopen(), source, "template")
    for volume in (FIRST, source):
        reopen().deactivate(volume)
        reopen().destroy(volume)
    assert fake.datasets == {}


@pytest.mark.parametrize("name", ["one", "two"])
@pytest.mark.parametrize("number", range(6))
def test_a_rollback_that_is_cut_anywhere_is_finished_by_the_next_activation(
    reopen: Reopen, fake: FakeZfs, name: str, number: int
) -> None:
    ready(reopen(), FIRST)
    for each in ("one", "two"):
        put(reopen(), FIRST, each)
        reopen().snapshot(FIRST, each, 1)
    put(reopen(), FIRST, "now")
    was_cut = is_cut(lambda: reopen().rollback(FIRST, name), fake, number)
    assert reopen().observe()[FIRST].active is (number == 0 or not was_cut)
    reopen().activate(FIRST)
    check(reopen(), FIRST, name if number else "now")
    reopen().deactivate(FIRST)
    reopen().destroy(FIRST)
    assert fake.datasets == {}


def test_every_wrong_option_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = directory.open_pool({"path": f"{tmp_path}/below"}, None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    options: dict[object, object] = {"dataset": "-tank", "reserve": 2, "default_size": "x"}
    with pytest.raises(Refused) as refused:
        zvol.open_pool({**options, "path": "/x"}, below)
    assert [text.split(":")[0] for text in refused.value.problems] == [
        *("dataset", "reserve", "default_size", "on", "type", "path")
    ]
