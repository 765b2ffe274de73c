"""A pool of images in QEMU's own format, POOL/VM/VOLUME/disk.qcow2: for virtual machines only::

    geats:
      pools:
        machines: {type: qcow2, path: /srv/machines, default_size: 20GiB}

Snapshots and clones of templates take no time on any filesystem, ext4 as well; on xfs and btrfs,
``sparsefile`` has them too, and its files can be read without QEMU.

Theory of operation
-------------------
A volume that was cloned from a template contains what differs from it: the template's image is its
backing file, which is therefore neither changed nor destroyed as long as a volume depends on it.
Any other clone is a copy. A backing file is named relative to the volume's own directory, so that a
pool can be moved whole.

Snapshots are within the image. QEMU keeps others away from an image in use, so all of this waits
until the VM is off: ``PoolFacts.works_online`` is false. A snapshot is there when its mark is: what
an interruption leaves of one is replaced by the next of its name.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from returns.result import Failure, Success

from geats_core.foreign.qcow2 import HEADER, HEADER_BYTES, MAGIC
from geats_core.planning.plugin_facts import PoolFacts
from geats_core.reading.checked import Problem
from geats_core.reading.fields import Reader
from geats_core.reading.sizes import format_size, parse_size
from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError, Refused
from geats_host.guest_trees.folders import host_errors
from geats_host.linux import qemu_img
from geats_host.storage import Offer, Pool, VolumeId, adopted_disks, check_clone, check_snapshot
from geats_host.storage.directory import DirectoryPool
from geats_host.storage.disk_files import DEFAULT_BYTES, DiskFilePool
from geats_host.storage.marks import check_readable, write_marks
from geats_host.storage.pool_path import existing, pool_path

DISK, NEW = "disk.qcow2", "disk.qcow2.new"  # the latter is left by an interruption


def open_pool(options: Mapping[object, object], below: Pool | None) -> Pool:
    """The pool at ``path`` (see ``pool_path``), made if missing; it cannot be on another pool.

    ``default_size`` (10GiB) is that of volumes for which none is given.
    """
    read = Reader("", options)
    default_bytes = read.take("default_size", parse_size, DEFAULT_BYTES)
    if below is not None:
        read.problems.append(Problem("on", "a pool of qcow2 images cannot be on another pool"))
    if not qemu_img.is_installed():
        read.problems.append(Problem("type", qemu_img.missing()))
    match read.done(pool_path(read)):
        case Success(path):
            return Qcow2Pool(DirectoryPool(Path(path), None, "qcow2"), default_bytes)
        case Failure(problems):
            raise Refused(*problems)


@dataclass(frozen=True, slots=True)
class Qcow2Pool(DiskFilePool):
    """See the module. The images lie, with their marks, as in a pool of directories."""

    DISK: ClassVar[str] = DISK
    FORMAT: ClassVar[str] = "qcow2"

    @property
    def offers(self) -> Offer:
        """An image that QEMU reads."""
        return Offer.QCOW2

    @property
    def facts(self) -> PoolFacts:
        """The space of the whole filesystem; and only QEMU does anything to an image in use."""
        root = self.folders.root
        with host_errors(root):
            room = shutil.disk_usage(existing(root))
        return PoolFacts(
            location=f"{root}/{{vm}}/{{volume}}/{DISK}",
            size_bytes=room.total,
            free_bytes=room.free,
            snapshots=True,
            clones=True,
            renames=True,
            default_bytes=self.default_bytes,
            works_online=False,
            identity=self.folders.identity,
        )

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        """Make the disk in the image larger, unless it is: QEMU has done it if a guest is on."""
        with self.folders.opened(volume) as at:
            seen = self.seen_at(at, volume)
            _enlarge(self.own_path(volume), size_bytes)
            if seen.size_bytes is None or seen.size_bytes < size_bytes:
                write_marks(at, replace(seen, size_bytes=size_bytes))

    def destroy(self, volume: VolumeId) -> None:
        """Remove the image; refused while others depend on it."""
        used = self.cannot_destroy(volume)
        if used:
            raise HostError(f"{self.own_path(volume)}: {used.removeprefix('it ')}")
        self.remove(volume)

    def cannot_destroy(self, volume: VolumeId) -> str:
        """Which volume depends on it: see ``ForeseeingPool``. Only templates have such volumes."""
        own = self.own_path(volume)
        if volume.is_template:
            for other in self.folders.observe():
                if not other.is_template and _backing(self.own_path(other)) == own:
                    return f"it is in use as the backing file of {other}"
        return ""

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        """Take it within the image."""
        check_snapshot(volume, name)
        with self.folders.opened(volume) as at:
            seen = self.seen_at(at, volume)
            if seen.snapshot(name) is not None:
                return
            self._forget_snapshot(volume, name)
            qemu_img.snapshot(self.own_path(volume), "-c", name)
            taken = seen.taken(name, taken_s)
            write_marks(at, replace(seen, snapshots=(*seen.snapshots, taken)))

    def rollback(self, volume: VolumeId, name: str) -> None:
        """Let the disk be as in the snapshot, and as large as it is now."""
        check_snapshot(volume, name)
        with self.folders.opened(volume) as at:
            seen = self.seen_at(at, volume)
            old = seen.snapshot(name)
            if old is None:
                raise HostError(f"{self.own_path(volume)}: there is no snapshot {name}")
            qemu_img.snapshot(self.own_path(volume), "-a", name)
            _enlarge(self.own_path(volume), seen.size_bytes or 0)
            marked = seen.with_content_of(old)
            write_marks(at, marked)

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        """Forget it, and then let the image do so."""
        check_snapshot(volume, name)
        if not os.path.lexists(self.own_path(volume).parent):
            return
        with self.folders.opened(volume) as at:
            seen = self.seen_at(at, volume)
            check_readable(seen)
            left = tuple(each for each in seen.snapshots if each.name != name)
            if left != seen.snapshots:
                write_marks(at, replace(seen, snapshots=left))
            self._forget_snapshot(volume, name)

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        """Let a template be the backing file of *target*; what may still change is copied."""
        check_clone(source, target)
        with self.folders.opened(source) as from_, self.folders.opened(target) as at:
            self.seen_at(from_, source)
            wanted, held = size_in(self.own_path(target)), size_in(self.own_path(source))
            if held > wanted:
                sizes = f"{format_size(held)} do not fit into {format_size(wanted)}"
                raise HostError(f"{self.own_path(target)}: {source} is not cloned because {sizes}")
            if source.is_template and not target.is_template:
                base, folder = self.own_path(source), self.own_path(target).parent
                relative = Path(os.path.relpath(base, folder))
                make = partial(qemu_img.create, size_bytes=wanted, backing=relative)
            else:
                make = partial(_copy, self.own_path(source), wanted)
            _replace_disk(at, self.own_path(target), make)
            adopted_disks.follow(at, DISK)

    def rename(self, volume: VolumeId, new: VolumeId) -> None:
        """Rename the volume's directory: the relative path of its backing file stays true."""
        self.folders.rename(volume, new)

    def used_bytes(self, volume: VolumeId) -> int:
        """What the image takes, with its snapshots."""
        if self.folders.is_half_destroyed(volume):
            return self.folders.used_bytes(volume)
        with self.folders.opened(volume) as at:
            return os.stat(DISK, dir_fd=at, follow_symlinks=False).st_blocks * 512

    def make_disk(self, at: int, volume: VolumeId, size_bytes: int) -> None:
        """Make an empty image."""
        _replace_disk(at, self.own_path(volume), partial(qemu_img.create, size_bytes=size_bytes))

    def with_marks(self, at: int, marked: VolumeSeen) -> VolumeSeen:
        """What they say: the image is not opened."""
        return marked

    def without_marks(self, at: int, volume: VolumeId) -> VolumeSeen:
        """As if a template was installed on it."""
        return VolumeSeen(name=volume.volume, pool="", stage=Stage.INSTALLED)

    def _forget_snapshot(self, volume: VolumeId, name: str) -> None:
        if name in qemu_img.snapshots(self.own_path(volume)):
            qemu_img.snapshot(self.own_path(volume), "-d", name)


def size_in(image: Path) -> int:
    """How large the disk in an image of this pool is, by its header."""
    return int(HEADER.unpack_from(_header(image))[5])


def _backing(image: Path) -> Path | None:
    """The backing file of an image of this pool; None if it has none, or is gone meanwhile."""
    try:
        header = _header(image)
    except HostError:
        return None
    _, _, offset, length, *_ = HEADER.unpack_from(header)
    if not offset:
        return None
    with image.open("rb") as file:
        name = os.fsdecode(os.pread(file.fileno(), length, offset))
    return Path(os.path.normpath(image.parent / name))


def _header(image: Path) -> bytes:
    with host_errors(image), image.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        raise HostError(f"{image}: is no image of this pool")
    return header


def _enlarge(image: Path, size_bytes: int) -> None:
    if size_in(image) < size_bytes:
        qemu_img.grow(image, size_bytes)


def _copy(source: Path, size_bytes: int, new: Path) -> None:
    qemu_img.copy(source, new)
    _enlarge(new, size_bytes)


def _replace_disk(at: int, disk: Path, make: Callable[[Path], None]) -> None:
    """Let a new image, which *make* makes, stand in place of *disk*: whole, or not at all."""
    new = disk.with_name(NEW)
    with suppress(FileNotFoundError):  # what an interruption left
        os.unlink(NEW, dir_fd=at)
    try:
        make(new)
    except HostError:  # as on a full disk: make room again
        with suppress(FileNotFoundError):
            os.unlink(NEW, dir_fd=at)
        raise
    os.rename(NEW, DISK, src_dir_fd=at, dst_dir_fd=at)
    os.fsync(at)
