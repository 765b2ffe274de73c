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
through a loop device that the kernel detaches with the last use, also after a cut.

The marks are those of the pool below, and two facts are added to them. That mkfs came to its end is
noted there as the guest of a volume that is only formatted. How much of a volume the filesystem
takes up is noted in the filesystem, in an attribute of its top directory, as the last step of
mounting and of growing: a volume counts as active, or as grown, only when it says so. After the
host's restart nothing is mounted, and so nothing is active.

A filesystem is frozen for the moment in which it is snapshotted or cloned; what a cut leaves frozen
is thawed by the next call. Every filesystem carries a label made from its volume's name, and one
that carries another is not mounted, nor is anything made over it: names of devices can change.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from returns.result import Failure, Success

from geats_core.checked import Problem
from geats_core.fields import Reader, absolute_path, one_of
from geats_core.observation import Stage, VolumeSeen
from geats_core.plan import PoolFacts
from geats_host import loops
from geats_host.errors import HostError, Refused
from geats_host.run import run
from geats_host.storage import Offer, Pool, VolumeId, check_clone, check_snapshot, fstypes
from geats_host.storage.directory import COPY_TIMEOUT_S, DirectoryPool
from geats_host.storage.folders import check_no_mounts, guest_group, host_errors
from geats_host.storage.fstypes import FILESYSTEMS, Filesystem, found_on
from geats_host.storage.mounted import Mounted, is_mounted, mounted_points

DEFAULT_MOUNTS = "/run/geats/mounts"
MADE = "filesystem of "  # how the guest begins, in the marks below, of what mkfs was done with
KEY_LENGTH = 12
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
            points = DirectoryPool(Path(path) / _key(below), group)
            return FilesystemPool(below, kind, points)
        case Success():
            raise AssertionError("a missing pool is a problem")
        case Failure(problems):
            raise Refused(*problems)


def _key(below: Pool) -> str:
    place = below.path(VolumeId("vm", "volume"))
    return hashlib.sha256(os.fsencode(place)).hexdigest()[:KEY_LENGTH]


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
        online = below.grows_online and fstypes.grows_online(self.kind)
        return replace(below, enforces_size=True, grows_online=online)

    def observe(self) -> Mapping[VolumeId, VolumeSeen]:
        """Every volume of the pool below, as far as it is a filesystem."""
        points = mounted_points()
        return {
            volume: self._seen(volume, seen, points)
            for volume, seen in self.below.observe().items()
        }

    def path(self, volume: VolumeId) -> Path:
        """The root of the guest's tree."""
        return self.points.path(volume)

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        """Let the pool below do it; refused where the filesystem cannot be made as small."""
        if size_bytes is not None:
            self.kind.check_size(self.path(volume), size_bytes)
        self.below.allocate(volume, size_bytes)

    def format(self, volume: VolumeId) -> None:
        """Make the filesystem, unless it is made; refused where there is anything else."""
        if self._need(volume).stage >= Stage.FORMATTED:
            return
        self.below.format(volume)
        self.below.activate(volume)
        device = self.below.path(volume)
        with host_errors(device):
            self._detach(device)
            is_zero = self._check_free(volume, device)
            size_bytes = self._wanted_bytes(volume)
        self.kind.check_size(device, size_bytes)
        label = self.kind.label(str(volume))
        fstypes.make(self.kind, device, label, size_bytes, is_zero=is_zero)
        seen = self.below.observe()[volume]
        self.below.mark(volume, replace(seen, stage=Stage.FORMATTED, guest=_made(size_bytes)))

    def activate(self, volume: VolumeId) -> None:
        """Check the filesystem, mount it, and let it take up all of its volume."""
        seen = self._need(volume)
        if seen.stage < Stage.FORMATTED:
            raise HostError(f"{self.path(volume)}: is not formatted")
        self._bring_up(volume, is_clone=seen.stage is Stage.FILLING)

    def deactivate(self, volume: VolumeId) -> None:
        """Unmount; refused while anything in it is in use, or mounted."""
        self._take_down(volume)
        self.below.deactivate(volume)

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        """Grow the volume below, and then the filesystem, while it is in use."""
        self._need(volume)
        self.below.grow(volume, size_bytes)
        if is_mounted(self._point(volume)):
            self._settle(volume)

    def destroy(self, volume: VolumeId) -> None:
        """Let the pool below do it; refused while anything is mounted."""
        self.points.destroy(volume)
        self.below.destroy(volume)

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
        self._take_down(volume)
        self.below.rollback(volume, name)
        if seen.active:
            self._bring_up(volume, is_clone=False)

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
        was_active = self._need(target).active
        can_copy = self.below.offers is Offer.FILE or self.below.facts.clones
        if can_copy and self._device_bytes(source) <= self._device_bytes(target):
            self._take_down(target)
            with Mounted(self._point(source)).frozen():
                self.below.clone(source, target)
            self._bring_up(target, is_clone=True)
        else:
            self._copy_files(source, target)
        if not was_active:
            self.deactivate(target)

    def used_bytes(self, volume: VolumeId) -> int:
        """What the pool below says."""
        return self.below.used_bytes(volume)

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        """Let the pool below remember it."""
        made = seen.stage is Stage.FORMATTED
        self.below.mark(volume, replace(seen, guest=_made(0)) if made else seen)

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
        seen = self.below.observe().get(volume)
        if seen is None:
            raise HostError(f"{self.path(volume)}: there is no such volume")
        return self._seen(volume, seen, mounted_points())

    def _point(self, volume: VolumeId) -> Path:
        return self.path(volume).parent

    def _device_bytes(self, volume: VolumeId) -> int:
        with host_errors(self.below.path(volume)), self.below.path(volume).open("rb") as device:
            return device.seek(0, os.SEEK_END)

    def _wanted_bytes(self, volume: VolumeId) -> int:
        """How large the filesystem should be: as the volume, but not larger than the device."""
        marked = self.below.observe()[volume].size_bytes
        there = self._device_bytes(volume)
        return there if marked is None else min(marked, there)

    def _check_free(self, volume: VolumeId, device: Path) -> bool:
        """Refuse to make a filesystem over anything but what a cut left; whether all is zero."""
        held = fstypes.signatures(device)
        found = found_on(device)
        mine = found is not None and found.label == found.kind.label(str(volume))
        if held and not (mine and found is not None and held == (found.kind.name,)):
            raise HostError(f"{device}: holds {', '.join(held)}, and is not formatted")
        return not held and device.is_file() and device.stat().st_blocks == 0

    def _detach(self, device: Path) -> None:
        """Take leftover loop devices off a file, and make sure that none is in use."""
        if self.below.offers is Offer.FILE:
            loops.detach_all(device)

    def _bring_up(self, volume: VolumeId, *, is_clone: bool) -> None:
        point = self._point(volume)
        if not is_mounted(point):
            self.below.activate(volume)
            device = self.below.path(volume)
            with host_errors(device):
                self._detach(device)
                self._mount(volume, device, is_clone=is_clone)
        self._settle(volume)

    def _mount(self, volume: VolumeId, device: Path, *, is_clone: bool) -> None:
        found = found_on(device)
        if found is None:
            raise HostError(f"{device}: holds no filesystem, and is not mounted")
        label = found.kind.label(str(volume))
        if found.label != label and not is_clone:
            wanted = f"the filesystem {found.label!r}, where {label!r} should be"
            raise HostError(f"{device}: holds {wanted}, and is not mounted")
        fstypes.check(found.kind, device)
        if found.label != label:
            fstypes.renew(found.kind, device, label)
        self.points.allocate(volume, None)
        point = self._point(volume)
        fstypes.mount(found.kind, device, point, is_file=self.below.offers is Offer.FILE)
        if found.label != label:
            Mounted(point).set_label(found.kind, label)

    def _settle(self, volume: VolumeId) -> None:
        """All that makes a mounted filesystem of use, and at the end the note that it is."""
        mounted = Mounted(self._point(volume))
        with host_errors(mounted.point):
            mounted.thaw()
            device = mounted.device()
            if self.below.offers is Offer.FILE:
                loops.bypass_cache(device)
                loops.take_up_size(device)
            mounted.make_rootfs()
            size_bytes = self._wanted_bytes(volume)
            noted = mounted.taken_up_bytes(mounted_points())
            is_new = noted is None and self.below.observe()[volume].guest == _made(size_bytes)
            if noted is None or noted < size_bytes:
                if not is_new:
                    self._take_up(volume, mounted, size_bytes)
                mounted.note_taken_up(size_bytes)

    def _take_up(self, volume: VolumeId, mounted: Mounted, size_bytes: int) -> None:
        kind = mounted.kind()
        if fstypes.grows_online(kind):
            return fstypes.grow(kind, mounted.device(), mounted.point, size_bytes)
        self._take_down(volume)
        device = self.below.path(volume)
        fstypes.grow_unmounted(device, size_bytes)
        return self._mount(volume, device, is_clone=False)

    def _take_down(self, volume: VolumeId) -> None:
        mounted = Mounted(self._point(volume))
        with host_errors(mounted.point):
            while is_mounted(mounted.point):
                mounted.thaw()
                run(["umount", "--", f"{mounted.point}"])
            self._detach(self.below.path(volume))

    def _copy_files(self, source: VolumeId, target: VolumeId) -> None:
        was_active = self._need(source).active
        for volume in (source, target):
            self._bring_up(volume, is_clone=False)
        top = self.path(target)
        check_no_mounts(top)
        with host_errors(top):
            shutil.rmtree(top)
            Mounted(self._point(target)).make_rootfs()
        copy = ["cp", "--archive", "--one-file-system", "--no-target-directory", "--"]
        run([*copy, f"{self.path(source)}", f"{top}"], timeout_s=COPY_TIMEOUT_S)
        if not was_active:
            self.deactivate(source)


def _made(size_bytes: int) -> str:
    return f"{MADE}{size_bytes}"
