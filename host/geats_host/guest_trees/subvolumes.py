"""Subvolumes of btrfs, with those that a guest made in them: made, kept, removed, limited.

Each is named in an open directory. btrfs itself keeps and removes one at a time, and leaves an
empty directory in place of each subvolume within; here a subvolume is what a user sees: the whole
tree. A subvolume within is reached name by name, never through a symbolic link, since the guest may
be at work. See btrfs-ioctl(2) and linux/btrfs.h. The calls wait for a commit of the filesystem,
without holding other threads up.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TypeAlias

from geats_host.guest_trees import trees
from geats_host.guest_trees.folders import open_directory
from geats_host.guest_trees.guest_files import openat2

Path: TypeAlias = tuple[str, ...]  # the names on the way from a subvolume to one within

WRITE, READ = 1, 2  # linux/ioctl.h
PAGE = 4096
TOP_INODE = 256  # BTRFS_FIRST_FREE_OBJECTID: what the top of every subvolume has
NAME_AT, NAME_V2_AT = 8, 56  # where the name is in the two kinds of arguments
FLAGS_V2_AT = 16
READ_ONLY = 2  # BTRFS_SUBVOL_RDONLY
REFERENCES = 255
LOOKUP_NAME, LOOKUP_PATH = slice(16, 272), slice(272, PAGE)
QUOTA_ENABLE, LIMIT_REFERENCED = 1, 1

_libc = ctypes.CDLL(None, use_errno=True)


def _code(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | 0x94 << 8 | number


SUBVOL_CREATE = _code(WRITE, 14, PAGE)
SNAP_DESTROY = _code(WRITE, 15, PAGE)
SNAP_CREATE_V2 = _code(WRITE, 23, PAGE)
SUBVOL_SETFLAGS = _code(WRITE, 26, 8)
QUOTA_CTL = _code(WRITE | READ, 40, 16)
QGROUP_LIMIT = _code(READ, 43, 48)
GET_SUBVOL_ROOTREF = _code(WRITE | READ, 61, PAGE)
INO_LOOKUP_USER = _code(WRITE | READ, 62, PAGE)


def create(name: str, at: int) -> None:
    """Make an empty subvolume, for all to pass, whatever the umask."""
    _call(at, SUBVOL_CREATE, _arguments(NAME_AT, name))
    with open_directory(name, at) as made:
        os.fchmod(made, 0o755)


def snapshot(source: int, name: str, at: int, *, read_only: bool) -> None:
    """Make a subvolume with the content of *source*; an interruption leaves a part of it."""
    within = any(_within(source))
    arguments = _arguments(NAME_V2_AT, name)
    struct.pack_into("=q", arguments, 0, source)
    if read_only and not within:
        struct.pack_into("=Q", arguments, FLAGS_V2_AT, READ_ONLY)
    _call(at, SNAP_CREATE_V2, arguments)
    if within:
        with open_directory(name, at) as made:
            _snapshot_within(source, made)
            if read_only:
                _set_flags(made, READ_ONLY)


def remove(name: str, at: int) -> None:
    """Remove whatever has that name, and all in it: a subvolume, a directory, a file, nothing."""
    with suppress(FileNotFoundError):
        trees.remove(name, at, removed_as_subvolume)


def removed_as_subvolume(name: str, at: int) -> bool:
    """Remove a directory if it is a subvolume; whether it was one."""
    try:
        found = os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if found.st_ino != TOP_INODE or found.st_dev == os.fstat(at).st_dev:
        return False
    os.close(openat2(at, name, trees.DIRECTORY, trees.WITHIN))  # what is mounted is left alone
    _remove_subvolume(name, at)
    return True


def limit(subvolume: int, size_bytes: int) -> None:
    """Limit its size; turns the filesystem's quotas on if they are not."""
    arguments = _buffer(struct.pack("=QQQQQQ", 0, LIMIT_REFERENCED, size_bytes, 0, 0, 0))
    try:
        _call(subvolume, QGROUP_LIMIT, arguments)
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise
        _call(subvolume, QUOTA_CTL, _buffer(struct.pack("=QQ", QUOTA_ENABLE, 0)))
        _call(subvolume, QGROUP_LIMIT, arguments)


def _snapshot_within(source: int, made: int) -> None:
    """Put a snapshot in each place where btrfs left an empty directory."""
    left: list[Path] = [()]
    while left:
        above = left.pop()
        with _walk(source, above) as directory:
            below = [(*above, *path) for path in _within(directory)]
        for path in below:
            with suppress(FileNotFoundError):  # made or removed meanwhile
                with _walk(source, path) as one, _walk(made, path[:-1]) as parent:
                    os.rmdir(path[-1], dir_fd=parent)
                    arguments = _arguments(NAME_V2_AT, path[-1])
                    struct.pack_into("=q", arguments, 0, one)
                    _call(parent, SNAP_CREATE_V2, arguments)
                left.append(path)


def _remove_subvolume(name: str, at: int) -> None:
    """From the innermost on. However deep they are, two are open at a time."""
    while True:
        parent, leaf, is_top = os.dup(at), name, True
        try:
            while path := _first_within(leaf, parent):
                with _walk(parent, (leaf, *path[:-1])) as above:
                    inner = os.dup(above)
                os.close(parent)
                parent, leaf, is_top = inner, path[-1], False
            _call(parent, SNAP_DESTROY, _arguments(NAME_AT, leaf))
        finally:
            os.close(parent)
        if is_top:
            return


def _first_within(name: str, at: int) -> Path:
    """The way to a subvolume within, which then can be removed; empty if there is none."""
    with open_directory(name, at) as subvolume:
        first = next(_within(subvolume), ())
        if first:
            _set_flags(subvolume, 0)
        return first


def _within(subvolume: int) -> Iterator[Path]:
    """The way to each subvolume that is in this one, and in no other between."""
    lowest = 0
    while True:
        references = _buffer(struct.pack("=Q", lowest))
        more = _call(subvolume, GET_SUBVOL_ROOTREF, references, allowed=errno.EOVERFLOW)
        for index in range(references.raw[PAGE - 8]):
            tree, directory = struct.unpack_from("=QQ", references, 8 + 16 * index)
            with suppress(FileNotFoundError):  # removed meanwhile
                yield _way(subvolume, tree, directory)
            lowest = tree + 1
        if not more:
            return


def _way(subvolume: int, tree: int, directory: int) -> Path:
    arguments = _buffer(struct.pack("=QQ", directory, tree))
    _call(subvolume, INO_LOOKUP_USER, arguments)
    names = (arguments.raw[LOOKUP_PATH], arguments.raw[LOOKUP_NAME])
    folders, name = (os.fsdecode(raw.partition(b"\0")[0]) for raw in names)
    return (*filter(None, folders.split("/")), name)


@contextmanager
def _walk(start: int, names: Path) -> Iterator[int]:
    """The directory that is reached by *names*, none of which may be a symbolic link."""
    here = os.dup(start)
    try:
        for name in names:
            with open_directory(name, here) as opened:
                above, here = here, os.dup(opened)
                os.close(above)
        yield here
    finally:
        os.close(here)


def _set_flags(subvolume: int, flags: int) -> None:
    _call(subvolume, SUBVOL_SETFLAGS, _buffer(struct.pack("=Q", flags)))


def _buffer(start: bytes) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(start, PAGE)


def _arguments(name_at: int, name: str) -> ctypes.Array[ctypes.c_char]:
    return _buffer(bytes(name_at) + os.fsencode(name))


def _call(
    at: int, code: int, arguments: ctypes.Array[ctypes.c_char], *, allowed: int | None = None
) -> bool:
    """Whether it ended with the error *allowed*; any other is raised."""
    if _libc.ioctl(at, ctypes.c_ulong(code), arguments) >= 0:
        return False
    failed = ctypes.get_errno()
    if failed != allowed:
        raise OSError(failed, os.strerror(failed))
    return True
