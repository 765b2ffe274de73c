"""What a host is, as a value: all that a plan may depend on besides its VMs."""

from collections.abc import Mapping
from dataclasses import field

from geats_core.planning.actions import Moved, UpgradeRegistry
from geats_core.planning.plugin_facts import DriverFacts, PoolFacts
from geats_core.reading.values import dataclass
from geats_core.vm.spec import Volume

UNKNOWN_DRIVER, UNKNOWN_POOL = DriverFacts(), PoolFacts()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What a host offers; None if it is not known, and therefore not checked.

    ``disks`` are those of the ``templates`` that are disk images, each with the size of its disk in
    bytes, or None as long as that is not known. ``declared`` are the VMs that the configuration
    describes or lists under ``gone``, whether or not there is a goal for them. ``bind_sources`` are
    the directories that VMs may bind, including everything below them, and ``device_sources`` the
    devices that they may have; so are ``hook_directories`` and ``raw_lines``, and
    ``host_network``, whether they may have the network of the host. ``upgrade`` is what
    its registry needs before anything can be written to it. ``unavailable`` says why
    configured drivers, pools and templates cannot be used now, by names such as ``pools.fast``.
    ``elsewhere`` says, by name, where on this host there are VMs in places that this configuration
    does not look at. ``moved`` are the pools and drivers that are no longer where the host recorded
    them.
    """

    drivers: Mapping[str, DriverFacts] | None = None
    pools: Mapping[str, PoolFacts] | None = None
    templates: frozenset[str] | None = None
    disks: Mapping[str, int | None] = field(default_factory=dict)
    bridges: frozenset[str] | None = None
    memory_bytes: int | None = None
    cpus: float | None = None
    declared: frozenset[str] = frozenset()
    bind_sources: frozenset[str] | None = None
    device_sources: frozenset[str] | None = None
    hook_directories: frozenset[str] | None = None
    raw_lines: frozenset[str] | None = None
    host_network: bool | None = None
    upgrade: UpgradeRegistry | None = None
    unavailable: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    moved: tuple[Moved, ...] = ()

    def driver(self, name: str) -> DriverFacts:
        """What is known of the driver *name*."""
        return (self.drivers or {}).get(name, UNKNOWN_DRIVER)

    def pool(self, name: str) -> PoolFacts:
        """What is known of the pool *name*."""
        return (self.pools or {}).get(name, UNKNOWN_POOL)

    def cannot_grow_online(self, driver: str, volume: Volume) -> str:
        """Why the volume cannot grow while its VM is on; empty if it can."""
        offers, seen = self.pool(volume.pool).offers, self.driver(driver).grows_online
        if not self.pool(volume.pool).grows_online:
            lacks = self.pool(volume.pool).growth_lacks
            takes = f": that takes {lacks}" if lacks else ""
            return f"the pool {volume.pool} cannot grow volumes of a VM that is on{takes}"
        if seen is None or offers is None:
            return ""
        if offers not in seen:
            return f"guests of the driver {driver} do not see a {offers} grow while they are on"
        return "a disk that is read-only cannot grow while it is in use" if volume.read_only else ""
