"""Loop devices: which ones use a file, and what the kernel is asked about one. See loop(4)."""

import fcntl
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from geats_host.errors import HostError
from geats_host.linux.mounts import who_sees

LOOP_CLR_FD, LOOP_SET_CAPACITY, LOOP_SET_DIRECT_IO = 0x4C01, 0x4C07, 0x4C08  # linux/loop.h
BLOCK_DEVICES = Path("/sys/block")
UNUSED_WITHIN_S = 2.0  # the last use ends a moment after a filesystem is unmounted
PAUSE_S = 0.002


def loops() -> Mapping[Path, list[Path]]:
    """The files that loop devices use, and the devices."""
    found: dict[Path, list[Path]] = {}
    for shown in sorted(BLOCK_DEVICES.glob("loop*/loop/backing_file")):
        with suppress(OSError):  # detached meanwhile
            text = os.fsdecode(shown.read_bytes()).removesuffix("\n")
            found.setdefault(Path(text), []).append(Path("/dev") / shown.parent.parent.name)
    return found


def loops_on(file: Path) -> list[Path]:
    """The loop devices that use *file*."""
    return loops().get(Path(os.path.realpath(file)), [])


def detach_all(file: Path) -> None:
    """Detach every loop device from *file*; raises ``HostError`` if one stays in use."""
    ends = time.monotonic() + UNUSED_WITHIN_S
    while left := loops_on(file):
        for device in left:
            with suppress(OSError):  # detached meanwhile
                _ask(device, LOOP_CLR_FD, 0)
        if time.monotonic() > ends:
            raise HostError(f"{file}: is in use by {left[0]}{who_sees(left[0])}")
        time.sleep(PAUSE_S)


def take_up_size(device: Path) -> None:
    """Let a loop device be as large as its file has become."""
    _ask(device, LOOP_SET_CAPACITY, 0)


def bypass_cache(device: Path) -> None:
    """Avoid caching everything twice, if the file's filesystem supports it (direct I/O)."""
    with suppress(OSError):
        _ask(device, LOOP_SET_DIRECT_IO, 1)


def _ask(device: Path, request: int, argument: int) -> None:
    descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, request, argument)
    finally:
        os.close(descriptor)
