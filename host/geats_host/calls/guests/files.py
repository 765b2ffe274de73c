"""Files of a VM, written and read; of one that is off too, if its root is a directory.

Nothing of it is written to the journal or to a log: contents may be secret.
"""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from returns.result import Success

from geats_core.reading import fields, mappings
from geats_core.reading.checked import Checked, Problem, problem
from geats_core.reading.mappings import Options
from geats_core.requests.guest_requests import parse_file_to_read, parse_file_to_write
from geats_host.calls.guests.reached import reached
from geats_host.errors import HostError, Refused, accepted
from geats_host.host import Host

LARGEST_PULLED = "1GiB"  # where the caller says nothing: a guest's file may pretend to any size


def write_file(host: Host, name: str, path: object, content: object, options: Options) -> int:
    """Write text or bytes to a file of the VM; returns its size in bytes.

    See ``parse_file_to_write`` for *path* and *options*.
    """
    read = mappings.options({})
    data = read.keep(_content("content", content), b"")
    wanted = read.keep(parse_file_to_write(path, options), None)
    if wanted is None or read.problems:
        raise Refused(*read.problems)
    with reached(host, name) as guest, tempfile.TemporaryFile() as source:
        source.write(data)
        source.seek(0)
        guest.write_file(wanted, source.fileno())
    return len(data)


def read_file(host: Host, name: str, path: object, options: Options) -> bytes:
    """The content of a regular file of the VM; see ``parse_file_to_read``."""
    wanted = accepted(parse_file_to_read(path, options))
    with reached(host, name) as guest, tempfile.TemporaryFile() as target:
        guest.read_file(wanted, target.fileno())
        target.seek(0)
        return target.read()


def push(host: Host, name: str, source: object, path: object, options: Options) -> int:
    """Copy the regular file *source* of the host to a file of the VM.

    Returns its size in bytes. See ``parse_file_to_write`` for *path* and *options*.
    """
    read = mappings.options({"source": source})
    from_host = read.need("source", fields.absolute_path, "")
    wanted = read.keep(parse_file_to_write(path, options), None)
    if wanted is None or read.problems:
        raise Refused(*read.problems)
    with _regular(from_host) as opened, reached(host, name) as guest:
        guest.write_file(wanted, opened)
        return os.fstat(opened).st_size


def pull(host: Host, name: str, path: object, target: object, options: Options) -> int:
    """Copy a regular file of the VM to the file *target* of the host, completely or not at all.

    Only its owner, the user of this process, can read *target*. Returns its size in bytes. See
    ``parse_file_to_read`` for *path* and *options*; by default at most 1 GiB is read.
    """
    read = mappings.options({"target": target})
    to_host = Path(read.need("target", fields.absolute_path, "/"))
    wanted = read.keep(parse_file_to_read(path, pulling(options)), None)
    if not read.problems and (to_host.is_dir() or not to_host.parent.is_dir()):
        read.problems.append(Problem("target", f"must be a file in a directory, got {target!r}"))
    if wanted is None or read.problems:
        raise Refused(*read.problems)
    try:
        with reached(host, name) as guest, _replaced(to_host) as opened:
            guest.read_file(wanted, opened)
            return os.fstat(opened).st_size
    except OSError as error:
        raise HostError(f"cannot write {to_host}: {error.strerror}") from error


def pulling(options: Options) -> Options:
    """*options* for what is copied to the host: by default, more than what is only shown."""
    has_size = options.get("max_size") is not None
    return options if has_size else {**options, "max_size": LARGEST_PULLED}


def _content(path: str, raw: object) -> Checked[bytes]:
    """Text or bytes; no problem shows any of it."""
    if isinstance(raw, bytes):
        return Success(raw)
    if not isinstance(raw, str):
        return problem(path, f"must be text, got a {type(raw).__name__}")
    try:
        return Success(raw.encode())
    except UnicodeEncodeError:
        return problem(path, "contains characters that cannot be written as UTF-8")


@contextmanager
def _regular(path: str) -> Iterator[int]:
    """A regular file of the host, opened to be read."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"source: {path!r} cannot be read: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise Refused(f"source: must be a regular file, got {path!r}")
        yield opened
    finally:
        os.close(opened)


@contextmanager
def _replaced(path: Path) -> Iterator[int]:
    """A new file, which takes its place when the block has ended well."""
    descriptor, temporary = tempfile.mkstemp(prefix=".geats-", dir=path.parent)
    try:
        yield descriptor
        os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)
