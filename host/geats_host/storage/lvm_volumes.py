"""What the pool ``lvm`` remembers of its volumes: names and tags of logical volumes.

Every logical volume of geats has the tag ``geats``, and others of the form ``geats.KEY=VALUE``::

    geats.vm        the VM, or _templates
    geats.volume    the name of the volume
    geats.size      how large it should be, in bytes; none if no size was given
    geats.stage     how far it is; with template and guest
    geats.dirty     from which byte on others may have left something: it is zeroed before use
    geats.snapshot  the name of the snapshot that it is; with taken (seconds) and number (in order)
    geats.adopted   the name that something else gave it, which it keeps; with device, the path by
                    which it was found

In a value, what no tag may contain is quoted as in a URL, with # in place of %.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from geats_core.reading import file_formats
from geats_core.reading.fields import NAME
from geats_core.vm.observation import SnapshotSeen, Stage, VolumeSeen
from geats_host.errors import HostError
from geats_host.storage import VolumeId, check_names
from geats_host.storage.lvm_commands import LogicalVolume, mapped
from geats_host.storage.marks import check_readable, unreadable

OWNER = "geats"
DIRTY, ADOPTED, DEVICE = (f"{OWNER}.{key}=" for key in ("dirty", "adopted", "device"))
NEW = "+new"  # ends the name of what is to take the place of a volume; no snapshot has that name
LONGEST_NAME = 120  # of 127 that device-mapper takes, see dm-ioctl.h; LVM adds to some
DIGITS = 32


def lv_name(vg: str, volume: VolumeId, *rest: str) -> str:
    """What the logical volume is called: never like one of LVM's own, or that of another volume.

    If all of it would be too long for device-mapper, a digest replaces it.
    """
    name = ".".join((OWNER, _plain(volume.vm), volume.volume, *rest))
    if len(mapped(vg, name)) <= LONGEST_NAME:
        return name
    return f"{OWNER}.{hashlib.sha256(name.encode()).hexdigest()[:DIGITS]}"


def _plain(vm: str) -> str:
    """The name of a VM without dots, which stand between the parts of ours, and underscores.

    LVM refuses names that contain any of its own suffixes, such as ``_tdata``. In no VM's name is
    there a ``+``, nor a dot beside one of the two: no two names become one.
    """
    return vm.replace(".", "+").replace("_", "++")


@dataclass(slots=True)
class Held:
    """The logical volumes of one volume: its own, what is to take its place, its snapshots."""

    own: LogicalVolume | None = None
    new: LogicalVolume | None = None
    snapshots: list[LogicalVolume] = field(default_factory=list)

    @property
    def now(self) -> LogicalVolume | None:
        """What the volume is now; after an interruption, perhaps what should replace it."""
        return self.own or self.new

    def snapshot(self, name: str) -> LogicalVolume | None:
        """That of the snapshot *name*, if there is one."""
        return next((lv for lv in self.snapshots if _facts(lv).get("snapshot") == name), None)

    def next_number(self) -> int:
        """That of the next snapshot."""
        return max(map(_number, self.snapshots), default=0) + 1


def held_by(found: Iterable[LogicalVolume], vg: str, thin_pool: str | None) -> dict[VolumeId, Held]:
    """What of a group belongs to a pool: what is tagged, is named by its tags, and is as thin."""
    all_held: dict[VolumeId, Held] = {}
    for lv in found:
        volume = _volume_of(lv)
        if volume is None or lv.pool != thin_pool:
            continue
        held = all_held.setdefault(volume, Held())
        snapshot = _facts(lv).get("snapshot", "")
        if lv.name == own_name(vg, volume, lv):
            held.own = lv
        elif lv.name == lv_name(vg, volume, NEW):
            held.new = lv
        elif NAME.fullmatch(snapshot) and lv.name == lv_name(vg, volume, snapshot):
            held.snapshots.append(lv)
    for held in all_held.values():
        held.snapshots.sort(key=_number)
    return {volume: held for volume, held in all_held.items() if held != Held()}


def own_name(vg: str, volume: VolumeId, lv: LogicalVolume) -> str:
    """What the logical volume of *volume* itself is called whose tags *lv* has."""
    return _facts(lv).get("adopted") or lv_name(vg, volume)


def cannot_be_volume(lv: LogicalVolume, thin_pool: str | None) -> str:
    """Why no pool of thick volumes, or of those in *thin_pool*, can have it; empty if one can."""
    if OWNER in lv.tags:
        return f"is taken by {_volume_of(lv) or 'geats'}"
    if lv.is_thin_pool:
        return "is a thin pool"
    if lv.pool is None and lv.origin:
        return f"is a snapshot of {lv.origin}, and not thin"
    if lv.pool != thin_pool:
        kinds = [f"thin, in {pool}" if pool else "not thin" for pool in (lv.pool, thin_pool)]
        return f"is {kinds[0]}; volumes of this pool are {kinds[1]}"
    return ""


def adopting(lv: LogicalVolume, volume: VolumeId, seen: VolumeSeen, device: Path) -> frozenset[str]:
    """The tags by which *lv*, found at *device*, becomes *volume* under the name that it has."""
    tags = {f"{ADOPTED}{_quoted(lv.name)}", f"{DEVICE}{_quoted(f'{device}')}"}
    return marked(lv, volume, seen) | tags


def adopted_at(held: Mapping[VolumeId, Held]) -> dict[VolumeId, Path]:
    """Where those volumes are that were adopted."""
    return {
        volume: Path(device)
        for volume, each in held.items()
        if each.now is not None and (device := _facts(each.now).get("device"))
    }


def seen_of(volume: VolumeId, held: Held) -> VolumeSeen | None:
    """What the tags say of the volume; None if there are only snapshots of it.

    What has lost its stage may be precious, and counts as installed.
    """
    lv = held.now
    if lv is None:
        return None
    facts = _facts(lv)
    why = file_formats.newer(_whole(facts.get(file_formats.FORMAT, "1")), file_formats.MARKS)
    if why:
        return unreadable(volume, why)
    size = facts.get("size", "")
    stage = _stage(facts)
    return VolumeSeen(
        name=volume.volume,
        pool="",
        stage=stage,
        active=lv.active and stage >= Stage.FORMATTED and dirty_from(lv) is None,
        size_bytes=min(int(size), lv.size_bytes) if size.isdecimal() else None,
        template=facts.get("template"),
        guest=facts.get("guest"),
        snapshots=tuple(_snapshot_seen(each) for each in held.snapshots),
        locked="locked" in facts,
    )


def tags_of(volume: VolumeId, seen: VolumeSeen) -> frozenset[str]:
    """What is remembered of *volume* itself."""
    check_readable(seen)
    size = {} if seen.size_bytes is None else {"size": f"{seen.size_bytes}"}
    locked = {"locked": "yes"} if seen.locked else {}
    return _tags(volume, seen.stage, seen.template, seen.guest, {**size, **locked})


def snapshot_tags(volume: VolumeId, taken: SnapshotSeen, number: int) -> frozenset[str]:
    """What is remembered of a snapshot of *volume*."""
    rest = {"snapshot": taken.name, "taken": f"{taken.taken_s}", "number": f"{number}"}
    return _tags(volume, taken.stage, taken.template, taken.guest, rest)


def marked(lv: LogicalVolume, volume: VolumeId, seen: VolumeSeen) -> frozenset[str]:
    """The tags of *lv* with those of geats replaced, but for DIRTY, ADOPTED and DEVICE.

    Those that people added stay.
    """
    kept = (tag for tag in lv.tags if not _is_ours(tag) or tag.startswith((DIRTY, ADOPTED, DEVICE)))
    return frozenset(kept) | tags_of(volume, seen)


def dirty_from(lv: LogicalVolume) -> int | None:
    """From which byte on it is not zeroed yet; None if all of it is its own."""
    start = _facts(lv).get("dirty")
    return None if start is None else _whole(start)


def with_dirty(lv: LogicalVolume, start: int | None) -> frozenset[str]:
    """Its tags, of which one says that it is not zeroed from *start* on, unless that is None."""
    others = frozenset(tag for tag in lv.tags if not tag.startswith(DIRTY))
    return others if start is None else others | {f"{DIRTY}{start}"}


def to_rename(
    found: Iterable[LogicalVolume],
    vg: str,
    thin_pool: str | None,
    volume: VolumeId,
    new: VolumeId,
) -> list[tuple[LogicalVolume, frozenset[str], str]]:
    """What has the old name of a volume that becomes *new*, with its tags and its name then.

    Snapshots come first. One may have its tags already.
    """
    parts = []
    for lv in found:
        snapshot = _facts(lv).get("snapshot", "")
        rest = (snapshot,) if snapshot else ()
        mine = lv.pool == thin_pool and _volume_of(lv) in (volume, new)
        if mine and not rest and "adopted" in _facts(lv):
            parts.append((lv, _with_owner(lv, new), lv.name))
        elif mine and lv.name == lv_name(vg, volume, *rest):
            parts.append((lv, _with_owner(lv, new), lv_name(vg, new, *rest)))
    return sorted(parts, key=lambda part: "snapshot" not in _facts(part[0]))


def rolled_back(seen: VolumeSeen, to: SnapshotSeen) -> VolumeSeen:
    """A volume that is again what it was when the snapshot was taken."""
    return seen.with_content_of(to)


def _tags(
    volume: VolumeId,
    stage: Stage,
    template: str | None,
    guest: str | None,
    rest: Mapping[str, str],
) -> frozenset[str]:
    format_ = {file_formats.FORMAT: f"{file_formats.MARKS}"}
    facts = {**format_, "vm": volume.vm, "volume": volume.volume, "stage": stage.name, **rest}
    facts |= {} if template is None else {"template": template}
    facts |= {} if guest is None else {"guest": guest}
    return frozenset({OWNER, *(f"{OWNER}.{key}={_quoted(text)}" for key, text in facts.items())})


def _with_owner(lv: LogicalVolume, volume: VolumeId) -> frozenset[str]:
    owner = {"vm": volume.vm, "volume": volume.volume}
    others = (t for t in lv.tags if not t.startswith(tuple(f"{OWNER}.{key}=" for key in owner)))
    return frozenset({*others, *(f"{OWNER}.{key}={_quoted(text)}" for key, text in owner.items())})


def _is_ours(tag: str) -> bool:
    return tag == OWNER or tag.startswith(f"{OWNER}.")


def _facts(lv: LogicalVolume) -> dict[str, str]:
    if OWNER not in lv.tags:
        return {}
    ours = (tag.removeprefix(f"{OWNER}.") for tag in sorted(lv.tags) if _is_ours(tag))
    pairs = (tag.partition("=") for tag in ours)
    return {key: unquote(value.replace("#", "%")) for key, _, value in pairs}


def _quoted(text: str) -> str:
    return quote(text, safe="").replace("~", "%7E").replace("%", "#")


def _volume_of(lv: LogicalVolume) -> VolumeId | None:
    facts = _facts(lv)
    volume = VolumeId(facts.get("vm", ""), facts.get("volume", ""))
    try:
        check_names(volume)
    except HostError:
        return None
    return volume


def _stage(facts: Mapping[str, str]) -> Stage:
    name = facts.get("stage", "")
    return Stage[name] if name in Stage.__members__ else Stage.INSTALLED


def _number(lv: LogicalVolume) -> int:
    return _whole(_facts(lv).get("number"))


def _snapshot_seen(lv: LogicalVolume) -> SnapshotSeen:
    facts = _facts(lv)
    return SnapshotSeen(
        name=facts["snapshot"],
        taken_s=_whole(facts.get("taken")),
        stage=_stage(facts),
        template=facts.get("template"),
        guest=facts.get("guest"),
    )


def _whole(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0
