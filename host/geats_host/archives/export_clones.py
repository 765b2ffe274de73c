"""Clones of a VM's volumes, aside from them: an export reads these, so that the VM runs meanwhile.

Each is a volume of ``COPIES`` in the pool of the volume, named by what it was cloned from. What an
export that was killed left is destroyed by the next one, and with the volume itself.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from hashlib import sha256
from typing import TypeAlias

from geats_core.vm.observation import Stage
from geats_host.errors import HostError
from geats_host.storage import COPIES, Pool, VolumeId

NAME_LENGTH = 40
Volumes: TypeAlias = Mapping[str, tuple[Pool, VolumeId]]


def clone_of(volume: VolumeId) -> VolumeId:
    """Where a clone of *volume* is, while it is read."""
    return VolumeId(COPIES, sha256(str(volume).encode()).hexdigest()[:NAME_LENGTH])


@contextmanager
def clones(volumes: Volumes, held: Callable[[], AbstractContextManager[None]]) -> Iterator[Volumes]:
    """Clones of all *volumes*, all made while the VM is *held*; gone afterwards."""
    aside = {name: (pool, clone_of(volume)) for name, (pool, volume) in volumes.items()}
    is_done = False
    try:
        for pool, volume in volumes.values():
            _make(pool, volume)
        with held():
            for pool, volume in volumes.values():
                pool.clone(volume, clone_of(volume))
        yield aside
        is_done = True
    finally:
        try:
            for pool, volume in volumes.values():
                destroy_clone(pool, volume)
        except HostError:
            if is_done:  # else what happened first is told, and the next export destroys them
                raise


def destroy_clone(pool: Pool, volume: VolumeId) -> None:
    """Destroy the clone of *volume*, if an export left one."""
    clone = clone_of(volume)
    if clone in pool.observe(clone):
        pool.deactivate(clone)
        pool.destroy(clone)


def _make(pool: Pool, volume: VolumeId) -> None:
    """Make the volume that is to be the clone: as large as *volume*, and empty."""
    clone, seen = clone_of(volume), pool.observe(volume).get(volume)
    if seen is None:
        raise HostError(f"volume {volume} does not exist")
    destroy_clone(pool, volume)
    pool.allocate(clone, seen.size_bytes)
    pool.format(clone)
    pool.activate(clone)
    pool.mark(clone, replace(pool.observe(clone)[clone], stage=Stage.FILLING))
