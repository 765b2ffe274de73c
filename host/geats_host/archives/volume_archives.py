"""The content of a volume as a stream of tar, packed by zstd, and back.

Ids in it are those that the guest sees, whatever range of ids it has on this host; so are access
lists and capabilities of files. Hard links and holes stay what they are. What is in the guest's
``/dev`` is left out, because the driver fills it; unless every file is asked for.
"""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Protocol

from geats_host.errors import HostError
from geats_host.linux.mounts import mounts_below
from geats_host.linux.namespaces import sync_filesystem, user_namespace, writing_only_to
from geats_host.linux.run import ENDS_WITH_US
from geats_host.linux.subordinate_ids import NEEDED
from geats_host.streams import meters
from geats_host.streams.meters import Readable
from geats_host.templates.layers import empty
from geats_host.templates.tarballs import READ, UNPACK

CHUNK_BYTES = 2**20
AS_GUEST_ROOT = str(Path(__file__).with_name("as_guest_root.py"))
PACKER = "--use-compress-program=zstd --threads=0 --check --quiet"
PACK = (
    "tar",
    "--create",
    PACKER,
    "--format=posix",
    "--pax-option=delete=atime,delete=ctime",
    "--numeric-owner",
    "--sparse",
    "--xattrs",
    "--xattrs-include=*",
    "--acls",
    "--anchored",
    "--file=-",
)
NO_DEVICES = ("--exclude=./dev/*",)
LONGEST_PATH = 4095  # bytes that the kernel takes, see PATH_MAX
ESCAPED = re.compile(rb"\\(?:[0-7]{3}|.)")
NOTHING = ("--files-from=/dev/null",)


class Writable(Protocol):
    """What a packed volume is written to."""

    def write(self, data: bytes, /) -> int:
        """Write all of it."""
        ...


@dataclass(frozen=True, slots=True)
class Tree:
    """Where a volume's files are on the host, and by how much their ids are higher than in it."""

    path: Path
    shifted_by: int = 0


@dataclass(frozen=True, slots=True)
class Packed:
    """What was written: its sha256, how many bytes it is, and of a disk, how many that has."""

    sha256: str
    size_bytes: int
    disk_bytes: int | None = None


def pack(
    tree: Tree | None,
    out: Writable,
    *,
    every_file: bool = False,
    without: Iterable[str] = (),
    also: Sequence[str] = (),
) -> Packed:
    """Write what the volume contains to *out*; None is a volume that exists in memory only.

    *without* are patterns of paths that are left out, such as ``./etc/ssh/ssh_host_*``; *also* are
    words of tar for what is added.
    """
    options = [*PACK, *_left_out(every_file), *map("--exclude={}".format, without)]
    whole = [*options, ".", *also]
    argv, at = ([*options, *NOTHING], Path("/")) if tree is None else (whole, tree.path)
    if tree is not None:
        below = mounts_below(tree.path, itself=False)
        if below:
            raise HostError(f"{tree.path}: is not packed because {below[0]} is mounted")
        _refuse_too_long(_longest_below(tree.path))
    digest, size_bytes, moved = hashlib.sha256(), 0, meters.counter()
    with running(argv, at, tree, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while chunk := process.stdout.read(CHUNK_BYTES):
            digest.update(chunk)
            size_bytes += len(chunk)
            out.write(chunk)
            moved(len(chunk))
    return Packed(digest.hexdigest(), size_bytes)


def _left_out(every_file: bool) -> tuple[str, ...]:
    return () if every_file else NO_DEVICES


def check(file: BinaryIO, packed: Packed) -> None:
    """Read a packed volume from *file*, whole; ``HostError`` if it is not what it should be.

    Or if a path in it is too long: tar packs those that a guest can make, and unpacks none.
    """
    argv = [*READ, "--zstd", "--list", "--quoting-style=escape", "--file=-"]
    names, told = os.pipe()
    with ThreadPoolExecutor(1) as reader:
        longest = reader.submit(_longest_line, names)
        try:
            feed(argv, Path("/"), None, file, packed, stdout=told)
        finally:
            os.close(told)
        _refuse_too_long(longest.result())


def _longest_line(stream: int) -> bytes:
    with open(stream, "rb") as lines:
        return max(map(_plain, lines), key=len, default=b"")


def _plain(line: bytes) -> bytes:
    """A path that is as long as the one on this line, of which tar has escaped some."""
    return ESCAPED.sub(b"?", line.rstrip(b"\n"))


def _longest_below(top: Path) -> bytes:
    """The longest path of a tree, as far as it matters; find(1) follows no link, however deep."""
    argv = ["find", ".", "-print0"]
    with running(argv, top, None, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        longest, left = b"", b""
        while chunk := process.stdout.read(CHUNK_BYTES):
            *paths, left = (left + chunk).split(b"\0")
            longest = max([longest, *paths], key=len)
        return longest


def _refuse_too_long(path: bytes) -> None:
    if len(path) > LONGEST_PATH:
        where = path[:100].decode(errors="replace")
        raise HostError(
            f"it contains a path of {len(path)} bytes; one of more than {LONGEST_PATH} cannot be"
            f" unpacked: shorten or remove it in the guest, below {where}…"
        )


def unpack(file: Readable, packed: Packed | None, tree: Tree, *, every_file: bool = False) -> None:
    """Replace the content of the volume by what is read from *file*, durably.

    Without *packed*, all of the file is read, which checks by itself what it gives out.

    Nothing is written outside of it, whatever the archive says; a device node is a ``HostError``.
    """
    empty(tree.path)
    _namespace_of(tree)  # now, since it is made through /proc: that is not there while confined
    argv = [*UNPACK, "--zstd", *_left_out(every_file), "--file=-"]
    writing_only_to(tree.path, lambda: feed(argv, tree.path, tree, file, packed))
    descriptor = os.open(tree.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_filesystem(descriptor)
    finally:
        os.close(descriptor)


def feed(
    argv: Sequence[str],
    at: Path,
    tree: Tree | None,
    file: Readable,
    packed: Packed | None,
    stdout: int | None = None,
) -> None:
    """Let a program read the packed volume, and see that it is what it should be."""
    digest, left = hashlib.sha256(), sys.maxsize if packed is None else packed.size_bytes
    with running(argv, at, tree, stdin=subprocess.PIPE, stdout=stdout) as process:
        assert process.stdin is not None
        while left and (chunk := file.read(min(left, CHUNK_BYTES))):
            digest.update(chunk)
            left -= len(chunk)
            try:
                process.stdin.write(chunk)
            except BrokenPipeError:
                break  # it says why as it ends
        with suppress(BrokenPipeError):  # as above
            process.stdin.close()
    if packed is not None and (left or digest.hexdigest() != packed.sha256):
        raise HostError("the archive is damaged: its checksum is different")


@contextmanager
def running(
    argv: Sequence[str],
    at: Path,
    tree: Tree | None = None,
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in the directory *at*, with the ids of *tree*; it has ended well afterwards.

    Without *stdout*, what it prints is among its complaints. If writing is confined, neither a
    file nor /dev/null can be opened for them.
    """
    command, descriptors = [*ENDS_WITH_US, *argv], list[int]()
    namespace = _namespace_of(tree)
    if namespace is not None:
        command = [sys.executable, "-I", AS_GUEST_ROOT, str(namespace), *command]
        descriptors = [namespace]
    with open(os.memfd_create("complaints"), "w+b") as complaints:
        out = complaints if stdout is None else stdout
        process = _started(command, at, (stdin, out, complaints), descriptors)
        try:
            yield process
        except BaseException:
            process.kill()
            raise
        finally:
            if process.stdin is not None:
                with suppress(BrokenPipeError):  # it was not read to its end
                    process.stdin.close()
            if process.stdout is not None:
                process.stdout.close()
            code = process.wait()
        if code:
            complaints.seek(0)
            said = complaints.read()[-2000:].decode(errors="replace").strip()
            raise HostError(f"{argv[0]} failed with exit code {code}: {said}")


def _namespace_of(tree: Tree | None) -> int | None:
    """A descriptor of the namespace in which ids of *tree* are those of the guest, if they differ.

    It is made once, and then kept.
    """
    shifted = tree is not None and tree.shifted_by
    return user_namespace(shifted, NEEDED) if shifted else None


def _started(
    command: Sequence[str],
    at: Path,
    streams: tuple[int, IO[bytes] | int, IO[bytes]],
    descriptors: Sequence[int],
) -> subprocess.Popen[bytes]:
    stdin, stdout, stderr = streams
    try:
        return subprocess.Popen(
            command, cwd=at, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=descriptors
        )
    except OSError as error:
        raise HostError(f"{command[0]} cannot be run in {at}: {error.strerror}") from None
