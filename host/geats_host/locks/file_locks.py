"""Locks on files that only their owner can open; each ends with its process at the latest.

Whoever can open a file or a directory can lock it, and keep all others waiting: so nothing is
locked that others can open, no wait is without end, and it says for whom it waited.
"""

import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from geats_host.errors import HostError
from geats_host.linux.descriptors import closing
from geats_host.linux.private_directories import make_passage

RUN_DIR = Path("/run/geats")  # for what the machine has once, whatever the run_dir of who uses it
LIMIT_S = 600.0
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.002, 0.1
OTHERS = 0o077
PLACES = "places"
OPENING = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def opened(run_dir: Path, room: str, name: str) -> Iterator[int]:
    """The file of a lock, in a directory of *run_dir* that only its owner can enter.

    The file stays: removing it would race with another process, see ``place_locked``.
    """
    file = private(run_dir, room) / name
    try:
        descriptor = os.open(file, OPENING | os.O_CREAT, 0o600)
    except OSError as error:
        raise HostError(f"{file}: {error.strerror}") from None
    with closing(descriptor):
        yield descriptor


def private(run_dir: Path, room: str) -> Path:
    """A directory of *run_dir* that only its owner can enter; it is created if it is missing."""
    directory = run_dir / room
    try:
        make_passage(run_dir)
        directory.mkdir(mode=0o700, exist_ok=True)
        _check_private(directory)
    except OSError as error:
        raise HostError(f"{directory}: {error.strerror}") from None
    return directory


@contextmanager
def place_locked(place: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold the lock of a file or directory of this machine, whatever path leads to it."""
    try:
        found = os.stat(place)
    except OSError as error:
        raise HostError(f"{place}: {error.strerror}") from None
    name = f"{found.st_dev:x}-{found.st_ino:x}"
    with passing(RUN_DIR, PLACES, name, lambda lock: take(lock, f"{place}", how)):
        yield


@contextmanager
def passing(run_dir: Path, room: str, name: str, wait: Callable[[int], None]) -> Iterator[None]:
    """Hold a lock of which there can be any number: its file is removed when nobody holds it.

    *wait* takes it, or raises.
    """
    try:
        with ExitStack() as lock:
            while True:
                descriptor = lock.enter_context(opened(run_dir, room, name))
                wait(descriptor)
                if not _is_removed(descriptor):
                    break
                lock.close()
            yield
    finally:
        _tidy(private(run_dir, room))


def _tidy(directory: Path) -> None:
    """Remove the files that nobody holds, as those who were killed leave them as well.

    Whoever opened one of them, and has not locked it yet, sees that it is removed, and opens again.
    """
    for entry in os.listdir(directory):
        with suppress(OSError), closing(os.open(directory / entry, OPENING)) as descriptor:
            if is_taken(descriptor) and not _is_removed(descriptor):
                os.unlink(directory / entry)


def _is_removed(descriptor: int) -> bool:
    return os.fstat(descriptor).st_nlink == 0


def take(
    descriptor: int, what: str, how: int = fcntl.LOCK_EX, limit_s: float | None = None
) -> None:
    """Wait until nobody has it in another way; ``HostError`` says who still had it in the end."""
    limit_s = LIMIT_S if limit_s is None else limit_s
    ends, pause_s = time.monotonic() + limit_s, SHORTEST_PAUSE_S
    while not is_taken(descriptor, how):
        if time.monotonic() > ends:
            holders = holders_of(descriptor)
            raise HostError(f"{what}: waited {limit_s:g} s for {holders}, which still uses it")
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def is_taken(descriptor: int, how: int = fcntl.LOCK_EX) -> bool:
    """Take it, unless somebody else has it in another way; whether it was taken."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sign(descriptor: int) -> None:
    """Write into the file of a lock who has it; on a full disk nobody is told, and it holds."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def unsign(descriptor: int) -> None:
    """Remove it at the end of an operation; that of an ended process does not count anyway."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)


def holders_of(descriptor: int) -> str:
    """Who has the lock, by process and command: see proc_locks(5)."""
    found = os.fstat(descriptor)
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    lines = map(str.split, Path("/proc/locks").read_text().splitlines())
    mine = f"{device}:{found.st_ino}"
    pids = [words[4] for words in lines if words[1] == "FLOCK" and words[5] == mine]
    return ", ".join(f"process {pid} ({_command(pid)})" for pid in pids) or "an unknown process"


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:  # it ended, or is of another pid namespace
        return "unknown"


def _check_private(directory: Path) -> None:
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & OTHERS:
        raise HostError(
            f"{directory}: must be a directory that only its owner, the user who runs geats, "
            "can enter (mode 0700): remove it, and geats creates it"
        )
