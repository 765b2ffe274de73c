"""A pool of plain directories: POOL/VM/VOLUME/rootfs, with its marks next to it in geats.json.

Sizes are remembered but not enforced: a directory takes what its filesystem has. All below the pool
is reached from its directory descriptor, one name at a time, and never through a symbolic link; but
for the one that leads to a tree which was adopted (``adopted``).
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from returns.result import Failure, Success

from geats_core.reading.checked import Problem
from geats_core.reading.fields import NAME, VM_NAME, Reader
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError, Refused
from geats_host.guest_trees.folders import (
    GUEST_ONLY,
    check_directory,
    check_no_mounts,
    check_unused,
    exists,
    guest_group,
    host_errors,
    is_directory,
    make_directory,
    open_directory,
)
from geats_host.lazy import later
from geats_host.linux.private_directories import make_passage
from geats_host.storage import (
    COPIES,
    TEMPLATES,
    Offer,
    Pool,
    VolumeId,
    adopted,
    check_clone,
    check_names,
    check_rename,
    check_snapshot,
)
from geats_host.storage.marks import (
    MARKS,
    check_readable,
    note_locked,
    out_of_reach,
    put_marks,
    read_marks,
    write_marks,
    write_marks_if_there_is_room,
)
from geats_host.storage.pool_path import existing, pool_path
from geats_host.storage.volume_trees import (
    ROOTFS,
    check_tree,
    has_tree,
    new_volume,
    opened_tree,
    seen_at,
)

if TYPE_CHECKING:
    from geats_core.planning import plugin_facts
    from geats_host.guest_trees import subvolumes, tree_copies, trees
    from geats_host.linux import run as programs
    from geats_host.storage import identity
else:
    plugin_facts = later("geats_core.planning.plugin_facts")
    subvolumes, tree_copies, trees = (
        later(f"geats_host.guest_trees.{each}") for each in ("subvolumes", "tree_copies", "trees")
    )
    programs = later("geats_host.linux.run")
    identity = later("geats_host.storage.identity")

COPY_TIMEOUT_S = 3600
DESTROYING = ".destroying-"
KIND = "directory"


def open_pool(options: Mapping[object, object], below: Pool | None) -> Pool:
    """The pool at ``path`` (see ``pool_path``), made if missing; it cannot be on another pool.

    ``guest_group`` is the id of the only group that may pass into a VM's volumes: by default that
    of root in unprivileged guests, the first of root's range in /etc/subgid.
    """
    read = Reader("", options)
    group = guest_group(read)
    if below is not None:
        read.problems.append(Problem("on", "a directory pool cannot be on another pool"))
    match read.done(pool_path(read)):
        case Success(path):
            return DirectoryPool(Path(path), group)
        case Failure(problems):
            raise Refused(*problems)


@dataclass(frozen=True, slots=True)
class DirectoryPool:
    """See the module; *root* is made when the first volume is, and has no other than root.

    *kind* is the type of the pool that keeps its volumes so. Without a *guest_group*, everybody may
    pass into a VM's volumes, because there are files only, which say themselves who may read them:
    Debian's QEMU is neither root nor a guest.
    """

    root: Path
    guest_group: int | None
    kind: str = KIND

    @property
    def offers(self) -> Offer:
        """A directory: the rootfs."""
        return Offer.DIRECTORY

    @property
    def facts(self) -> "plugin_facts.PoolFacts":
        """The space of the whole filesystem; there are no snapshots, and no limits."""
        with host_errors(self.root):
            room = os.statvfs(existing(self.root))
        return plugin_facts.PoolFacts(
            location=f"{self.root}/{{vm}}/{{volume}}/{ROOTFS}",
            size_bytes=room.f_blocks * room.f_frsize,
            free_bytes=room.f_bavail * room.f_frsize,
            enforces_size=False,
            identity=self.identity,
            renames=True,
        )

    @property
    def identity(self) -> str | None:
        """What tells it from another at the same place; None until the first volume is made."""
        if not os.path.lexists(self.root):
            return None
        with host_errors(self.root), open_directory(self.root) as pool:
            return identity.read(pool, self.kind)

    @property
    def shared_root(self) -> Path:
        """The directory of the pool: see ``SharablePool``."""
        return self.root

    def identify(self) -> None:
        """Give the pool its identity, unless it has one."""
        with host_errors(self.root), open_directory(self.root) as pool:
            identity.ensure(pool, self.kind)

    def make_root(self) -> None:
        """Make the directory of the pool, unless it is there; its mode then is the operator's."""
        with host_errors(self.root):
            make_passage(self.root.parent)
            with open_directory(self.root.parent) as parent:
                if not self.root.is_dir():
                    make_directory(self.root.name, parent)

    def observe(self, only: VolumeId | None = None) -> Mapping[VolumeId, VolumeSeen]:
        """Every volume; entries that geats would not have made are passed over.

        What a destroy that was interrupted left is a volume that is merely allocated.
        """
        found: dict[VolumeId, VolumeSeen] = {}
        if not os.path.lexists(self.root):
            return found
        with host_errors(self.root), open_directory(self.root) as pool:
            for volume in _volumes(pool) if only is None else [only]:
                seen = _volume_seen(pool, volume)
                found |= {} if seen is None else {volume: seen}
        return found

    def path(self, volume: VolumeId) -> Path:
        """The root of the guest's tree."""
        place = self._place(volume)
        return adopted.tree_at(place) or place / ROOTFS

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        """Make the volume's directory; the size is only remembered."""
        check_names(volume)
        self.make_root()
        with host_errors(self._place(volume)), open_directory(self.root) as pool:
            identity.ensure(pool, self.kind)
            _finish_destroying(pool, self.root, volume)
            self._make_folder(volume.vm, pool)
            with open_directory(volume.vm, pool) as vm:
                make_directory(volume.volume, vm)
        with self.opened(volume) as at:
            if not exists(MARKS, at):
                write_marks(at, replace(seen_at(at, volume), size_bytes=size_bytes))

    def adopt(self, volume: VolumeId, tree: Path, seen: VolumeSeen) -> None:
        """Have *tree* as the volume, with the marks of *seen*; it stays where it is."""
        if not tree.is_dir() or os.path.realpath(tree) != f"{tree}":
            raise HostError(f"{tree}: is not a directory, or a link leads to it")
        self.allocate(volume, seen.size_bytes)
        with self.opened(volume) as at:
            if exists(ROOTFS, at):
                raise HostError(f"{self._place(volume)}: there is a volume already")
            write_marks(at, replace(seen, active=True))
            adopted.link(at, tree)

    def format(self, volume: VolumeId) -> None:
        """Make the root of the guest's tree; nothing that was marked of an earlier one holds."""
        self.finish_destroying(volume)
        with self.opened(volume) as at:
            adopted.check_not_lost(at)
            if has_tree(at):
                return
            adopted.remove(at)
            empty = seen_at(at, volume)
            check_readable(empty)
            if read_marks(at, volume) != replace(empty, locked=False):
                write_marks(at, empty)  # else they are durable with the tree
            make_directory(ROOTFS, at, mode=0o755)

    def activate(self, volume: VolumeId) -> None:
        """Remember that it is in use; a directory needs no more.

        A power cut may bring the old marks back: after it, nothing is in use.
        """
        with self.opened(volume) as at:
            check_tree(at)
            put_marks(at, replace(seen_at(at, volume), active=True))

    def deactivate(self, volume: VolumeId) -> None:
        """Remember that it is not in use; a volume that is not there is not in use either."""
        if not os.path.lexists(self._place(volume)):
            return
        with self.opened(volume) as at:
            seen = seen_at(at, volume)
            if seen.active:
                write_marks_if_there_is_room(at, replace(seen, active=False))

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        """Remember the new size, unless the volume is as large; nothing enforces it."""
        with self.opened(volume) as at:
            seen = seen_at(at, volume)
            if seen.size_bytes is None or seen.size_bytes < size_bytes:
                write_marks(at, replace(seen, size_bytes=size_bytes))

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        """Refused: see ``facts``."""
        check_snapshot(volume, name)
        raise HostError(f"{self._place(volume)}: a directory has no snapshots")

    def rollback(self, volume: VolumeId, name: str) -> None:
        """Refused: there is none."""
        check_snapshot(volume, name)
        raise HostError(f"{self._place(volume)}: a directory has no snapshots")

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        """There is none, so there is nothing to do."""
        check_snapshot(volume, name)

    def destroy(self, volume: VolumeId) -> None:
        """Remove the volume's directory; refused if a symlink or a mount is in the way.

        It is set aside under a hidden name first: what an interruption leaves of it contains
        nothing any more, and goes with the next call that destroys or makes the same volume.
        """
        place = self._place(volume)
        if not os.path.lexists(self.root):
            return
        with host_errors(place), open_directory(self.root) as pool:
            _finish_destroying(pool, self.root, volume)
            if not exists(volume.vm, pool):
                return
            with open_directory(volume.vm, pool) as vm:
                if exists(volume.volume, vm):
                    check_no_mounts(place)
                    self._check_unused(volume, vm)
                    self._set_aside_and_remove(volume, pool, vm)
            with suppress(OSError):  # other volumes are in it
                os.rmdir(volume.vm, dir_fd=pool)

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        """Copy file by file; if the filesystem can, their content is shared (reflinks)."""
        check_clone(source, target)
        with self.opened(source) as from_, opened_tree(from_) as tree, self.opened(target) as at:
            check_directory(ROOTFS, at)
            check_no_mounts(self.path(target))
            with open_directory(ROOTFS, at) as rootfs:  # emptied, not recreated: it is always there
                trees.empty(rootfs, subvolumes.removed_as_subvolume)
                tree_copies.copy(tree, rootfs)

    def rename(self, volume: VolumeId, new: VolumeId) -> None:
        """Rename the volume's directory, unless it is; what was adopted stays where it is."""
        self.finish_destroying(volume)
        if not check_rename(self, volume, new):
            return
        check_no_mounts(self._place(volume))
        with host_errors(self._place(new)), open_directory(self.root) as pool:
            _finish_destroying(pool, self.root, new)
            self._make_folder(new.vm, pool)
            with open_directory(volume.vm, pool) as old_vm, open_directory(new.vm, pool) as vm:
                os.rename(volume.volume, new.volume, src_dir_fd=old_vm, dst_dir_fd=vm)
                os.fsync(vm)
                os.fsync(old_vm)
            with suppress(OSError):  # other volumes are in it
                os.rmdir(volume.vm, dir_fd=pool)

    def used_bytes(self, volume: VolumeId) -> int:
        """What du(1) says of the volume."""
        argv = ["du", "--summarize", "--block-size=1", "--one-file-system", "--"]
        place = self._place(volume)
        if self.is_half_destroyed(volume):
            place = self.root / _aside(volume)
        said = programs.run([*argv, f"{adopted.tree_at(place) or place}"], timeout_s=COPY_TIMEOUT_S)
        return int(said.split()[0])

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        """Remember the stage, template and guest of *seen*, durably; the rest is the pool's."""
        with self.opened(volume) as at:
            mine = seen_at(at, volume)
            marked = mine.with_content_of(seen)
            write_marks(at, marked)

    def set_locked(self, volume: VolumeId, *, locked: bool) -> None:
        """Note it in a file next to the volume."""
        with self.opened(volume) as at:
            note_locked(at, locked=locked)

    def _make_folder(self, vm: str, pool: int) -> None:
        """Make the directory of a VM, which only guests may pass, or everybody."""
        if self.guest_group is None:
            make_directory(vm, pool)
            return
        make_directory(vm, pool, mode=GUEST_ONLY)
        with open_directory(vm, pool) as folder:
            os.fchown(folder, 0, self.guest_group)

    def _place(self, volume: VolumeId) -> Path:
        check_names(volume)
        return self.root / volume.vm / volume.volume

    @contextmanager
    def opened(self, volume: VolumeId) -> Iterator[int]:
        """The volume's own directory, which must be there."""
        with (
            host_errors(self._place(volume)),
            open_directory(self.root) as pool,
            open_directory(volume.vm, pool) as vm,
            open_directory(volume.volume, vm) as at,
        ):
            yield at

    def is_half_destroyed(self, volume: VolumeId) -> bool:
        """Whether all that is there is what a destroy that was interrupted left."""
        is_there = os.path.lexists(self._place(volume))
        return not is_there and os.path.lexists(self.root / _aside(volume))

    def finish_destroying(self, volume: VolumeId) -> None:
        """Recreate a volume of which a destroy that was interrupted left something."""
        if self.is_half_destroyed(volume):
            seen = self.observe(volume).get(volume)
            self.allocate(volume, None if seen is None else seen.size_bytes)

    def _set_aside_and_remove(self, volume: VolumeId, pool: int, vm: int) -> None:
        with open_directory(volume.volume, vm) as at:
            adopted.remove(at)
        os.rename(volume.volume, _aside(volume), src_dir_fd=vm, dst_dir_fd=pool)
        os.fsync(vm)
        os.fsync(pool)
        _finish_destroying(pool, self.root, volume)

    def _check_unused(self, volume: VolumeId, vm: int) -> None:
        with open_directory(volume.volume, vm) as at:
            adopted.check_removable(at)
            if is_directory(ROOTFS, at):
                check_unused(self._place(volume) / ROOTFS)


def _aside(volume: VolumeId) -> str:
    """What a volume is called while it is destroyed; a volume's own name has no dot in it."""
    return f"{DESTROYING}{volume.vm}.{volume.volume}"


def _finish_destroying(pool: int, root: Path, volume: VolumeId) -> None:
    aside = _aside(volume)
    if exists(aside, pool):
        check_no_mounts(root / aside)
        subvolumes.remove(aside, pool)


def _half_destroyed(pool: int) -> Iterator[VolumeId]:
    for name in os.listdir(pool):
        vm, _, volume = name.removeprefix(DESTROYING).rpartition(".")
        is_owner = VM_NAME.fullmatch(vm) or vm in (TEMPLATES, COPIES)
        if name.startswith(DESTROYING) and NAME.fullmatch(volume) and is_owner:
            yield VolumeId(vm, volume)


def _volumes(pool: int) -> Iterator[VolumeId]:
    yield from _half_destroyed(pool)
    for vm in (*_names(pool, VM_NAME), TEMPLATES, COPIES):
        for volume in _names_below(pool, vm):
            yield VolumeId(vm, volume)


def _names(directory: int, pattern: re.Pattern[str]) -> list[str]:
    """The entries that can name what *pattern* is of; anything else is not ours."""
    with os.scandir(directory) as entries:
        return [
            entry.name
            for entry in entries
            if pattern.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        ]


def _names_below(pool: int, vm: str) -> list[str]:
    try:
        with open_directory(vm, pool) as directory:
            return _names(directory, NAME)
    except OSError:
        return []  # destroyed meanwhile; if it cannot be read, what was in it is missing


def _volume_seen(pool: int, volume: VolumeId) -> VolumeSeen | None:
    try:
        with open_directory(volume.vm, pool) as vm, open_directory(volume.volume, vm) as at:
            return seen_at(at, volume)
    except FileNotFoundError:
        return _half_destroyed_seen(pool, volume)
    except NotADirectoryError:
        raise  # it is no volume
    except OSError as error:
        return out_of_reach(volume, f"its directory: {error.strerror}")


def _half_destroyed_seen(pool: int, volume: VolumeId) -> VolumeSeen | None:
    try:
        with open_directory(_aside(volume), pool) as at:
            marked = read_marks(at, volume)
            size_bytes = None if marked is None else marked.size_bytes
            return new_volume(volume, Stage.ALLOCATED, size_bytes)
    except FileNotFoundError:
        return None  # destroyed meanwhile
