"""What a file or a directory tree holds, as a sha256 that another content never has."""

import hashlib
import os
import stat
from collections.abc import Iterator
from functools import lru_cache

from geats_host.errors import HostError

Identity = tuple[int, ...]
NOT_TEMPLATES = (b"dev",)  # at the top: what is in it is the driver's


def identity_of(found: os.stat_result) -> Identity:
    """Changes with the file."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


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
    """The digest of all that a directory holds: names, kinds, owners, modes, links, content.

    Times do not count, nor what is in its ``dev``. Remembered as long as nothing in it is touched.
    """
    try:
        touched = hashlib.sha256()
        for name, at in _walk(path):
            touched.update(repr((name, identity_of(os.lstat(at)))).encode())
        return _digest_of_tree(path, touched.hexdigest())
    except OSError as error:
        raise HostError(f"{error.filename or path}: {error.strerror}") from None


def devices_in_tree(path: str) -> tuple[str, ...]:
    """The device nodes of a directory, but for those in its ``dev``; raises ``OSError``."""
    return tuple(os.fsdecode(name) for name, at in _walk(path) if _is_device(os.lstat(at).st_mode))


@lru_cache(maxsize=64)
def _digest_of_tree(path: str, _: str) -> str:
    digest = hashlib.sha256()
    first: dict[tuple[int, int], bytes] = {}  # of the names that are hard links to one file
    for name, at in _walk(path):
        found = os.lstat(at)
        same = first.setdefault((found.st_dev, found.st_ino), name)
        what = (name, found.st_mode, found.st_uid, found.st_gid, same, *_content(at, found))
        digest.update(repr((*what, _attributes(at))).encode())
    return digest.hexdigest()


def _content(at: bytes, found: os.stat_result) -> tuple[object, ...]:
    if stat.S_ISLNK(found.st_mode):
        return (os.readlink(at),)
    if not stat.S_ISREG(found.st_mode):
        return (found.st_rdev,)
    descriptor = os.open(at, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        return (hashlib.file_digest(file, "sha256").digest(),)


def _attributes(at: bytes) -> tuple[tuple[str, bytes], ...]:
    names = sorted(os.listxattr(at, follow_symlinks=False))
    return tuple((name, os.getxattr(at, name, follow_symlinks=False)) for name in names)


def _walk(path: str) -> Iterator[tuple[bytes, bytes]]:
    """Every name below *path*, as it is relative to it, and its path; links are not followed."""
    top = os.fsencode(os.path.realpath(path))
    filesystem = os.lstat(top).st_dev

    def below(directory: bytes, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        with os.scandir(directory) as entries:
            found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
        for name, is_directory in found:
            at = os.path.join(directory, name)
            yield prefix + name, at
            if not is_directory or os.lstat(at).st_dev != filesystem:
                continue  # as --one-file-system has it
            if prefix or name not in NOT_TEMPLATES:
                yield from below(at, prefix + name + b"/")

    yield from below(top, b"")


def _is_device(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
