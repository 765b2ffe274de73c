"""Trees that a guest wrote: walked, emptied and removed, however deep; see ``tree_copies``.

Theory of operation
-------------------
A guest makes paths that no system call takes, moves directories while they are walked, and puts
links in their place. So each directory is opened by one name in the open one above, where a link is
none, and nothing that is mounted is entered. Nothing here calls itself: a ``Descent`` remembers the
way it came as names, and keeps a few of the last directories open; it goes up to others by "..",
which has to lead to the directory that it came down from.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from geats_host.guest_trees.guest_files import openat2

KEPT_OPEN = 8
RESOLVE_NO_XDEV, RESOLVE_NO_SYMLINKS = 0x01, 0x04  # linux/openat2.h
WITHIN = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # waits for nobody at a FIFO
NO_DIRECTORY = (errno.ENOTDIR, errno.ELOOP)
SHOWN_NAMES = 4  # of those that lead to what an error is about, at either end
TRIES = 100  # of emptying directories that are written to meanwhile

Identity = tuple[int, int]
Special = Callable[[str, int], bool]


def _none_is_special(_name: str, _parent: int) -> bool:
    return False


class _Level(NamedTuple):
    """A directory on the way: its name in the one above, and its descriptor if that is open."""

    name: str
    identity: Identity
    descriptor: int | None


@dataclass(slots=True)
class Descent:
    """The way from the open directory *top* to one below it; *top* stays the caller's to close.

    *resolve* are flags of openat2(2): whether what is mounted on a directory may be entered.
    """

    top: int
    resolve: int = WITHIN
    levels: list[_Level] = field(init=False)

    def __post_init__(self) -> None:
        self.levels = [_Level("", _identity(self.top), os.dup(self.top))]

    @property
    def here(self) -> int:
        """The directory that the way leads to, open until the next step."""
        descriptor = self.levels[-1].descriptor
        assert descriptor is not None
        return descriptor

    def down(self, name: str) -> None:
        """Go into a directory; ``OSError`` if it is none, a link, or mounted."""
        opened = openat2(self.here, name, DIRECTORY, self.resolve)
        self.levels.append(_Level(name, _identity(opened), opened))
        self._close(len(self.levels) - 1 - KEPT_OPEN)

    def up(self) -> str:
        """Go back to the directory above; the name of the one that was left."""
        above = self.levels[-2]
        if above.descriptor is None:
            self.levels[-2] = above._replace(descriptor=self._opened_above(above.identity))
        self._close(len(self.levels) - 1)
        return self.levels.pop().name

    def shown(self, name: str = "") -> str:
        """Where that is, for people: from *top*, and with what is between if that is not much."""
        names = [*(level.name for level in self.levels[1:]), name]
        if len(names) > 2 * SHOWN_NAMES:
            left_out = f"[{len(names) - 2 * SHOWN_NAMES} more]"
            names = [*names[:SHOWN_NAMES], left_out, *names[-SHOWN_NAMES:]]
        return "/".join(names).rstrip("/")

    def close(self) -> None:
        """Close what is open."""
        for index in range(len(self.levels)):
            self._close(index)

    def __enter__(self) -> "Descent":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened_above(self, identity: Identity) -> int:
        with suppress(FileNotFoundError):  # removed meanwhile
            opened = os.open("..", DIRECTORY, dir_fd=self.here)
            if _identity(opened) == identity:
                return opened
            os.close(opened)
        raise OSError(errno.ESTALE, "was moved meanwhile", self.shown())

    def _close(self, index: int) -> None:
        if index >= 0 and (descriptor := self.levels[index].descriptor) is not None:
            self.levels[index] = self.levels[index]._replace(descriptor=None)
            os.close(descriptor)


class Entry(NamedTuple):
    """One name in a tree: ``name`` in the open directory ``parent``; ``path`` is from the top."""

    path: bytes
    parent: int
    name: str
    found: os.stat_result

    @property
    def is_directory(self) -> bool:
        """Whether it is a real one."""
        return stat.S_ISDIR(self.found.st_mode)


def walk(top: int, enter: Callable[[Entry], bool]) -> Iterator[Entry]:
    """Every name below the open directory *top*, each directory before what is in it, by name.

    Those directories are entered that *enter* says yes to, mounted or not. What goes away meanwhile
    is left out.
    """
    with Descent(top, RESOLVE_NO_SYMLINKS) as way:
        left, prefix = [_names(way)], b""
        while left:
            if not left[-1]:
                left.pop()
                if left:
                    prefix = prefix[: -len(os.fsencode(way.up())) - 1]
                continue
            name = left[-1].pop()
            found = _found(name, way.here)
            if found is None:
                continue
            entry = Entry(prefix + os.fsencode(name), way.here, name, found)
            yield entry
            if entry.is_directory and enter(entry) and _entered(way, name):
                left.append(_names(way))
                prefix = entry.path + b"/"


def bytes_of_files(top: int, *, by_name: bool = False) -> int:
    """How long all files below the open directory *top* are together, on its filesystem only.

    A file that has several names counts once, or *by_name* for each.
    """
    device, links, total = os.fstat(top).st_dev, set[int](), 0
    for entry in walk(top, lambda entry: entry.found.st_dev == device):
        found = entry.found
        if stat.S_ISREG(found.st_mode) and found.st_ino not in links:
            total += found.st_size
            if found.st_nlink > 1 and not by_name:
                links.add(found.st_ino)
    return total


def empty(top: int, special: Special = _none_is_special) -> None:
    """Remove all that is in the open directory *top*; ``OSError`` if something is mounted in it.

    *special* is asked first about each directory, by its name in an open one: one that it has
    removed is done with.
    """
    for _ in range(TRIES):
        with Descent(top) as way:
            try:
                return _empty(way, special)
            except OSError as error:
                if error.errno != errno.ESTALE:
                    name = error.filename if isinstance(error.filename, str) else ""
                    raise OSError(error.errno, error.strerror, way.shown(name)) from None
    raise OSError(errno.ESTALE, "directories are moved again and again meanwhile")


def remove(name: str, parent: int, special: Special = _none_is_special) -> None:
    """Remove whatever has that name in the open directory *parent*, and all in it; see ``empty``.

    ``FileNotFoundError`` if there is nothing.
    """
    try:
        directory = openat2(parent, name, DIRECTORY, WITHIN)
    except OSError as error:
        if error.errno not in NO_DIRECTORY:
            raise
        os.unlink(name, dir_fd=parent)
        return
    try:
        if special(name, parent):
            return
        empty(directory, special)
    except OSError as error:
        below = f"/{error.filename}" if error.filename else ""
        raise OSError(error.errno, error.strerror, f"{name}{below}") from None
    finally:
        os.close(directory)
    os.rmdir(name, dir_fd=parent)


def _empty(way: Descent, special: Special) -> None:
    """Each directory is done with when it is empty; one that is written to is read again."""
    left, tries = [_directories_left(way)], TRIES
    while True:
        if left[-1]:
            name = left[-1][-1]
            if special(name, way.here) or not _went_down(way, name):
                left[-1].pop()
            else:
                left.append(_directories_left(way))
            continue
        left.pop()
        if not left:
            return
        name = way.up()
        if _removed(name, way.here):
            left[-1].pop()
            continue
        tries -= 1
        if not tries:
            raise OSError(errno.ENOTEMPTY, "is written to again and again meanwhile", name)


def _removed(name: str, parent: int) -> bool:
    """Remove an empty directory, unless it is not empty any more."""
    try:
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        return False
    return True


def _directories_left(way: Descent) -> list[str]:
    """Unlink all else that is in a directory."""
    directories = []
    with os.scandir(way.here) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) or not _unlinked(entry.name, way.here):
                directories.append(entry.name)
    return directories


def _unlinked(name: str, parent: int) -> bool:
    """Unlink it, unless it is a directory by now."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        return False
    return True


def _went_down(way: Descent, name: str) -> bool:
    """Go into a directory; one that is something else by now is unlinked."""
    for _ in range(TRIES):
        try:
            way.down(name)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno not in NO_DIRECTORY:
                raise
            if _unlinked(name, way.here):
                return False
        else:
            return True
    raise OSError(errno.ESTALE, "is another thing again and again meanwhile", name)


def _entered(way: Descent, name: str) -> bool:
    try:
        way.down(name)
    except OSError as error:
        if error.errno not in (errno.ENOENT, *NO_DIRECTORY):
            raise
        return False
    return True


def _found(name: str, parent: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _names(way: Descent) -> list[str]:
    """Those in a directory, the first one last."""
    return sorted(os.listdir(way.here), key=os.fsencode, reverse=True)


def _identity(directory: int) -> Identity:
    found = os.fstat(directory)
    return (found.st_dev, found.st_ino)
