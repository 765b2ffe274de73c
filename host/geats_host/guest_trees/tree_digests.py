"""A tree that a guest wrote, as one number: equal if two trees are, in all that a copy keeps.

Each entry is reached as in ``trees``, and the names are taken in one order.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Container
from dataclasses import dataclass, field

from geats_host.guest_trees.guest_files import openat2
from geats_host.guest_trees.trees import READ, WITHIN, Descent
from geats_host.linux.descriptors import closing
from geats_host.streams.meters import uncounted

CHUNK_BYTES = 1 << 20
KEPT_ATTRIBUTES = ("user.", "trusted.", "security.", "system.posix_acl_")
WITH_IDS = frozenset({"security.capability", "system.posix_acl_access", "system.posix_acl_default"})


@dataclass(frozen=True, slots=True)
class _Sum:
    """What is added up, and how; see ``digest``."""

    shifted_by: int
    ignored: Container[str]
    moved: Callable[[int], None]
    sum: "hashlib._Hash" = field(default_factory=hashlib.sha256)


def digest(
    tree: int,
    shifted_by: int = 0,
    ignored: Container[str] = (),
    moved: Callable[[int], None] = uncounted,
) -> str:
    """The sha256 of all below the open directory *tree*, and of what is said of each of it.

    Owners are told without *shifted_by*; attributes that are *ignored* are left out, and sockets.
    *moved* is told of bytes of files. Raises ``OSError`` with the place in the tree.
    """
    sum_ = _Sum(shifted_by, ignored, moved)
    with Descent(tree) as way:
        left = [_names(way)]
        _add(sum_, way, ".", os.fstat(tree))
        while left:
            if not left[-1]:
                left.pop()
                sum_.sum.update(b"up\n")
                if left:
                    way.up()
                continue
            name = left[-1].pop()
            found = os.stat(name, dir_fd=way.here, follow_symlinks=False)
            if stat.S_ISSOCK(found.st_mode):
                continue
            _add(sum_, way, name, found)
            if stat.S_ISDIR(found.st_mode):
                way.down(name)
                left.append(_names(way))
    return sum_.sum.hexdigest()


def _names(way: Descent) -> list[str]:
    return sorted(os.listdir(way.here), reverse=True)


def _add(sum_: _Sum, way: Descent, name: str, found: os.stat_result) -> None:
    is_link, is_file = stat.S_ISLNK(found.st_mode), stat.S_ISREG(found.st_mode)
    by = sum_.shifted_by
    path = f"/proc/self/fd/{way.here}/{name}"
    attributes = [
        (each, os.getxattr(path, each, follow_symlinks=False))
        for each in sorted(os.listxattr(path, follow_symlinks=False))
        if each.startswith(KEPT_ATTRIBUTES) and each not in sum_.ignored
    ]
    said = (
        os.fsencode(name),
        *(found.st_mode, found.st_uid - by, found.st_gid - by, found.st_rdev),
        os.fsencode(os.readlink(name, dir_fd=way.here)) if is_link else b"",
        *((found.st_size, found.st_mtime_ns) if is_file else ()),
        attributes,
    )
    sum_.sum.update(f"{said!r}\n".encode())
    if is_file:
        with closing(openat2(way.here, name, READ, WITHIN)) as file:
            while chunk := os.read(file, CHUNK_BYTES):
                sum_.sum.update(chunk)
                sum_.moved(len(chunk))
