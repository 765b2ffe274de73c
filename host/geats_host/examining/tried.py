"""What a look does not tell of a host is tried; nothing of that stays.

Each answers with what went wrong, in words; nothing is an empty text.
"""

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from geats_host.drivers.lxc.kernel import apparmor
from geats_host.errors import HostError
from geats_host.linux.descriptors import closing
from geats_host.linux.namespaces import user_namespace
from geats_host.linux.overlay_mounts import mapped
from geats_host.linux.run import run

SOON_S = 10.0
NAME = "geats-doctor"
# What is mounted stays so for a process that has mounts of its own, unless it is told.
APART = ("unshare", "--mount", "--propagation", "unchanged", "cat")
_libc = ctypes.CDLL(None, use_errno=True)


def inotify(instances: int) -> str:
    """Have so many instances of inotify open at once."""
    opened: list[int] = []
    try:
        for _ in range(instances):
            opened.append(made := _libc.inotify_init1(os.O_CLOEXEC))
            if made < 0:
                return os.strerror(ctypes.get_errno())
        return ""
    finally:
        for each in opened:
            with suppress(OSError):
                os.close(each)


def pty() -> str:
    """Open a terminal."""
    try:
        for end in os.openpty():
            os.close(end)
    except OSError as error:
        return str(error.strerror)
    return ""


def apparmor_parser() -> str:
    """Have AppArmor's parser compile a profile, which the kernel is not given."""
    return _fault([apparmor.PARSER, "--skip-kernel-load", "--skip-cache"], f"profile {NAME} {{}}\n")


def file(path: Path) -> str:
    """Read a file of a filesystem that may not answer."""
    return _fault(["cat", f"{path}"])


def _fault(argv: list[str], stdin: str = "") -> str:
    try:
        run(argv, stdin=stdin, timeout_s=SOON_S)
    except HostError as error:
        return str(error)
    return ""


def mapped_ids(folder: Path, first: int, count: int) -> str:
    """Have the kernel show *folder* with its ids shifted, as an unprivileged guest needs it.

    Nothing is mounted anywhere.
    """
    try:
        with (
            closing(os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as tree,
            closing(mapped(tree, user_namespace(first, count))),
        ):
            return ""
    except OSError as error:
        return str(error.strerror)


def stays_mounted(folder: Path) -> bool:
    """Whether what is unmounted below *folder* stays so for a process with mounts of its own.

    Raises ``HostError`` if nothing can be mounted there.
    """
    with tempfile.TemporaryDirectory(prefix=f".{NAME}-", dir=folder) as point, _apart(point) as pid:
        run(["umount", point], timeout_s=SOON_S)
        lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
        return point in (line.split()[4] for line in lines)


@contextmanager
def _apart(point: str) -> Iterator[int]:
    """A process with mounts of its own, made while something is mounted at *point*: its pid."""
    run(["mount", "-t", "tmpfs", "-o", "size=4k", NAME, point], timeout_s=SOON_S)
    try:
        with subprocess.Popen(APART, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin
            assert process.stdout
            process.stdin.write(b"\n")
            process.stdin.flush()
            process.stdout.readline()  # it answers: its mounts are its own by now
            yield process.pid
            process.stdin.close()
    finally:
        if os.path.ismount(point):
            run(["umount", point], timeout_s=SOON_S)
