"""Locks on names, between processes and threads: each ends with its process at the latest."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from geats_host.errors import HostError


@dataclass(frozen=True, slots=True)
class NamedLock:
    """A lock that may be shared, or held alone; to change it is to give it up in between."""

    descriptor: int

    def share(self) -> None:
        """Wait until nobody holds it alone."""
        fcntl.flock(self.descriptor, fcntl.LOCK_SH)

    def hold(self) -> None:
        """Wait until nobody else has it at all."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def try_hold(self) -> bool:
        """Hold it, unless somebody else has it."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def named_lock(run_dir: Path, name: str) -> Iterator[NamedLock]:
    """The lock *name*, which nobody has yet; given up at the end.

    Its file is in a directory that only its owner can enter, and stays: see ``operation_lock``.
    """
    directory = run_dir / "templates"
    try:
        run_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(directory / name, flags, 0o600)
    except OSError as error:
        raise HostError(f"{directory / name}: {error.strerror}") from None
    try:
        yield NamedLock(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def one_of_slots(run_dir: Path, name: str, count: int) -> Iterator[None]:
    """Wait for one of *count* slots: so many, and no more, are in here at a time on this host."""
    for slot in range(count):
        with named_lock(run_dir, f"{name}-{slot}") as lock:
            if lock.try_hold():
                yield
                return
    with named_lock(run_dir, f"{name}-{os.getpid() % count}") as lock:
        lock.hold()
        yield
