"""The lock held while a plan is applied to a VM: it ends with the process that holds it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geats_host.errors import HostError, Refused


@contextmanager
def operation_lock(run_dir: Path, vm_name: str) -> Iterator[None]:
    """Hold the lock of one VM; ``Refused`` where another process holds it.

    The lock is on a file in a directory that only its owner can enter, so that no one else can
    take it or point it elsewhere. The file stays: removing it would race with another process.
    """
    directory = run_dir / "operations"
    try:
        run_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(directory / vm_name, flags, 0o600)
    except OSError as error:
        raise HostError(f"{directory / vm_name}: {error.strerror}") from None
    try:
        _take(descriptor, vm_name)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, vm_name: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        raise Refused(
            f"{vm_name}: another operation is under way (process {holder or 'unknown'})"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
