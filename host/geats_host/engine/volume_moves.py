"""A volume that moves to another pool, performed: see ``geats_core.jobs.volume_moves``."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from geats_core.planning.actions import MoveVolume
from geats_core.vm.observation import Stage
from geats_host.archives.vm_archives import content_of
from geats_host.archives.volume_copies import copy_volume
from geats_host.engine.ground import Ground
from geats_host.errors import HostError
from geats_host.observing import unfinished_moves
from geats_host.observing.known_volumes import forget, is_filled, remember
from geats_host.storage import VolumeId, ZeroingPool

ASIDE = Path("/var/tmp")  # for disks of QEMU's own format, which are read as raw files


def move_volume(ground: Ground, action: MoveVolume, define: Callable[[], None]) -> None:
    """Copy the volume, compare, *define* the VM with the copy, and destroy the old volume."""
    known = ground.registry.definitions().get(ground.name)
    if known != action.spec:
        _copy(ground, action)
    define()
    _remember(ground, action)
    old, volume = ground.pools[action.from_pool], VolumeId(ground.name, action.volume)
    forget(ground.registry, ground.name, action.from_pool, action.volume)
    old.deactivate(volume)
    old.destroy(volume)
    unfinished_moves.forget(ground.registry, ground.name, action.volume, action.pool)


def _copy(ground: Ground, action: MoveVolume) -> None:
    """Noted before there is anything; so whatever is left is known for that."""
    old, new = ground.pools[action.from_pool], ground.pools[action.pool]
    volume = VolumeId(ground.name, action.volume)
    from_, there = ground.seen(old, volume), ground.look(action.pool, action.volume)
    both = (action.from_pool, action.pool)
    if there is None or there.stage is Stage.ALLOCATED:
        unfinished_moves.note(ground.registry, ground.name, action.volume, *both)
    elif unfinished_moves.noted(ground.registry).get(f"{volume}") != both:
        raise HostError(f"{new.path(volume)}: there is another volume")
    if there is None:
        new.allocate(volume, action.size_bytes)
    if there is None or there.stage is Stage.ALLOCATED:
        if isinstance(new, ZeroingPool):
            new.zero(volume)
        new.format(volume)
    new.activate(volume)
    copy_volume(content_of(old, volume, ASIDE), content_of(new, volume, ASIDE))
    new.mark(volume, ground.seen(new, volume).with_content_of(from_))


def _remember(ground: Ground, action: MoveVolume) -> None:
    pool, volume = ground.pools[action.pool], VolumeId(ground.name, action.volume)
    seen = replace(ground.seen(pool, volume), pool=action.pool)
    if is_filled(seen):
        place, identity = pool.path(volume), pool.facts.identity
        remember(ground.registry, ground.name, seen, place, identity)
    if ground.locked:
        ground.mark_locked(action.pool, action.volume)
