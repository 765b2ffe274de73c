"""The lock held while a plan is applied to a VM: it ends with the process that holds it.

And with the children that must not be killed with that process, such as one that starts a VM: the
next operation waits until they have ended, for half a minute.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geats_core.reading.fields import VM_NAME
from geats_host.errors import Busy
from geats_host.linux.descriptors import closing
from geats_host.locks import file_locks

ROOM = "operations"
ORPHANS_S = 30.0
LOOKS_S = 0.01
_held: dict[str, int] = {}


@contextmanager
def operation_lock(run_dir: Path, vm_name: str) -> Iterator[None]:
    """Hold the lock of one VM; ``Busy`` if another process holds it, or another thread.

    The lock is on a file in a directory that only its owner can enter, so that no one else can
    take it or point it elsewhere. The file stays: removing it would race with another process.
    """
    with file_locks.opened(run_dir, ROOM, vm_name) as descriptor:
        try:
            _take(descriptor, vm_name)
            _held[vm_name] = descriptor
            yield
            file_locks.unsign(descriptor)
        finally:
            _held.pop(vm_name, None)


def held(vm_name: str) -> int | None:
    """The descriptor of the lock of a VM that this process holds: a child that has it, holds it."""
    return _held.get(vm_name)


def at_work(run_dir: Path, vm_name: str) -> str:
    """Who holds the lock of a VM, in words; empty if that is this process, or nobody."""
    if vm_name in _held:
        return ""
    try:
        descriptor = os.open(run_dir / ROOM / vm_name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return ""  # nobody ever did, or it is not for this user to know
    with closing(descriptor):
        if file_locks.is_taken(descriptor, fcntl.LOCK_SH):
            return ""
        return f"process {_holder(descriptor) or 'unknown'}"


def wait_for_orphans(run_dir: Path, only: str | None) -> None:
    """Wait for what operations left that were killed: of all VMs, or of one.

    What is seen of their VMs before that would not be true for long.
    """
    try:
        with os.scandir(run_dir / ROOM) as entries:
            cut = [each.path for each in entries if only in (None, each.name) and _is_cut(each)]
    except OSError:
        return  # nothing was ever applied, or it is not for this user to know
    deadline = time.monotonic() + ORPHANS_S
    for path in cut:
        with closing(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)) as descriptor:
            _wait(descriptor, deadline, fcntl.LOCK_SH)


def _is_cut(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a lock whose last holder ended without releasing it."""
    is_lock = VM_NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
    return bool(is_lock) and entry.stat(follow_symlinks=False).st_size > 0


def _take(descriptor: int, vm_name: str) -> None:
    if not _wait(descriptor, time.monotonic() + ORPHANS_S, fcntl.LOCK_EX):
        holder = _holder(descriptor)
        raise Busy(vm_name, f"process {holder or 'unknown'}")
    file_locks.sign(descriptor)


def _wait(descriptor: int, deadline: float, how: int) -> bool:
    """Take the lock, unless a process that is alive holds it: wait for the orphans of one only."""
    while True:
        if file_locks.is_taken(descriptor, how):
            return True
        if _is_alive(_holder(descriptor)) or time.monotonic() > deadline:
            return False
        time.sleep(LOOKS_S)


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 32, 0).decode(errors="replace").strip()


def _is_alive(pid: str) -> bool:
    """Whether the process exists and is no zombie; an unknown one does not."""
    try:
        state = Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()[0]
    except (ValueError, OSError):
        return False
    return state not in "ZX"
