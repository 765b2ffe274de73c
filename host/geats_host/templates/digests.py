"""What a file or a directory tree contains, as a sha256 that another content never has."""

import hashlib
import os
import stat
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from geats_host.errors import HostError
from geats_host.guest_trees.folders import open_directory
from geats_host.guest_trees.trees import Entry, walk

Identity = tuple[int, ...]
NOT_TEMPLATES = (b"dev",)  # at the top: what is in it is the driver's


def identity_of(found: os.stat_result) -> Identity:
    """Changes with the file."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Touched(NamedTuple):
    """What changes with a file, or with anything in a directory; and when that was last, in ns."""

    identity: str
    last_ns: int


def touched(path: str) -> Touched:
    """Of a file, or of a directory with all that is in it; raises ``OSError``."""
    found = os.stat(path)
    if not stat.S_ISDIR(found.st_mode):
        return Touched(repr(identity_of(found)), found.st_ctime_ns)
    digest, last_ns = hashlib.sha256(), found.st_ctime_ns
    for entry in _walk(path):
        digest.update(repr((entry.path, identity_of(entry.found))).encode())
        last_ns = max(last_ns, entry.found.st_ctime_ns)
    return Touched(digest.hexdigest(), last_ns)


def sha256_of(path: str) -> str:
    """The digest of a file's content, remembered for as long as the file is not touched."""
    try:
        return _sha256_of_file(path, identity_of(os.stat(path)))
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from None


@lru_cache(maxsize=256)
def _sha256_of_file(path: str, _: Identity) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_tree(path: str) -> str:
    """The digest of all that a directory contains: names, kinds, owners, modes, links, content.

    Times do not count, nor what is in its ``dev``. Remembered as long as nothing in it is touched.
    """
    try:
        return _digest_of_tree(path, touched(path).identity)
    except OSError as error:
        raise HostError(f"{error.filename or path}: {error.strerror}") from None


def devices_in_tree(path: str) -> tuple[str, ...]:
    """The device nodes of a directory, except those in its ``dev``; raises ``OSError``."""
    return tuple(os.fsdecode(each.path) for each in _walk(path) if _is_device(each.found.st_mode))


@lru_cache(maxsize=64)
def _digest_of_tree(path: str, _: str) -> str:
    digest = hashlib.sha256()
    first: dict[tuple[int, int], bytes] = {}  # of the names that are hard links to one file
    for entry in _walk(path):
        name, found = entry.path, entry.found
        same = first.setdefault((found.st_dev, found.st_ino), name)
        what = (name, found.st_mode, found.st_uid, found.st_gid, same, *_content(entry))
        digest.update(repr((*what, _attributes(entry))).encode())
    return digest.hexdigest()


def _content(entry: Entry) -> tuple[object, ...]:
    mode = entry.found.st_mode
    if stat.S_ISLNK(mode):
        return (os.fsencode(os.readlink(entry.name, dir_fd=entry.parent)),)
    if not stat.S_ISREG(mode):
        return (entry.found.st_rdev,)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(entry.name, flags, dir_fd=entry.parent)
    with open(descriptor, "rb") as file:
        return (hashlib.file_digest(file, "sha256").digest(),)


def _attributes(entry: Entry) -> tuple[tuple[str, bytes], ...]:
    at = f"/proc/self/fd/{entry.parent}/{entry.name}"
    names = sorted(os.listxattr(at, follow_symlinks=False))
    return tuple((name, os.getxattr(at, name, follow_symlinks=False)) for name in names)


def _walk(path: str) -> Iterator[Entry]:
    """Every name below *path*, as --one-file-system has it; links are not followed."""
    with open_directory(path) as top:
        filesystem = os.fstat(top).st_dev

        def is_entered(entry: Entry) -> bool:
            return entry.found.st_dev == filesystem and entry.path not in NOT_TEMPLATES

        yield from walk(top, is_entered)


def _is_device(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
