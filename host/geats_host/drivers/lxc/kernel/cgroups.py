"""The cgroups of a container: what it uses, and what it leaves behind (cgroup v1 and v2)."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from geats_core.reading.values import dataclass
from geats_host.guest_trees.folders import open_directory
from geats_host.lazy import later
from geats_host.linux.cgroup_version import ROOT, is_v2

if TYPE_CHECKING:
    from geats_host.guest_trees import trees
else:
    trees = later("geats_host.guest_trees.trees")

BLKIO = "blkio.throttle.io_service_bytes_recursive"  # of cgroup v1
UNLIMITED = 2**60  # cgroup v1 says "no limit" with a number near 2**63
KINDS = ("lxc.payload.", "lxc.monitor.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a container uses now; None if the kernel does not count it."""

    memory_used_bytes: int | None
    memory_limit_bytes: int | None
    cpu_time_s: float | None
    disk_read_bytes: int | None
    disk_written_bytes: int | None


def usage(name: str, pid: int) -> Usage:
    """What the container with the init *pid* uses."""
    memory, cpu = _payload(name, pid, "memory"), _payload(name, pid, "cpuacct")
    disks = _payload(name, pid, "blkio")
    if is_v2():
        return Usage(
            memory_used_bytes=_number(memory, "memory.current"),
            memory_limit_bytes=_number(memory, "memory.max"),
            cpu_time_s=_cpu_time_v2(cpu),
            disk_read_bytes=_of_devices(disks, "io.stat", "rbytes="),
            disk_written_bytes=_of_devices(disks, "io.stat", "wbytes="),
        )
    cpu_ns = _number(cpu, "cpuacct.usage")
    return Usage(
        memory_used_bytes=_number(memory, "memory.usage_in_bytes"),
        memory_limit_bytes=_number(memory, "memory.limit_in_bytes"),
        cpu_time_s=None if cpu_ns is None else cpu_ns / 1e9,
        disk_read_bytes=_of_devices(disks, BLKIO, "Read "),
        disk_written_bytes=_of_devices(disks, BLKIO, "Write "),
    )


def remove_leftovers(name: str, others: frozenset[str]) -> None:
    """Remove the empty cgroups of a container that is off; *others* are further containers.

    liblxc appends ``-1``, ``-2``... to a name that is taken; ``web-1`` may be a container too. The
    payload's in the freezer, by which leftovers are seen, goes last: an interruption leaves it
    there.
    """
    wanted = re.compile(f"lxc\\.(?:payload|monitor)\\.({re.escape(name)}(?:-[0-9]+)?)")
    for base in sorted(_bases(), key=lambda each: each == freezer()):
        for entry in sorted(_directories(base)):
            match = wanted.fullmatch(entry.name)
            if match and (match[1] == name or match[1] not in others):
                _remove_if_empty(entry)


def freezer() -> Path:
    """Where the cgroups of containers are that can be frozen."""
    bases = list(_bases())
    return next((base for base in bases if base.is_relative_to(ROOT / "freezer")), bases[0])


def thaw(cgroup: Path) -> None:
    """Let what is frozen in a cgroup go on, so that a signal to end can reach it."""
    for folder, _, _ in os.walk(cgroup):
        for file, text in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            if (Path(folder) / file).exists():
                (Path(folder) / file).write_text(text)


def ways_out() -> list[str]:
    """The files by which a process leaves its cgroups for those that liblxc makes its own in."""
    return [str(base / "cgroup.procs") for base in _bases()]


def _bases() -> Iterator[Path]:
    """Where liblxc, run by root, makes cgroups: below that of process 1, in each hierarchy."""
    own = {"": "/"} | {
        controllers.removeprefix("name="): path.removesuffix("/init.scope") or "/"
        for _, controllers, path in _cgroups_of(1)
    }
    if is_v2():
        yield ROOT / own[""].lstrip("/")
        return
    for hierarchy in _directories(ROOT):
        yield hierarchy / own.get(hierarchy.name, "/").lstrip("/")


def _cgroups_of(pid: int) -> Iterator[tuple[str, str, str]]:
    """See cgroups(7), /proc/PID/cgroup: number, controllers, path."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        yield number, controllers, path


def _payload(name: str, pid: int, controller: str) -> Path | None:
    """The container's own cgroup of one controller: init may have moved on, below it."""
    for _, controllers, path in _cgroups_of(pid):
        if controller not in controllers.split(",") and not (is_v2() and controllers == ""):
            continue
        parts = path.strip("/").split("/")
        ours = [index for index, part in enumerate(parts) if part.startswith(KINDS[0] + name)]
        if ours:
            hierarchy = ROOT if is_v2() else ROOT / controllers
            return hierarchy.joinpath(*parts[: ours[0] + 1])
    return None


def _number(cgroup: Path | None, file: str) -> int | None:
    if cgroup is None or not (cgroup / file).exists():
        return None
    text = (cgroup / file).read_text().strip()
    return int(text) if text.isdigit() and int(text) < UNLIMITED else None


def _of_devices(cgroup: Path | None, file: str, what: str) -> int | None:
    """The sum of one count over devices: lines as ``8:0 rbytes=5 ...``, or ``8:0 Read 5``."""
    if cgroup is None or not (cgroup / file).exists():
        return None
    lines = (cgroup / file).read_text().splitlines()
    found = (line.partition(f" {what}")[2].split(" ")[0] for line in lines)
    return sum(int(each) for each in found if each.isdigit())


def _cpu_time_v2(cgroup: Path | None) -> float | None:
    if cgroup is None or not (cgroup / "cpu.stat").exists():
        return None
    lines = dict(line.split() for line in (cgroup / "cpu.stat").read_text().splitlines())
    return int(lines["usage_usec"]) / 1e6


def _directories(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    with os.scandir(path) as entries:
        return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]


def _below(top: Path) -> list[str]:
    """Every cgroup within, each before those in it; a guest may nest them as deep as it likes."""
    with open_directory(top) as opened:
        found = [each for each in trees.walk(opened, lambda _: True) if each.is_directory]
    return [os.fsdecode(each.path) for each in found]


def _remove_if_empty(top: Path) -> None:
    """Remove a whole tree, deepest first, unless there is any process in it."""
    try:
        tree = [*(top / path for path in reversed(_below(top))), top]
        if not any((cgroup / "cgroup.procs").read_text() for cgroup in tree):
            for cgroup in tree:
                cgroup.rmdir()
    except OSError:
        pass  # it went away by itself, or is in use again: either way it is no leftover of ours
