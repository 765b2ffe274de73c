"""What every host needs for its VMs: looked at, and tried where a look does not tell."""

import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from geats_host.drivers.lxc.kernel import apparmor
from geats_host.errors import HostError
from geats_host.examining import tried
from geats_host.examining.findings import Finding, Health, HostFiles
from geats_host.linux.subordinate_ids import NEEDED, lacking, subordinate_ids
from geats_host.linux.unit_files import RUNS

OLDEST_KERNEL = (5, 12)  # mount_setattr(2), for idmapped mounts
INSTANCES_PER_GUEST = 2  # of inotify, that systemd in a guest has open
PTYS_PER_GUEST = 5  # its console, and four terminals (lxc.tty.max of common.conf)
GUESTS = 500  # that should run at once
CONTROLLERS = ("cpu", "memory", "pids")
PROGRAMS_OF_CONTAINERS = {  # what geats runs, and Debian's package that has it
    "lxc-start": "lxc",
    "lxc-attach": "lxc",
    "newuidmap": "uidmap",
    "unsquashfs": "squashfs-tools",
}
PROGRAMS = {"tar": "tar", "zstd": "zstd", "xz": "xz-utils", "ip": "iproute2"}
INSTANCES, PTYS = "fs.inotify.max_user_instances", "kernel.pty.max"
RESERVED_PTYS = 1024  # kernel.pty.reserve: those only the host's own /dev/pts may have
LXCFS_FILE = "proc/uptime"

START_LXCFS = "systemctl enable --now lxcfs"
RUN_LXCFS = "mkdir -p /var/lib/lxcfs && lxcfs /var/lib/lxcfs &"
# By their numbers in capabilities(7): what does not work without them, and how bad that is.
CAPABILITIES = {
    12: ("CAP_NET_ADMIN", "no container gets a NIC", Health.PROBLEM),
    21: ("CAP_SYS_ADMIN", "nothing can be mounted", Health.PROBLEM),
    24: ("CAP_SYS_RESOURCE", "ext4 volumes only grow while their VM is off", Health.WARNING),
}
GIVE_CAPABILITIES = "run geats where root has all: see CapabilityBoundingSet= of its unit"
NSS_OWN_NAME = "myhostname"  # of nsswitch.conf: nss-myhostname(8), which needs no /etc/hosts
MEND_LXCFS = "restart lxcfs (systemctl restart lxcfs), and then the guests that use it"
MAKE_SHARED = "run 'mount --make-rshared /' before anything else starts, as systemd does"


def looks(
    tree: HostFiles, mounting: Iterable[Path], *, has_containers: bool = True
) -> Iterator[Finding]:
    """What was found in the files of a host, and on this one by trying; *mounting* are the folders
    below which geats mounts. A host of virtual machines alone needs nothing of containers.
    """
    yield _user()
    yield _kernel() if has_containers else Finding("kernel", Health.WELL, platform.release())
    if not (tree.is_this_host and os.geteuid()):  # else it lacks them all
        yield from _capabilities(tree)
    if has_containers:
        yield from (look(tree) for look in OF_CONTAINERS)
    yield _own_name(tree)
    yield _mounts(tree, mounting)
    yield from _programs((PROGRAMS_OF_CONTAINERS if has_containers else {}) | PROGRAMS)


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
    line, files = lacking(tree.root / "etc")
    fix = f"add the line {line} to {' and '.join(f'/etc/{file}' for file in files)}"
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
    """All guests share what the kernel gives root: one that is started has to get its part."""
    fix = f"sysctl {INSTANCES}={GUESTS * INSTANCES_PER_GUEST}"
    if tree.is_this_host and (fault := tried.inotify(INSTANCES_PER_GUEST)):
        found = f"another guest gets no instances: {fault}"
        return Finding("inotify", Health.PROBLEM, found, fix)
    most = tree.number("proc/sys/" + INSTANCES.replace(".", "/")) or 0
    if most >= GUESTS * INSTANCES_PER_GUEST:
        return Finding("inotify", Health.WELL, f"at most {most} instances")
    found = f"at most {most} instances: enough for about {most // INSTANCES_PER_GUEST} guests"
    return Finding("inotify", Health.WARNING, found, fix)


def _ptys(tree: HostFiles) -> Finding:
    """Guests may not have those that are reserved for the host."""
    fix = f"sysctl {PTYS}={GUESTS * PTYS_PER_GUEST + RESERVED_PTYS}"
    if tree.is_this_host and (fault := tried.pty()):
        found = f"none can be opened: {fault}"
        return Finding("ptys", Health.PROBLEM, found, f"mount devpts on /dev/pts, or {fix}")
    most, used = (tree.number(f"proc/sys/kernel/pty/{name}") or 0 for name in ("max", "nr"))
    for_guests = max(0, most - RESERVED_PTYS)
    if used + PTYS_PER_GUEST > for_guests:
        found = f"{used} of {for_guests} are in use: another guest gets none"
        return Finding("ptys", Health.PROBLEM, found, fix)
    if for_guests >= GUESTS * PTYS_PER_GUEST:
        return Finding("ptys", Health.WELL, f"at most {for_guests} in guests")
    found = f"at most {for_guests}: enough for about {for_guests // PTYS_PER_GUEST} guests"
    return Finding("ptys", Health.WARNING, found, fix)


def _apparmor(tree: HostFiles) -> Finding:
    """Without the parser, a kernel that confines containers lets none start."""
    if not apparmor.is_enforced(tree.root):
        return Finding("apparmor", Health.WELL, "is not in the kernel, or off")
    parser = shutil.which(apparmor.PARSER)
    fault = tried.apparmor_parser() if parser and tree.is_this_host else ""
    if parser is not None and not fault:
        return Finding("apparmor", Health.WELL, f"is on, with {parser}")
    why = fault or f"{apparmor.PARSER} is not installed"
    found = f"is on, and {why}: no container can start"
    fix = "apt-get install --reinstall apparmor" if parser else apparmor.FIX
    return Finding("apparmor", Health.PROBLEM, found, fix)


def _lxcfs(tree: HostFiles) -> Finding:
    lines = (tree.text("proc/self/mountinfo") or "").splitlines()
    points = [line.split()[4] for line in lines if " fuse.lxcfs " in line]
    if not points:
        found = "is not mounted: guests see the memory and the processors of the host"
        return Finding("lxcfs", Health.WARNING, found, _start_lxcfs(tree))
    if tree.is_this_host and (fault := tried.file(Path(points[-1], LXCFS_FILE))):
        return Finding("lxcfs", Health.PROBLEM, f"does not answer: {fault}", MEND_LXCFS)
    return Finding("lxcfs", Health.WELL, "is mounted")


def _start_lxcfs(tree: HostFiles) -> str:
    """What is left to do: it may be installed already."""
    if shutil.which("lxcfs") is None:
        return "apt-get install lxcfs"
    return START_LXCFS if (tree.root / RUNS).is_dir() else RUN_LXCFS


def _capabilities(tree: HostFiles) -> Iterator[Finding]:
    """Root in a container, or in a unit that is confined, may lack some."""
    held = re.search(r"^CapEff:\s*(\w+)$", tree.text("proc/self/status") or "", re.MULTILINE)
    bits = int(held[1], 16) if held else 0
    missing = [what for number, what in CAPABILITIES.items() if not bits >> number & 1]
    if not missing:
        yield Finding("capabilities", Health.WELL, "root has those that geats needs")
    for name, without, health in missing:
        yield Finding("capabilities", health, f"{name} is missing: {without}", GIVE_CAPABILITIES)


def _own_name(tree: HostFiles) -> Finding:
    """Many programs, sudo and Salt among them, ask for it, and wait if nobody answers."""
    name, hosts = platform.node(), tree.text("etc/hosts") or ""
    names = [word for line in hosts.splitlines() for word in line.partition("#")[0].split()[1:]]
    if name in names:
        return Finding("own name", Health.WELL, f"{name} is in /etc/hosts")
    if NSS_OWN_NAME in (tree.text("etc/nsswitch.conf") or ""):
        return Finding("own name", Health.WELL, f"{name} is known by nss-myhostname")
    found = f"{name} is not in /etc/hosts: programs that ask for it wait for DNS"
    return Finding("own name", Health.WARNING, found, f"echo '127.0.1.1 {name}' >> /etc/hosts")


def _mounts(tree: HostFiles, mounting: Iterable[Path]) -> Finding:
    """Whether what is unmounted for the host is so for every process of it."""
    if tree.is_this_host and os.geteuid() == 0:
        return _tried_mounts(mounting)
    lines = (tree.text("proc/self/mountinfo") or "").splitlines()
    top = [line.split(" - ")[0].split()[6:] for line in lines if line.split()[4] == "/"]
    if any(each.startswith("shared:") for words in top for each in words):
        return Finding("mounts", Health.WELL, "/ is shared: all processes see the same mounts")
    return _kept_busy("/ is mounted private")


def _tried_mounts(mounting: Iterable[Path]) -> Finding:
    for folder in dict.fromkeys(map(_there, mounting)):
        try:
            if tried.stays_mounted(folder):
                return _kept_busy(f"what was unmounted below {folder} stayed mounted elsewhere")
        except (HostError, OSError) as error:
            found = f"nothing can be mounted below {folder}: {error}"
            return Finding("mounts", Health.PROBLEM, found, "run geats where it may mount")
    return Finding("mounts", Health.WELL, "what is unmounted is so for all processes")


def _there(path: Path) -> Path:
    """The folder, or what of the way to it is there."""
    return next(each for each in (path, *path.parents) if each.is_dir())


def _kept_busy(found: str) -> Finding:
    why = f"{found}: a process with mounts of its own keeps those of VMs busy"
    return Finding("mounts", Health.WARNING, why, MAKE_SHARED)


def _programs(programs: Mapping[str, str]) -> Iterator[Finding]:
    for program, package in programs.items():
        path = shutil.which(program)
        if path is None:
            fix = f"apt-get install {package}"
            yield Finding(program, Health.PROBLEM, "is not installed", fix)
        else:
            yield Finding(program, Health.WELL, path)


OF_CONTAINERS = (
    _user_namespaces,
    _subordinate_ids,
    _cgroups,
    _inotify,
    _ptys,
    _apparmor,
    _lxcfs,
)
