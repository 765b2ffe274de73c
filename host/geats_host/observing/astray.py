"""Whether what a driver runs is what the pools hold: a definition may lead elsewhere."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.drivers import DriverSeen

Place = Callable[[VolumeSeen], Path | None]


def astray(seen: DriverSeen, volumes: Iterable[VolumeSeen], place: Place) -> str:
    """Why a VM would not run from its *volumes*, which are at their *place*; empty if it does.

    A directory that is not there any more counts for nothing: what was adopted, and is recreated,
    is defined at its next start. Nor does a volume that contains nothing yet.
    """
    if seen.defined is None:
        return ""
    pools = {volume.name: volume.pool for volume in seen.defined.volumes}
    found = [
        f"it has the volume {each.name} at {leads_to}, and pool {each.pool} has it at {there}: move"
        " what counts to there, and the other away"
        for each in volumes
        if each.pool == pools.get(each.name) and each.stage >= Stage.FORMATTED
        if (leads_to := seen.places.get(each.name)) is not None
        if (there := place(each)) is not None and _are_two(leads_to, there)
    ]
    return "; ".join(found)


def _are_two(leads_to: str, there: Path) -> bool:
    if leads_to == f"{there}":
        return False
    return os.path.isdir(leads_to) and os.path.realpath(leads_to) != os.path.realpath(there)
