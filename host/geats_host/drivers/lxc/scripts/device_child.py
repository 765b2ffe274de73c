"""A device of the host put into the ``/dev`` of a guest that runs, or taken out of it.

It is run as a script: ``python -I -S device_child.py PID attach TARGET SOURCE``, or ``PID detach
TARGET``. PID is the guest's init. The exit code is 0 if it is done, or was done already; if not,
the reason is on standard error.

Theory of operation
-------------------
A mount of the device alone is made outside, and moved into the guest's mount namespace, in which
this process then is. The guest may change its tree at any time: no symbolic link is followed, and
what is made there belongs to who owns ``/dev``, as the kernel takes no others in a filesystem of a
user namespace.
"""

import ctypes
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

SYS_OPEN_TREE, SYS_MOVE_MOUNT = 428, 429
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC  # linux/mount.h
MOVE_EMPTY_PATHS = 0x04 | 0x40  # MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH
AT_FDCWD, CLONE_NEWNS = -100, 0x20000
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
libc = ctypes.CDLL(None, use_errno=True)


def main(argv: Sequence[str]) -> int:
    """Do what *argv* asks for."""
    pid, action, target, *source = argv
    tree = -1
    if action == "attach":
        flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
        tree = _check(libc.syscall(SYS_OPEN_TREE, AT_FDCWD, os.fsencode(source[0]), flags))
    with open(f"/proc/{pid}/ns/mnt", "rb") as namespace:
        _check(libc.setns(namespace.fileno(), CLONE_NEWNS))
    os.chdir("/")
    *above, name = target.strip("/").split("/")
    if action == "attach":
        _attach(tree, _entered(above, make=True), name)
    else:
        _detach(_entered(above, make=False), name)
    return 0


def _entered(names: Sequence[str], *, make: bool) -> int:
    """The directory that the *names* lead to, from the guest's root; made where it is absent."""
    here = os.open("/", DIRECTORY)
    owner = os.stat("/dev", follow_symlinks=False)
    for name in names:
        if make and not _is_there(name, here):
            with _as(owner):
                os.mkdir(name, 0o755, dir_fd=here)
        here = os.open(name, DIRECTORY, dir_fd=here)
    return here


def _attach(tree: int, parent: int, name: str) -> None:
    wanted = os.fstat(tree)
    if _is_there(name, parent):
        seen = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if (seen.st_dev, seen.st_ino) == (wanted.st_dev, wanted.st_ino):
            return  # by an earlier try
    else:
        owner = os.stat("/dev", follow_symlinks=False)
        with _as(owner):
            _make(parent, name, directory=stat.S_ISDIR(wanted.st_mode))
    target = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    if stat.S_ISLNK(os.fstat(target).st_mode):
        raise OSError(f"{name} is a symbolic link")
    _check(libc.syscall(SYS_MOVE_MOUNT, tree, b"", target, b"", MOVE_EMPTY_PATHS))


def _detach(parent: int, name: str) -> None:
    """What was made for it goes too, if it is empty."""
    os.fchdir(parent)
    if not _is_there(name, parent):
        return
    libc.umount2(os.fsencode(name), MNT_DETACH | UMOUNT_NOFOLLOW)  # or it is done
    seen = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if stat.S_ISDIR(seen.st_mode):
        os.rmdir(name, dir_fd=parent)
    elif stat.S_ISREG(seen.st_mode) and not seen.st_size:
        os.unlink(name, dir_fd=parent)


def _is_there(name: str, parent: int) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _as(owner: os.stat_result) -> Iterator[None]:
    """What is made meanwhile belongs to the owner, whose rights it takes."""
    libc.setfsgid(owner.st_gid)
    libc.setfsuid(owner.st_uid)
    try:
        yield
    finally:
        libc.setfsuid(0)
        libc.setfsgid(0)


def _check(returned: int) -> int:
    if returned < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return returned


def _make(parent: int, name: str, *, directory: bool) -> None:
    if directory:
        os.mkdir(name, 0o755, dir_fd=parent)
    else:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=parent))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except OSError as error:
        sys.exit(f"{error.filename or ''}: {error.strerror or error}".removeprefix(": "))
