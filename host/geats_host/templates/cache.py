"""Unpacked templates: each is unpacked once in a pool that can clone, and then cloned.

A template is kept as a volume of ``TEMPLATES``, named after its content, so that it is never
confused with another one. It is filled under a lock that ends with its process, and marked as
installed only when it is complete: after a crash it is filled again. A process that clones it
shares the lock meanwhile. A pool may have to put it in use for that, for example by mounting it.
The last one that clones it takes it out of use, also if processes that were killed left it in use.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from threading import Semaphore

from geats_core.declared.template import Template
from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError
from geats_host.storage import TEMPLATES, Pool, VolumeId
from geats_host.templates import fill, key_of, make_ready, size_of
from geats_host.templates.name_locks import NamedLock
from geats_host.templates.store import Store

UNPACKING = Semaphore(os.cpu_count() or 1)  # of several templates at once: it needs processors


@contextmanager
def unpacked(pool: Pool, template: Template, store: Store) -> Iterator[VolumeId]:
    """The volume of *pool* that contains *template*, made if there is none, and kept meanwhile."""
    with store.in_use():
        make_ready(template, store)
        volume = VolumeId(TEMPLATES, key_of(template, store))
    with store.locked(volume.volume) as lock:
        lock.share()
        while not _is_whole(pool, volume):
            lock.hold()
            if not _is_whole(pool, volume):
                with UNPACKING:
                    _fill_or_remove(pool, volume, template, store)
            lock.share()  # somebody else may hold it in between
        try:
            yield volume
        except HostError:
            with suppress(HostError):  # what happened first is told
                _put_away(pool, volume, lock)
            raise
        _put_away(pool, volume, lock)


def _put_away(pool: Pool, volume: VolumeId, lock: NamedLock) -> None:
    """Take it out of use, unless somebody else clones it."""
    if lock.try_hold():
        pool.deactivate(volume)


def _is_whole(pool: Pool, volume: VolumeId) -> bool:
    seen = pool.observe(volume).get(volume)
    return seen is not None and seen.stage is Stage.INSTALLED and not seen.unreadable


def _fill_or_remove(pool: Pool, volume: VolumeId, template: Template, store: Store) -> None:
    """What cannot be filled, on a full disk say, is not left there to keep it full."""
    try:
        _fill(pool, volume, template, store)
    except HostError:
        with suppress(HostError):  # it is seen as half unpacked, and pruned
            pool.deactivate(volume)
            pool.destroy(volume)
        raise


def _fill(pool: Pool, volume: VolumeId, template: Template, store: Store) -> None:
    pool.allocate(volume, size_of(template, store))
    pool.format(volume)
    pool.activate(volume)
    started = replace(_seen(pool, volume), stage=Stage.FILLING)
    pool.mark(volume, started)
    fill(template, pool, volume, store, started.size_bytes)
    pool.deactivate(volume)  # it is cloned, and never used where it is
    pool.mark(volume, replace(started, stage=Stage.INSTALLED, template=template.name))


def _seen(pool: Pool, volume: VolumeId) -> VolumeSeen:
    seen = pool.observe(volume).get(volume)
    if seen is None:
        raise HostError(f"{pool.path(volume)}: was destroyed while it was filled")
    return seen
