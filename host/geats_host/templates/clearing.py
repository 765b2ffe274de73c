"""Removing what templates are unpacked to and made of, unless it is used; and what is left over."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from geats_core.planning.plugin_facts import Leftover
from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError
from geats_host.guest_trees import trees
from geats_host.guest_trees.folders import open_directory
from geats_host.leftovers import Left
from geats_host.plugins.opened import Opened
from geats_host.storage import TEMPLATES, Offer, Pool, VolumeId
from geats_host.templates.store import Store

IN_USE = "is in use just now"


def unpacked_in(pools: Opened[Pool]) -> dict[str, dict[VolumeId, VolumeSeen]]:
    """The unpacked templates of each pool that has any files."""
    return {
        name: {volume: seen for volume, seen in there.items() if volume.is_template}
        for name, there in pools.asked(_files_in).items()
        if there is not None
    }


def leftovers(pools: Opened[Pool], store: Store) -> Iterator[tuple[str, Left]]:
    """What was never unpacked to its end, or is still in use, by its pool; and what is left of
    downloads and builds.

    What is at work just now is not left over.
    """
    for name, volumes in unpacked_in(pools).items():
        for volume, seen in volumes.items():
            if _is_left(seen) and _is_unused(store, volume.volume):
                yield name, _left(pools[name], volume, seen, store)
    for path in store.leftovers():
        yield (
            "",
            Left(
                kind=Leftover.FILE,
                name=f"{path}",
                reason="the process that made it has ended",
                remove=partial(_done, partial(remove_file, store, path)),
            ),
        )


def _is_left(seen: VolumeSeen) -> bool:
    return seen.stage is not Stage.INSTALLED or seen.active


def _left(pool: Pool, volume: VolumeId, seen: VolumeSeen, store: Store) -> Left:
    if seen.stage is not Stage.INSTALLED:
        return Left(
            kind=Leftover.TEMPLATE,
            name=volume.volume,
            reason="it was not completely unpacked: whatever needs it starts again",
            remove=partial(_done, partial(destroy_copy, store, pool, volume.volume)),
        )
    return Left(
        kind=Leftover.MOUNT,
        name=f"{pool.path(volume)}",
        reason="a process was killed while it cloned the template",
        remove=partial(_done, partial(_put_away, store, pool, volume)),
    )


def _put_away(store: Store, pool: Pool, volume: VolumeId) -> str | None:
    """Take an unpacked template out of use; or say why not."""
    with store.locked(volume.volume) as lock:
        if not lock.try_hold():
            return IN_USE
        pool.deactivate(volume)
    return None


def destroy_copy(store: Store, pool: Pool, key: str) -> str | None:
    """Destroy an unpacked template; or say why not."""
    volume = VolumeId(TEMPLATES, key)
    with store.locked(key) as lock:
        if not lock.try_hold():
            return IN_USE
        pool.deactivate(volume)
        pool.destroy(volume)
    return None


def remove_file(store: Store, path: Path) -> str | None:
    """Remove a file, or a tree, of the store; or say why not."""
    with store.locked("store") as lock:
        if not lock.try_hold():
            return IN_USE
        try:
            with suppress(FileNotFoundError), open_directory(path.parent) as parent:
                trees.remove(path.name, parent)
        except OSError as error:
            return f"cannot be removed: {error.strerror} ({error.filename})"
    return None


def _done(remove: Callable[[], str | None]) -> None:
    refused = remove()
    if refused is not None:
        raise HostError(f"it {refused}")


def _is_unused(store: Store, key: str) -> bool:
    with store.locked(key) as lock:
        return lock.try_hold()


def _files_in(pool: Pool) -> Mapping[VolumeId, VolumeSeen] | None:
    """Every volume of a pool; None if there are no files in any."""
    return None if pool.offers is Offer.NOTHING else pool.observe()
