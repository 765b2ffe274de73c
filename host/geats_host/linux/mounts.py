"""Mounts: which there are, and who sees them."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

NO_WRITES = {"ro", "emergency_ro", "shutdown"}

COMMAND_LENGTH = 200  # characters of a command line, in an error

MOUNTINFO = Path("/proc/thread-self/mountinfo")


class Mount(NamedTuple):
    """One line of mountinfo, see proc_pid_mountinfo(5)."""

    point: str
    fstype: str
    root: str
    source: str
    number: str  # of the filesystem: MAJOR:MINOR
    options: str  # of the filesystem

    @property
    def takes_writes(self) -> bool:
        """Whether its filesystem does; after an error of its device, the kernel ends that."""
        return NO_WRITES.isdisjoint(self.options.split(","))


def mounts() -> tuple[Mount, ...]:
    """Every mount that this thread sees, in the order in which they were made."""
    with MOUNTINFO.open("rb") as mountinfo:
        return parsed(mountinfo)


def mounts_below(path: Path, *, itself: bool) -> tuple[str, ...]:
    """The mount points under *path*, bind mounts among them; with *itself*, also *path*."""
    top = os.path.realpath(path)
    points = (mount.point for mount in mounts())
    return tuple(
        point for point in points if point.startswith(f"{top}/") or (itself and point == top)
    )


def mounts_everywhere() -> Iterator[tuple[int, Mount]]:
    """Every mount in the namespace of any process that can be seen, with one such process."""
    known: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            namespace = os.readlink(process / "ns/mnt")
            if namespace in known:
                continue
            with (process / "mountinfo").open("rb") as mountinfo:
                found = parsed(mountinfo)
            known.add(namespace)
            yield from ((int(process.name), mount) for mount in found)


def command_of(pid: int) -> str:
    """The process in words: its number, and its command line, which of a monitor names the VM."""
    words = b""
    with suppress(OSError):  # it ended meanwhile
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    text = words.decode(errors="replace").strip()[:COMMAND_LENGTH]
    return f"process {pid} ({text})" if text else f"process {pid}"


def who_sees(device: Path) -> str:
    """Who has a block device mounted, in any mount namespace; empty if nobody has."""
    with suppress(OSError):
        found = os.stat(device).st_rdev
        number = f"{os.major(found)}:{os.minor(found)}"
        for pid, mount in mounts_everywhere():
            if mount.number == number:
                return f", which is mounted on {mount.point} where {command_of(pid)} sees it"
    return ""


def other_places_of(path: Path) -> Iterator[tuple[int, str]]:
    """Where *path* or something in it is mounted too, and a process that sees it there.

    This is how a container's root filesystem is seen while it runs.
    """
    holds = _mount_of(path)
    if holds is None:
        return
    below = os.path.relpath(os.path.realpath(path), holds.point)
    top = os.path.normpath(os.path.join(holds.root, below))
    for process, mount in mounts_everywhere():
        is_in_it = mount.root == top or mount.root.startswith(f"{top.rstrip('/')}/")
        if is_in_it and mount.number == holds.number:
            yield process, mount.point


def fstype_of(path: Path) -> str:
    """The type of the filesystem that contains *path*."""
    holds = _mount_of(path)
    return "unknown" if holds is None else holds.fstype


def _mount_of(path: Path) -> Mount | None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        info = Path(f"/proc/thread-self/fdinfo/{descriptor}").read_bytes()
    finally:
        os.close(descriptor)
    number = next(line.split()[1] for line in info.splitlines() if line.startswith(b"mnt_id:"))
    with MOUNTINFO.open("rb") as mountinfo:
        found = (_mount(line) for line in mountinfo if line.split(b" ", 1)[0] == number)
        return next(found, None)


def parsed(mountinfo: BinaryIO) -> tuple[Mount, ...]:
    """The mounts as they are now: the file stays readable when its own procfs is gone."""
    mountinfo.seek(0)
    return tuple(_mount(line) for line in mountinfo.read().splitlines())


def _mount(line: bytes) -> Mount:
    fields, _, rest = line.partition(b" - ")
    number, root, point = map(_unescaped, fields.split(b" ")[2:5])
    fstype, source, options = map(_unescaped, rest.split(b" ")[:3])
    return Mount(point, fstype, root, source, number, options)


def _unescaped(field: bytes) -> str:
    """The kernel writes space, tab, newline and backslash as three octal digits."""
    if b"\\" in field:
        for code in (0o40, 0o11, 0o12, 0o134):
            field = field.replace(b"\\%03o" % code, bytes([code]))
    return os.fsdecode(field)
