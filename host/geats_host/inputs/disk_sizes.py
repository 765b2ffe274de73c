"""How large the disks are that files name, as far as this host has them."""

import os
import stat
from collections.abc import Iterable

from returns.result import Failure, Success

from geats_core.foreign.qcow2 import HEADER_BYTES, disk_bytes


def disk_sizes(disks: Iterable[tuple[str, str]]) -> dict[str, int]:
    """The sizes by path, of *disks* that are each a path and a format.

    A file that is not there, or is no disk, has none: who reads it later reports that.
    """
    sizes: dict[str, int] = {}
    for path, form in disks:
        try:
            file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait
        except (OSError, ValueError):
            continue
        try:
            size = _size(file, path, form)
        finally:
            os.close(file)
        if size:
            sizes[path] = size
    return sizes


def _size(file: int, path: str, form: str) -> int:
    mode = os.fstat(file).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
        return 0
    if form != "qcow2":
        return os.lseek(file, 0, os.SEEK_END)
    match disk_bytes(path, os.pread(file, HEADER_BYTES, 0)):
        case Success(size):
            return size
        case Failure():  # the template's own check tells
            return 0
