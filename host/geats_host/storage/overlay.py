"""A pool of layers: each VM's own above, and a template's below, which all of its VMs share.

A new VM is there at once, and takes no more space than what is written to it::

    geats:
      pools:
        fast:
          type: overlay
          path: /srv/overlay

Theory of operation
-------------------
POOL/VM/VOLUME/upper contains what was written, and rootfs is where the whole is mounted: an overlay
of the unpacked template POOL/_templates/KEY/rootfs and upper, or upper alone if nothing is below.
layers.json says which template that is, and from where on the ids in upper are. Whether a volume is
active is seen in the mount table: after the host's restart none is. What is mounted shows ids of
the guests' range already, so that a VM in this pool is unprivileged. There are no snapshots; sizes
are remembered but not enforced. Linux has to be 5.19 or later.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from returns.result import Failure, Success

from geats_core.planning.plugin_facts import PoolFacts
from geats_core.reading.checked import Checked, Problem, problem
from geats_core.reading.fields import Reader, absolute_path, positive_int
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError, Refused
from geats_host.guest_trees.folders import (
    check_directory,
    check_unused,
    exists,
    is_directory,
    open_directory,
)
from geats_host.lazy import later
from geats_host.linux.mounts import Mount, mounts
from geats_host.linux.namespaces import user_namespace
from geats_host.linux.overlay_mounts import (
    POINT,
    UPPER,
    WORK,
    Layers,
    exchange,
    is_supported,
    is_used,
    lacks_for_upper_layer,
    mount_overlay,
    mount_upper,
    unmount,
)
from geats_host.linux.run import run
from geats_host.linux.subordinate_ids import NEEDED, subordinate_ids
from geats_host.locks.file_locks import place_locked
from geats_host.storage import TEMPLATES, Offer, Pool, VolumeId, check_clone, check_snapshot
from geats_host.storage.directory import COPY_TIMEOUT_S, DirectoryPool
from geats_host.storage.layers import LAYERS, Below, put_below, read_below, write_below
from geats_host.storage.marks import read_marks
from geats_host.storage.pool_path import existing, pool_path

if TYPE_CHECKING:
    from geats_host.guest_trees import tree_copies, trees
else:  # of what is filled or destroyed
    tree_copies = later("geats_host.guest_trees.tree_copies")
    trees = later("geats_host.guest_trees.trees")

NEW = "upper.new"
UNUSED_WITHIN_S = 10  # a mount namespace that ended is taken apart a moment later


def open_pool(options: Mapping[object, object], below: Pool | None) -> Pool:
    """The pool at ``path`` (see ``pool_path``), made if missing; it cannot be on another pool.

    ``idmap_first`` and ``idmap_count`` are the range of ids of its guests, by default root's in
    /etc/subuid and /etc/subgid: the same as the driver's. ``guest_group`` is the id of the only
    group that may pass into a VM's volumes: by default the first of the range.
    """
    read = Reader("", options)
    given = read.take("idmap_first", positive_int, 0)
    count = read.take("idmap_count", positive_int, NEEDED)
    ids = (given, count) if given else subordinate_ids()
    if ids is None:
        message = "root has no range of 65536 ids that is in both /etc/subuid and /etc/subgid"
        read.problems.append(Problem("idmap_first", f"is needed: {message}"))
    first, count = ids or (0, 0)
    group = read.take("guest_group", positive_int, first)
    if below is not None:
        read.problems.append(Problem("on", "an overlay pool cannot be on another pool"))
    match read.done(pool_path(read, _place_for_layers)):
        case Success(path):
            return OverlayPool(DirectoryPool(Path(path), group, "overlay"), first, count)
        case Failure(problems):
            raise Refused(*problems)


def _place_for_layers(path: str, raw: object) -> Checked[str]:
    """A path on a filesystem that can contain the layer above."""
    match absolute_path(path, raw):
        case Success(found):
            there = existing(Path(found))
            if not is_supported():
                return problem(path, "the kernel has no overlay filesystem, or is older than 5.12")
            lacks = lacks_for_upper_layer(there)
            if lacks:
                return problem(path, f"cannot contain layers: {lacks}: {found!r}")
            return Success(found)
        case failure:
            return failure


@dataclass(frozen=True, slots=True)
class OverlayPool:
    """See the module. The files lie as in a pool of directories; ids are *count*, from *first*."""

    folders: DirectoryPool
    first: int
    count: int

    @property
    def offers(self) -> Offer:
        """A directory: where it is mounted."""
        return Offer.DIRECTORY

    @property
    def facts(self) -> PoolFacts:
        """The space of the whole filesystem; there are no snapshots, and no limits."""
        return replace(self.folders.facts, clones=True, enforces_size=False, shifted_by=self.first)

    def identify(self) -> None:
        """Give the pool its identity, unless it has one."""
        self.folders.identify()

    def observe(self, only: VolumeId | None = None) -> Mapping[VolumeId, VolumeSeen]:
        """Every volume; those of VMs are active if they are mounted."""
        on_top = _on_top()
        return {
            volume: seen if volume.is_template else self._seen(volume, seen, on_top)
            for volume, seen in self.folders.observe(only).items()
        }

    def path(self, volume: VolumeId) -> Path:
        """The root of the guest's tree, or of the template's."""
        return self.folders.path(volume)

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        """Make the volume's directory; the size is only remembered."""
        self.folders.allocate(volume, size_bytes)

    def format(self, volume: VolumeId) -> None:
        """Make an empty layer with nothing below, and last where it is mounted."""
        self.folders.finish_destroying(volume)
        if not volume.is_template:
            with self.folders.opened(volume) as at:
                if not exists(UPPER, at):
                    _make_directory(UPPER, at, self.first, 0o755)
                if not exists(LAYERS, at):
                    write_below(at, Below(None, self.first))
        self.folders.format(volume)

    def activate(self, volume: VolumeId) -> None:
        """Mount it, unless it is; refused while it is mounted where only others see it."""
        if volume.is_template:
            self.folders.activate(volume)
            return
        with self.folders.opened(volume) as at:
            if self._is_mounted(volume):
                return
            below = self._below(volume, at)
            self._check_unused(volume, at)
            self.folders.activate(volume)
            self._mount(volume, below, at)

    def deactivate(self, volume: VolumeId) -> None:
        """Unmount it; a volume that is not there is not in use either."""
        if not volume.is_template and os.path.lexists(self.path(volume).parent):
            with self.folders.opened(volume) as at:
                if self._is_mounted(volume):
                    check_unused(self.path(volume), self._point(volume))
                    self._unmount(volume, at)
                else:
                    self._check_unused(volume, at)
        self.folders.deactivate(volume)

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        """Remember the new size, unless the volume is as large; nothing enforces it."""
        self.folders.grow(volume, size_bytes)

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        """Refused: see ``facts``."""
        check_snapshot(volume, name)
        raise HostError(f"{self.path(volume)}: an overlay has no snapshots")

    def rollback(self, volume: VolumeId, name: str) -> None:
        """Refused: there is none."""
        check_snapshot(volume, name)
        raise HostError(f"{self.path(volume)}: an overlay has no snapshots")

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        """There is none, so there is nothing to do."""
        check_snapshot(volume, name)

    def destroy(self, volume: VolumeId) -> None:
        """Remove the volume's layer; refused while it is mounted, or below another volume."""
        place = self.path(volume).parent
        if not os.path.lexists(place):
            self.folders.destroy(volume)  # may have to be finished
        elif volume.is_template:
            with self._users_locked(fcntl.LOCK_EX):
                users = sorted(map(str, self._users(volume.volume)))
                if users:
                    raise HostError(f"{place}: is not destroyed because it is in use by {users[0]}")
                self.folders.destroy(volume)
        else:
            with self.folders.opened(volume) as at:
                if self._top(volume) is None:
                    self._check_unused(volume, at)
                    if is_directory(UPPER, at):
                        check_unused(place / UPPER, self._point(volume))
            self.folders.destroy(volume)

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        """Put a template below an empty layer; or copy a VM's layer, over what is below that."""
        check_clone(source, target)
        if target.is_template:
            raise HostError(f"{self.path(target)}: a template is made of its archive only")
        with (
            self._users_locked(fcntl.LOCK_SH),
            self.folders.opened(source) as from_,
            self.folders.opened(target) as at,
        ):
            template = Below(source.volume, self.first)
            below = template if source.is_template else self._below(source, from_)
            was_mounted = self._is_mounted(target)
            self._make_layer(source, from_, at)
            self._unmount(target, at)
            put_below(at, below)
            exchange(at, NEW, UPPER)  # both are durable then; until it is filled, either may be old
            trees.remove(NEW, at)
            _remove(WORK, at)
            if was_mounted:
                self._mount(target, below, at)

    def rename(self, volume: VolumeId, new: VolumeId) -> None:
        """Rename the volume's directory, while it is not mounted."""
        self.deactivate(volume)
        self.folders.rename(volume, new)

    def used_bytes(self, volume: VolumeId) -> int:
        """What du(1) says of the layer above."""
        if volume.is_template or self.folders.is_half_destroyed(volume):
            return self.folders.used_bytes(volume)
        argv = ["du", "--summarize", "--block-size=1", "--one-file-system", "--"]
        said = run([*argv, f"{self.path(volume).parent / UPPER}"], timeout_s=COPY_TIMEOUT_S)
        return int(said.split()[0])

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        """Remember the stage, template and guest of *seen*, durably; the rest is the pool's."""
        self.folders.mark(volume, seen)

    def set_locked(self, volume: VolumeId, *, locked: bool) -> None:
        """Note it in a file next to the volume."""
        self.folders.set_locked(volume, locked=locked)

    def _seen(self, volume: VolumeId, seen: VolumeSeen, on_top: Mapping[str, Mount]) -> VolumeSeen:
        top = on_top.get(self._point(volume))
        active = top is not None and _is_ours(top, volume)
        if seen.stage is Stage.FORMATTED and not active and self._has_lost_its_marks(volume):
            return replace(seen, stage=Stage.INSTALLED, active=False)
        return replace(seen, active=active)

    def _has_lost_its_marks(self, volume: VolumeId) -> bool:
        """Whether it contains files that nothing is known of; see ``directory``."""
        try:
            with self.folders.opened(volume) as at, open_directory(UPPER, at) as upper:
                return read_marks(at, volume) is None and bool(os.listdir(upper))
        except (FileNotFoundError, HostError):
            return False

    def _below(self, volume: VolumeId, at: int) -> Below:
        """What is below; raises ``HostError`` if that cannot be known, or ids have changed."""
        below = read_below(at)
        where = self.path(volume).parent
        if below is None:
            raise HostError(f"{where / LAYERS}: does not say which template is below")
        if below.first != self.first:
            raise HostError(f"{where}: contains ids from {below.first}, and not from {self.first}")
        return below

    def _mount(self, volume: VolumeId, below: Below, at: int) -> None:
        check_directory(UPPER, at)
        if below.lower is None:
            mount_upper(partial(self.folders.opened, volume))
            return
        if not exists(WORK, at):
            _make_directory(WORK, at, 0, 0o700)
        check_directory(WORK, at)
        template = VolumeId(TEMPLATES, below.lower)
        layers = Layers(
            lower=partial(self._tree, template),
            volume=partial(self.folders.opened, volume),
            ids=user_namespace(self.first, self.count),
            source=_source(volume, below.lower),
        )
        mount_overlay(layers)

    def _unmount(self, volume: VolumeId, at: int) -> None:
        while self._is_mounted(volume):
            try:
                unmount(at)
            except OSError as error:
                message = f"{self.path(volume)}: cannot be unmounted: {error.strerror}"
                raise HostError(message) from None

    def _check_unused(self, volume: VolumeId, at: int) -> None:
        """See that a volume which is marked as active is not mounted in another namespace.

        Two overlays over one layer would spoil it. After the host's restart there are none.
        """
        marked = read_marks(at, volume)
        if marked is None or not marked.active or not exists(WORK, at):
            return
        deadline = time.monotonic() + UNUSED_WITHIN_S
        while is_used(at):
            if time.monotonic() > deadline:
                place = self.path(volume)
                raise HostError(f"{place}: is still mounted where this process does not see it")
            time.sleep(0.02)

    def _make_layer(self, source: VolumeId, from_: int, at: int) -> None:
        """Make what the target's layer becomes, beside it."""
        _remove(NEW, at)
        if source.is_template:
            with self._tree(source) as tree:
                mode = os.fstat(tree).st_mode & 0o7777
            _make_directory(NEW, at, self.first, mode)
            return
        _make_directory(NEW, at, 0, 0o700)
        with open_directory(UPPER, from_) as upper, open_directory(NEW, at) as new:
            tree_copies.copy(upper, new)

    @contextmanager
    def _tree(self, template: VolumeId) -> Iterator[int]:
        with self.folders.opened(template) as at, open_directory(POINT, at) as tree:
            yield tree

    def _users(self, key: str) -> Iterator[VolumeId]:
        for volume in self.folders.observe():
            if volume.is_template:
                continue
            try:
                with self.folders.opened(volume) as at:
                    below = read_below(at) if exists(POINT, at) else Below(None, 0)
            except HostError:
                if os.path.lexists(self.path(volume).parent):
                    raise
                continue  # destroyed meanwhile
            if below is None or below.lower == key:  # what is not known may be this one
                yield volume

    @contextmanager
    def _users_locked(self, how: int) -> Iterator[None]:
        """No template is destroyed while a volume is put on one."""
        with place_locked(self.folders.root, how):
            yield

    def _is_mounted(self, volume: VolumeId) -> bool:
        """Whether it is mounted; raises ``HostError`` if something else is mounted in its place."""
        top = self._top(volume)
        if top is not None and not _is_ours(top, volume):
            raise HostError(f"{self.path(volume)}: something else is mounted there: {top.source}")
        return top is not None

    def _top(self, volume: VolumeId) -> Mount | None:
        return _on_top().get(self._point(volume))

    def _point(self, volume: VolumeId) -> str:
        """As the mount table names it; a symbolic link may lead to the pool."""
        return f"{os.path.realpath(self.folders.root)}/{volume.vm}/{volume.volume}/{POINT}"


def _on_top() -> Mapping[str, Mount]:
    """By its mount point, the mount that is seen there: the last one."""
    return {mount.point: mount for mount in mounts()}


def _source(volume: VolumeId, lower: str) -> str:
    return f"{volume}:{lower}"


def _is_ours(mount: Mount, volume: VolumeId) -> bool:
    if mount.fstype == "overlay":
        return mount.source.startswith(_source(volume, ""))
    return mount.root.endswith(f"/{volume}/{UPPER}")


def _make_directory(name: str, at: int, owner: int, mode: int) -> None:
    """Make it with that owner and mode, whatever the umask; what follows makes it durable."""
    os.mkdir(name, 0o700, dir_fd=at)
    with open_directory(name, at) as made:
        os.fchown(made, owner, owner)
        os.fchmod(made, mode)


def _remove(name: str, at: int) -> None:
    if exists(name, at):
        trees.remove(name, at)
