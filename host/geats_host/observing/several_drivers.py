"""What several drivers see, as one: two that know a VM of one name do not hide each other."""

from collections.abc import Mapping

from geats_core.vm.spec import VMSpec
from geats_host.drivers import DriverSeen


def merged(
    found: Mapping[str, Mapping[str, DriverSeen]], definitions: Mapping[str, VMSpec]
) -> tuple[dict[str, DriverSeen], dict[str, tuple[str, ...]]]:
    """Every VM by its name; and of each that more than one driver knows, which these are.

    Such a VM is the one of the driver that its definition names; else of the first one.
    """
    knowing: dict[str, tuple[str, ...]] = {}
    for driver, vms in found.items():
        for name in vms:
            knowing[name] = (*knowing.get(name, ()), driver)
    seen = {
        name: found[_meant(drivers, definitions.get(name))][name]
        for name, drivers in knowing.items()
    }
    return seen, {name: drivers for name, drivers in knowing.items() if len(drivers) > 1}


def _meant(drivers: tuple[str, ...], known: VMSpec | None) -> str:
    return known.driver if known and known.driver in drivers else drivers[0]
