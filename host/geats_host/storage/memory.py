"""A pool that exists in memory only, for tests, demonstrations and dry exploration.

Pools opened with the same ``path`` in one process are one pool, as on disk; a path of its own
starts afresh. What ``path()`` leads to is not there: nobody can install a template on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from returns.result import Failure, Success

from geats_core.planning.plugin_facts import PoolFacts
from geats_core.reading.checked import Problem
from geats_core.reading.fields import Reader, absolute_path
from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError, Refused
from geats_host.storage import (
    Offer,
    Pool,
    VolumeId,
    check_clone,
    check_names,
    check_rename,
    check_snapshot,
)

DEFAULT_PATH = "/memory"


def open_pool(options: Mapping[object, object], below: Pool | None) -> Pool:
    """The pool at ``path`` (absolute, default ``/memory``); it cannot be on another pool."""
    read = Reader("", options)
    if below is not None:
        read.problems.append(Problem("on", "a memory pool cannot be on another pool"))
    match read.done(read.take("path", absolute_path, DEFAULT_PATH)):
        case Success(path):
            return _pools.setdefault(path, MemoryPool(Path(path)))
        case Failure(problems):
            raise Refused(*problems)


@dataclass(slots=True)
class MemoryPool:
    """See the module."""

    root: Path
    volumes: dict[VolumeId, VolumeSeen] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    @property
    def offers(self) -> Offer:
        """There is nothing to put files on."""
        return Offer.NOTHING

    def observe(self, only: VolumeId | None = None) -> Mapping[VolumeId, VolumeSeen]:
        """Every volume."""
        with self.lock:
            return {
                volume: seen
                for volume, seen in self.volumes.items()
                if only is None or volume == only
            }

    def path(self, volume: VolumeId) -> Path:
        """Where the volume would be."""
        check_names(volume)
        return self.root / volume.vm / volume.volume

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        """Add the volume, unless it is there."""
        check_names(volume)
        new = VolumeSeen(name=volume.volume, pool="", stage=Stage.ALLOCATED, size_bytes=size_bytes)
        with self.lock:
            self.volumes.setdefault(volume, new)

    def format(self, volume: VolumeId) -> None:
        """Make it ready for files; one that is ready stays as it is."""
        with self.lock:
            seen = self._need(volume)
            self.volumes[volume] = replace(seen, stage=max(seen.stage, Stage.FORMATTED))

    def activate(self, volume: VolumeId) -> None:
        """Put it in use."""
        with self.lock:
            seen = self._need(volume)
            if seen.stage < Stage.FORMATTED:
                raise HostError(f"{volume} is not formatted")
            self.volumes[volume] = replace(seen, active=True)

    def deactivate(self, volume: VolumeId) -> None:
        """Take it out of use; a volume that is not there is not in use either."""
        check_names(volume)
        with self.lock:
            if volume in self.volumes:
                self.volumes[volume] = replace(self.volumes[volume], active=False)

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        """Remember the new size, unless the volume is as large."""
        with self.lock:
            seen = self._need(volume)
            if seen.size_bytes is None or seen.size_bytes < size_bytes:
                self.volumes[volume] = replace(seen, size_bytes=size_bytes)

    def destroy(self, volume: VolumeId) -> None:
        """Forget the volume."""
        check_names(volume)
        with self.lock:
            self.volumes.pop(volume, None)

    @property
    def facts(self) -> PoolFacts:
        """Space without end; snapshots cost nothing."""
        return PoolFacts(location=f"{self.root}/{{vm}}/{{volume}}", snapshots=True, renames=True)

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        """Remember the marks as they are now, unless there is a snapshot of that name."""
        check_snapshot(volume, name)
        with self.lock:
            seen = self._need(volume)
            if seen.snapshot(name) is None:
                taken = seen.taken(name, taken_s)
                self.volumes[volume] = replace(seen, snapshots=(*seen.snapshots, taken))

    def rollback(self, volume: VolumeId, name: str) -> None:
        """Go back to the marks of the snapshot."""
        check_snapshot(volume, name)
        with self.lock:
            seen = self._need(volume)
            old = seen.snapshot(name)
            if old is None:
                raise HostError(f"{self.path(volume)}: there is no snapshot {name}")
            self.volumes[volume] = seen.with_content_of(old)

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        """Forget the snapshot."""
        check_snapshot(volume, name)
        with self.lock:
            seen = self._need(volume)
            left = tuple(snapshot for snapshot in seen.snapshots if snapshot.name != name)
            self.volumes[volume] = replace(seen, snapshots=left)

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        """There is nothing to copy."""
        check_clone(source, target)
        with self.lock:
            self._need(source)
            self._need(target)

    def rename(self, volume: VolumeId, new: VolumeId) -> None:
        """Call it otherwise, unless it is."""
        if check_rename(self, volume, new):
            with self.lock:
                self.volumes[new] = self.volumes.pop(volume)

    def used_bytes(self, volume: VolumeId) -> int:
        """None at all."""
        with self.lock:
            self._need(volume)
        return 0

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        """Remember the stage, template and guest of *seen*; the rest is the pool's."""
        with self.lock:
            self.volumes[volume] = self._need(volume).with_content_of(seen)

    def set_locked(self, volume: VolumeId, *, locked: bool) -> None:
        """Remember it."""
        with self.lock:
            self.volumes[volume] = replace(self._need(volume), locked=locked)

    def _need(self, volume: VolumeId) -> VolumeSeen:
        check_names(volume)
        if volume not in self.volumes:
            raise HostError(f"{self.path(volume)}: there is no such volume")
        return self.volumes[volume]


_pools: dict[str, MemoryPool] = {}
