"""Processes by their pids: whether they live, end, and are what somebody takes them for."""

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def ends_within(pid: int, timeout_s: float) -> bool:
    """Whether the process ends in that time; returns as soon as it does."""
    with handle(pid) as process:
        return process is None or ended(process, timeout_s)


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    if pid <= 0:
        return False
    with handle(pid) as process:
        return process is not None and not ended(process, 0)


def age_s(pid: int) -> int | None:
    """How many whole seconds ago a process began: see proc(5), ``/proc/PID/stat``, starttime."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    ticks = int(text.rpartition(")")[2].split()[19])  # its name, before that, may be any text
    since_s = ticks / os.sysconf("SC_CLK_TCK")
    return max(0, int(time.clock_gettime(time.CLOCK_BOOTTIME) - since_s))


def terminate(pid: int, script: Path, timeout_s: float) -> None:
    """End a process that runs *script*, and wait until it has ended; any other is left alone."""
    if pid <= 0:
        return
    with handle(pid) as process, suppress(FileNotFoundError, ProcessLookupError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if process is not None and os.fsencode(script) in words:
            signal.pidfd_send_signal(process, signal.SIGTERM)
            ended(process, timeout_s)


@contextmanager
def handle(pid: int) -> Iterator[int | None]:
    """A pidfd, which keeps meaning this very process; None if it is gone already."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield process
    finally:
        os.close(process)


def ended(process: int, timeout_s: float) -> bool:
    """Whether the process of a handle ends in that time."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(max(0.0, timeout_s) * 1000))
