"""Images of QEMU conform, and a template is kept as long as a volume stands on it."""

from pathlib import Path

import pytest

from geats_core.vm.observation import Stage
from geats_host.errors import HostError, Refused
from geats_host.storage import TEMPLATES, Pool, VolumeId
from geats_host.storage import memory as in_memory_only
from geats_host.storage.qcow2 import open_pool, size_in
from geats_host.testing.pool_conformance import PoolConformance
from geats_host.testing.pool_conformance_content import MIB, Reopen, check, put
from tests.real.storage.cuts import converge, cuts_of
from tests.real.storage.places import in_memory, memory, own_mounts

__all__ = ["in_memory", "memory", "own_mounts"]

TEMPLATE, WEB, OTHER = VolumeId(TEMPLATES, "f" * 40), VolumeId("web", "root"), VolumeId("o", "root")


class TestQcow2(PoolConformance):
    sources_change = False  # what is cloned from is a template's, which nobody writes to

    @pytest.fixture
    def reopen(self, memory: Path) -> Reopen:
        options: dict[object, object] = {"path": str(memory / "pool"), "default_size": "64MiB"}
        return lambda: open_pool(options, None)


@pytest.fixture
def pool(memory: Path) -> Pool:
    return open_pool({"path": str(memory / "pool")}, None)


def test_every_wrong_option_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    below = in_memory_only.open_pool({}, None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Refused) as refused:
        open_pool({"path": "x", "default_size": "ten", "sise": 1}, below)
    places = [text.split(":")[0] for text in refused.value.problems]
    assert sorted(places) == ["default_size", "on", "path", "sise", "type"]


def test_a_template_stays_as_long_as_a_volume_stands_on_it(pool: Pool) -> None:
    for volume in (TEMPLATE, WEB):
        converge(pool, volume, 4 * MIB)
    put(pool, TEMPLATE, "template")
    pool.clone(TEMPLATE, WEB)
    check(pool, WEB, "template")
    assert pool.used_bytes(WEB) < MIB
    with pytest.raises(HostError, match="is in use as the backing file of web/root"):
        pool.destroy(TEMPLATE)
    put(pool, WEB, "own")
    check(pool, TEMPLATE, "template")
    pool.destroy(WEB)
    pool.destroy(TEMPLATE)
    assert pool.observe() == {}


def test_a_copy_of_a_volume_stands_on_nothing_and_stays_as_it_was(pool: Pool) -> None:
    for volume in (WEB, OTHER):
        converge(pool, volume, 4 * MIB)
    put(pool, WEB, "first")
    pool.clone(WEB, OTHER)
    put(pool, WEB, "second")
    check(pool, OTHER, "first")


def test_a_rollback_keeps_the_size_that_the_volume_has_now(pool: Pool) -> None:
    converge(pool, WEB, 4 * MIB)
    put(pool, WEB, "before")
    pool.snapshot(WEB, "first", 1)
    pool.grow(WEB, 8 * MIB)
    put(pool, WEB, "after")
    pool.rollback(WEB, "first")
    check(pool, WEB, "before")
    assert size_in(pool.path(WEB)) == pool.observe()[WEB].size_bytes == 8 * MIB


def test_a_pool_can_be_moved_whole(pool: Pool, memory: Path) -> None:
    for volume in (TEMPLATE, WEB):
        converge(pool, volume, 4 * MIB)
    put(pool, TEMPLATE, "template")
    pool.clone(TEMPLATE, WEB)
    (memory / "pool").rename(memory / "moved")
    moved = open_pool({"path": str(memory / "moved")}, None)
    check(moved, WEB, "template")


def test_a_snapshot_that_was_cut_is_taken_again(pool: Pool) -> None:
    converge(pool, WEB, 4 * MIB)
    put(pool, WEB, "held")
    for _ in cuts_of(lambda: pool.snapshot(WEB, "first", 1)):
        pool.snapshot(WEB, "first", 1)
        assert [each.name for each in pool.observe()[WEB].snapshots] == ["first"]
        pool.rollback(WEB, "first")
        check(pool, WEB, "held")
        pool.delete_snapshot(WEB, "first")
    assert pool.observe()[WEB].stage is Stage.FORMATTED
