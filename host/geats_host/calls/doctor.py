"""Examine a host: can it run what it is configured to run? Nothing that is there is changed.

What a look does not tell is tried: drivers run a small VM, which is gone afterwards. Each finding
says what was looked at, what was found, and, unless that is well, what to do about it.
"""

import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from geats_core.vm.idmap import sharing
from geats_core.vm.parse import DEFAULT_DRIVER
from geats_core.vm.spec import IdRange
from geats_host import templates
from geats_host.calls import lifecycle, registry_health, units
from geats_host.drivers import TryingDriver
from geats_host.drivers.lxc.kernel import apparmor
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.inputs.configuration import MEND
from geats_host.linux.subordinate_ids import NEEDED, subordinate_ids
from geats_host.linux.unit_files import SERVICE

OLDEST_KERNEL = (5, 12)  # mount_setattr(2), for idmapped mounts
INSTANCES_PER_GUEST = 2  # of inotify, that systemd in a guest has open
PTYS_PER_GUEST = 5  # its console, and four terminals (lxc.tty.max of common.conf)
GUESTS = 500  # that should run at once
OWN_IDS = "give each an idmap of its own, if one may not reach files and processes of another"
CONTROLLERS = ("cpu", "memory", "pids")
PROGRAMS = {  # what geats runs, and Debian's package that has it
    "lxc-start": "lxc",
    "lxc-attach": "lxc",
    "newuidmap": "uidmap",
    "tar": "tar",
    "zstd": "zstd",
    "xz": "xz-utils",
    "unsquashfs": "squashfs-tools",
    "ip": "iproute2",
}
NOT_INSTALLED = re.compile(r"is not installed \(package ([a-z0-9.+-]+)\)")
NO_BRIDGE = re.compile(r"\.bridge: unknown bridge '([^']+)'")


class Health(StrEnum):
    """How bad a finding is."""

    WELL = "well"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked, what was found, and how to correct it (empty if it is well)."""

    what: str
    health: Health
    found: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class HostFiles:
    """Where a host tells of itself; another root is for tests."""

    root: Path = Path("/")

    def text(self, path: str) -> str | None:
        """What the file holds; None if it is not there."""
        try:
            return (self.root / path).read_text().strip()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def number(self, path: str) -> int | None:
        """The number that the file holds."""
        text = self.text(path)
        return int(text) if text and text.isdecimal() else None


def examine(raw: object, tree: HostFiles | None = None) -> tuple[Finding, ...]:
    """All findings on this host, of which *raw* is the configuration; of another *tree*, none of
    what is tried.
    """
    tried, tree = () if tree else _trials(raw), tree or HostFiles()
    return (
        *_registry(raw),
        _user(),
        _kernel(),
        _user_namespaces(tree),
        _subordinate_ids(tree),
        _cgroups(tree),
        _inotify(tree),
        _ptys(tree),
        _apparmor(tree),
        _lxcfs(tree),
        _mounts(tree),
        _units(tree),
        *_programs(),
        *_shared_ids(raw, tree),
        *tried,
        *_configuration(raw),
    )


def of_pillar(problems: Iterable[object]) -> tuple[Finding, ...]:
    """The findings if Salt could not render the pillar of a host: nothing else can be checked
    then."""
    return tuple(Finding("pillar", Health.PROBLEM, str(each), MEND) for each in problems)


def has_problem(findings: Iterable[Finding]) -> bool:
    """Whether something does not work, and not only may be better."""
    return any(each.health is Health.PROBLEM for each in findings)


def to_plain(findings: tuple[Finding, ...]) -> list[Mapping[str, str]]:
    """The findings as plain data."""
    return [{key: str(value) for key, value in asdict(each).items()} for each in findings]


def _registry(raw: object) -> Iterator[Finding]:
    """First of all: without it, geats does not know its own VMs."""
    found = registry_health.troubles(raw)
    if not found:
        yield Finding("registry", Health.WELL, "can be read")
    for each in found:
        health = Health.PROBLEM if each.stops else Health.WARNING
        yield Finding("registry", health, each.found, each.fix)


def _user() -> Finding:
    uid = os.geteuid()
    health = Health.PROBLEM if uid else Health.WELL
    return Finding("user", health, f"user id {uid}", "run geats as root" if uid else "")


def _kernel() -> Finding:
    release = platform.release()
    numbers = tuple(int(each) for each in re.findall(r"\d+", release)[:2])
    if numbers >= OLDEST_KERNEL:
        return Finding("kernel", Health.WELL, release)
    oldest = ".".join(map(str, OLDEST_KERNEL))
    fix = f"boot Linux {oldest} or later: unprivileged guests need idmapped mounts"
    return Finding("kernel", Health.PROBLEM, release, fix)


def _user_namespaces(tree: HostFiles) -> Finding:
    most = tree.number("proc/sys/user/max_user_namespaces")
    if most:
        return Finding("user namespaces", Health.WELL, f"at most {most}")
    fix = "sysctl user.max_user_namespaces=65536, in a kernel with CONFIG_USER_NS"
    return Finding("user namespaces", Health.PROBLEM, "there are none", fix)


def _subordinate_ids(tree: HostFiles) -> Finding:
    ids = subordinate_ids(tree.root / "etc")
    if ids is not None:
        found = f"root has {ids[1]}, from {ids[0]} on"
        return Finding("subordinate ids", Health.WELL, found)
    fix = f"add the line root:100000:{NEEDED} to /etc/subuid and /etc/subgid"
    found = f"root has no {NEEDED} that are the same for users and groups"
    return Finding("subordinate ids", Health.PROBLEM, found, fix)


def _cgroups(tree: HostFiles) -> Finding:
    top = "sys/fs/cgroup"
    unified = tree.text(f"{top}/cgroup.controllers")
    there = unified.split() if unified is not None else os.listdir(tree.root / top)
    layout = "version 2" if unified is not None else "version 1"
    missing = [each for each in CONTROLLERS if each not in there]
    if not missing:
        return Finding("cgroups", Health.WELL, f"{layout}, with {', '.join(CONTROLLERS)}")
    fix = "mount them, or boot with cgroup_enable=memory if memory is missing"
    return Finding("cgroups", Health.PROBLEM, f"{layout}, without {', '.join(missing)}", fix)


def _inotify(tree: HostFiles) -> Finding:
    name = "fs.inotify.max_user_instances"
    most = tree.number("proc/sys/" + name.replace(".", "/")) or 0
    wanted = GUESTS * INSTANCES_PER_GUEST
    if most >= wanted:
        return Finding("inotify", Health.WELL, f"at most {most} instances")
    found = f"at most {most} instances: enough for about {most // INSTANCES_PER_GUEST} guests"
    return Finding("inotify", Health.WARNING, found, f"sysctl {name}={wanted}")


def _ptys(tree: HostFiles) -> Finding:
    most = tree.number("proc/sys/kernel/pty/max") or 0
    wanted = GUESTS * PTYS_PER_GUEST
    if most >= wanted:
        return Finding("ptys", Health.WELL, f"at most {most}")
    found = f"at most {most}: enough for about {most // PTYS_PER_GUEST} guests"
    return Finding("ptys", Health.WARNING, found, f"sysctl kernel.pty.max={wanted}")


def _apparmor(tree: HostFiles) -> Finding:
    """Without the parser, a kernel that confines containers lets none start."""
    if not apparmor.is_enforced(tree.root):
        return Finding("apparmor", Health.WELL, "is not in the kernel, or off")
    parser = shutil.which(apparmor.PARSER)
    if parser is not None:
        return Finding("apparmor", Health.WELL, f"is on, with {parser}")
    found = f"is on, and {apparmor.PARSER} is not installed: no container can start"
    return Finding("apparmor", Health.PROBLEM, found, apparmor.FIX)


def _lxcfs(tree: HostFiles) -> Finding:
    if "fuse.lxcfs" in (tree.text("proc/self/mountinfo") or ""):
        return Finding("lxcfs", Health.WELL, "is mounted")
    found = "is not mounted: guests see the memory and the processors of the host"
    return Finding("lxcfs", Health.WARNING, found, "apt-get install lxcfs")


def _mounts(tree: HostFiles) -> Finding:
    """Whether what is unmounted for the host is so for every process of it."""
    lines = (tree.text("proc/self/mountinfo") or "").splitlines()
    top = [line.split(" - ")[0].split()[6:] for line in lines if line.split()[4] == "/"]
    if any(each.startswith("shared:") for words in top for each in words):
        return Finding("mounts", Health.WELL, "/ is shared: all processes see the same mounts")
    return Finding(
        "mounts",
        Health.WARNING,
        "/ is mounted private: a process with mounts of its own keeps those of VMs busy",
        "run 'mount --make-rshared /' before anything else starts, as systemd does",
    )


def _units(tree: HostFiles) -> Finding:
    """Whether guests are shut down before their host is."""
    if not (tree.root / units.RUNS).is_dir():
        found = "systemd is not the init here: what runs geats boot and halt is not known"
        return Finding("units", Health.WELL, found)
    if units.is_installed(tree.root):
        return Finding("units", Health.WELL, f"{SERVICE} is enabled")
    found = f"{SERVICE} is not enabled: a poweroff kills guests that are not off after 90 s"
    return Finding("units", Health.WARNING, found, "geats units")


def _trials(raw: object) -> Iterator[Finding]:
    """What the drivers tried; nothing of those that cannot be opened, which has other findings."""
    try:
        drivers = Host.from_config(raw).drivers
    except (Refused, HostError):
        return
    for name in drivers:
        with suppress(HostError):
            if isinstance(driver := drivers[name], TryingDriver):
                for trial in driver.trials():
                    health = Health.PROBLEM if trial.fix else Health.WELL
                    yield Finding(trial.what, health, trial.found, trial.fix)


def _shared_ids(raw: object, tree: HostFiles) -> Iterator[Finding]:
    """VMs whose users are the same on the host: nothing but their namespaces is between them."""
    try:
        seen = Host.from_config(raw).observe_all()
    except (Refused, HostError):  # which others tell
        return
    first, count = subordinate_ids(tree.root / "etc") or (0, 0)
    of_host = (IdRange(guest=0, host=first, count=count),)
    known = {name: have.recorded or have.defined for name, have in seen.items()}
    maps = {
        name: spec.idmap or of_host
        for name, spec in known.items()
        if spec is not None and spec.driver == DEFAULT_DRIVER and not spec.privileged
    }
    for names in sharing(maps):
        found = f"{', '.join(names)} have the same ids on the host"
        yield Finding("ids of guests", Health.WARNING, found, OWN_IDS)


def _programs() -> Iterator[Finding]:
    for program, package in PROGRAMS.items():
        path = shutil.which(program)
        if path is None:
            fix = f"apt-get install {package}"
            yield Finding(program, Health.PROBLEM, "is not installed", fix)
        else:
            yield Finding(program, Health.WELL, path)


def _configuration(raw: object) -> Iterator[Finding]:
    """Pools with their tools, templates, bridges, and VMs: whatever a plan would be refused for."""
    by_name = lifecycle.validate(raw)
    by_name.pop(lifecycle.REGISTRY, None)  # which has findings of its own
    problems = [str(each) for found in by_name.values() for each in found]
    problems += _template_problems(raw)
    if not problems:
        yield Finding("configuration", Health.WELL, "is valid, with everything that it declares")
    for each in dict.fromkeys(problems):
        yield Finding("configuration", Health.PROBLEM, each, _fix(each))


def _template_problems(raw: object) -> list[str]:
    """What is wrong with the files of templates; nothing if no host can be opened."""
    try:
        host = Host.from_config(raw)
    except (Refused, HostError):  # which ``validate`` told already, or the registry's finding
        return []
    declared = host.config.templates.values()
    return [str(found) for each in declared for found in templates.problems(each, host.store)]


def _fix(problem: str) -> str:
    if missing := NOT_INSTALLED.search(problem):
        return f"apt-get install {missing[1]}"
    if bridge := NO_BRIDGE.search(problem):
        name = bridge[1]
        return f"ip link add {name} type bridge && ip link set {name} up"
    return f"correct it in the configuration, at {problem.partition(':')[0]}"
