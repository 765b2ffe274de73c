"""What machines remember beside their volumes: asked of a driver, and given to one."""

from collections.abc import Mapping

from geats_core.jobs.machine_memory import goes_along
from geats_core.planning.actions import Identity
from geats_host.drivers import Driver
from geats_host.drivers.abilities import Remembering


def remembered_by(driver: Driver, name: str) -> Mapping[str, str]:
    """What there is of a VM; nothing, if its driver keeps nothing."""
    return driver.remembered(name) if isinstance(driver, Remembering) else {}


def let_remember(
    driver: Driver, name: str, remembered: Mapping[str, str], identity: Identity
) -> None:
    """Let a copy of that identity remember what goes along with its root."""
    along = goes_along(remembered, identity)
    if along and isinstance(driver, Remembering):
        driver.remember(name, along)
