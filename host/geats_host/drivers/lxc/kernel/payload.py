"""Processes of a container that has no monitor: nobody answers for them, and no start can succeed.

A guest ends with its monitor, unless it is frozen: then it stays, with its network interfaces and
its mounts. Its cgroup is ``lxc.payload.NAME``, or ``NAME-1`` and so on if that was taken. Names
of cgroups do not say below which lxcpath a container is; but its processes have its root.
"""

import os
import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL

from geats_host.drivers.lxc.kernel import cgroups
from geats_host.errors import HostError

PREFIX = "lxc.payload."
NUMBERED = re.compile(r"(.+)-[0-9]+")
LOOKS_S = 0.005  # between two looks at what was killed


def names() -> frozenset[str]:
    """What the payloads on this host may be called: each name, and that without its number."""
    found = [each.name.removeprefix(PREFIX) for each in _payloads()]
    return frozenset(found).union(match[1] for match in map(NUMBERED.fullmatch, found) if match)


def left_of(name: str, others: Collection[str], rootfs: str) -> tuple[Path, ...]:
    """The cgroups with processes of the container *name*, whose root is *rootfs*.

    *others* are further containers below the same lxcpath: ``web-1`` may be one of them.
    """
    try:
        root = os.stat(rootfs)
    except OSError:
        return ()
    return tuple(
        payload
        for payload in _payloads()
        if (called := payload.name.removeprefix(PREFIX)) == name
        or (called not in others and _is_numbered(called, name))
        if any(_has_root(pid, root) for pid in _pids(payload))
    )


def end(payloads: Sequence[Path], timeout_s: float) -> None:
    """Let what is frozen in these cgroups go on, and kill everything in them."""
    deadline = time.monotonic() + timeout_s
    for payload in payloads:
        while pids := list(_pids(payload)):
            cgroups.thaw(payload)
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, SIGKILL)
            if time.monotonic() > deadline:
                raise HostError(f"process {pids[0]} in {payload} cannot be killed")
            time.sleep(LOOKS_S)


def _payloads() -> Iterator[Path]:
    with os.scandir(cgroups.freezer()) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):
                yield Path(entry.path)


def _is_numbered(called: str, name: str) -> bool:
    match = NUMBERED.fullmatch(called)
    return match is not None and match[1] == name


def _pids(payload: Path) -> Iterator[int]:
    for folder, _, _ in os.walk(payload):
        with suppress(OSError):  # it went away meanwhile
            yield from map(int, Path(folder, "cgroup.procs").read_text().split())


def _has_root(pid: int, root: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/root"), root)
    except OSError:
        return False  # it has ended meanwhile
