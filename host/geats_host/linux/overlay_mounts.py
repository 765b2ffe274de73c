"""Overlay and bind mounts, by the system calls for them: no path needs escaping, or is too long.

Theory of operation
-------------------
An unprivileged guest needs ids of its own range on all that it sees. The kernel maps the ids of the
layer below, so that a shared tree of root's shows them; the layer above has them as they are. (It
takes a mapped layer above as well, but then mounts it read-only.) The kernel wants the mapped layer
to be mounted somewhere while it makes the overlay: it is, in a thread's own namespace, on the mount
point. The overlay comes out of there detached, and is attached to the mount point of all.
"""

import ctypes
import errno
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TypeAlias

from geats_core.reading.values import dataclass
from geats_host.linux.descriptors import closing
from geats_host.linux.namespaces import (
    ATTR_RDONLY,
    SYS_MOUNT_SETATTR,
    MountAttr,
    checked,
    in_own_namespace,
)

SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_FSOPEN, SYS_FSCONFIG, SYS_FSMOUNT = 428, 429, 430, 431, 432
OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH = 1, 4  # linux/mount.h
FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC = 1, 1
RENAME_EXCHANGE = 2  # linux/fs.h
OVERLAYFS_SUPER_MAGIC = 0x794C7630  # linux/magic.h
DT_UNKNOWN = 0
FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE = 1, 6
ATTR_IDMAP = 0x100000
AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH = 0x100, 0x1000
UMOUNT_NOFOLLOW = 8

UPPER, WORK, POINT = "upper", "work", "rootfs"
PLAIN: Mapping[str, str] = {"index": "off", "redirect_dir": "off", "metacopy": "off"}

Opened: TypeAlias = Callable[[], AbstractContextManager[int]]

_libc = ctypes.CDLL(None, use_errno=True)


class _Dirent(ctypes.Structure):
    """``struct dirent64``, see readdir(3)."""

    _fields_ = (
        ("ino", ctypes.c_uint64),
        ("off", ctypes.c_int64),
        ("reclen", ctypes.c_uint16),
        ("type", ctypes.c_uint8),
        ("name", ctypes.c_char * 256),
    )


_libc.opendir.restype = ctypes.c_void_p
_libc.readdir64.restype = ctypes.POINTER(_Dirent)


@dataclass(frozen=True, slots=True)
class Layers:
    """An overlay to be made: *lower* and *volume* open directories, opened again at each call.

    *lower* is the tree below. *volume* contains ``upper`` and ``work``, and ``rootfs`` to mount on.
    *ids* is a user namespace; *source* is what the mount table shows as the mount's source.
    """

    lower: Opened
    volume: Opened
    ids: int
    source: str


def is_supported() -> bool:
    """Whether the kernel has overlays, and these system calls; loads what it needs."""
    try:
        with closing(_call(SYS_FSOPEN, b"overlay", FSOPEN_CLOEXEC)):
            return True
    except PermissionError:
        return True  # without permission to mount, it cannot be known
    except OSError:
        return False


def mount_overlay(layers: Layers) -> None:
    """Mount it; raises OSError, also if the kernel would mount it read-only."""
    with closing(in_own_namespace(lambda: _overlay(layers))) as made, layers.volume() as at:
        if os.statvfs(made).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, "the kernel mounts it read-only only, see dmesg")
        _attach(made, at)


def mount_upper(volume: Opened) -> None:
    """Mount ``upper`` itself, with nothing below; raises OSError."""
    with volume() as at:
        flags = OPEN_TREE_CLONE | os.O_CLOEXEC | AT_SYMLINK_NOFOLLOW
        with closing(_call(SYS_OPEN_TREE, at, os.fsencode(UPPER), flags)) as tree:
            _attach(tree, at)


def unmount(at: int) -> None:
    """End the mount in the directory *at*; raises OSError if it is in use."""
    point = os.fsencode(f"/proc/self/fd/{at}/{POINT}")
    checked(_libc.umount2(point, UMOUNT_NOFOLLOW))


def exchange(at: int, one: str, other: str) -> None:
    """Let two names of the directory *at* change places, at once and durably."""
    names = os.fsencode(one), os.fsencode(other)
    checked(_libc.renameat2(at, names[0], at, names[1], RENAME_EXCHANGE))
    os.fsync(at)


def lacks_for_upper_layer(path: Path) -> str:
    """Why the filesystem of a directory cannot contain what is above; empty if it can."""
    if _magic(path) == OVERLAYFS_SUPER_MAGIC:
        return "it is an overlay itself"
    try:
        os.getxattr(path, "trusted.overlay.opaque")
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return "its filesystem has no trusted attributes"
    return "" if _tells_kinds(path) else "its filesystem does not tell the kinds of files (d_type)"


def is_used(at: int) -> bool:
    """Whether some overlay, in any namespace, uses what is above in the directory *at*.

    The kernel says so when it is asked for another one that must not share. What is asked for is
    impossible in any case, so that nothing is mounted or written; it says so in its log.
    """
    here = f"/proc/self/fd/{at}"
    options = {"lowerdir": f"{here}/{POINT}", "upperdir": f"{here}/{UPPER}", "workdir": "/proc"}
    with closing(_call(SYS_FSOPEN, b"overlay", FSOPEN_CLOEXEC)) as context:
        try:
            _create(context, {**options, "index": "on"})
        except OSError as error:
            return error.errno == errno.EBUSY
    return False


def _overlay(layers: Layers) -> int:
    """The overlay, detached; called in a namespace of its own."""
    with (
        layers.lower() as lower,
        layers.volume() as at,
        closing(mapped(lower, layers.ids)) as below,
        closing(_call(SYS_FSOPEN, b"overlay", FSOPEN_CLOEXEC)) as context,
    ):
        _attach(below, at)
        os.fchdir(at)
        options = {"lowerdir": POINT, "upperdir": UPPER, "workdir": WORK}
        _create(context, {"source": layers.source, **options, **PLAIN})
        return _call(SYS_FSMOUNT, context, FSMOUNT_CLOEXEC, 0)


def mapped(tree: int, ids: int) -> int:
    """The tree as a mount, read-only and with its ids mapped."""
    made = _call(SYS_OPEN_TREE, tree, b"", AT_EMPTY_PATH | OPEN_TREE_CLONE | os.O_CLOEXEC)
    attributes = MountAttr(ATTR_RDONLY | ATTR_IDMAP, 0, 0, ids)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    try:
        _call(SYS_MOUNT_SETATTR, made, b"", AT_EMPTY_PATH, ctypes.byref(attributes), size)
    except OSError as error:
        os.close(made)
        reason = "the filesystem, or the kernel, cannot map the ids of the layer below"
        raise OSError(error.errno, f"{reason} ({error.strerror})") from None
    return made


def _create(context: int, options: Mapping[str, str]) -> None:
    """Make the filesystem; if the kernel says why it does not, the error has that."""
    try:
        for key, value in options.items():
            _call(SYS_FSCONFIG, context, FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0)
        _call(SYS_FSCONFIG, context, FSCONFIG_CMD_CREATE, None, None, 0)
    except OSError as error:
        said = ""
        with suppress(OSError):
            said = f" ({os.read(context, 4096).decode(errors='replace').strip()})"
        reason = (
            f"cannot be mounted: {error.strerror}{said}; dmesg may say more (it takes Linux 5.19)"
        )
        raise OSError(error.errno, reason) from None


def _magic(path: Path) -> int:
    """What statfs(2) says of the kind of the filesystem, in the first word of its answer."""
    answer = (ctypes.c_ulong * 64)()
    checked(_libc.statfs(os.fsencode(path), answer))
    return answer[0]


def _tells_kinds(path: Path) -> bool:
    """Whether directories say of what kind each entry is; each has at least that of itself."""
    stream = ctypes.c_void_p(_libc.opendir(os.fsencode(path)))
    if stream.value is None:
        return True  # without permission to read it, it cannot be known
    try:
        entry = _libc.readdir64(stream)
        return not entry or entry.contents.type != DT_UNKNOWN
    finally:
        _libc.closedir(stream)


def _attach(mount: int, at: int) -> None:
    _call(SYS_MOVE_MOUNT, mount, b"", at, os.fsencode(POINT), MOVE_MOUNT_F_EMPTY_PATH)


def _call(number: int, *args: object) -> int:
    return checked(_libc.syscall(number, *args))
