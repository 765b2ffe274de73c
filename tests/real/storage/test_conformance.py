"""The pools that need nothing of the host, and the smallest adapter, conform."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from geats_core.planning.plugin_facts import PoolFacts
from geats_core.vm.observation import VolumeSeen
from geats_host.errors import Refused
from geats_host.storage import Offer, Pool, VolumeId, directory, memory
from geats_host.testing.pool_conformance import PoolConformance
from geats_host.testing.pool_conformance_content import Reopen


class TestDirectory(PoolConformance):
    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Reopen:
        return lambda: directory.open_pool({"path": str(tmp_path / "pool")}, None)


class TestMemory(PoolConformance):
    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Reopen:
        return lambda: memory.open_pool({"path": str(tmp_path / "pool")}, None)


class TestWrapping(PoolConformance):
    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Reopen:
        return lambda: Wrapping(directory.open_pool({"path": str(tmp_path / "pool")}, None))


@dataclass(frozen=True, slots=True)
class Wrapping:
    """The smallest adapter: offers a folder within each volume of the pool below."""

    below: Pool

    @property
    def offers(self) -> Offer:
        return Offer.DIRECTORY

    def observe(self, only: VolumeId | None = None) -> Mapping[VolumeId, VolumeSeen]:
        return self.below.observe(only)

    def path(self, volume: VolumeId) -> Path:
        return self.below.path(volume) / "inner"

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        self.below.allocate(volume, size_bytes)

    def format(self, volume: VolumeId) -> None:
        self.below.format(volume)
        self.path(volume).mkdir(exist_ok=True)

    def activate(self, volume: VolumeId) -> None:
        self.below.activate(volume)

    def deactivate(self, volume: VolumeId) -> None:
        self.below.deactivate(volume)

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        self.below.grow(volume, size_bytes)

    def destroy(self, volume: VolumeId) -> None:
        self.below.destroy(volume)

    @property
    def facts(self) -> PoolFacts:
        return self.below.facts

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        self.below.snapshot(volume, name, taken_s)

    def rollback(self, volume: VolumeId, name: str) -> None:
        self.below.rollback(volume, name)

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        self.below.delete_snapshot(volume, name)

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        self.below.clone(source, target)

    def used_bytes(self, volume: VolumeId) -> int:
        return self.below.used_bytes(volume)

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        self.below.mark(volume, seen)

    def set_locked(self, volume: VolumeId, *, locked: bool) -> None:
        self.below.set_locked(volume, locked=locked)


@pytest.mark.parametrize("plugin", [directory, memory], ids=lambda plugin: plugin.__name__)
def test_every_wrong_option_is_reported_at_once(plugin: object, tmp_path: Path) -> None:
    below = directory.open_pool({"path": str(tmp_path / "below")}, None)
    opener = directory.open_pool if plugin is directory else memory.open_pool
    with pytest.raises(Refused) as refused:
        opener({"path": "relative", "pth": "x"}, below)
    assert [text.split(":")[0] for text in refused.value.problems] == ["on", "path", "pth"]


def test_tests_run_as_root() -> None:
    """Nothing here is skipped: the suite mounts, and gives files to other users."""
    assert os.geteuid() == 0
