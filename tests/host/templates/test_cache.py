"""An unpacked template is unpacked once, whoever asks and whoever is killed."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from geats_core.declared.template import Template
from geats_core.planning.plugin_facts import Leftover
from geats_core.vm.observation import Stage
from geats_host import templates
from geats_host.errors import HostError
from geats_host.plugins.opened import Opened
from geats_host.storage import TEMPLATES, Pool, VolumeId, memory
from geats_host.storage.overlay import open_pool
from geats_host.templates import cache, clearing, name_locks
from geats_host.templates.store import UNPACKING_AT_ONCE, Store
from tests.host.templates.archives import file, folder, tarball, write

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return open_pool({"path": str(tmp_path / "pool")}, None)


@pytest.fixture
def template(tmp_path: Path) -> Template:
    base = write(tmp_path / "base.tar", [folder("etc"), file("etc/issue", "base")])
    return tarball(base, write(tmp_path / "overlay.tar", [file("etc/new", "overlay")]))


def unpack(pool: Pool, template: Template, store: Store) -> Path:
    with cache.unpacked(pool, template, store) as volume:
        return pool.path(volume)


def run(*works: Callable[[], object]) -> None:
    """Each in a process of its own, at once; all must end well."""
    processes = [FORK.Process(target=work) for work in works]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * len(works)


def test_two_processes_unpack_a_template_once(
    pool: Pool, template: Template, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(
        template: Template, pool: Pool, volume: VolumeId, store: Store, size_bytes: int | None
    ) -> None:
        with (tmp_path / "log").open("a") as log:
            log.write("unpacked\n")
        time.sleep(0.3)
        templates.fill(template, pool, volume, store, size_bytes)

    monkeypatch.setattr(cache, "fill", fill)
    run(*[lambda: unpack(pool, template, store)] * 4)
    assert (tmp_path / "log").read_text() == "unpacked\n"
    assert (unpack(pool, template, store) / "etc/new").read_text() == "overlay"


@pytest.mark.parametrize("where", ["empty", "put", "finish"])
def test_what_a_killed_process_left_is_finished_by_the_next(
    pool: Pool, template: Template, store: Store, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    reached = FORK.Event()

    def hang(*_: object) -> None:
        reached.set()
        time.sleep(60)

    def killed() -> None:
        monkeypatch.setattr(templates, where, hang)
        unpack(pool, template, store)

    process = FORK.Process(target=killed)
    process.start()
    assert reached.wait(30)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    volume = VolumeId(TEMPLATES, templates.key_of(template, store))
    assert pool.observe()[volume].stage is Stage.FILLING
    assert (unpack(pool, template, store) / "etc/new").read_text() == "overlay"
    assert pool.observe()[volume].stage is Stage.INSTALLED


def test_what_does_not_fit_is_not_left_there(
    pool: Pool, template: Template, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would keep the pool full, so that nothing else fits either."""

    def fail(*_: object) -> None:
        raise HostError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cache, "fill", fail)
        with pytest.raises(HostError, match="no space left"):
            unpack(pool, template, store)
    assert pool.observe() == {}
    assert (unpack(pool, template, store) / "etc/new").read_text() == "overlay"


def test_it_is_in_use_only_while_it_is_filled(pool: Pool, template: Template, store: Store) -> None:
    """So that nothing stays mounted, and the host's restart changes nothing."""
    unpack(pool, template, store)
    volume = VolumeId(TEMPLATES, templates.key_of(template, store))
    there = pool.observe()[volume]
    assert (there.stage, there.active) == (Stage.INSTALLED, False)


def test_a_template_is_not_destroyed_while_it_is_cloned(
    pool: Pool, template: Template, store: Store
) -> None:
    with cache.unpacked(pool, template, store) as volume, store.locked(volume.volume) as other:
        assert not other.try_hold()
        with cache.unpacked(pool, template, store) as too:
            assert too == volume
    with store.locked(volume.volume) as other:
        assert other.try_hold()


def test_only_so_many_are_unpacked_at_once(store: Store, tmp_path: Path) -> None:
    def work() -> None:
        with store.unpacking():
            (tmp_path / f"in-{os.getpid()}").touch()
            assert len(list(tmp_path.glob("in-*"))) <= UNPACKING_AT_ONCE
            time.sleep(0.05)
            (tmp_path / f"in-{os.getpid()}").unlink()

    run(*[work] * (4 * UNPACKING_AT_ONCE))


def test_more_slots_let_more_in(store: Store) -> None:
    with (
        name_locks.one_of_slots(store.run_dir, "x", 2),
        name_locks.one_of_slots(store.run_dir, "x", 2),
    ):
        pass


def test_what_a_killed_process_left_in_scratch_is_told_from_what_is_used(store: Store) -> None:
    reached = FORK.Event()

    def killed() -> None:
        with store.scratch() as scratch:
            (scratch / "half").write_text("x")
            reached.set()
            time.sleep(60)

    process = FORK.Process(target=killed)
    process.start()
    assert reached.wait(30)
    assert store.leftovers() == ()
    process.kill()
    process.join()
    with store.scratch() as used:
        (left,) = store.leftovers()
        assert left != used


def test_the_last_one_that_clones_a_template_takes_it_out_of_use(
    template: Template, store: Store
) -> None:
    """Also what others put to use, who were killed."""
    pool = memory.open_pool({"path": "/pool"}, None)

    def is_used() -> bool:
        return pool.observe()[volume].active

    with cache.unpacked(pool, template, store) as volume:
        pool.activate(volume)
        with cache.unpacked(pool, template, store):
            assert list(clearing.leftovers(Opened.of("pool", {"m": pool}), store)) == []
        assert is_used()
    assert not is_used()
    pool.activate(volume)
    with pytest.raises(HostError, match="first"), cache.unpacked(pool, template, store):
        raise HostError("first")
    assert not is_used()


def test_a_template_that_a_killed_clone_left_in_use_is_left_over(
    pool: Pool, template: Template, store: Store
) -> None:
    unpack(pool, template, store)
    (volume,) = pool.observe()
    pool.activate(volume)
    ((place, left),) = clearing.leftovers(Opened.of("pool", {"layers": pool}), store)
    assert (place, left.kind, left.name) == ("layers", Leftover.MOUNT, f"{pool.path(volume)}")
    with store.locked(volume.volume) as lock:
        lock.share()
        with pytest.raises(HostError, match="is in use just now"):
            left.remove()
    left.remove()
    assert pool.observe()[volume].stage is Stage.INSTALLED
    assert not pool.observe()[volume].active
