"""Whole directories, copied into a VM and out of it.

A file that cannot be copied stops no other: it is told at the end. Each file is there whole or not
at all.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from geats_core.reading import fields, mappings
from geats_core.reading.checked import Problem
from geats_core.reading.fields import printable
from geats_core.reading.mappings import Options
from geats_core.requests.guest_requests import parse_file_to_read, parse_file_to_write
from geats_host.calls.guests import files
from geats_host.calls.guests.files import pulling
from geats_host.calls.guests.reached import reached
from geats_host.drivers import Copied
from geats_host.drivers.lxc.scripts import tree_stream
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.linux.descriptors import closing
from geats_host.storage import VolumeId
from geats_host.streams.pipes import write_all

MOST_COMPLAINTS = 100


def push(
    host: Host, name: str, source: object, path: object, options: Options
) -> tuple[object, Copied]:
    """Copy a file or a directory of the host to *path* of the VM, or into it if it ends with "/".

    Returns where it is then. See ``push_tree``, and ``files.push`` for one file.
    """
    at = path
    if isinstance(source, str) and isinstance(path, str) and path.endswith("/"):
        at = f"{path}{os.path.basename(source.rstrip('/'))}"
    if isinstance(source, str) and source.startswith("/") and os.path.isdir(source):
        return at, push_tree(host, name, source, at, options)
    size_bytes = files.push(host, name, source, at, options)
    return at, Copied(files=1, size_bytes=size_bytes, is_tree=False)


def pull(
    host: Host, name: str, path: object, target: object, options: Options
) -> tuple[object, Copied]:
    """Copy a file or a directory of the VM to *target*, or into it if it is a directory.

    Returns where it is then. See ``pull_tree``, and ``files.pull`` for one file.
    """
    at = target
    if isinstance(path, str) and isinstance(target, str) and os.path.isdir(target):
        at = os.path.join(target, os.path.basename(path.rstrip("/")))
    done = pull_tree(host, name, path, at, options)
    if done.is_tree:
        return at, done
    size_bytes = files.pull(host, name, path, at, options)
    return at, replace(done, files=1, size_bytes=size_bytes)


def push_tree(host: Host, name: str, source: object, path: object, options: Options) -> Copied:
    """Copy what is in the directory *source* of the host to the directory *path* of the VM.

    *options* may have ``owner``, ``group`` and ``timeout``. Modes and times are kept; links are
    copied as links.
    """
    read = mappings.options({"source": source})
    from_host = read.need("source", fields.absolute_path, "/")
    wanted = read.keep(parse_file_to_write(path, options), None)
    if options.get("mode") is not None:
        read.problems.append(Problem("mode", "is for a file: those of a directory are kept"))
    if wanted is None or read.problems:
        raise Refused(*read.problems)
    wrong = _Complaints()
    with _directory(from_host, "source") as top, reached(host, name) as guest:
        _refuse_its_own(host, name, from_host)
        with _fed(lambda write: tree_stream.pack(top, write, wrong.add)) as stream:
            done = guest.unpack(wanted, stream)
    return replace(done, wrong=(*wrong.told(), *done.wrong))


def pull_tree(host: Host, name: str, path: object, target: object, options: Options) -> Copied:
    """Copy what is in the directory *path* of the VM to the directory *target* of the host.

    *target* is made if needed. *options* may have ``max_size`` (in all, by default 1 GiB) and
    ``timeout``. Nothing that was copied belongs to another user than that of this process.
    """
    read = mappings.options({"target": target})
    to_host = Path(read.need("target", fields.absolute_path, "/"))
    wanted = read.keep(parse_file_to_read(path, pulling(options)), None)
    if not read.problems and not to_host.parent.is_dir():
        read.problems.append(Problem("target", f"must be in a directory, got {target!r}"))
    if wanted is None or read.problems:
        raise Refused(*read.problems)
    wrong = _Complaints()
    with reached(host, name) as guest:
        drained = _Drained(to_host, wanted.max_bytes, wrong.add)
        try:
            with drained.stream() as stream:
                done = guest.pack(wanted.path, stream, wanted.timeout_s)
        except HostError:
            drained.check()  # the first trouble is the one to tell of
            raise
        if not done.is_tree:
            return done
        files, size = drained.result()
    return replace(done, files=files, size_bytes=size, wrong=(*done.wrong, *wrong.told()))


@dataclass(slots=True)
class _Complaints:
    """What was not copied, and why: the first are kept, and others are counted."""

    kept: list[str] = field(default_factory=list)
    others: int = 0

    def add(self, text: str) -> None:
        if len(self.kept) < MOST_COMPLAINTS:
            self.kept.append(printable(text))  # the guest may have chosen the names
        else:
            self.others += 1

    def told(self) -> tuple[str, ...]:
        """A line for each, and one for those that are not kept."""
        more = (f"and {self.others} more were not copied",) if self.others else ()
        return (*self.kept, *more)


def _refuse_its_own(host: Host, name: str, source: str) -> None:
    """Refuse a directory that a volume of the VM is in: its copy would grow as it is read."""
    for seen in host.observe(name).volumes:
        place = _place(host, seen.pool, VolumeId(name, seen.name))
        if place is not None and _is_in(place, source):
            own = f"volume {seen.name} of {name} is in it, at {place}"
            raise Refused(f"source: {source!r} cannot be copied to {name}: {own}")


def _place(host: Host, pool: str, volume: VolumeId) -> Path | None:
    return host.pools.ask(pool, lambda each: each.path(volume))


def _is_in(place: Path, directory: str) -> bool:
    return place.resolve().is_relative_to(Path(directory).resolve())


@contextmanager
def _directory(path: str, where: str) -> Iterator[int]:
    try:
        opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"{where}: {path!r} cannot be read: {error.strerror}") from None
    with closing(opened):
        yield opened


@contextmanager
def _fed(pack: Callable[[Callable[[bytes], object]], None]) -> Iterator[int]:
    """The reading end of a pipe that another thread writes a stream to."""
    read, write = os.pipe()

    def feed() -> None:
        with closing(write), suppress(BrokenPipeError):  # the other end says what is wrong
            pack(lambda data: write_all(write, data))

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        with closing(read):
            yield read
    finally:
        thread.join()


class _Drained:
    """A stream that another thread writes to a directory of the host."""

    def __init__(self, target: Path, most: int, wrong: Callable[[str], None]) -> None:
        self.target, self.most, self.wrong = target, most, wrong
        self.copied: tuple[int, int] | None = None
        self.error: Exception | None = None

    @contextmanager
    def stream(self) -> Iterator[int]:
        """The writing end of the pipe; all is written when the block ends."""
        read, write = os.pipe()
        thread = threading.Thread(target=self._drain, args=(read,))
        thread.start()
        try:
            with closing(write):
                yield write
        finally:
            thread.join()

    def result(self) -> tuple[int, int]:
        """How many files, and bytes; ``HostError`` if the stream broke off."""
        self.check()
        return self.copied or (0, 0)

    def check(self) -> None:
        """Raise what was wrong here."""
        if self.error is not None:
            raise HostError(f"{self.target}: {self.error}")

    def _drain(self, read: int) -> None:
        try:
            with open(read, "rb") as stream:
                if not stream.peek(1):  # it is no tree
                    return
                self.target.mkdir(mode=0o700, exist_ok=True)
                with _directory(f"{self.target}", "target") as top:
                    self.copied = tree_stream.unpack(stream, top, None, self.most, self.wrong)
        except Exception as error:  # it is told where the copy was asked for
            self.error = error
