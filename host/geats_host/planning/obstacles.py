"""What is in the way of taking a VM away, as far as that can be known before anything is done.

A step that destroys would refuse the same; but by then others may be done. So it is looked for when
a plan is made, and once more before its first step. What a VM that is on has mounted, of its own or
of another VM, is in nobody's way: it is off by then, or the plan is refused for that.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from geats_core.hostwide.shared_volumes import mounting
from geats_core.planning.actions import DestroyVolume, Rename, Undefine
from geats_core.planning.offers import Offer
from geats_core.planning.steps import Step
from geats_core.reading.checked import Problem
from geats_core.vm.observation import Observation, Power
from geats_host.drivers import Driver
from geats_host.drivers.abilities import ForeseeingDriver, RenamingDriver
from geats_host.linux.mounts import command_of, mounts_below, one_look, other_places_of
from geats_host.plugins.opened import Opened
from geats_host.storage import ForeseeingPool, Pool, VolumeId


def obstacles(
    steps: Iterable[Step],
    seen: Mapping[str, Observation],
    drivers: Opened[Driver],
    pools: Opened[Pool],
) -> tuple[Problem, ...]:
    """Everything that is in the way of *steps*; plugins that are not available say nothing.

    What is mounted is looked at once for all of them.
    """
    with one_look():
        return tuple(_obstacles(steps, seen, drivers, pools))


def _obstacles(
    steps: Iterable[Step],
    seen: Mapping[str, Observation],
    drivers: Opened[Driver],
    pools: Opened[Pool],
) -> Iterator[Problem]:
    mounted = mounting(seen)
    for step in steps:
        have = seen.get(step.vm, Observation())
        match step.action:
            case DestroyVolume(pool, name):
                in_use = have.power is not Power.STOPPED or (step.vm, pool, name) in mounted
                of_volume = partial(_of_volume, VolumeId(step.vm, name), in_use)
                path, what = f"{step.vm}.volumes[{name}]", "destroyed"
                found = pools.ask(pool, of_volume) or ()
            case Undefine() | Rename():
                known = have.recorded or have.defined
                names = [known.driver] if known else list(drivers)
                renamed = isinstance(step.action, Rename)
                path, what = step.vm, "renamed" if renamed else "undefined"
                of_driver = partial(_of_driver, step.vm, renamed=renamed)
                found = tuple(drivers.asked(of_driver, names).values())
            case _:
                continue
        yield from (Problem(path, f"cannot be {what}: {why}") for why in found if why)


def _of_driver(name: str, driver: Driver, *, renamed: bool) -> str:
    if renamed and isinstance(driver, RenamingDriver) and (why := driver.cannot_rename(name)):
        return why
    return driver.cannot_undefine(name) if isinstance(driver, ForeseeingDriver) else ""


def _of_volume(volume: VolumeId, in_use: bool, pool: Pool) -> tuple[str, ...]:
    found = list(_of_tree(pool, volume, in_use)) if pool.offers is Offer.DIRECTORY else []
    if not in_use and isinstance(pool, ForeseeingPool):
        found.append(pool.cannot_destroy(volume))
    return tuple(found)


def _of_tree(pool: Pool, volume: VolumeId, in_use: bool) -> Iterator[str]:
    """Mounts within the volume's tree, and of it elsewhere."""
    tree = pool.path(volume)
    if not tree.is_dir():
        return
    yield from (f"{point} is mounted in it" for point in mounts_below(tree, itself=False)[:1])
    own = {os.path.realpath(tree), os.path.realpath(tree.parent)}
    for process, point in () if in_use else other_places_of(tree):
        if point not in own:
            yield f"it is mounted on {point} where {command_of(process)} sees it"
            return
