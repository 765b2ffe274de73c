"""An adapter: a filesystem on each file or block device of the pool below, for directories::

    geats:
      pools:
        disks:
          type: filesystem
          fstype: ext4                # or xfs, or btrfs
          on: {type: sparsefile, path: /srv/images, default_size: 10GiB}
        fast:
          type: filesystem
          fstype: xfs
          on: {type: blockdevice, device: /dev/disk/by-id/nvme-...-part3}

Theory of operation
-------------------
MOUNTS/KEY/VM/VOLUME is where a volume's filesystem is mounted, and rootfs in it is the root of the
guest's tree, so that lost+found is not in the guest. KEY names the pool below. A file is mounted
through a loop device that the kernel detaches with the last use, also after an interruption.

The marks are those of the pool below, and two facts are added to them. That mkfs came to its end is
noted there as the guest of a volume that is only formatted. How much of a volume the filesystem
takes up is noted in the filesystem, in an attribute of its top directory, as the last step of
mounting and of growing: a volume counts as active, or as grown, only when it says so. After the
host's restart nothing is mounted, and so nothing is active.

A filesystem is frozen for the moment in which it is snapshotted or cloned; what an interruption
leaves frozen is thawed by the next call. Every filesystem carries a label made from its volume's
name, and one that carries another is not mounted, nor is anything made over it: names of devices
can change.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from returns.result import Failure, Success

from geats_core.planning.plugin_facts import PoolFacts
from geats_core.reading.checked import Problem
from geats_core.reading.fields import Reader, absolute_path, one_of
from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError, Refused
from geats_host.guest_trees import trees
from geats_host.guest_trees.folders import check_no_mounts, guest_group, host_errors, open_directory
from geats_host.guest_trees.tree_copies import copy
from geats_host.leftovers import Left
from geats_host.locks.file_locks import place_locked
from geats_host.storage import (
    IdentifiedPool,
    Offer,
    Pool,
    RenamingPool,
    VolumeId,
    check_clone,
    check_snapshot,
    fstypes,
    key_of,
    left_mounted,
)
from geats_host.storage.directory import DirectoryPool
from geats_host.storage.fstypes import FILESYSTEMS, Filesystem
from geats_host.storage.mounted import Mounted, is_mounted, writable_points
from geats_host.storage.mounting import MADE, Place, noted_made

DEFAULT_MOUNTS = "/run/geats/mounts"
STANDS_ON = (Offer.FILE, Offer.BLOCK_DEVICE)


def open_pool(options: Mapping[object, object], below: Pool | None) -> Pool:
    """Filesystems of the type ``fstype`` (ext4 by default, xfs, btrfs) on the volumes of *below*.

    ``mounts`` is where they are mounted, ``guest_group`` the id of the only group that may pass
    into a VM's volumes: by default the first of root's range in /etc/subgid.
    """
    read = Reader("", options)
    fstype = read.take("fstype", one_of("filesystem", FILESYSTEMS), "ext4")
    root = read.take("mounts", absolute_path, DEFAULT_MOUNTS)
    group = guest_group(read)
    kind = FILESYSTEMS[fstype]
    read.problems += [
        Problem("fstype", f"{tool} is not installed (package {kind.package})")
        for tool in kind.missing
    ]
    if below is None or below.offers not in STANDS_ON:
        read.problems.append(Problem("on", "filesystem needs a file or a block device"))
    match read.done(root):
        case Success(path) if below is not None:
            points = DirectoryPool(Path(path) / key_of(below), group)
            return FilesystemPool(below, kind, points)
        case Success():
            raise AssertionError("a missing pool is a problem")
        case Failure(problems):
            raise Refused(*problems)


@dataclass(frozen=True, slots=True)
class FilesystemPool:
    """See the module; *points* is a pool of directories, whose volumes are mounted on."""

    below: Pool
    kind: Filesystem
    points: DirectoryPool

    @property
    def offers(self) -> Offer:
        """A directory: the rootfs."""
        return Offer.DIRECTORY

    @property
    def facts(self) -> PoolFacts:
        """What the pool below has; a filesystem enforces its size, and grows while it is used."""
        below = self.below.facts
        able = fstypes.grows_online(self.kind)
        least_bytes = max(below.least_bytes, self.kind.least_bytes)
        renames = below.renames and isinstance(self.below, RenamingPool)
        return replace(
            below,
            enforces_size=True,
            grows_online=below.grows_online and able,
            growth_lacks=below.growth_lacks if able else fstypes.GROWTH_TAKES,
            least_bytes=least_bytes,
            renames=renames,
            zeroes=False,
        )

    def identify(self) -> None:
        """Give the pool below its identity, if it can have one."""
        if isinstance(self.below, IdentifiedPool):
            self.below.identify()

    def observe(self, only: VolumeId | None = None) -> Mapping[VolumeId, VolumeSeen]:
        """Every volume of the pool below, as far as it is a filesystem."""
        points = writable_points()
        return {
            volume: self._seen(volume, seen, points)
            for volume, seen in self.below.observe(only).items()
        }

    def leftovers(self, vms: Collection[str]) -> Iterator[Left]:
        """Mounts of volumes that are not there any more, and loop devices; see ``Clearing``."""
        with host_errors(self.points.root):
            yield from left_mounted.leftovers(self.below, self.points)

    def path(self, volume: VolumeId) -> Path:
        """The root of the guest's tree."""
        return self.points.path(volume)

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        """Let the pool below do it; refused if the filesystem cannot be made as small."""
        if size_bytes is not None:
            self.kind.check_size(self.path(volume), size_bytes)
        self.below.allocate(volume, size_bytes)

    def format(self, volume: VolumeId) -> None:
        """Make the filesystem, unless it is made; refused if there is anything else."""
        if self._need(volume).stage >= Stage.FORMATTED:
            return
        self.below.format(volume)
        self.below.activate(volume)
        device, place = self.below.path(volume), self._place(volume)
        with host_errors(device):
            is_zero = place.check_free()
            size_bytes = place.wanted_bytes()
        self.kind.check_size(device, size_bytes)
        label = self.kind.label(str(volume))
        fstypes.make(self.kind, device, label, size_bytes, is_zero=is_zero)
        seen = self.below.observe(volume)[volume]
        self.below.mark(volume, replace(seen, stage=Stage.FORMATTED, guest=noted_made(size_bytes)))

    def activate(self, volume: VolumeId) -> None:
        """Check the filesystem, mount it, and let it take up all of its volume."""
        seen = self._need(volume)
        if seen.stage < Stage.FORMATTED:
            raise HostError(f"{self.path(volume)}: is not formatted")
        self._place(volume).bring_up(is_clone=seen.stage is Stage.FILLING)

    def deactivate(self, volume: VolumeId) -> None:
        """Unmount; refused while anything in it is in use, or mounted."""
        self._place(volume).take_down()
        self.below.deactivate(volume)

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        """Grow the volume below, and then the filesystem, while it is in use."""
        self._need(volume)
        self.below.grow(volume, size_bytes)
        if is_mounted(self._point(volume)):
            self._place(volume).settle()

    def destroy(self, volume: VolumeId) -> None:
        """Let the pool below do it; refused while anything is mounted."""
        self.points.destroy(volume)
        self.below.destroy(volume)

    def cannot_destroy(self, volume: VolumeId) -> str:
        """Who has it mounted elsewhere: see ``ForeseeingPool``."""
        return self._place(volume).mounted_elsewhere()

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        """Let the pool below do it, while the filesystem is frozen."""
        check_snapshot(volume, name)
        with Mounted(self._point(volume)).frozen():
            self.below.snapshot(volume, name, taken_s)

    def rollback(self, volume: VolumeId, name: str) -> None:
        """Let the pool below do it, while the filesystem is not mounted."""
        check_snapshot(volume, name)
        seen = self._need(volume)
        if seen.snapshot(name) is None:
            why = f"there is no snapshot {name}" if self.facts.snapshots else "has no snapshots"
            raise HostError(f"{self.path(volume)}: {why}")
        self._place(volume).take_down()
        self.below.rollback(volume, name)
        if seen.active:
            self._place(volume).bring_up(is_clone=False)

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        """Let the pool below do it."""
        self.below.delete_snapshot(volume, name)

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        """Let the pool below do it; into a volume that is smaller, copy file by file.

        The clone has a label and, unless it is xfs, an id of its own.
        """
        check_clone(source, target)
        for volume in (source, target):
            if self._need(volume).stage < Stage.FORMATTED:
                raise HostError(f"{self.path(volume)}: is not formatted")
        can_copy = self.below.offers is Offer.FILE or self.below.facts.clones
        with self._there(target), self._there(source):
            if (
                can_copy
                and self._place(source).device_bytes() <= self._place(target).device_bytes()
            ):
                self._place(target).take_down()
                with Mounted(self._point(source)).frozen():
                    self.below.clone(source, target)
                self._place(target).bring_up(is_clone=True)
            else:
                self._copy_files(source, target)

    def rename(self, volume: VolumeId, new: VolumeId) -> None:
        """Let the pool below do it, while the filesystem is not mounted; it gets another label."""
        if not isinstance(self.below, RenamingPool):
            raise HostError(f"{self.path(volume)}: the pool below cannot rename it")
        if self.below.observe(volume):
            place = self._place(volume)
            place.take_down()
            if self._need(volume).stage >= Stage.FORMATTED:
                self.below.activate(volume)
                place.label_for(new)
            self.below.deactivate(volume)
        self.points.destroy(volume)
        self.below.rename(volume, new)

    def used_bytes(self, volume: VolumeId) -> int:
        """What the pool below says."""
        return self.below.used_bytes(volume)

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        """Let the pool below remember it; what is to be filled is mounted again if it is broken."""
        mounted = Mounted(self._point(volume))
        if seen.stage is Stage.FILLING and not mounted.takes_writes():
            self._place(volume).bring_up(is_clone=True)
        made = seen.stage is Stage.FORMATTED
        self.below.mark(volume, replace(seen, guest=noted_made(0)) if made else seen)

    def set_locked(self, volume: VolumeId, *, locked: bool) -> None:
        """Let the pool below note it."""
        self.below.set_locked(volume, locked=locked)

    def _seen(self, volume: VolumeId, seen: VolumeSeen, points: frozenset[str]) -> VolumeSeen:
        snapshots = tuple(
            replace(each, guest=None) if each.stage is Stage.FORMATTED else each
            for each in seen.snapshots
        )
        shown = replace(seen, snapshots=snapshots, active=False)
        if seen.stage is Stage.FORMATTED:
            made = (seen.guest or "").startswith(MADE)
            stage = Stage.FORMATTED if made else Stage.ALLOCATED
            shown = replace(shown, stage=stage, guest=None)
        taken_up = Mounted(self._point(volume)).taken_up_bytes(points)
        if not seen.active or taken_up is None:
            return shown
        size_bytes = None if seen.size_bytes is None else min(seen.size_bytes, taken_up)
        return replace(shown, active=True, size_bytes=size_bytes)

    def _need(self, volume: VolumeId) -> VolumeSeen:
        self.path(volume)  # refuses what cannot be a name
        seen = self.below.observe(volume).get(volume)
        if seen is None:
            raise HostError(f"{self.path(volume)}: there is no such volume")
        return self._seen(volume, seen, writable_points())

    def _point(self, volume: VolumeId) -> Path:
        return self.path(volume).parent

    def _place(self, volume: VolumeId) -> Place:
        return Place(volume, self.below, self.points)

    @contextmanager
    def _there(self, volume: VolumeId) -> Iterator[None]:
        """Its file or block device is there meanwhile, as it may only be while it is in use."""
        seen = self._need(volume)
        stays = seen.active or volume.is_template
        if not seen.active:
            with self._alone():
                self.below.activate(volume)
        try:
            yield
        except HostError:
            with suppress(HostError):  # what happened first is told
                self._put_away(volume, stays=stays)
            raise
        self._put_away(volume, stays=stays)

    def _put_away(self, volume: VolumeId, *, stays: bool) -> None:
        if not stays:
            self.deactivate(volume)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else makes a volume ready to be cloned: several may clone one at a time."""
        self.points.make_root()
        with place_locked(self.points.root):
            yield

    def _copy_files(self, source: VolumeId, target: VolumeId) -> None:
        for volume in (target, source):
            with self._alone():
                self._place(volume).bring_up(is_clone=False)
        top = self.path(target)
        check_no_mounts(top)
        with host_errors(top):
            with open_directory(top.parent) as point:
                trees.remove(top.name, point)
            Mounted(self._point(target)).make_rootfs()
            with open_directory(self.path(source)) as tree, open_directory(top) as rootfs:
                copy(tree, rootfs)
