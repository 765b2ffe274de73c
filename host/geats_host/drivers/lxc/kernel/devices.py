"""Devices of the host for containers: their numbers, and those of a guest that runs."""

import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from geats_core.containers.devices import Device, Nodes
from geats_host.linux.run import run

SCRIPT = Path(__file__).parent.parent / "scripts" / "device_child.py"


def nodes(devices: Iterable[Device]) -> dict[str, Nodes]:
    """What each is on this host, by name; one that is not there is left out."""
    found = {device.name: _nodes(Path(device.source)) for device in devices}
    return {name: each for name, each in found.items() if each is not None}


def _nodes(source: Path) -> Nodes | None:
    """The numbers of a node; or those of all nodes in a directory, and below.

    A link in a directory is not followed: what it leads to need not be allowed, nor be there.
    """
    if not source.exists():
        return None
    if not source.is_dir():
        return Nodes(tuple(_number(source.stat())))
    below = [Path(at, name) for at, _, names in os.walk(source) for name in names]
    numbers = {number for path in below for seen in _seen(path) for number in _number(seen)}
    return Nodes(tuple(sorted(numbers)), is_directory=True)


def _seen(path: Path) -> Iterable[os.stat_result]:
    with suppress(FileNotFoundError):  # it went meanwhile
        yield path.lstat()


def _number(seen: os.stat_result) -> Iterable[str]:
    kinds = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}
    if kind := kinds.get(stat.S_IFMT(seen.st_mode)):
        yield f"{kind} {os.major(seen.st_rdev)}:{os.minor(seen.st_rdev)}"


def attach(pid: int, device: Device, timeout_s: float) -> None:
    """Put it into the guest whose init is *pid*, unless it is there already."""
    _run(pid, "attach", device.mount, device.source, timeout_s=timeout_s)


def detach(pid: int, device: Device, timeout_s: float) -> None:
    """Take it out of the guest; what has it open keeps it open."""
    _run(pid, "detach", device.mount, timeout_s=timeout_s)


def _run(pid: int, *argv: str, timeout_s: float) -> None:
    run((sys.executable, "-I", "-S", str(SCRIPT), str(pid), *argv), timeout_s=timeout_s)
