"""A volume that moves to another pool, performed: see ``geats_core.jobs.volume_moves``."""

from collections.abc import Callable
from pathlib import Path

from geats_core.planning.actions import MoveVolume
from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.archives import export_clones
from geats_host.archives.vm_archives import content_of
from geats_host.archives.volume_copies import copy_volume
from geats_host.engine.ground import Ground
from geats_host.errors import HostError
from geats_host.observing import unfinished_moves
from geats_host.observing.known_volumes import forget
from geats_host.storage import VolumeId, ZeroingPool

ASIDE = Path("/var/tmp")  # for disks of QEMU's own format, which are read as raw files


def move_volume(ground: Ground, action: MoveVolume, define: Callable[[], None]) -> None:
    """Copy the volume, compare, *define* the VM with the copy, and destroy the old volume.

    Nothing is copied over a volume that counts already.
    """
    if _pool_that_counts(ground, action) != action.pool:
        _copy(ground, action)
    _whole(ground, action.pool, action.volume)
    define()
    _keep(ground, action.pool, VolumeId(ground.name, action.volume))
    _destroy(ground, action.from_pool, action.volume)
    unfinished_moves.forget(ground.registry, ground.name, action.volume, action.pool)


def _pool_that_counts(ground: Ground, action: MoveVolume) -> str | None:
    spec = ground.registry.definitions().get(ground.name)
    found = (each.pool for each in spec.volumes if each.name == action.volume) if spec else ()
    return next(iter(found), None)


def _whole(ground: Ground, pool: str, name: str) -> VolumeSeen:
    """The volume, by its own mark: what it says is so, whatever else is noted of it."""
    of, volume = ground.pools[pool], VolumeId(ground.name, name)
    seen = ground.seen(of, volume)
    if seen.is_moving or seen.stage < Stage.FORMATTED:
        raise HostError(f"{of.path(volume)}: is not whole, so the other one is kept")
    return seen


def _copy(ground: Ground, action: MoveVolume) -> None:
    """Into a new volume, which is marked until it is whole; so whatever is left is known for that.

    What an interrupted try left is made anew: the old volume may have grown since.
    """
    old, new = ground.pools[action.from_pool], ground.pools[action.pool]
    volume = VolumeId(ground.name, action.volume)
    from_ = _whole(ground, action.from_pool, action.volume)
    _check_free(ground, action)
    unfinished_moves.note(
        ground.registry, ground.name, action.volume, action.from_pool, action.pool
    )
    _destroy(ground, action.pool, action.volume)
    new.allocate(volume, action.size_bytes)
    if isinstance(new, ZeroingPool):
        new.zero(volume)
    new.format(volume)
    new.activate(volume)
    new.mark(volume, ground.seen(new, volume).as_moving())
    copy_volume(content_of(old, volume, ASIDE), content_of(new, volume, ASIDE))
    new.mark(volume, ground.seen(new, volume).with_content_of(from_))


def _check_free(ground: Ground, action: MoveVolume) -> None:
    """Nothing but what a try of this move left is in the new pool, and of another move nothing."""
    key, both = f"{ground.name}/{action.volume}", {action.from_pool, action.pool}
    noted = set(unfinished_moves.noted(ground.registry).get(key, ()))
    for pool in noted - both:
        if pool not in ground.pools or ground.look(pool, action.volume) is not None:
            raise HostError(f"{key}: an interrupted move left a copy of it in pool {pool}")
    there = ground.look(action.pool, action.volume)
    known = there is None or there.is_moving or there.stage is Stage.ALLOCATED
    if not known and noted != both:
        path = ground.pools[action.pool].path(VolumeId(ground.name, action.volume))
        raise HostError(f"{path}: there is another volume")


def _destroy(ground: Ground, pool: str, name: str) -> None:
    """With what an export that was killed left of it; nobody misses it."""
    of, volume = ground.pools[pool], VolumeId(ground.name, name)
    forget(ground.registry, ground.name, pool, name)
    export_clones.destroy_clone(of, volume)
    of.deactivate(volume)
    of.destroy(volume)


def _keep(ground: Ground, pool: str, volume: VolumeId) -> None:
    """It is missed if it is lost, and as protected as the VM is."""
    ground.remember(pool, volume, ground.seen(ground.pools[pool], volume))
    if ground.locked:
        ground.mark_locked(pool, volume.volume)
