"""Mounts: which there are, and who sees them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple, TypeAlias

NO_WRITES = {"ro", "emergency_ro", "shutdown"}

COMMAND_LENGTH = 200  # characters of a command line, in an error

MOUNTINFO = Path("/proc/thread-self/mountinfo")

Everywhere: TypeAlias = Sequence[tuple[int, bytes]]  # a process of each namespace, its mountinfo


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


def mounts_everywhere(number: str = "") -> Iterator[tuple[int, Mount]]:
    """Every mount in the namespace of any process that can be seen, with one such process; or those
    of the filesystem with that *number*.

    That takes a while, as each process is looked at: see ``one_look``, and ``SharedLook``.
    """
    wanted = f" {number} ".encode() if number else b""
    for process, mountinfo in _seen_everywhere():
        for line in _lines(mountinfo):
            if wanted in line and (mount := _mount(line)).number == (number or mount.number):
                yield process, mount


def _seen_everywhere() -> Everywhere:
    held = _held.get()
    if held is None:
        return _shared.now()
    if not held:
        held.append(_shared.now())
    return held[0]


@contextmanager
def one_look() -> Iterator[None]:
    """Meanwhile, ``mounts_everywhere`` tells this thread what there was when it was first asked.

    For what is checked before a plan. A step that destroys looks again.
    """
    token = _held.set([])
    try:
        yield
    finally:
        _held.reset(token)


@dataclass(slots=True)
class SharedLook:
    """Threads that ask at the same time share a look, which began after all of them had asked.

    So each sees what was mounted before it asked, as if it had looked alone.
    """

    turn: Lock = field(default_factory=Lock)
    count: Lock = field(default_factory=Lock)
    asked: int = 0
    served: int = 0
    known_to: int = 0  # what was seen is the answer to the first so many who asked
    seen: Everywhere = ()

    def now(self) -> Everywhere:
        """What is mounted now."""
        with self.count:
            self.asked += 1
            number = self.asked
        try:
            with self.turn:
                if self.known_to < number:
                    before = self.asked
                    self.seen, self.known_to = tuple(_everywhere()), before
                return self.seen
        finally:
            self._forget()

    def _forget(self) -> None:
        """With the last who asked: what was seen takes memory."""
        with self.count:
            self.served += 1
            if self.served == self.asked:
                self.seen = ()


_held: ContextVar[list[Everywhere] | None] = ContextVar("_held", default=None)
_shared = SharedLook()


def _everywhere() -> Iterator[tuple[int, bytes]]:
    known: set[str] = set()
    for process in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # it ended meanwhile
            namespace = os.readlink(f"/proc/{process}/ns/mnt")
            if namespace in known:
                continue
            with open(f"/proc/{process}/mountinfo", "rb") as mountinfo:
                found = mountinfo.read()
            known.add(namespace)
            yield int(process), found


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
        for pid, mount in mounts_everywhere(number):
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
    for process, mount in mounts_everywhere(holds.number):
        if mount.root == top or mount.root.startswith(f"{top.rstrip('/')}/"):
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
    return tuple(map(_mount, _lines(mountinfo.read())))


def _lines(mountinfo: bytes) -> list[bytes]:
    """They end with newlines alone: a guest can mount where the name has a carriage return."""
    return list(filter(None, mountinfo.split(b"\n")))


def _mount(line: bytes) -> Mount:
    """See ``Mount``. The kernel writes space, tab, newline and backslash as three octal digits."""
    before, _, after = os.fsdecode(line).partition(" - ")
    _, _, number, root, point, *_ = before.split(" ", 5)
    fstype, source, options = after.split(" ", 2)
    if b"\\" in line:
        fstype, root, point, source, options = map(
            _unescaped, (fstype, root, point, source, options)
        )
    return Mount(point, fstype, root, source, number, options)


def _unescaped(field: str) -> str:
    for code in (0o40, 0o11, 0o12, 0o134):
        field = field.replace(f"\\{code:03o}", chr(code))
    return field
