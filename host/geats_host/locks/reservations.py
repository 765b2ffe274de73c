"""What plans that are being applied take on this host, so that other plans respect it.

Each reservation is a file in the run directory that its process keeps locked: it ends with the
process, however that ends, and with the host. A process that reads them, or adds one, holds the
lock of the whole host for that moment, so that what it decides is still true when it is reserved.
"""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from returns.result import Success

from geats_core.hostwide.reservations import Reservation, Reserved
from geats_core.plans.codec import decode, encode
from geats_core.reading.json_documents import parse_document
from geats_host.errors import HostError
from geats_host.locks import file_locks

LONGEST_WAIT_S = 60.0
BETWEEN_TRIES_S = 0.005
ROOM = "reservations"
NAMED = re.compile("[0-9]+-[0-9a-f]{32}")


@contextmanager
def alone(run_dir: Path) -> Iterator[None]:
    """Be the only one on this host that decides what to take."""
    with file_locks.opened(run_dir, "host", "deciding") as descriptor:
        _wait_for(descriptor, run_dir)
        yield


def of_others(run_dir: Path) -> Mapping[str, Reservation]:
    """What is reserved now, by the name of the VM; what nobody holds any more is removed.

    To be called ``alone``.
    """
    found: dict[str, Reservation] = {}
    for file in sorted(file_locks.private(run_dir, ROOM).iterdir()):
        if not NAMED.fullmatch(file.name):
            continue  # it is none
        with file_locks.opened(run_dir, ROOM, file.name) as descriptor:
            if file_locks.is_taken(descriptor):
                _remove(file)
            else:
                found |= _read(descriptor, file)
    return found


@contextmanager
def reserved(run_dir: Path, wanted: Mapping[str, Reservation]) -> Iterator[None]:
    """Hold what is *wanted*. To be entered ``alone``, and left at any time."""
    name = f"{os.getpid()}-{uuid4().hex}"
    file = run_dir / ROOM / name
    with file_locks.opened(run_dir, ROOM, name) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            _write(descriptor, json.dumps(encode(Reserved(vms=wanted))), file)
            yield
        finally:
            _remove(file)


def _wait_for(descriptor: int, place: Path) -> None:
    until_s = time.monotonic() + LONGEST_WAIT_S
    while not file_locks.is_taken(descriptor):
        if time.monotonic() > until_s:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            raise HostError(f"{place}: process {holder or 'unknown'} holds the lock of the host")
        time.sleep(BETWEEN_TRIES_S)
    file_locks.sign(descriptor)


def _remove(file: Path) -> None:
    """One that cannot be removed reserves nothing, as nobody holds it: the next who looks does."""
    with suppress(OSError):
        file.unlink(missing_ok=True)


def _write(descriptor: int, text: str, file: Path) -> None:
    try:
        with open(descriptor, "w", closefd=False) as whole:
            whole.write(text)
    except OSError as error:
        raise HostError(f"{file}: {error.strerror}") from None


def _read(descriptor: int, file: Path) -> Mapping[str, Reservation]:
    text = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    match parse_document(str(file), text, lambda path, raw: decode(Reserved, path, raw)):
        case Success(read):
            return read.vms
        case _:
            raise HostError(
                f"{file}: is not a reservation of this version of geats: wait "
                "until that operation is done"
            )
