"""One volume of the pool ``filesystem``: whether its device is free, mounting it, unmounting it."""

import os
from dataclasses import dataclass
from pathlib import Path

from geats_host.errors import HostError
from geats_host.guest_trees.folders import check_unused, host_errors
from geats_host.linux import loops
from geats_host.linux.mounts import command_of, mounts_everywhere
from geats_host.linux.run import run
from geats_host.storage import Offer, Pool, VolumeId, fstypes
from geats_host.storage.directory import DirectoryPool
from geats_host.storage.fstypes import FoundFilesystem, found_on
from geats_host.storage.mounted import Mounted, is_mounted, mounted_points

MADE = "filesystem of "


def noted_made(size_bytes: int) -> str:
    """What stands for the guest, in the marks below, of a volume on which mkfs came to its end."""
    return f"{MADE}{size_bytes}"


@dataclass(frozen=True, slots=True)
class Place:
    """A volume of *below*, and its mount point: a volume of *points*, which has the same name."""

    volume: VolumeId
    below: Pool
    points: DirectoryPool

    @property
    def device(self) -> Path:
        """The file or the block device."""
        return self.below.path(self.volume)

    @property
    def point(self) -> Path:
        """Where it is mounted."""
        return self.points.path(self.volume).parent

    def bring_up(self, *, is_clone: bool) -> None:
        """Mount it, unless it is, and let the filesystem take up all of the volume.

        If it *is_clone*, it may still have the label of what it was cloned from.
        """
        self._check_mount()
        if Mounted(self.point).is_broken():
            self.take_down()
        if not is_mounted(self.point):
            self.below.activate(self.volume)
            with host_errors(self.device):
                self._detach()
                self._mount(is_clone=is_clone)
        self.settle()

    def take_down(self) -> None:
        """Unmount it, if it is mounted; refused while anything in it is in use."""
        mounted = Mounted(self.point)
        with host_errors(self.point):
            if is_mounted(self.point):
                check_unused(self.point, os.path.realpath(self.point))
            while is_mounted(self.point):
                mounted.thaw()
                run(["umount", "--", f"{self.point}"])
            self._detach()

    def label_for(self, new: VolumeId) -> None:
        """Give the filesystem, which is not mounted, the label of *new*."""
        with host_errors(self.device):
            self._detach()
            found = found_on(self.device)
            if found is None:
                raise HostError(f"{self.device}: has no filesystem, and is not renamed")
            label = found.kind.label(str(new))
            if found.label not in (label, self._label(found)):
                raise HostError(f"{self.device}: contains {found.label!r}, and is not renamed")
            if found.label != label:
                fstypes.check(found.kind, self.device)
                fstypes.label(found.kind, self.device, label)

    def mounted_elsewhere(self) -> str:
        """Where else it is mounted, and who sees that; empty if it is not."""
        point = os.path.realpath(self.point)
        sources = {f"{each}" for each in loops.loops_on(self.device)}
        if self.below.offers is Offer.BLOCK_DEVICE:
            sources = {f"{self.device}", os.path.realpath(self.device)}
        for process, mount in mounts_everywhere() if sources else ():
            if mount.source in sources and mount.point != point:
                return f"it is mounted on {mount.point} where {command_of(process)} sees it"
        return ""

    def settle(self) -> None:
        """All that makes a mounted filesystem of use, and at the end the note that it is."""
        mounted = Mounted(self.point)
        with host_errors(self.point):
            mounted.thaw()
            if self.below.offers is Offer.FILE:
                loops.bypass_cache(mounted.device())
                loops.take_up_size(mounted.device())
            mounted.make_rootfs()
            size_bytes = self.wanted_bytes()
            noted = mounted.taken_up_bytes(mounted_points())
            if noted is not None and noted >= size_bytes:
                return
            made = self.below.observe(self.volume)[self.volume].guest
            if noted is not None or made != noted_made(size_bytes):
                self._take_up(mounted, size_bytes)
            mounted.note_taken_up(size_bytes)

    def check_free(self) -> bool:
        """Refuse to make a filesystem over other content than an interruption left; whether all is
        0."""
        self._detach()
        held = fstypes.signatures(self.device)
        found = found_on(self.device)
        mine = () if found is None or found.label != self._label(found) else (found.kind.name,)
        if held and held != mine:
            raise HostError(f"{self.device}: contains {', '.join(held)}, and is not formatted")
        return not held and self.device.is_file() and self.device.stat().st_blocks == 0

    def wanted_bytes(self) -> int:
        """How large the filesystem should be: as the volume, but not larger than the device."""
        marked = self.below.observe(self.volume)[self.volume].size_bytes
        there = self.device_bytes()
        return there if marked is None else min(marked, there)

    def device_bytes(self) -> int:
        """How many bytes the file or the block device holds."""
        with host_errors(self.device), self.device.open("rb") as device:
            return device.seek(0, os.SEEK_END)

    def _mount(self, *, is_clone: bool) -> None:
        device, point = self.device, self.point
        found = found_on(device)
        if found is None:
            raise HostError(f"{device}: has no filesystem, and is not mounted")
        label = self._label(found)
        if found.label != label and not is_clone:
            wanted = f"the filesystem {found.label!r}, where {label!r} should be"
            raise HostError(f"{device}: contains {wanted}, and is not mounted")
        fstypes.check(found.kind, device)
        if found.label != label:
            fstypes.renew(found.kind, device, label)
        self.points.allocate(self.volume, None)
        fstypes.mount(found.kind, device, point, is_file=self.below.offers is Offer.FILE)
        if found.label != label:
            Mounted(point).set_label(found.kind, label)

    def _take_up(self, mounted: Mounted, size_bytes: int) -> None:
        kind = mounted.kind()
        if fstypes.grows_online(kind):
            fstypes.grow(kind, mounted.device(), self.point, size_bytes)
            return
        self.take_down()
        fstypes.grow_unmounted(self.device, size_bytes)
        self._mount(is_clone=False)

    def _check_mount(self) -> None:
        """See that nothing else is mounted in its place; a device that is gone cannot be asked."""
        if not is_mounted(self.point) or not self.device.exists():
            return
        source = Mounted(self.point).device()
        if self.below.offers is Offer.FILE:
            ours = source in loops.loops_on(self.device)
        else:
            ours = source.exists() and source.stat().st_rdev == self.device.stat().st_rdev
        if not ours:
            raise HostError(f"{self.point}: something else is mounted there: {source}")

    def _detach(self) -> None:
        """Take leftover loop devices off a file, and make sure that none is in use."""
        if self.below.offers is Offer.FILE:
            loops.detach_all(self.device)

    def _label(self, found: FoundFilesystem) -> str:
        return found.kind.label(str(self.volume))
