"""Containers that LXC made: what they are as they were, adopted, and imported, as plain facts.

A fact is read from the kernel, and never from a config: what liblxc made of the lines is what
counts. ``before``, ``adopted`` and ``imported`` each start the same container from its config, the
first with ``lxc-start`` alone; ``differences`` tells what of two runs is not the same.
"""

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path

from geats_host.calls import adopt, lifecycle
from geats_host.drivers.lxc import monitor
from geats_host.drivers.lxc.driver import open_driver
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from geats_host.inputs.legacy_files import imported_lxc
from tests.real.conftest import sh

STOPS_WITHIN_S = 20  # of a guest that listens: it needs some tenths of a second
LIMITS = (  # of the cgroups, by the names of both layouts
    *("memory/memory.limit_in_bytes", "pids/pids.max", "cpu/cpu.cfs_quota_us", "cpu/cpu.shares"),
    *("cpuset/cpuset.cpus", "memory.max", "pids.max", "cpu.max", "cpu.weight"),
)
STOPPED_CLEANLY = "stopped-cleanly"  # a file in /, by a guest whose init powered off when asked
TERMINALS = 136  # the major number of Unix98 slaves, devices(5): the minor one is whichever is free


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the kernel says of a container that runs, and how it ended.

    ``ran`` is what a script of the case says in the guest. ``clean`` is whether the guest powered
    off by itself when it was asked to.
    """

    capabilities: str
    seccomp: str
    mounts: tuple[str, ...]
    uid_map: tuple[str, ...]
    gid_map: tuple[str, ...]
    devices: tuple[str, ...]
    nodes: tuple[str, ...]
    limits: Mapping[str, str]
    rlimits: tuple[str, ...]
    network: tuple[str, ...]
    hostname: str
    environment: tuple[str, ...]
    oom_score: str
    ran: str = ""
    clean: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Old:
    """A container of another program: *lines* of its config, and what it finds around it.

    In a line ``@P`` is the container's directory, and ``@D`` the one of ``data``. ``init`` is the
    script that runs first in the guest, ``asks`` one that is run in it for ``Facts.ran``. The files
    of its root have ids that are higher by ``shift``.
    """

    name: str
    lines: Sequence[str]
    root: Path
    around: Path
    init: str = ""
    asks: str = ""
    shift: int = 0
    described: Mapping[str, object] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """A directory of the host that the case may bind."""
        return self.around / "data"

    def make(self, lxcpath: Path) -> Path:
        """Write it below *lxcpath*, as it is before anybody touches it."""
        folder = lxcpath / self.name
        folder.mkdir(parents=True)
        lxcpath.chmod(0o711)
        folder.chmod(0o711)
        sh("cp", "-a", f"{self.root}", f"{folder}/rootfs")
        if self.init:
            (folder / "rootfs/sbin/init").unlink(missing_ok=True)
            (folder / "rootfs/sbin/init").write_text(self.init)
            (folder / "rootfs/sbin/init").chmod(0o755)
        for path in [*folder.glob("**"), *folder.rglob("*")] if self.shift else ():
            os.lchown(path, self.shift, self.shift)
        self.data.mkdir(exist_ok=True)
        text = "".join(f"{line}\n" for line in self.lines)
        (folder / "config").write_text(self.filled(text, folder))
        return folder

    def filled(self, text: str, folder: Path) -> str:
        """*text* with the paths of a case."""
        return text.replace("@P", f"{folder}").replace("@D", f"{self.data}")


def before(old: Old) -> Facts:
    """What it is with LXC alone: ``lxc-start``, and then ``lxc-stop``."""
    lxcpath = old.around / "before"
    folder = old.make(lxcpath)
    with ended(lxcpath, old.name):
        sh("lxc-start", "-P", f"{lxcpath}", "-n", old.name)
        seen = facts(old, lxcpath, folder / "rootfs")
        stop = ["lxc-stop", "-P", f"{lxcpath}", "-n", old.name, "-t", f"{STOPS_WITHIN_S}"]
        subprocess.run(stop, check=False, timeout=60)
        return with_end(seen, folder / "rootfs")


def adopted(old: Old, *, while_it_runs: bool = False) -> Facts:
    """What it is once geats has adopted it, and restarted it."""
    lxcpath = old.around / "adopted"
    folder = old.make(lxcpath)
    host = host_of(old, lxcpath)
    with ended(lxcpath, old.name):
        if while_it_runs:
            sh("lxc-start", "-P", f"{lxcpath}", "-n", old.name)
        apply_plan(host, adopt.adopt(host, old.name, None, "old")[0]).unwrap()
        if while_it_runs:
            apply_plan(host, lifecycle.plan_to(host, old.name, "off")).unwrap()
            (folder / "rootfs" / STOPPED_CLEANLY).unlink(missing_ok=True)
        apply_plan(host, lifecycle.plan_to(host, old.name, "running")).unwrap()
        seen = facts(old, lxcpath, folder / "rootfs")
        apply_plan(host, lifecycle.plan_to(host, old.name, "off")).unwrap()
        return with_end(seen, folder / "rootfs")


def imported(old: Old) -> Facts:
    """What the VM is that ``geats import-lxc`` describes, made elsewhere out of a copy."""
    folder = old.make(old.around / "to-import")
    made = imported_lxc([f"{folder}/config"])
    assert made.problems == (), made.problems
    lxcpath = old.around / "imported"
    host = host_of(old, lxcpath, made.geats)
    with ended(lxcpath, old.name):
        apply_plan(host, lifecycle.plan_to(host, old.name, "running")).unwrap()
        root = host.pools["default"].path(next(iter(host.pools["default"].observe())))
        seen = facts(old, lxcpath, root)
        apply_plan(host, lifecycle.plan_to(host, old.name, "off")).unwrap()
        return with_end(seen, root)


def host_of(old: Old, lxcpath: Path, pillar: Mapping[str, object] | None = None) -> Host:
    """geats, on that lxcpath, with a pool that is new."""
    at = old.around / f"geats-{lxcpath.name}"
    config = dict(pillar or {})
    templates = config.pop("templates", None) or {"old": {"path": f"{old.root}"}}
    return Host.from_config(
        {
            "state_dir": f"{at}/state",
            "run_dir": f"{at}/run",
            "drivers": {"lxc": {"path": f"{lxcpath}", "settle": 0.1, "timeout": 10}},
            "pools": {"default": {"type": "directory", "path": f"{at}/pool"}},
            "templates": templates,
            **config,
            **old.described,
        }
    )


@contextmanager
def ended(lxcpath: Path, name: str) -> Iterator[None]:
    """Nothing of it runs afterwards, whatever happens; what it leaves is the test's own."""
    try:
        yield
    finally:
        driver = open_driver({"path": f"{lxcpath}", "timeout": 10}, lxcpath)
        if monitor.is_on(f"{lxcpath}", name):
            driver.end(name)


def differences(one: Facts, other: Facts, told: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """What is not the same in both, by field: but for the fields that were *told* of."""
    found = {}
    for each in fields(Facts):
        if each.name not in told and getattr(one, each.name) != getattr(other, each.name):
            found[each.name] = _lines(getattr(one, each.name), getattr(other, each.name))
    return found


def _lines(one: object, other: object) -> tuple[str, ...]:
    if isinstance(one, tuple) and isinstance(other, tuple):
        gone = (f"- {line}" for line in one if line not in other)
        new = (f"+ {line}" for line in other if line not in one)
        return *gone, *new, *([] if {*one} != {*other} else ["in another order or number"])
    return f"- {one}", f"+ {other}"


def facts(old: Old, lxcpath: Path, root: Path) -> Facts:
    """Read them all from the kernel, once the guest is up."""
    pid = init_pid(lxcpath, old.name)
    wait_until_up(pid)
    proc = Path(f"/proc/{pid}")
    said = (line.partition(":\t") for line in (proc / "status").read_text().splitlines())
    status = {key: value for key, _, value in said}
    environ = (proc / "environ").read_bytes().decode(errors="replace").split("\0")
    cgroups = dict(_cgroups(pid))
    attach = ["lxc-attach", "-P", f"{lxcpath}", "-n", old.name, "--", "/bin/sh", "-c", old.asks]
    return Facts(
        capabilities=status["CapBnd"],
        seccomp=status["Seccomp"],
        mounts=tuple(sorted(_mounts(pid, root, old.data))),
        uid_map=_map(proc / "uid_map"),
        gid_map=_map(proc / "gid_map"),
        devices=tuple(sorted(_read(cgroups, "devices/devices.list").splitlines())),
        nodes=tuple(sorted(_nodes(proc / "root/dev"))),
        limits={key: _read(cgroups, key) for key in LIMITS},
        rlimits=tuple((proc / "limits").read_text().splitlines()),
        network=tuple(_network(pid)),
        hostname=sh("nsenter", "-t", f"{pid}", "-u", "hostname").strip(),
        environment=tuple(sorted(filter(None, environ))),
        oom_score=(proc / "oom_score_adj").read_text().strip(),
        ran=sh(*attach) if old.asks else "",
    )


def with_end(seen: Facts, root: Path) -> Facts:
    """The same, and whether the guest powered off by itself."""
    values = {each.name: getattr(seen, each.name) for each in fields(Facts)}
    return Facts(**{**values, "clean": (root / STOPPED_CLEANLY).exists()})


def init_pid(lxcpath: Path, name: str) -> int:
    """The guest's process 1, as the host sees it."""
    pid = monitor.init_pid(f"{lxcpath}", name)
    assert pid is not None, f"{name} does not run"
    return pid


def wait_until_up(pid: int) -> None:
    """Until init has set its traps: liblxc is ready as soon as it has run init."""
    deadline = time.monotonic() + 60
    while not _caught(pid):
        assert time.monotonic() < deadline, "the guest's init catches no signal"
        time.sleep(0.01)


def _caught(pid: int) -> int:
    found = re.search(r"^SigCgt:\t(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.M)
    return int(found[1], 16) if found else 0


def _map(file: Path) -> tuple[str, ...]:
    return tuple(" ".join(line.split()) for line in file.read_text().splitlines())


def _mounts(pid: int, root: Path, data: Path) -> Iterator[str]:
    """What is mounted where, and how: without numbers, and with the same name for each root."""
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        words = line.split()
        dash = words.index("-")
        inner, point, options = words[3:6]
        shared = sorted({tag.split(":")[0] for tag in words[6:dash]})
        fstype, source, superblock = words[dash + 1 :]
        inner = inner.replace(f"{root}", "@ROOT").replace(f"{data}", "@DATA")
        if fstype == "devpts":  # a terminal of the host, of which others have some too
            inner = inner.rstrip("0123456789")
        yield " ".join((point, fstype, inner, options, ",".join(shared), source, superblock))


def _cgroups(pid: int) -> Iterator[tuple[str, Path]]:
    """The guest's own cgroup by each controller; the one of version 2 is under ``""``."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        top = re.sub(r"(/lxc\.payload\.[^/]+).*", r"\1", path).lstrip("/")
        for each in controllers.split(","):
            at = Path("/sys/fs/cgroup")
            yield each, (at / each / top if each else at / top)


def _read(cgroups: Mapping[str, Path], key: str) -> str:
    controller, _, file = key.rpartition("/")
    path = cgroups.get(controller, Path("/none")) / file
    return path.read_text().strip() if path.is_file() else ""


def _nodes(dev: Path) -> Iterator[str]:
    """Devices and links of ``/dev``, but nothing of the processes that nesting shows there."""
    for each in (Path(top, name) for top, names in _below(dev) for name in names):
        if each.is_symlink():
            yield f"{each.relative_to(dev)} -> {each.readlink()}"
        elif each.is_char_device() or each.is_block_device():
            seen = each.stat()
            major, minor = os.major(seen.st_rdev), os.minor(seen.st_rdev)
            number = f"{major}" if major == TERMINALS else f"{major}:{minor}"
            yield f"{each.relative_to(dev)} {seen.st_mode:o} {number}"


def _below(dev: Path) -> Iterator[tuple[str, list[str]]]:
    for top, folders, files in os.walk(dev):
        folders[:] = [name for name in folders if name != ".lxc"]
        yield top, [*folders, *files]


def _network(pid: int) -> Iterator[str]:
    """Interfaces, addresses and routes of the guest."""
    for argv in (["-o", "link"], ["-o", "address"], ["route"], ["-6", "route"]):
        for line in sh("nsenter", "-t", f"{pid}", "-n", "ip", *argv).splitlines():
            said = re.sub(r"(@if\d+|^\d+: | qlen \d+| link-netnsid \d+| state \w+)", "", line)
            said = re.sub(r"valid_lft \w+ preferred_lft \w+| tentative|NO-CARRIER,", "", said)
            yield " ".join(said.replace(",LOWER_UP", "").split())
