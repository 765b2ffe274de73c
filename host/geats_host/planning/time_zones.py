"""Time zones that guests are told: known to the guest or to this host, before anything is done."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from geats_core.planning.actions import ConfigureGuest, InstallTemplate
from geats_core.planning.offers import Offer
from geats_core.planning.steps import Step
from geats_core.reading.checked import Problem
from geats_core.vm.observation import Observation
from geats_host.lazy import later
from geats_host.plugins.opened import Opened
from geats_host.storage import Pool, VolumeId

if TYPE_CHECKING:
    from geats_host.guest_trees import guest_accounts
else:  # few guests are told a zone
    guest_accounts = later("geats_host.guest_trees.guest_accounts")

ALWAYS_THERE = "UTC"


def problems(
    steps: Iterable[Step], seen: Mapping[str, Observation], pools: Opened[Pool]
) -> Iterator[Problem]:
    """Zones that *steps* would tell guests in vain.

    A guest that is not there yet, or that cannot be looked at, may know a zone that is newer than
    what the host has: that is refused too, as it is mistyped more often.
    """
    steps = tuple(steps)
    filled = {step.vm for step in steps if isinstance(step.action, InstallTemplate)}
    for step in steps:
        if not isinstance(step.action, ConfigureGuest) or not step.action.spec.timezone:
            continue
        zone = step.action.spec.timezone
        have = seen.get(step.vm, Observation())
        if guest_accounts.host_knows_zone(zone) or (
            have.recorded and have.recorded.timezone == zone
        ):
            continue
        volume = have.volume(step.action.pool, step.action.volume)
        is_seen = step.vm not in filled and volume is not None and volume.active
        look = partial(_knows, VolumeId(step.vm, step.action.volume), zone)
        guest_knows = pools.ask(step.action.pool, look) if is_seen else None
        if guest_knows is False or (
            guest_knows is None and guest_accounts.host_knows_zone(ALWAYS_THERE)
        ):
            message = (
                f"neither the guest nor this host knows {zone!r}: correct it, or update tzdata"
            )
            yield Problem(f"{step.vm}.timezone", message)


def _knows(volume: VolumeId, zone: str, pool: Pool) -> bool | None:
    """None if it cannot be told, as of a disk."""
    return (
        guest_accounts.guest_knows_zone(pool.path(volume), zone)
        if pool.offers is Offer.DIRECTORY
        else None
    )
