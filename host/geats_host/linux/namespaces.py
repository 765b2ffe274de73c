"""Namespaces: threads with other mounts or another network, and what maps the ids of a mount."""

import ctypes
import os
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TypeVar

from geats_host.errors import HostError
from geats_host.linux.mounts import MOUNTINFO, parsed

T = TypeVar("T")

CLONE_FS, CLONE_NEWNS, CLONE_NEWNET = 0x200, 0x20000, 0x40000000  # linux/sched.h
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000  # linux/mount.h
MNT_DETACH = 2
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV = 1, 2, 4
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
SYS_MOUNT_SETATTR = 442
PR_CAPBSET_DROP, CAP_MKNOD = 24, 27

READY = b"\n"
TIMEOUT_S = 10
_libc = ctypes.CDLL(None, use_errno=True)
_lock = Lock()


class MountAttr(ctypes.Structure):
    """``struct mount_attr``, see mount_setattr(2)."""

    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def writing_only_to(target: Path, work: Callable[[], T]) -> T:
    """Call *work* in a thread whose children can write below *target* and nowhere else.

    The thread has a mount namespace of its own, in which all but *target* is read-only, no device
    node can be opened, no procfs leads into another process's namespace, and hard links cannot
    leave or enter *target*. Its children cannot make device nodes. Memory is shared with the
    caller, so *work* must leave the writing to programs that it runs.
    """
    with ThreadPoolExecutor(max_workers=1) as alone:
        return alone.submit(_confined, target, work).result()


def in_own_namespace(work: Callable[[], T]) -> T:
    """Call *work* in a thread with a mount namespace and a working directory of its own.

    Nobody else sees what it mounts, and it ends with the call, also if that is interrupted. A
    directory that was opened before leads to mounts of the caller, so *work* must open its own.
    """

    def alone() -> T:
        checked(_libc.unshare(CLONE_FS | CLONE_NEWNS))
        checked(_libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
        return work()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(alone).result()


def in_network_of(pid: int, work: Callable[[], T]) -> T:
    """Call *work* in a thread that is in the network namespace of the process *pid*.

    A socket that it opens stays in that. Raises ``OSError`` if the process has ended.
    """

    def there() -> T:
        network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            checked(_libc.setns(network, CLONE_NEWNET))
        finally:
            os.close(network)
        return work()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(there).result()


def sync_filesystem(descriptor: int) -> None:
    """Wait until all that was written to the filesystem of an open file is on disk."""
    checked(_libc.syncfs(descriptor))


def user_namespace(first: int, count: int) -> int:
    """A descriptor of a user namespace whose ids from 0 are those from *first* on the host.

    It is made once, and stays open as long as this process.
    """
    with _lock:
        return _user_namespace(first, count)


def _confined(target: Path, work: Callable[[], T]) -> T:
    where = os.fsencode(os.path.realpath(target))
    try:
        _confine(where)
    except OSError as error:
        raise HostError(f"{target}: cannot be confined: {error.strerror}") from None
    return work()


def _confine(target: bytes) -> None:
    checked(_libc.unshare(CLONE_FS | CLONE_NEWNS))
    checked(_libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
    with MOUNTINFO.open("rb") as mountinfo:
        _set_attributes(b"/", AT_RECURSIVE, add=ATTR_RDONLY | ATTR_NODEV)
        checked(_libc.mount(target, target, None, MS_BIND, None))
        _set_attributes(target, 0, add=ATTR_NOSUID | ATTR_NODEV, remove=ATTR_RDONLY)
        while procs := [mount.point for mount in parsed(mountinfo) if mount.fstype == "proc"]:
            checked(_libc.umount2(os.fsencode(procs[-1]), MNT_DETACH))
    checked(_libc.prctl(PR_CAPBSET_DROP, CAP_MKNOD, 0, 0, 0))


def _set_attributes(path: bytes, flags: int, *, add: int, remove: int = 0) -> None:
    attributes = MountAttr(add, remove, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    checked(_libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, path, flags, ctypes.byref(attributes), size))


def checked(returned: int) -> int:
    """What a call of the C library returned; raises ``OSError`` if that is an error."""
    if returned < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return returned


@lru_cache(maxsize=16)
def _user_namespace(first: int, count: int) -> int:
    """Have a program in it echo a line, so that it is known to be there; then let it end."""
    here, there = socket.socketpair()
    try:
        with there:
            argv, end = ["unshare", "--user", "cat"], there.fileno()
            child = subprocess.Popen(argv, stdin=end, stdout=end, stderr=end)
        with child, here:
            here.settimeout(TIMEOUT_S)
            with suppress(BrokenPipeError):  # then it says why
                here.sendall(READY)
            said = here.recv(4096)
            if said != READY:
                raise HostError(f"cannot make a user namespace: {said.decode(errors='replace')}")
            for ids in ("uid_map", "gid_map"):
                with open(f"/proc/{child.pid}/{ids}", "w") as file:
                    file.write(f"0 {first} {count}\n")
            return os.open(f"/proc/{child.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"cannot make a user namespace: {error.strerror or error}") from None
    finally:
        here.close()
