"""What VMs that are on use: memory, time of processors, addresses; each driver is asked once."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial

from geats_core.vm.observation import Observation, Power
from geats_host.drivers import Driver, Info
from geats_host.drivers.abilities import CountingDriver
from geats_host.errors import HostError
from geats_host.plugins.opened import Opened


def usage(drivers: Opened[Driver], seen: Mapping[str, Observation]) -> dict[str, Info]:
    """What each of the VMs uses that are on, as far as their drivers know."""
    on: defaultdict[str, list[str]] = defaultdict(list)
    for name, have in seen.items():
        spec = have.in_effect or have.recorded
        if spec is not None and have.power not in (Power.STOPPED, Power.STUCK):
            on[spec.driver].append(name)
    found: dict[str, Info] = {}
    for driver, names in on.items():
        if driver in drivers and driver not in drivers.away:
            found |= drivers.ask(driver, partial(_usage, names)) or {}
    return found


def _usage(names: Collection[str], driver: Driver) -> Mapping[str, Info]:
    if isinstance(driver, CountingDriver):
        return driver.usage(names)
    found: dict[str, Info] = {}
    for name in names:
        with suppress(HostError):  # of this one nothing is known, which its columns show
            found[name] = driver.info(name)
    return found
