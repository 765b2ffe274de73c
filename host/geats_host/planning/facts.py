"""What the planner has to know of this host, and what others need to plan for it."""

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from geats_core.planning.host_facts import HostFacts
from geats_core.planning.plugin_facts import DriverFacts, PoolFacts
from geats_core.plans.plan_files import Recorded
from geats_core.reading.values import dataclass
from geats_core.vm.spec import RootKind
from geats_core.vm.unseen import TEMPLATES
from geats_host.host import Host
from geats_host.lazy import later
from geats_host.observing import other_hosts
from geats_host.observing.other_hosts import Told
from geats_host.observing.place_checks import Places, drivers_at_one_place, pools_at_one_place
from geats_host.plugins.answers import facts_of_driver, facts_of_pool
from geats_host.plugins.entry_points import wrong_of

if TYPE_CHECKING:
    from geats_host.templates import disks
else:
    disks = later("geats_host.templates.disks")

MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Facts:
    """One look at a host: its facts, by the drivers of the VMs; and what it was told of others."""

    of: Callable[[Iterable[str]], HostFacts]
    told: Told

    def __call__(self, drivers: Iterable[str]) -> HostFacts:
        return self.of(drivers)


def facts_of(host: Host, drivers: Iterable[str]) -> HostFacts:
    """What the planner has to know of a host, to plan for VMs run by *drivers*."""
    return facts_by_driver(host)(drivers)


def facts_by_driver(host: Host) -> Facts:
    """The same for any drivers, from one look at the host."""
    pools = host.pools.asked(facts_of_pool)
    host.pools.away.update(pools_at_one_place(pools))
    with host.registry.read_at_once():
        told = other_hosts.told(host.registry)
        elsewhere, moved = places_of(host).held_against_memory(pools)
        of_host = HostFacts(
            pools={name: pools.get(name, PoolFacts()) for name in host.pools},
            templates=frozenset({*host.config.templates, *wrong_of(TEMPLATES, host.config.wrong)}),
            disks={
                name: disks.known_size(each.source, host.store)
                for name, each in host.config.templates.items()
                if each.root_kind is RootKind.DISK
            },
            memory_bytes=memory_bytes(),
            cpus=os.cpu_count(),
            declared=host.config.known,
            bind_sources=frozenset(host.config.bind_sources),
            device_sources=frozenset(host.config.device_sources),
            hook_directories=frozenset(host.config.hook_directories),
            raw_lines=frozenset(host.config.policy.raw_lines),
            host_network=host.config.policy.host_network,
            upgrade=host.registry.outdated(),
            elsewhere=elsewhere,
            moved=moved,
        )
    bridges = cache(lambda name: host.drivers.ask(name, lambda driver: driver.bridges()))
    able = cache(lambda name: host.drivers.ask(name, facts_of_driver))
    if len(host.drivers) > 1:
        known_facts = {name: able(name) or DriverFacts() for name in host.drivers}
        host.drivers.away.update(drivers_at_one_place(known_facts))

    def facts(drivers: Iterable[str]) -> HostFacts:
        used = sorted(host.drivers.keys() & set(drivers))
        found = [bridges(name) for name in used]
        known = [each for each in found if each is not None]
        return replace(
            of_host,
            drivers={n: (n in used and able(n)) or DriverFacts() for n in host.drivers},
            bridges=frozenset[str]().union(*known) if known and known == found else None,
            unavailable=host.unavailable,
        )

    return Facts(facts, told)


def places_of(host: Host) -> Places:
    """Where a host has its VMs and pools, and where it is remembered to have them."""
    return Places(host.config, host.registry, host.drivers, host.pools, host.observe_all)


def record(host: Host) -> Recorded:
    """All that a plan is made from, to make plans elsewhere."""
    return Recorded(observations=host.observe_all(), facts=facts_of(host, host.drivers))


def memory_bytes() -> int:
    """All of the host's, see proc_meminfo(5). psutil, which tells it too, takes long to load."""
    lines = MEMINFO.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:"))
