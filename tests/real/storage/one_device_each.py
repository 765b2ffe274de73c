"""Many block devices as one pool, a volume on each: so the suite for pools is theirs too."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from geats_core.planning.plugin_facts import PoolFacts
from geats_core.vm.observation import VolumeSeen
from geats_host.storage import Offer, Pool, VolumeId, check_clone, check_names
from geats_host.storage.blockdevice import open_pool
from tests.real.storage.places import loop_device

Make: TypeAlias = Callable[[Path, int], AbstractContextManager[Path]]


@dataclass
class Devices:
    """Devices of one size, on loops or as *make* makes them, made when they are needed."""

    place: Path
    size_bytes: int
    stack: ExitStack
    make: Make = loop_device
    taken: dict[VolumeId, Path] = field(default_factory=dict)

    def of(self, volume: VolumeId) -> Path:
        """The device of a volume, always the same one."""
        check_names(volume)
        if volume not in self.taken:
            file = self.place / f"{volume}.img".replace("/", ".")
            self.taken[volume] = self.stack.enter_context(self.make(file, self.size_bytes))
        return self.taken[volume]


@dataclass(frozen=True, slots=True)
class OneDeviceEach:
    """Hands each volume on to the pool of its own device."""

    devices: Devices

    def pool(self, volume: VolumeId) -> Pool:
        marks = f"{self.devices.place}/marks"
        return open_pool({"device": str(self.devices.of(volume)), "marks": marks}, None)

    @property
    def offers(self) -> Offer:
        return Offer.BLOCK_DEVICE

    @property
    def facts(self) -> PoolFacts:
        return PoolFacts(location="{vm}/{volume}", enforces_size=False)

    def observe(self, only: VolumeId | None = None) -> Mapping[VolumeId, VolumeSeen]:
        found: dict[VolumeId, VolumeSeen] = {}
        for volume in list(self.devices.taken):
            found |= self.pool(volume).observe(only)
        return found

    def path(self, volume: VolumeId) -> Path:
        return self.devices.of(volume)

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        self.pool(volume).allocate(volume, size_bytes)

    def format(self, volume: VolumeId) -> None:
        self.pool(volume).format(volume)

    def activate(self, volume: VolumeId) -> None:
        self.pool(volume).activate(volume)

    def deactivate(self, volume: VolumeId) -> None:
        self.pool(volume).deactivate(volume)

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        self.pool(volume).grow(volume, size_bytes)

    def destroy(self, volume: VolumeId) -> None:
        self.pool(volume).destroy(volume)

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        self.pool(volume).snapshot(volume, name, taken_s)

    def rollback(self, volume: VolumeId, name: str) -> None:
        self.pool(volume).rollback(volume, name)

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        self.pool(volume).delete_snapshot(volume, name)

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        check_clone(source, target)
        self.pool(target).clone(source, target)

    def used_bytes(self, volume: VolumeId) -> int:
        return self.pool(volume).used_bytes(volume)

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        self.pool(volume).mark(volume, seen)

    def set_locked(self, volume: VolumeId, *, locked: bool) -> None:
        self.pool(volume).set_locked(volume, locked=locked)
