"""A pool of raw files, POOL/VM/VOLUME/disk.raw, each as long as its volume is large.

A file takes space only if something was written to it. An adapter or a VM makes use of it::

    geats:
      pools:
        disks:
          type: filesystem
          fstype: ext4
          on: {type: sparsefile, path: /srv/images, default_size: 10GiB}

There are snapshots, and clones that take no time, if files can share their content: on xfs and on
btrfs, but not on ext4. A snapshot is there when its file and its mark are. The mark comes first and
the file goes first, so that what an interruption leaves of one takes no space. What is in a file is
never looked at: a guest could make it look like anything, an image that names other files too.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from returns.result import Failure, Success

from geats_core.planning.plugin_facts import PoolFacts
from geats_core.reading.checked import Problem
from geats_core.reading.fields import Reader
from geats_core.reading.sizes import format_size, parse_size
from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError, Refused
from geats_host.guest_trees.folders import exists, host_errors
from geats_host.guest_trees.reflinks import can_share, copy_file, own_bytes
from geats_host.linux.loops import loops_on
from geats_host.linux.mounts import who_sees
from geats_host.storage import Offer, Pool, VolumeId, adopted_disks, check_clone, check_snapshot
from geats_host.storage.directory import DirectoryPool
from geats_host.storage.disk_files import DEFAULT_BYTES, DiskFilePool
from geats_host.storage.marks import check_readable, write_marks
from geats_host.storage.pool_path import existing, pool_path

DISK = "disk.raw"
NEW = "disk.raw.new"  # what an interruption leaves of a disk that was to be


def open_pool(options: Mapping[object, object], below: Pool | None) -> Pool:
    """The pool at ``path`` (see ``pool_path``), made if missing; it cannot be on another pool.

    ``default_size`` (10GiB) is that of volumes for which none is given, unpacked templates too.
    """
    read = Reader("", options)
    default_bytes = read.take("default_size", parse_size, DEFAULT_BYTES)
    if below is not None:
        read.problems.append(Problem("on", "a pool of sparse files cannot be on another pool"))
    match read.done(pool_path(read)):
        case Success(path):
            return SparseFilePool(DirectoryPool(Path(path), None, "sparsefile"), default_bytes)
        case Failure(problems):
            raise Refused(*problems)


@dataclass(frozen=True, slots=True)
class SparseFilePool(DiskFilePool):
    """See the module. The files lie, with their marks, as in a pool of directories."""

    DISK: ClassVar[str] = DISK
    FORMAT: ClassVar[str] = "raw"

    @property
    def offers(self) -> Offer:
        """A file of which only the length is known."""
        return Offer.FILE

    @property
    def facts(self) -> PoolFacts:
        """The space of the whole filesystem; the rest depends on what that can."""
        root = self.folders.root
        with host_errors(root):
            there = existing(root)
            room = shutil.disk_usage(there)
        shares = can_share(there)
        return PoolFacts(
            location=f"{root}/{{vm}}/{{volume}}/{DISK}",
            size_bytes=room.total,
            free_bytes=room.free,
            snapshots=shares,
            clones=shares,
            identity=self.folders.identity,
            renames=True,
            default_bytes=self.default_bytes,
        )

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        """Make the file longer, unless it is as long."""
        with self.folders.opened(volume) as at, _opened(DISK, at, os.O_RDWR) as disk:
            seen = self.seen_at(at, volume)
            _lengthen(disk, size_bytes)
            if seen.size_bytes is None or seen.size_bytes < size_bytes:
                write_marks(at, replace(seen, size_bytes=size_bytes))

    def destroy(self, volume: VolumeId) -> None:
        """Remove the file and its snapshots; refused while a loop device uses it."""
        self._check_no_loop(volume)
        self.remove(volume)

    def cannot_destroy(self, volume: VolumeId) -> str:
        """Which loop device uses it: see ``ForeseeingPool``."""
        found = loops_on(self.path(volume))
        return f"it is in use by {found[0]}{who_sees(found[0])}" if found else ""

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        """Let another file share the content that the volume has now."""
        check_snapshot(volume, name)
        self._check_shares(volume)
        with self.folders.opened(volume) as at:
            seen = self.seen_at(at, volume)
            if seen.snapshot(name) is not None:
                return
            taken = seen.taken(name, taken_s)
            write_marks(at, replace(seen, snapshots=(*seen.snapshots, taken)))
            with _opened(DISK, at) as disk:
                _replace_disk(at, _snapshot_file(name), lambda new: copy_file(disk, new))

    def rollback(self, volume: VolumeId, name: str) -> None:
        """Share the snapshot's content; after an interruption, all of the content is old, or all is
        new."""
        check_snapshot(volume, name)
        self._check_shares(volume)
        self._check_no_loop(volume)
        with self.folders.opened(volume) as at:
            seen = self.seen_at(at, volume)
            old = seen.snapshot(name)
            if old is None:
                raise HostError(f"{self.path(volume)}: there is no snapshot {name}")
            with _opened(_snapshot_file(name), at) as source:
                self._copy_to_disk(source, at)
            marked = seen.with_content_of(old)
            write_marks(at, marked)

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        """Remove the snapshot's file; the marks say more than that until the next snapshot."""
        check_snapshot(volume, name)
        if not os.path.lexists(self.own_path(volume).parent):
            return
        with self.folders.opened(volume) as at:
            check_readable(self.seen_at(at, volume))
            with suppress(FileNotFoundError):
                os.unlink(_snapshot_file(name), dir_fd=at)
                os.fsync(at)

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        """Share the content of *source*, else copy it; *target* stays as large as it is."""
        check_clone(source, target)
        self._check_no_loop(target)
        with (
            self.folders.opened(source) as at_source,
            self.folders.opened(target) as at,
            _opened(DISK, at_source) as disk,
        ):
            with _opened(DISK, at) as old:
                room, needed = os.fstat(old).st_size, os.fstat(disk).st_size
            if needed > room:
                sizes = f"{format_size(needed)} do not fit into {format_size(room)}"
                raise HostError(f"{self.path(target)}: {source} is not cloned because {sizes}")
            self._copy_to_disk(disk, at)

    def rename(self, volume: VolumeId, new: VolumeId) -> None:
        """Rename the volume's directory; refused while a loop device uses the file."""
        self._check_no_loop(volume)
        self.folders.rename(volume, new)

    def used_bytes(self, volume: VolumeId) -> int:
        """What no other file shares, of the volume and its snapshots."""
        if self.folders.is_half_destroyed(volume):
            return self.folders.used_bytes(volume)
        with self.folders.opened(volume) as at:
            names = [DISK, *(_snapshot_file(s.name) for s in self.seen_at(at, volume).snapshots)]
            used = 0
            for name in names:
                with _opened(name, at) as file:
                    used += own_bytes(file)
        return used

    def make_disk(self, at: int, volume: VolumeId, size_bytes: int) -> None:
        """Make a file of that length."""
        _replace_disk(at, DISK, lambda new: os.ftruncate(new, size_bytes))

    def with_marks(self, at: int, marked: VolumeSeen) -> VolumeSeen:
        """What they say, with the snapshots whose files exist."""
        there = tuple(each for each in marked.snapshots if exists(_snapshot_file(each.name), at))
        return replace(marked, snapshots=there)

    def without_marks(self, at: int, volume: VolumeId) -> VolumeSeen:
        """As if a template was installed on it, if anything was written to the file."""
        with _opened(DISK, at) as disk:
            found = os.fstat(disk)
        stage = Stage.INSTALLED if found.st_blocks else Stage.ALLOCATED
        return VolumeSeen(name=volume.volume, pool="", stage=stage, size_bytes=found.st_size)

    def _copy_to_disk(self, source: int, at: int) -> None:
        with _opened(DISK, at) as old:
            size_bytes = os.fstat(old).st_size

        def fill(new: int) -> None:
            copy_file(source, new)
            _lengthen(new, size_bytes)

        _replace_disk(at, DISK, fill)
        adopted_disks.follow(at, DISK)

    def _check_shares(self, volume: VolumeId) -> None:
        if not self.facts.snapshots:
            raise HostError(f"{self.path(volume)}: has no snapshots, files cannot share content")

    def _check_no_loop(self, volume: VolumeId) -> None:
        used = self.cannot_destroy(volume)
        if used:
            raise HostError(f"{self.path(volume)}: {used.removeprefix('it ')}")


def _snapshot_file(name: str) -> str:
    return f"{name}.snapshot"


def _replace_disk(at: int, name: str, fill: Callable[[int], None]) -> None:
    """Let a new file, which *fill* fills, stand under *name*: whole, or not at all."""
    with suppress(FileNotFoundError):  # what an interruption left
        os.unlink(NEW, dir_fd=at)
    with _opened(NEW, at, os.O_RDWR | os.O_CREAT | os.O_EXCL) as new:
        try:
            fill(new)
            os.fsync(new)
        except (HostError, OSError):  # as on a full disk: make room again
            os.unlink(NEW, dir_fd=at)
            raise
    os.rename(NEW, name, src_dir_fd=at, dst_dir_fd=at)
    os.fsync(at)


def _lengthen(file: int, size_bytes: int) -> None:
    if os.fstat(file).st_size < size_bytes:
        os.ftruncate(file, size_bytes)
        os.fsync(file)


@contextmanager
def _opened(name: str, at: int, flags: int = os.O_RDONLY) -> Iterator[int]:
    """A regular file of the volume's; a symbolic link is none."""
    descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=at)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise HostError(f"{name}: is not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)
