"""What actions are performed on: a VM, its driver, its pools and the registry."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from threading import Event

from geats_core.declared.config import HostConfig
from geats_core.declared.template import Template
from geats_core.reading.values import dataclass
from geats_core.vm.observation import VolumeSeen
from geats_core.vm.spec import SharedVolume, VMSpec, Volume
from geats_host.drivers import Driver, Place
from geats_host.errors import HostError
from geats_host.observing.known_volumes import is_filled, remember, tells_of_locks
from geats_host.registry import Registry
from geats_host.storage import Pool, VolumeId
from geats_host.templates.store import Store


@dataclass(frozen=True, slots=True)
class Ground:
    """What is needed to perform actions on one VM.

    ``driver_of`` gives the driver that runs it, and is only called by what needs one. ``spec`` is
    what the VM is started with, ``config`` says what it may have of the host, and ``locked``
    whether it was protected from deletion when it was last looked at; ``volumes`` are those that
    it had then, each with its pool. Once ``over`` is set, nothing is waited for any more.
    """

    name: str
    registry: Registry
    driver_of: Callable[[], Driver]
    pools: Mapping[str, Pool]
    templates: Mapping[str, Template]
    store: Store
    spec: VMSpec | None = None
    config: HostConfig = field(default_factory=HostConfig)
    locked: bool = False
    volumes: tuple[tuple[str, str], ...] = ()
    over: Event = field(default_factory=Event)

    @property
    def driver(self) -> Driver:
        """The driver that runs the VM."""
        return self.driver_of()

    def places(self, spec: VMSpec) -> Mapping[str, Place]:
        """Where each volume will be, and each that another VM shares: known before it is there."""
        return {
            name: self.place(self.pools[volume.pool], volume_id)
            for name, volume, volume_id in self.mounted(spec)
        }

    def place(self, pool: Pool, volume: VolumeId) -> Place:
        """Where a volume is once it is active."""
        return Place(pool.path(volume), pool.offers, pool.facts.shifted_by)

    def mounted(self, spec: VMSpec) -> Iterator[tuple[str, Volume | SharedVolume, VolumeId]]:
        """The volumes that the guest sees: its own, and those of others that it shares."""
        for own in spec.volumes:
            yield own.name, own, VolumeId(self.name, own.name)
        for other in spec.shared_volumes:
            yield other.name, other, VolumeId(other.vm, other.volume)

    def seen(self, pool: Pool, volume: VolumeId) -> VolumeSeen:
        """What a volume is now; ``HostError`` if it does not exist."""
        seen = pool.observe(volume).get(volume)
        if seen is None:
            raise HostError(f"volume {volume} does not exist")
        return seen

    def look(self, pool: str, name: str) -> VolumeSeen | None:
        """What a volume of the VM is now; None if it does not exist."""
        volume = VolumeId(self.name, name)
        return self.pools[pool].observe(volume).get(volume)

    def remember(self, pool: str, volume: VolumeId, seen: VolumeSeen | None) -> None:
        """Know of a volume that is filled, so that it is missed if it is lost."""
        if seen is not None and is_filled(seen):
            place, identity = self.pools[pool].path(volume), self.pools[pool].facts.identity
            remember(self.registry, volume.vm, replace(seen, pool=pool), place, identity)

    def by_hand(self) -> tuple[str, ...]:
        """The lines that a person added to what the driver holds."""
        seen = self.driver.observe(self.name).get(self.name)
        return () if seen is None else seen.by_hand

    def mark_locked(self, pool: str, name: str) -> None:
        """Mark a volume, unless it is marked, or contains nothing."""
        seen = self.look(pool, name)
        if seen is not None and tells_of_locks(seen) and not seen.locked:
            self.pools[pool].set_locked(VolumeId(self.name, name), locked=True)
