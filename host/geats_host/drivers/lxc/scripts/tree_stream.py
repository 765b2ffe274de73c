"""A tree of files as a stream of bytes: packed at one end of a pipe, unpacked at the other.

It is a part of ``attach_child``, so it imports nothing of geats. Either end may be hostile to the
other: a guest packs what it likes, and changes its tree meanwhile.

- Each entry is a line of JSON: ``path`` from the top (empty: the top itself), ``kind`` (``dir``,
  ``file``, ``link`` or ``end``), ``mode``, ``mtime`` (nanoseconds), and ``to`` of a link.
- The content of a file comes in pieces: four bytes of length, and so many bytes. No bytes are its
  end, ``FAILED`` says that it could not be read: then there is no such file.

Links are copied as links and never followed, what is mounted in the tree is left out, and so is
what is no directory, file or link. A file is there whole or not at all, and one that cannot be
copied stops no other.
"""

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO

PIECE = 1 << 20
FAILED = 2**32 - 1
LONGEST_LINE = 1 << 16
MOST_ENTRIES = 1_000_000
MOST_SECONDS = 2**62  # from 1970, before or after: what the kernel takes as a time
MODE = 0o777  # that a program runs as its owner is nothing that comes along
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
TOO_LARGE = "it is larger than wanted: see max_size"
Wrong = Callable[[str], None]  # gets what is not copied, and why


class Unread(Exception):
    """The other end could not read a file to its end, and said so there."""


class Malformed(Exception):
    """The stream is not what was agreed on, or has more than was wanted."""


def pack(top: int, write: Callable[[bytes], object], wrong: Wrong) -> None:
    """Write the tree below the open directory *top*."""
    device, left = os.fstat(top).st_dev, [""]
    _write_entry(write, "", "dir", os.fstat(top))
    while left:
        folder = left.pop()
        try:
            here = _opened(top, folder.split("/") if folder else [])
        except OSError as error:
            wrong(f"{folder}: {error.strerror}")
            continue
        try:
            for name in sorted(os.listdir(here)):
                path = f"{folder}/{name}".lstrip("/")
                if _packed(here, name, path, device, write, wrong):
                    left.append(path)
        finally:
            os.close(here)
    write(b'{"kind": "end"}\n')


def unpack(
    stream: BinaryIO, top: int, owner: tuple[int, int] | None, most: int, wrong: Wrong
) -> tuple[int, int]:
    """Write the tree below the open directory *top*; how many files that are, and bytes.

    Everything new is *owner*'s, if there is one. ``Malformed`` if there are more than *most* bytes,
    what is said of each file and directory included.
    """
    made: list[tuple[str, int, int]] = []
    files = copied = told = 0
    try:
        for entry, length in _entries(stream):
            told += length
            if told + copied > most:
                raise Malformed(TOO_LARGE)
            pieces = _pieces(stream, most - told - copied) if entry["kind"] == "file" else None
            try:
                if entry["kind"] != "dir":
                    copied += _put(top, entry, pieces, owner)
                    files += pieces is not None
                elif _make(top, entry["path"], owner):
                    made.append((entry["path"], entry["mode"], entry["mtime"]))
            except OSError as error:
                wrong(f"{entry['path']}: {error.strerror}")
                _pass_over(pieces)
            except Unread:
                continue
            except (ValueError, OverflowError):  # a name or a time that there cannot be
                raise Malformed("the copy is malformed") from None
    finally:
        for path, mode, mtime in reversed(made):  # a file that is made changes its directory's time
            with suppress(OSError):
                _finish(top, path, mode, mtime)
    return files, copied


def _packed(
    here: int, name: str, path: str, device: int, write: Callable[[bytes], object], wrong: Wrong
) -> bool:
    """Write one entry; whether it is a directory that comes next."""
    try:
        found = os.stat(name, dir_fd=here, follow_symlinks=False)
        kind = stat.S_IFMT(found.st_mode)
        if found.st_dev != device and kind == stat.S_IFDIR:
            wrong(f"{path}: is mounted there, and left out")
        elif kind == stat.S_IFDIR:
            _write_entry(write, path, "dir", found)
            return True
        elif kind == stat.S_IFLNK:
            _write_entry(write, path, "link", found, os.readlink(name, dir_fd=here))
        elif kind == stat.S_IFREG:
            _write_file(write, path, os.open(name, READ, dir_fd=here), wrong)
        else:
            wrong(f"{path}: is no file, directory or link, and left out")
    except BrokenPipeError:
        raise
    except OSError as error:
        wrong(f"{path}: {error.strerror}")
    return False


def _write_file(write: Callable[[bytes], object], path: str, opened: int, wrong: Wrong) -> None:
    with open(opened, "rb", buffering=0) as file:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "was replaced meanwhile")
        _write_entry(write, path, "file", found)
        try:
            while piece := file.read(PIECE):
                write(len(piece).to_bytes(4, "big") + piece)
        except BrokenPipeError:
            raise
        except OSError as error:
            wrong(f"{path}: {error.strerror}")
            write(FAILED.to_bytes(4, "big"))
        else:
            write(bytes(4))


def _write_entry(
    write: Callable[[bytes], object], path: str, kind: str, found: os.stat_result, to: str = ""
) -> None:
    mode, mtime = stat.S_IMODE(found.st_mode) & MODE, found.st_mtime_ns
    entry = {"path": path, "kind": kind, "mode": mode, "mtime": mtime, "to": to}
    write(json.dumps(entry).encode() + b"\n")


def _entries(stream: BinaryIO) -> Iterator[tuple[dict[str, Any], int]]:
    """Each entry, and how many bytes it is said in."""
    for _ in range(MOST_ENTRIES):
        line = stream.readline(LONGEST_LINE)
        entry = _entry(line)
        if entry["kind"] == "end":
            return
        yield entry, len(line)
    raise Malformed(f"there are more than {MOST_ENTRIES} files")


def _entry(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    match entry:
        case {"kind": "end"}:
            return dict(entry)
        case {
            "kind": "dir" | "file" | "link",
            "path": str(),
            "mode": int(),
            "mtime": int(time),
        } if abs(time) < MOST_SECONDS * 10**9:
            return {**entry, "to": str(entry.get("to", ""))}
        case _:
            raise Malformed("the copy broke off" if not line else "the copy is malformed")


def _pieces(stream: BinaryIO, most: int) -> Iterator[bytes]:
    """The content of a file."""
    while length := int.from_bytes(_exactly(stream, 4), "big"):
        if length == FAILED:
            raise Unread
        most -= length
        if length > PIECE or most < 0:
            raise Malformed(TOO_LARGE)
        yield _exactly(stream, length)


def _pass_over(pieces: Iterator[bytes] | None) -> None:
    with suppress(Unread):
        for _ in pieces or ():
            pass


def _exactly(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) != length:
        raise Malformed("the copy broke off")
    return data


def _names(path: str) -> list[str]:
    names = path.split("/")
    if any(name in ("", ".", "..") or "\0" in name for name in names):
        raise Malformed("a path in the copy leads elsewhere")
    return names


def _opened(top: int, names: list[str]) -> int:
    """The directory that *names* lead to; no link is followed on the way."""
    here = os.open(".", DIRECTORY, dir_fd=top)
    for name in names:
        try:
            below = os.open(name, DIRECTORY, dir_fd=here)
        finally:
            os.close(here)
        here = below
    return here


def _make(top: int, path: str, owner: tuple[int, int] | None) -> bool:
    """Whether the directory is new; one that is there stays as it is."""
    if path == "":
        return False
    names = _names(path)
    parent = _opened(top, names[:-1])
    try:
        try:
            os.mkdir(names[-1], 0o700, dir_fd=parent)
        except FileExistsError:
            os.close(os.open(names[-1], DIRECTORY, dir_fd=parent))
            return False
        if owner:
            os.chown(names[-1], *owner, dir_fd=parent, follow_symlinks=False)
        return True
    finally:
        os.close(parent)


def _put(
    top: int, entry: dict[str, Any], pieces: Iterator[bytes] | None, owner: tuple[int, int] | None
) -> int:
    """Put a file or a link in place, whole; how many bytes it has."""
    names = _names(entry["path"])
    parent, temporary, size = _opened(top, names[:-1]), f".geats-{os.urandom(8).hex()}", 0
    times = (entry["mtime"], entry["mtime"])
    try:
        if pieces is None:
            os.symlink(entry["to"], temporary, dir_fd=parent)
        else:
            opened = os.open(temporary, NEW, 0o600, dir_fd=parent)
            with open(opened, "wb") as file:
                size = sum(file.write(piece) for piece in pieces)
                file.flush()
                if owner:
                    os.fchown(opened, *owner)
                os.fchmod(opened, entry["mode"] & MODE)
        if owner and pieces is None:
            os.chown(temporary, *owner, dir_fd=parent, follow_symlinks=False)
        os.utime(temporary, ns=times, dir_fd=parent, follow_symlinks=False)
        os.rename(temporary, names[-1], src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=parent)
        raise
    finally:
        os.close(parent)
    return size


def _finish(top: int, path: str, mode: int, mtime: int) -> None:
    opened = _opened(top, _names(path))
    try:
        os.fchmod(opened, mode & MODE)
        os.utime(opened, ns=(mtime, mtime))
    finally:
        os.close(opened)
