"""What plugins say of themselves, if it is what they should say: ``TypeError`` where it is not."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from geats_core.planning.offers import Offer
from geats_core.vm.observation import VolumeSeen
from geats_host.drivers import Driver, DriverSeen
from geats_host.lazy import later
from geats_host.plugins.strangers import mapping_of, of_kind
from geats_host.storage import Pool, RenamingPool, VolumeId

if TYPE_CHECKING:
    from geats_core.planning import plugin_facts
else:
    plugin_facts = later("geats_core.planning.plugin_facts")


def vms_of(driver: Driver, only: str | None = None) -> Mapping[str, DriverSeen]:
    """The VMs that a driver knows, or *only* that one."""
    return mapping_of(str, DriverSeen, driver.observe(only), "observe")


def facts_of_driver(driver: Driver) -> "plugin_facts.DriverFacts":
    """What the planner has to know of a driver."""
    return of_kind(plugin_facts.DriverFacts, driver.facts, "facts")


def volumes_of(pool: Pool) -> Mapping[VolumeId, VolumeSeen]:
    """The volumes of a pool."""
    return mapping_of(VolumeId, VolumeSeen, pool.observe(), "observe")


def facts_of_pool(pool: Pool) -> "plugin_facts.PoolFacts":
    """What the planner has to know of a pool."""
    facts = of_kind(plugin_facts.PoolFacts, pool.facts, "facts")
    renames = facts.renames and isinstance(pool, RenamingPool)  # it may repeat those of another
    return replace(facts, offers=of_kind(Offer, pool.offers, "offers"), renames=renames)
