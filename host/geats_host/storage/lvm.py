"""A pool of logical volumes, thick ones, or thin ones in a thin pool::

    geats:
      pools:
        fast:
          type: filesystem
          fstype: xfs
          on: {type: lvm, vg: vg0, thin_pool: pool0, default_size: 10GiB}

The volume group and the thin pool must be there: geats does not make them. Thin volumes take space
for what is written to them, and have snapshots and clones at once. Thick ones take their space when
they are made, and have no snapshots: LVM's would need as much space again for each, would make
every write slower, and would be gone after a rollback. Their clones are copies.

Theory of operation
-------------------
The volume ``root`` of ``web01`` is the logical volume ``geats.web01.root``, and all that is
remembered of it is in its tags, which LVM changes at once. What has no tag of geats is never
touched. No volume is made active when the host starts. One that was adopted has the tags as well,
and keeps its name, the path by which its domain knows it, and when LVM makes it active.

A thin volume is rolled back, or made a clone, by a snapshot that takes its place: it gets its size
and its tags as ``geats.web01.root.+new``, then the old one is removed, and the new one is renamed.
If an interruption left only the new one, it is the volume already, and the next change renames
it.

A new thick volume may contain what another had left there: it counts as formatted once its
signatures and its first MiB are wiped. If a guest gets it as its disk, all of it is zeroed first,
and so is what it grows by: until that is done, a tag says from where on, and it is not seen as
active. Thin ones read as zeros, from a pool that zeroes.
"""

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from returns.result import Failure, Success

from geats_core.planning.plugin_facts import PoolFacts
from geats_core.reading.checked import Problem
from geats_core.reading.fields import Reader, matching
from geats_core.reading.sizes import format_size, parse_size
from geats_core.vm.observation import Stage, VolumeSeen
from geats_host.errors import HostError, Refused
from geats_host.guest_trees.folders import host_errors
from geats_host.linux import disks
from geats_host.linux.block_devices import check_unused, wipe_device
from geats_host.linux.run import run
from geats_host.storage import (
    Offer,
    Pool,
    VolumeId,
    check_clone,
    check_names,
    check_snapshot,
    lvm_commands,
)
from geats_host.storage.directory import COPY_TIMEOUT_S
from geats_host.storage.lvm_commands import LogicalVolume, parse_report, parse_volumes
from geats_host.storage.lvm_volumes import (
    NEW,
    OWNER,
    Held,
    adopted_at,
    adopting,
    cannot_be_volume,
    dirty_from,
    held_by,
    lv_name,
    marked,
    own_name,
    rolled_back,
    seen_of,
    snapshot_tags,
    tags_of,
    to_rename,
    with_dirty,
)
from geats_host.storage.thin_usage import own_bytes

DEV = Path("/dev")
DEFAULT_BYTES = 10 * 2**30
LVM_NAME = matching(
    re.compile(r"(?!\.{1,2}$)[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,39}"),
    "a name of LVM's, of 1 to 40 letters, digits and +_.-",
)
TOOLS = {"lvcreate": "lvm2"}
THIN_TOOLS = {"thin_ls": "thin-provisioning-tools"}


def open_pool(options: Mapping[object, object], below: Pool | None) -> Pool:
    """The pool of the volume group ``vg`` (needed), or of its ``thin_pool``; never on another pool.

    ``default_size`` (10GiB) is that of volumes for which none is given, unpacked templates too.
    """
    read = Reader("", options)
    vg = read.need("vg", LVM_NAME, "")
    thin_pool = read.take("thin_pool", LVM_NAME, "")
    default_bytes = read.take("default_size", parse_size, DEFAULT_BYTES)
    if below is not None:
        read.problems.append(Problem("on", "a pool of logical volumes cannot be on another pool"))
    tools = TOOLS | THIN_TOOLS if thin_pool else TOOLS
    missing = [tool for tool in tools if shutil.which(tool) is None]
    read.problems += [
        Problem("type", f"{tool} is not installed (package {tools[tool]})") for tool in missing
    ]
    opened = LvmPool(vg, thin_pool or None, default_bytes)
    if vg and "lvcreate" not in missing:
        read.problems += _missing(opened)
    match read.done(opened):
        case Success(pool):
            return pool
        case Failure(problems):
            raise Refused(*problems)


def _missing(opened: "LvmPool") -> Iterator[Problem]:
    """What is not on the host, or not as it has to be."""
    vg, thin_pool = opened.vg, opened.thin_pool
    try:
        found = opened.look()
    except HostError as error:
        groups = parse_report(run(lvm_commands.list_groups()), "vg")
        is_there = any(row["vg_name"] == vg for row in groups)
        yield Problem("vg", f"{error}" if is_there else f"there is no volume group {vg!r}")
        return
    pools = [lv for lv in found if lv.name == thin_pool and lv.is_thin_pool]
    if thin_pool and not pools:
        yield Problem("thin_pool", f"there is no thin pool {thin_pool!r} in {vg!r}")
    elif thin_pool and not pools[0].zeroes:
        remedy = f"lvchange --zero y {vg}/{thin_pool}"
        yield Problem("thin_pool", f"must zero what it hands out: {remedy}")


@dataclass(slots=True)
class Adopted:
    """Where the volumes are that were adopted, as of the last look at the group."""

    at: Mapping[VolumeId, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LvmPool:
    """See the module."""

    vg: str
    thin_pool: str | None
    default_bytes: int
    adopted: Adopted = field(default_factory=Adopted, compare=False)

    @property
    def offers(self) -> Offer:
        """A block device, which is there while the volume is active."""
        return Offer.BLOCK_DEVICE

    @property
    def facts(self) -> PoolFacts:
        """The space of the whole group, or of the thin pool."""
        thin = self.thin_pool is not None
        size_bytes, free_bytes = self._room()
        return PoolFacts(
            location=f"{DEV}/{self.vg}/{OWNER}.{{vm}}.{{volume}}",
            part=self.thin_pool or "",
            size_bytes=size_bytes,
            free_bytes=free_bytes,
            snapshots=thin,
            clones=thin,
            renames=True,
            default_bytes=self.default_bytes,
            zeroes=not thin,
        )

    def observe(self, only: VolumeId | None = None) -> Mapping[VolumeId, VolumeSeen]:
        """Every volume; logical volumes that geats would not have made are passed over."""
        found = {
            volume: seen_of(volume, held)
            for volume, held in self._all_held().items()
            if only is None or volume == only
        }
        return {volume: seen for volume, seen in found.items() if seen is not None}

    def path(self, volume: VolumeId) -> Path:
        """The device; that of an adopted volume is where it was found."""
        check_names(volume)
        return self.adopted.at.get(volume) or DEV / self.vg / lv_name(self.vg, volume)

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        """Make the logical volume; refused if its name is taken by another."""
        found = self.look()
        path = self.path(volume)
        held = held_by(found, self.vg, self.thin_pool).get(volume, Held())
        if held.now is not None:
            return
        if any(lv.name == path.name for lv in found):
            raise HostError(f"{path}: exists already, and does not belong to this pool")
        seen = VolumeSeen(name=volume.volume, pool="", stage=Stage.ALLOCATED, size_bytes=size_bytes)
        create_bytes = size_bytes or self.default_bytes
        tags = tags_of(volume, seen)
        run(lvm_commands.create(self.vg, self.thin_pool, path.name, create_bytes, tags))

    def cannot_adopt(self, disk: Path, form: str) -> str:
        """Whether it is a logical volume of the group that nothing has yet, and as thin."""
        if form != "raw":
            return f"{disk} is in the format {form}, and volumes of this pool are raw"
        lv = self._lv_at(disk)
        if lv is None:
            return f"{disk} is no logical volume of the group {self.vg}"
        why = cannot_be_volume(lv, self.thin_pool)
        return f"{disk} {why}" if why else ""

    def adopt_disk(self, volume: VolumeId, disk: Path, seen: VolumeSeen) -> None:
        """Let tags say that it is the volume, though it is in use; its name stays."""
        check_names(volume)
        lv = self._lv_at(disk)
        held = self._all_held().get(volume, Held()).now
        if lv is not None and held is not None and held.name == lv.name:
            return
        if held is not None:
            raise HostError(f"{disk}: the volume has another disk already")
        wrong = self.cannot_adopt(disk, "raw")
        if lv is None or wrong:
            raise HostError(wrong)
        tags = adopting(lv, volume, seen, disk)
        run(lvm_commands.retag(self.vg, lv.name, lv.tags, tags))
        self.look()

    def zero(self, volume: VolumeId) -> None:
        """Overwrite all of a thick volume that is not formatted yet."""
        lv, _, seen = self._need(volume)
        if self.thin_pool is None and seen.stage < Stage.FORMATTED:
            path = self.path(volume)
            with self._active(lv), host_errors(path):
                check_unused(path)
                disks.zero(path)

    def format(self, volume: VolumeId) -> None:
        """Wipe what others had left on a thick volume."""
        lv, _, seen = self._need(volume)
        if seen.stage >= Stage.FORMATTED:
            return
        if self.thin_pool is None:
            path = self.path(volume)
            with self._active(lv), host_errors(path):
                check_unused(path)
                wipe_device(path)
        self._mark(lv, volume, replace(seen, stage=Stage.FORMATTED))

    def activate(self, volume: VolumeId) -> None:
        """Let LVM make the device."""
        lv, _, seen = self._need(volume)
        if seen.stage < Stage.FORMATTED:
            raise HostError(f"{self.path(volume)}: is not formatted")
        self._zero_rest(lv, volume)
        if not lv.active:
            run(lvm_commands.activate(self.vg, lv.name))

    def deactivate(self, volume: VolumeId) -> None:
        """Let LVM take the device away; refused while it is in use."""
        check_names(volume)
        lv = self._all_held().get(volume, Held()).now
        if lv is not None and lv.active:
            run(lvm_commands.deactivate(self.vg, lv.name))

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        """Make it larger, unless it is as large, also while it is in use."""
        lv, _, seen = self._need(volume)
        if lv.size_bytes < size_bytes:
            run(lvm_commands.extend(self.vg, lv.name, size_bytes))
        if seen.size_bytes is None or seen.size_bytes < size_bytes:
            self._mark(lv, volume, replace(seen, size_bytes=size_bytes))

    def grow_zeroed(self, volume: VolumeId, size_bytes: int) -> None:
        """The same; what a thick one grows by is zeroed before its new size is noted."""
        lv, _, _ = self._need(volume)
        if self.thin_pool is None and lv.size_bytes < size_bytes:
            if dirty_from(lv) is None:
                tags = with_dirty(lv, lv.size_bytes)
                run(lvm_commands.retag(self.vg, lv.name, lv.tags, tags))
            run(lvm_commands.extend(self.vg, lv.name, size_bytes))
            lv, _, _ = self._need(volume)
        self._zero_rest(lv, volume)
        self.grow(volume, size_bytes)

    def destroy(self, volume: VolumeId) -> None:
        """Remove it and its snapshots; refused while it is in use, or others need it."""
        check_names(volume)
        found = self.look()
        held = held_by(found, self.vg, self.thin_pool).get(volume, Held())
        lv = held.now
        if lv is None:
            return
        self._check_not_needed(lv, found)
        first = [each.name for each in (held.new, *held.snapshots) if each not in (None, lv)]
        if first:  # the volume goes last, so that what an interruption leaves of it is seen
            if lv.active:
                run(lvm_commands.deactivate(self.vg, lv.name))  # refused while it is in use
            run(lvm_commands.remove(self.vg, first))
        run(lvm_commands.remove(self.vg, [lv.name]))

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        """Let a thin volume share the content of this one; what is mounted is frozen by LVM."""
        check_snapshot(volume, name)
        self._check_thin(volume)
        lv, held, seen = self._need(volume)
        if held.snapshot(name) is not None:
            return
        taken = seen.taken(name, taken_s)
        tags = snapshot_tags(volume, taken, held.next_number())
        run(lvm_commands.snapshot(self.vg, lv.name, lv_name(self.vg, volume, name), tags))

    def rollback(self, volume: VolumeId, name: str) -> None:
        """Let a snapshot of the snapshot take the place of the volume."""
        check_snapshot(volume, name)
        self._check_thin(volume)
        lv, held, seen = self._need(volume)
        source, taken = held.snapshot(name), seen.snapshot(name)
        if source is None or taken is None:
            raise HostError(f"{self.path(volume)}: there is no snapshot {name}")
        self._replace(lv, source, volume, rolled_back(seen, taken))

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        """Remove it; no other thin volume needs it."""
        check_snapshot(volume, name)
        lv = self._all_held().get(volume, Held()).snapshot(name)
        if lv is not None:
            run(lvm_commands.remove(self.vg, [lv.name]))

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        """Let a snapshot of *source* take the place of *target*; a thick one is copied there."""
        check_clone(source, target)
        lv, _, _ = self._need(source)
        other, _, seen = self._need(target)
        if lv.size_bytes > other.size_bytes:
            sizes = f"{format_size(lv.size_bytes)} do not fit into {format_size(other.size_bytes)}"
            raise HostError(f"{self.path(target)}: {source} is not cloned because {sizes}")
        if self.thin_pool is not None:
            self._replace(other, lv, target, seen)
            return
        with self._active(lv, stays=source.is_template), self._active(other):
            with host_errors(self.path(target)):
                check_unused(self.path(target))
            argv = lvm_commands.copy(f"{self.path(source)}", f"{self.path(target)}")
            run(argv, timeout_s=COPY_TIMEOUT_S)

    def rename(self, volume: VolumeId, new: VolumeId) -> None:
        """Rename the snapshots, then the volume: each by its tags, then by its name.

        What an interruption left between the two is found by the tags and the old name.
        """
        check_names(volume)
        check_names(new)
        held = self._all_held()
        if held.get(volume, Held()).now is not None:
            if held.get(new, Held()).now is not None:
                raise HostError(f"{self.path(new)}: there is a volume already")
            self._need(volume)  # puts right what an interruption left
        found = self.look()
        parts = to_rename(found, self.vg, self.thin_pool, volume, new)
        if not parts and held.get(new, Held()).now is None:
            raise HostError(f"{self.path(volume)}: there is no such volume")
        for lv, tags, name in parts:
            if lv.active:
                run(lvm_commands.deactivate(self.vg, lv.name))
            if tags != lv.tags:
                run(lvm_commands.retag(self.vg, lv.name, lv.tags, tags))
            if name != lv.name:
                run(lvm_commands.rename(self.vg, lv.name, name))
        self.look()

    def used_bytes(self, volume: VolumeId) -> int:
        """All of a thick volume; of a thin one and its snapshots, what each shares with none."""
        lv, held, _ = self._need(volume)
        if self.thin_pool is None:
            return lv.size_bytes
        own = own_bytes(self.vg, self.thin_pool)
        return sum(own.get(each.thin_id or 0, 0) for each in (lv, *held.snapshots))

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        """Remember the stage, template and guest of *seen*, durably; the rest is the pool's."""
        lv, _, mine = self._need(volume)
        marks = mine.with_content_of(seen)
        self._mark(lv, volume, marks)

    def set_locked(self, volume: VolumeId, *, locked: bool) -> None:
        """Note it as a tag."""
        lv, _, mine = self._need(volume)
        self._mark(lv, volume, replace(mine, locked=locked))

    def look(self) -> tuple[LogicalVolume, ...]:
        """All of the group; where adopted volumes are is remembered."""
        found = parse_volumes(run(lvm_commands.list_volumes(self.vg)))
        self.adopted.at = adopted_at(held_by(found, self.vg, self.thin_pool))
        return found

    def _all_held(self) -> dict[VolumeId, Held]:
        return held_by(self.look(), self.vg, self.thin_pool)

    def _lv_at(self, disk: Path) -> LogicalVolume | None:
        """The logical volume whose device *disk* is, by any of its names; its own if it is off."""
        names = {lv.name: lv for lv in self.look()}
        for name, lv in names.items():
            device = DEV / self.vg / name
            if disk in (device, DEV / "mapper" / lvm_commands.mapped(self.vg, name)):
                return lv
            if device.exists() and disk.exists() and device.samefile(disk):
                return lv
        return None

    def _need(self, volume: VolumeId) -> tuple[LogicalVolume, Held, VolumeSeen]:
        """The volume, once what an interruption left of taking its place is put right."""
        held = self._all_held().get(volume, Held())
        path = self.path(volume)
        seen = seen_of(volume, held)
        if held.now is None or seen is None:
            raise HostError(f"{path}: there is no such volume")
        if held.new is None:
            return held.now, held, seen
        if held.own is None:
            own = own_name(self.vg, volume, held.new)
            run(lvm_commands.rename(self.vg, held.new.name, own))
        else:
            run(lvm_commands.remove(self.vg, [held.new.name]))
        return self._need(volume)

    def _zero_rest(self, lv: LogicalVolume, volume: VolumeId) -> None:
        """Overwrite what others may have left in what it grew by; no guest has seen that yet."""
        start = dirty_from(lv)
        if start is not None:
            with self._active(lv):
                disks.zero(self.path(volume), start)
            run(lvm_commands.retag(self.vg, lv.name, lv.tags, with_dirty(lv, None)))

    def _mark(self, lv: LogicalVolume, volume: VolumeId, seen: VolumeSeen) -> None:
        tags = marked(lv, volume, seen)
        if tags != lv.tags:
            run(lvm_commands.retag(self.vg, lv.name, lv.tags, tags))

    def _replace(
        self, lv: LogicalVolume, source: LogicalVolume, volume: VolumeId, seen: VolumeSeen
    ) -> None:
        """Let a snapshot of *source* take the place of *lv*, as large and as active as that is."""
        self._check_not_needed(lv, self.look())
        if lv.active:
            run(lvm_commands.deactivate(self.vg, lv.name))  # refused while it is in use
        new = lv_name(self.vg, volume, NEW)
        run(lvm_commands.snapshot(self.vg, source.name, new, marked(lv, volume, seen)))
        if source.size_bytes < lv.size_bytes:
            run(lvm_commands.extend(self.vg, new, lv.size_bytes))
        run(lvm_commands.remove(self.vg, [lv.name]))
        run(lvm_commands.rename(self.vg, new, lv.name))
        if lv.active:
            run(lvm_commands.activate(self.vg, lv.name))

    @contextmanager
    def _active(self, lv: LogicalVolume, *, stays: bool = False) -> Iterator[None]:
        """Active for the moment, if it was not; or from now on, if it *stays* so."""
        with ExitStack() as stack:
            if not lv.active:
                run(lvm_commands.activate(self.vg, lv.name))
            if not (lv.active or stays):
                stack.callback(run, lvm_commands.deactivate(self.vg, lv.name))
            yield

    def _check_thin(self, volume: VolumeId) -> None:
        if self.thin_pool is None:
            raise HostError(f"{self.path(volume)}: has no snapshots because it is not thin")

    def _check_not_needed(self, lv: LogicalVolume, found: Iterable[LogicalVolume]) -> None:
        """LVM would remove with it what depends on it: other thin volumes do not."""
        for other in found:
            if other.origin == lv.name and (lv.pool is None or other.pool != lv.pool):
                raise HostError(f"{DEV}/{self.vg}/{lv.name}: is needed by {other.name}")

    def _room(self) -> tuple[int, int | None]:
        """The space of all of it, and what is left; None if only an active pool could tell."""
        if self.thin_pool is None:
            groups = parse_report(run(lvm_commands.list_groups()), "vg")
            mine = [row for row in groups if row["vg_name"] == self.vg]
            return sum(int(row["vg_size"]) for row in mine), sum(
                int(row["vg_free"]) for row in mine
            )
        pools = [lv for lv in self.look() if lv.name == self.thin_pool]
        size_bytes = sum(lv.size_bytes for lv in pools)
        full = next((lv.full for lv in pools), None)
        return size_bytes, None if full is None else round(size_bytes * (1 - full / 100))
