"""What a pool remembers of a volume, kept durably in a file next to it: ``geats.json``.

Any plugin that has a directory of its own for each volume can keep its marks so.
"""

import errno
import json
import os
from contextlib import suppress

from geats_core.reading import file_formats
from geats_core.reading.fields import NAME
from geats_core.vm.observation import SnapshotSeen, Stage, VolumeSeen
from geats_host.errors import HostError
from geats_host.guest_trees.folders import exists
from geats_host.linux.descriptors import closing
from geats_host.storage import VolumeId

MARKS = "geats.json"
LOCKED = "geats.locked"  # a file of its own: it can be taken away when the disk is full
ADVICE = "install the geats that wrote it"
READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO is not waited for


def read_marks(at: int, volume: VolumeId) -> VolumeSeen | None:
    """The marks in the directory *at*; None if there are none, or they make no sense.

    If the host cannot read them, that is a matter of this volume alone.
    """
    try:
        with (
            closing(os.open(MARKS, READING, dir_fd=at)) as descriptor,
            open(descriptor, "rb", closefd=False) as file,
        ):
            return _parse(file.read(), volume)
    except FileNotFoundError:
        return None
    except OSError as error:
        return out_of_reach(volume, f"{MARKS}: {error.strerror}")


def _parse(text: bytes, volume: VolumeId) -> VolumeSeen | None:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return None
    why = wrong_format(raw)
    if why:
        return unreadable(volume, why)
    match raw:
        case {
            "stage": str(stage),
            "active": bool(active),
            "size_bytes": int() | None as size_bytes,
            "template": str() | None as template,
            "guest": str() | None as guest,
            **rest,
        } if stage in Stage.__members__:
            return VolumeSeen(
                name=volume.volume,
                pool="",
                stage=Stage[stage],
                active=active,
                size_bytes=size_bytes,
                template=template,
                guest=guest,
                snapshots=_snapshots(rest.get("snapshots")),
            )
        case _:
            return None


def wrong_format(raw: object) -> str:
    """Why marks must not be read, by the format that they say; empty if they may."""
    found = raw.get(file_formats.FORMAT) if isinstance(raw, dict) else None
    return file_formats.newer(found, file_formats.MARKS)


def unreadable(volume: VolumeId, why: str) -> VolumeSeen:
    """A volume of which it is only known that it exists: it may be precious."""
    return out_of_reach(volume, f"its marks: {why}: {ADVICE}")


def out_of_reach(volume: VolumeId, why: str) -> VolumeSeen:
    """The same, and *why* in whole; for example that the disk has an error there."""
    return VolumeSeen(name=volume.volume, pool="", stage=Stage.INSTALLED, unreadable=why)


def check_readable(seen: VolumeSeen) -> None:
    """Raise ``HostError`` if marks that cannot be read would be lost."""
    if seen.unreadable:
        raise HostError(f"volume {seen.name}: is left alone: {seen.unreadable}")


def _snapshots(raw: object) -> tuple[SnapshotSeen, ...]:
    """Those that make sense, in their order."""
    found = raw.items() if isinstance(raw, dict) else ()
    return tuple(
        snapshot
        for name, each in found
        if NAME.fullmatch(name) and (snapshot := snapshot_of(name, each)) is not None
    )


def snapshot_of(name: str, raw: object) -> SnapshotSeen | None:
    """The snapshot whose marks are *raw*; None if they make no sense."""
    match raw:
        case {
            "taken_s": int(taken_s),
            "stage": str(stage),
            "template": str() | None as template,
            "guest": str() | None as guest,
        } if stage in Stage.__members__:
            return SnapshotSeen(
                name=name, taken_s=taken_s, stage=Stage[stage], template=template, guest=guest
            )
        case _:
            return None


def write_marks(at: int, seen: VolumeSeen) -> None:
    """Replace the marks whole, durably: an interruption leaves the old ones or the new ones."""
    put_marks(at, seen)
    os.fsync(at)


def put_marks(at: int, seen: VolumeSeen) -> None:
    """The same, but that a power cut may bring the old ones back until the directory is synced."""
    check_readable(seen)
    text = json.dumps(
        {
            file_formats.FORMAT: file_formats.MARKS,
            "stage": seen.stage.name,
            "active": seen.active,
            "size_bytes": seen.size_bytes,
            "template": seen.template,
            "guest": seen.guest,
            "snapshots": {
                snapshot.name: {
                    "taken_s": snapshot.taken_s,
                    "stage": snapshot.stage.name,
                    "template": snapshot.template,
                    "guest": snapshot.guest,
                }
                for snapshot in seen.snapshots
            },
        }
    )
    put_file(at, MARKS, text)


def write_marks_if_there_is_room(at: int, seen: VolumeSeen) -> None:
    """For marks that matter less than to make room: a full disk keeps the old ones."""
    try:
        write_marks(at, seen)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def is_locked(at: int) -> bool:
    """Whether the VM of the volume in the directory *at* is protected from deletion."""
    return exists(LOCKED, at)


def note_locked(at: int, *, locked: bool) -> None:
    """Note there whether it is."""
    if locked:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(LOCKED, flags, 0o600, dir_fd=at))
    else:
        with suppress(FileNotFoundError):
            os.unlink(LOCKED, dir_fd=at)
    os.fsync(at)


def replace_file(at: int, name: str, text: str) -> None:
    """Write a line to a file of the directory *at*; an interruption leaves the old or the new
    one."""
    put_file(at, name, text)
    os.fsync(at)


def put_file(at: int, name: str, text: str) -> None:
    """The same, where the caller syncs the directory: until then, a power cut may bring the old
    one back."""
    new = f"{name}.new"
    with suppress(FileNotFoundError):  # what an interruption left
        os.unlink(new, dir_fd=at)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(new, flags, 0o600, dir_fd=at), "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())
    os.rename(new, name, src_dir_fd=at, dst_dir_fd=at)
