"""A pool of subvolumes: cloned, kept as snapshots and rolled back at once, whatever they contain.

A new VM is a snapshot of its unpacked template, and takes no more space than what is written to
it::

    geats:
      pools:
        fast:
          type: btrfs
          path: /srv/btrfs
          quota: true

Theory of operation
-------------------
The files lie as in a pool of directories, and POOL/VM/VOLUME/rootfs is a subvolume; its snapshots
are read-only ones, POOL/VM/VOLUME/snapshots/NAME. Whatever takes the place of rootfs is made beside
it, as rootfs.new, and changes places with it at once. A snapshot is made as ".new" and gets its
name last; one that is deleted loses its name first. What an interruption leaves under these other
names goes when the volume is used next, or with the volume.

Marks and files cannot change at once, so that a rollback leaves a link ``rolling-back``, which
names the snapshot, until both have. Such a volume is not active: ``activate`` rolls it back again.

With ``quota: true`` the size of a volume is the limit of what it contains, shared with others or
not; what a guest puts into subvolumes of its own is not counted. btrfs then keeps count of all that
is shared, which makes it slower with each snapshot; without, sizes are only remembered.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from returns.result import Failure, Success

from geats_core.planning.plugin_facts import PoolFacts
from geats_core.reading.checked import Checked, Problem, problem
from geats_core.reading.fields import Reader, absolute_path, boolean
from geats_core.vm.observation import VolumeSeen
from geats_host.errors import HostError, Refused
from geats_host.guest_trees import subvolumes
from geats_host.guest_trees.folders import (
    check_directory,
    check_no_mounts,
    check_unused,
    exists,
    guest_group,
    make_directory,
    open_directory,
)
from geats_host.guest_trees.reflinks import own_bytes_below
from geats_host.linux.mounts import fstype_of
from geats_host.linux.overlay_mounts import exchange
from geats_host.storage import Offer, Pool, VolumeId, check_clone, check_snapshot
from geats_host.storage.directory import DirectoryPool
from geats_host.storage.marks import out_of_reach, read_marks, write_marks
from geats_host.storage.pool_path import existing, pool_path
from geats_host.storage.volume_trees import ROOTFS, seen_at

NEW_ROOTFS = "rootfs.new"
SNAPSHOTS = "snapshots"
NEW, OLD = ".new", ".old."  # no snapshot has such a name
ROLLING_BACK = "rolling-back"


def open_pool(options: Mapping[object, object], below: Pool | None) -> Pool:
    """The pool at ``path`` (see ``pool_path``), on btrfs; it is made if missing.

    ``quota`` tells whether sizes are enforced (false unless given). ``guest_group`` is the id of
    the only group that may pass into a VM's volumes: by default that of root in unprivileged
    guests, the first of root's range in /etc/subgid.
    """
    read = Reader("", options)
    quota = read.take("quota", boolean, False)
    group = guest_group(read)
    if below is not None:
        read.problems.append(Problem("on", "a btrfs pool cannot be on another pool"))
    if shutil.which("btrfs") is None:
        read.problems.append(Problem("type", "btrfs is not installed (package btrfs-progs)"))
    match read.done(pool_path(read, _place_on_btrfs)):
        case Success(path):
            return BtrfsPool(DirectoryPool(Path(path), group, "btrfs"), quota)
        case Failure(problems):
            raise Refused(*problems)


def _place_on_btrfs(path: str, raw: object) -> Checked[str]:
    match absolute_path(path, raw):
        case Success(found):
            there = existing(Path(found))
            fstype = fstype_of(there)
            if fstype == "btrfs":
                return Success(found)
            return problem(path, f"must be on btrfs, and {str(there)!r} is on {fstype}: {found!r}")
        case failure:
            return failure


@dataclass(frozen=True, slots=True)
class BtrfsPool:
    """See the module."""

    folders: DirectoryPool
    quota: bool

    @property
    def offers(self) -> Offer:
        """A directory: the subvolume."""
        return Offer.DIRECTORY

    @property
    def facts(self) -> PoolFacts:
        """The space of the whole filesystem; sizes are limits if there are quotas."""
        facts = self.folders.facts
        return replace(facts, snapshots=True, clones=True, enforces_size=self.quota)

    def identify(self) -> None:
        """Give the pool its identity, unless it has one."""
        self.folders.identify()

    def observe(self, only: VolumeId | None = None) -> Mapping[VolumeId, VolumeSeen]:
        """Every volume, with the snapshots that are there and that something is known of."""
        return {
            volume: self._with_snapshots(volume, seen)
            for volume, seen in self.folders.observe(only).items()
        }

    def path(self, volume: VolumeId) -> Path:
        """The root of the guest's tree."""
        return self.folders.path(volume)

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        """Make the volume's directory, and remember the size."""
        self.folders.allocate(volume, size_bytes)

    def format(self, volume: VolumeId) -> None:
        """Make the subvolume."""
        self.folders.finish_destroying(volume)
        with self.folders.opened(volume) as at:
            if exists(ROOTFS, at):
                check_directory(ROOTFS, at)
                return
            self._make_rootfs(at, volume, subvolumes.create)
            os.rename(NEW_ROOTFS, ROOTFS, src_dir_fd=at, dst_dir_fd=at)
            os.fsync(at)

    def activate(self, volume: VolumeId) -> None:
        """Finish what was interrupted, and remember that it is in use."""
        with self.folders.opened(volume) as at:
            check_directory(ROOTFS, at)
            self._clean(at, volume)
            rolling_back = _read_link(at)
            if rolling_back is not None:
                self._roll_back(at, volume, rolling_back)
            with open_directory(ROOTFS, at) as rootfs:
                self._limit(rootfs, read_marks(at, volume))
        self.folders.activate(volume)

    def deactivate(self, volume: VolumeId) -> None:
        """Remember that it is not in use; a volume that is not there is not in use either."""
        self.folders.deactivate(volume)

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        """Raise the limit, unless the volume is as large, and remember the new size."""
        with self.folders.opened(volume) as at:
            marked = read_marks(at, volume)
            known = None if marked is None else marked.size_bytes
            if self.quota and exists(ROOTFS, at) and (known is None or known < size_bytes):
                with open_directory(ROOTFS, at) as rootfs:
                    subvolumes.limit(rootfs, size_bytes)
        self.folders.grow(volume, size_bytes)

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        """Keep the subvolume, and what a guest made in it, unless there is one of that name."""
        check_snapshot(volume, name)
        with self.folders.opened(volume) as at:
            check_directory(ROOTFS, at)
            self._clean(at, volume)
            make_directory(SNAPSHOTS, at, mode=0o700)
            with open_directory(SNAPSHOTS, at) as snapshots:
                if exists(name, snapshots):
                    self._check_known(at, volume, name)
                    return
                self._make_snapshot(at, snapshots)
                seen = seen_at(at, volume)
                kept = _names(SNAPSHOTS, at) - {name}
                others = [each for each in seen.snapshots if each.name in kept]
                taken = seen.taken(name, taken_s)
                write_marks(at, replace(seen, snapshots=(*others, taken)))
                os.rename(NEW, name, src_dir_fd=snapshots, dst_dir_fd=snapshots)
                os.fsync(snapshots)

    def rollback(self, volume: VolumeId, name: str) -> None:
        """Put a copy of the snapshot in place of the subvolume, which is removed."""
        check_snapshot(volume, name)
        with self.folders.opened(volume) as at:
            self._check_known(at, volume, name)
            check_no_mounts(self.path(volume))
            check_unused(self.path(volume))
            self._clean(at, volume)
            if exists(ROLLING_BACK, at):
                os.unlink(ROLLING_BACK, dir_fd=at)
            os.symlink(name, ROLLING_BACK, dir_fd=at)
            os.fsync(at)
            self._roll_back(at, volume, name)

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        """Delete a snapshot, if it exists.

        It is shown until nothing of it is left; the marks say more than that until the next one.
        """
        check_snapshot(volume, name)
        with self.folders.opened(volume) as at:
            if exists(SNAPSHOTS, at):
                with open_directory(SNAPSHOTS, at) as snapshots:
                    if exists(name, snapshots):
                        aside = f"{OLD}{name}"
                        os.rename(name, aside, src_dir_fd=snapshots, dst_dir_fd=snapshots)
                        os.fsync(snapshots)
            self._clean(at, volume)

    def destroy(self, volume: VolumeId) -> None:
        """Remove the volume with its snapshots, unless a symlink or a mount is in the way."""
        self.folders.destroy(volume)

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        """Put a copy of the source's subvolume in place of the target's, which is removed."""
        check_clone(source, target)
        with (
            self.folders.opened(source) as from_,
            open_directory(ROOTFS, from_) as rootfs,
            self.folders.opened(target) as at,
        ):
            check_directory(ROOTFS, at)
            check_no_mounts(self.path(target))
            self._make_rootfs(at, target, _copy_of(rootfs))
            exchange(at, NEW_ROOTFS, ROOTFS)
            subvolumes.remove(NEW_ROOTFS, at)

    def rename(self, volume: VolumeId, new: VolumeId) -> None:
        """Rename the volume's directory; the subvolumes in it stay what they are."""
        self.folders.rename(volume, new)

    def used_bytes(self, volume: VolumeId) -> int:
        """What only this volume takes, and neither a template nor a snapshot.

        ``btrfs filesystem du`` says so too, but fails if paths are too long for it.
        """
        if self.folders.is_half_destroyed(volume):
            return self.folders.used_bytes(volume)
        with self.folders.opened(volume) as at:
            return own_bytes_below(at)

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        """Remember the stage, template and guest of *seen*, durably; the rest is the pool's."""
        self.folders.mark(volume, seen)

    def set_locked(self, volume: VolumeId, *, locked: bool) -> None:
        """Note it in a file next to the volume."""
        self.folders.set_locked(volume, locked=locked)

    def _with_snapshots(self, volume: VolumeId, seen: VolumeSeen) -> VolumeSeen:
        try:
            with self.folders.opened(volume) as at:
                names = _names(SNAPSHOTS, at) if seen.snapshots else frozenset()
                there = tuple(
                    each for each in seen.snapshots if {each.name, f"{OLD}{each.name}"} & names
                )
                active = seen.active and not exists(ROLLING_BACK, at)
                return replace(seen, snapshots=there, active=active)
        except HostError as error:
            if os.path.lexists(self.path(volume).parent):
                return seen if seen.unreadable else out_of_reach(volume, str(error))
            return replace(seen, snapshots=(), active=False)  # destroyed meanwhile

    def _make_rootfs(self, at: int, volume: VolumeId, make: Callable[[str, int], None]) -> None:
        """Make what takes the place of the subvolume; what cannot be made whole is removed."""
        subvolumes.remove(NEW_ROOTFS, at)
        try:
            make(NEW_ROOTFS, at)
            with open_directory(NEW_ROOTFS, at) as made:
                self._limit(made, read_marks(at, volume))
        except OSError:
            subvolumes.remove(NEW_ROOTFS, at)
            raise

    def _make_snapshot(self, at: int, snapshots: int) -> None:
        try:
            with open_directory(ROOTFS, at) as rootfs:
                subvolumes.snapshot(rootfs, NEW, snapshots, read_only=True)
        except OSError:
            subvolumes.remove(NEW, snapshots)
            raise

    def _roll_back(self, at: int, volume: VolumeId, name: str) -> None:
        """Do what the link says, and take it away last."""
        seen = seen_at(at, volume)
        old = seen.snapshot(name)
        if old is None:
            raise HostError(f"{self.path(volume)}: there is no snapshot {name}")
        try:
            with open_directory(SNAPSHOTS, at) as all_, open_directory(name, all_) as source:
                self._make_rootfs(at, volume, _copy_of(source))
        except OSError:
            os.unlink(ROLLING_BACK, dir_fd=at)
            raise
        exchange(at, NEW_ROOTFS, ROOTFS)
        write_marks(at, seen.with_content_of(old))
        subvolumes.remove(NEW_ROOTFS, at)
        os.unlink(ROLLING_BACK, dir_fd=at)
        os.fsync(at)

    def _clean(self, at: int, volume: VolumeId) -> None:
        """Remove what calls that were cut left."""
        if exists(NEW_ROOTFS, at):
            check_no_mounts(self.path(volume).parent / NEW_ROOTFS)
            subvolumes.remove(NEW_ROOTFS, at)
        if exists(SNAPSHOTS, at):
            with open_directory(SNAPSHOTS, at) as snapshots:
                for name in os.listdir(snapshots):
                    if name.startswith("."):
                        subvolumes.remove(name, snapshots)

    def _limit(self, subvolume: int, marked: VolumeSeen | None) -> None:
        if self.quota and marked is not None and marked.size_bytes is not None:
            subvolumes.limit(subvolume, marked.size_bytes)

    def _check_known(self, at: int, volume: VolumeId, name: str) -> None:
        """See that there is such a snapshot, and that it is known what it holds."""
        if name not in (_names(SNAPSHOTS, at) if exists(SNAPSHOTS, at) else ()):
            raise HostError(f"{self.path(volume)}: there is no snapshot {name}")
        if seen_at(at, volume).snapshot(name) is None:
            where = self.path(volume).parent / SNAPSHOTS / name
            raise HostError(f"{where}: the marks of this snapshot are lost")


def _copy_of(source: int) -> Callable[[str, int], None]:
    return partial(subvolumes.snapshot, source, read_only=False)


def _names(directory: str, at: int) -> frozenset[str]:
    with open_directory(directory, at) as opened:
        return frozenset(os.listdir(opened))


def _read_link(at: int) -> str | None:
    """Which snapshot a rollback that was interrupted was to."""
    try:
        return os.readlink(ROLLING_BACK, dir_fd=at)
    except FileNotFoundError:
        return None
