"""A filesystem that is mounted: what the kernel is asked of it, and what is noted in it."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from geats_host.errors import HostError
from geats_host.guest_trees.folders import TRAVERSE, make_directory, open_directory
from geats_host.linux.block_devices import is_logical_volume
from geats_host.linux.mounts import Mount, mounts
from geats_host.locks.file_locks import place_locked
from geats_host.storage.fstypes import FILESYSTEMS, Filesystem, set_label
from geats_host.storage.volume_trees import ROOTFS

TAKEN_UP = "trusted.geats.size"  # only the host's root sees it
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878  # linux/fs.h


def mounted_points() -> frozenset[str]:
    """If anything is mounted."""
    return frozenset(mount.point for mount in mounts())


def writable_points() -> frozenset[str]:
    """If anything is mounted that takes writes."""
    return frozenset(mount.point for mount in mounts() if mount.takes_writes)


def is_mounted(point: Path) -> bool:
    """Whether anything is mounted there."""
    return os.path.realpath(point) in mounted_points()


@dataclass(frozen=True, slots=True)
class Mounted:
    """The filesystem that is mounted on *point*, or will be."""

    point: Path

    def device(self) -> Path:
        """What it is mounted from."""
        return Path(self._mount().source)

    def kind(self) -> Filesystem:
        """Its type."""
        return FILESYSTEMS[self._mount().fstype]

    def taken_up_bytes(self, points: frozenset[str]) -> int | None:
        """How much of its device it takes up; None until it is noted, or if it is not mounted.

        *points* are all that are mounted on.
        """
        top = os.path.realpath(self.point)
        if top in points:
            with suppress(OSError, ValueError):
                return int(os.getxattr(top, TAKEN_UP))
        return None

    def is_broken(self) -> bool:
        """Whether it is mounted, but of no more use, since its device had an error or was full."""
        top = os.path.realpath(self.point)
        try:
            os.getxattr(top, TAKEN_UP)
        except OSError as error:
            if error.errno == errno.EIO:
                return True
        return is_mounted(self.point) and top not in writable_points()

    def takes_writes(self) -> bool:
        """Try it, if it is mounted: ext4 may see only now that it is broken, and then says so."""
        noted = self.taken_up_bytes(mounted_points())
        try:
            if noted is not None:
                self.note_taken_up(noted)
        except OSError:
            return False
        return True

    def note_taken_up(self, size_bytes: int) -> None:
        """Note how much of its device it takes up: the last step of what was begun."""
        os.setxattr(self.point, TAKEN_UP, f"{size_bytes}".encode())

    def make_rootfs(self) -> None:
        """Make the root of the guest's tree, unless it is there."""
        with open_directory(self.point) as top:
            os.fchmod(top, TRAVERSE)
            make_directory(ROOTFS, top, mode=0o755)

    def set_label(self, kind: Filesystem, label: str) -> None:
        """Name a clone, if that is not done before it is mounted."""
        with open_directory(self.point) as top:
            set_label(kind, top, label)

    def thaw(self) -> None:
        """End what an interruption left frozen."""
        with open_directory(self.point) as top:
            _thaw(top)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Nothing is written, and all is on disk; if it is not mounted, nothing has to be done.

        What is on a logical volume is left to LVM, which freezes it, and cannot where it is frozen.
        """
        if not is_mounted(self.point) or is_logical_volume(self.device()):
            yield
            return
        with open_directory(self.point) as top, place_locked(self.point):  # who has it may thaw
            _thaw(top)
            fcntl.ioctl(top, FIFREEZE, 0)
            try:
                yield
            finally:
                _thaw(top)

    def _mount(self) -> Mount:
        top = os.path.realpath(self.point)
        found = [mount for mount in mounts() if mount.point == top]
        if not found:
            raise HostError(f"{self.point}: is not mounted")
        return found[-1]


def _thaw(top: int) -> None:
    try:
        fcntl.ioctl(top, FITHAW, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:  # it is not frozen
            raise
