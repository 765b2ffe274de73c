"""What tells a pool from others at the same place: a random id in its root, ``geats-pool.json``.

It is written when the first volume is made, with the type of the pool. Another disk that is mounted
there has another id; an empty mount point has none. A pool of another type keeps its volumes in
another way, and would take them for its own, or for nothing.
"""

import fcntl
import json
import os
import secrets
from contextlib import suppress

from geats_core.reading import file_formats
from geats_host.errors import HostError
from geats_host.storage import IDENTITY

FILE = IDENTITY  # no VM can have this name
NEW = f"{FILE}.new"
KEY = "identity"
LENGTH = 6  # bytes: short enough for people to compare


def read(at: int, kind: str) -> str | None:
    """The id of the pool of this *kind* whose root is the directory *at*; None if it has none.

    That of another kind is none if nothing is left of it, and ``HostError`` otherwise.
    """
    try:
        descriptor = os.open(FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        text = file.read()
    try:
        raw = json.loads(text)
    except ValueError:
        raw = None
    match raw:
        case {file_formats.FORMAT: found} if why := file_formats.newer(found, file_formats.POOL):
            raise HostError(f"{FILE} of the pool {why}: install the geats that wrote it")
        case {"identity": str(identity), **rest} if identity:
            return identity if _is_of(kind, rest.get("type", kind), at) else None
        case _:
            raise HostError(f"{FILE} of the pool is not valid: restore it as it was")


def _is_of(kind: str, found: object, at: int) -> bool:
    if found != kind and not {FILE, NEW}.issuperset(os.listdir(at)):
        raise HostError(
            f"is a pool of type {found}, and configured as {kind}: say type: {found} again, or"
            f" empty it first ({FILE} in it says so)"
        )
    return found == kind


def ensure(at: int, kind: str) -> None:
    """Give the pool an id, unless it has one; of two that do so at once, one wins.

    What an interruption left of it goes with the next call.
    """
    if read(at, kind) is not None:
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(NEW, flags, 0o600, dir_fd=at), "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if read(at, kind) is not None:  # another was first, and may have given it this very file
            with suppress(FileNotFoundError):
                os.unlink(NEW, dir_fd=at)
            return
        file.truncate(0)
        new = {KEY: secrets.token_hex(LENGTH), "type": kind}
        json.dump({file_formats.FORMAT: file_formats.POOL, **new}, file)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
        os.rename(NEW, FILE, src_dir_fd=at, dst_dir_fd=at)
    os.fsync(at)
