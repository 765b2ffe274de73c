"""Copies of trees that a guest wrote, on the same host: everything that cp(1) --archive keeps, but
safely.

Each entry is reached as in ``trees``. cp uses paths, which a guest can make longer than cp accepts,
and it would follow links in them. Content is shared if the filesystem supports it (reflinks), and
holes stay holes.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from geats_host.guest_trees.guest_files import openat2
from geats_host.guest_trees.reflinks import FICLONE
from geats_host.guest_trees.trees import READ, WITHIN, Descent
from geats_host.linux.descriptors import closing
from geats_host.linux.namespaces import sync_filesystem
from geats_host.streams.meters import uncounted

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
SENT_AT_ONCE = 1 << 26  # bytes, which are counted then
KEPT_ATTRIBUTES = ("user.", "trusted.", "security.", "system.posix_acl_")


class _Place(NamedTuple):
    """A name in the copy; the chain of those above is the way to it."""

    above: "_Place | None"
    name: str


def copy(source: int, target: int, moved: Callable[[int], None] = uncounted) -> None:
    """Copy *source* into the empty directory *target*, durably; both are open.

    Nobody else writes to *target* meanwhile. What is mounted in *source* is left out. *moved* is
    told of bytes of files. Raises ``OSError`` with the place in the tree.
    """
    with Descent(source) as from_, Descent(target) as to:
        try:
            _Copying(from_, to, moved).run()
        except OSError as error:
            name = error.filename if isinstance(error.filename, str) else ""
            raise OSError(error.errno, error.strerror, from_.shown(name)) from None
    sync_filesystem(target)


@dataclass(slots=True)
class _Copying:
    """Goes down both trees in step; *place* is that of the directory where it is."""

    source: Descent
    target: Descent
    moved: Callable[[int], None]
    place: _Place | None = None
    links: dict[tuple[int, int], _Place] = field(default_factory=dict)

    def run(self) -> None:
        left = [os.listdir(self.source.here)]
        while True:
            if left[-1]:
                if self._is_entered(left[-1].pop()):
                    left.append(os.listdir(self.source.here))
                continue
            left.pop()
            _keep(os.fstat(self.source.here), self.source.here, self.target.here)
            if self.place is None:
                return
            self.source.up()
            self.target.up()
            self.place = self.place.above

    def _is_entered(self, name: str) -> bool:
        """Copy what has that name; or, if it is a directory, enter it."""
        try:
            found = os.stat(name, dir_fd=self.source.here, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                return self._entered(name, found)
            if not self._is_linked(name, found):
                self._copy(name, found)
        except OSError as error:
            raise OSError(error.errno, error.strerror, name) from None
        return False

    def _entered(self, name: str, found: os.stat_result) -> bool:
        os.mkdir(name, 0o700, dir_fd=self.target.here)
        try:
            self.source.down(name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _keep(found, _path(self.source, name), _path(self.target, name))
            return False
        self.target.down(name)
        self.place = _Place(self.place, name)
        return True

    def _is_linked(self, name: str, found: os.stat_result) -> bool:
        """Whether it is one more name of what was copied already, as which it was made."""
        if found.st_nlink == 1:
            return False
        identity = (found.st_dev, found.st_ino)
        known, self.links[identity] = self.links.get(identity), _Place(self.place, name)
        if known is None:
            return False
        with Descent(self.target.top) as way:
            for above in () if known.above is self.place else _names(known.above):
                way.down(above)
            there = self.target.here if known.above is self.place else way.here
            to = self.target.here
            os.link(known.name, name, src_dir_fd=there, dst_dir_fd=to, follow_symlinks=False)
        return True

    def _copy(self, name: str, found: os.stat_result) -> None:
        if stat.S_ISREG(found.st_mode):
            self._copy_file(name)
            return
        if stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(name, dir_fd=self.source.here), name, dir_fd=self.target.here)
        else:
            os.mknod(name, found.st_mode, found.st_rdev, dir_fd=self.target.here)
        _keep(found, _path(self.source, name), _path(self.target, name))

    def _copy_file(self, name: str) -> None:
        with (
            closing(openat2(self.source.here, name, READ, WITHIN)) as source,
            closing(os.open(name, NEW, 0o600, dir_fd=self.target.here)) as target,
        ):
            found = os.fstat(source)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.ESTALE, "was replaced meanwhile")
            if found.st_size:
                _copy_content(source, target, found.st_size, self.moved)
            _keep(found, source, target)


def _copy_content(source: int, target: int, size_bytes: int, moved: Callable[[int], None]) -> None:
    with suppress(OSError):  # not on this filesystem
        fcntl.ioctl(target, FICLONE, source)
        moved(size_bytes)
        return
    os.ftruncate(target, size_bytes)
    at = 0
    for start, end in _data(source):
        moved(start - at)  # a hole
        at = start
        os.lseek(target, at, os.SEEK_SET)
        while at < end and (sent := os.sendfile(target, source, at, min(end - at, SENT_AT_ONCE))):
            at += sent
            moved(sent)
    moved(size_bytes - at)


def _data(file: int) -> Iterator[tuple[int, int]]:
    """Where a file has no holes."""
    end = 0
    while True:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return
        end = os.lseek(file, start, os.SEEK_HOLE)
        yield start, end


def _keep(found: os.stat_result, source: int | str, target: int | str) -> None:
    """Give *target* the owner, attributes, mode and times of *source*, in an order that lasts."""
    follow = isinstance(target, int)
    os.chown(target, found.st_uid, found.st_gid, follow_symlinks=follow)
    for name in os.listxattr(source, follow_symlinks=follow):
        if name.startswith(KEPT_ATTRIBUTES):
            value = os.getxattr(source, name, follow_symlinks=follow)
            os.setxattr(target, name, value, follow_symlinks=follow)
    if not stat.S_ISLNK(found.st_mode):
        os.chmod(target, stat.S_IMODE(found.st_mode))
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=follow)


def _path(way: Descent, name: str) -> str:
    """For calls that take no directory: a name in the open one."""
    return f"/proc/self/fd/{way.here}/{name}"


def _names(place: _Place | None) -> list[str]:
    names = []
    while place is not None:
        names.append(place.name)
        place = place.above
    return names[::-1]
