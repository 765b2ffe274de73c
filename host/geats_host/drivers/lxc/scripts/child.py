"""One call into liblxc, in a process of its own: run as a script by the driver ``lxc``.

A daemonising ``start`` moves its caller into another cgroup, and any call can hang for ever on a
monitor that is stuck. So each runs in a short-lived process, which the driver ends when its time
is up. It imports nothing of geats, and may run in another Python than that: ``python -I -S child.py
PACKAGES ACTION LXCPATH NAME LOG [ARG...]``. PACKAGES is where the binding is (see ``binding``).
For a start these are the writable sources to set apart, ``--``, and the command that then starts.
The exit code is 0 if liblxc did it; if not, the reasons are in the file LOG.
"""

import ctypes
import os
import re
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

sys.path += sys.argv[1:2]
import lxc

CLONE_NEWNS = 0x20000  # linux/sched.h
MS_BIND, MS_REC, MS_SLAVE = 0x1000, 0x4000, 0x80000  # linux/mount.h
MNT_DETACH = 2  # linux/fs.h
FILESYSTEMS = ("ext4", "xfs", "btrfs")
TAKEN_UP = "trusted.geats.size"  # on each filesystem that a pool mounted for a volume
OVERLAYS_OF_SYSTEMS = 2  # directories deep, at most: /usr, /var/lib
PR_SET_PDEATHSIG = 1  # linux/prctl.h
ATTR_RDONLY, AT_FDCWD, AT_RECURSIVE, SYS_MOUNT_SETATTR = 1, -100, 0x8000, 442
READ_ONLY = re.compile(r" none (r?)bind,ro,create=(?:dir|file)\b")  # as geats writes them
libc = ctypes.CDLL(None, use_errno=True)
RESEND_S = (1, 2)  # a request that a guest gets while it boots is lost; later ones come slower


def main(argv: Sequence[str]) -> int:
    """Do what *argv* asks for; a start, from mounts set apart, is left to the program it names."""
    _, action, lxcpath, name, log, *rest = argv
    container = lxc.Container(name, config_path=lxcpath)
    container.set_config_item("lxc.log.level", "ERROR")
    container.set_config_item("lxc.log.file", log)
    match action:
        case "start":
            end = rest.index("--")
            _set_apart(container, rest[:end])
            os.execvp(rest[end + 1], rest[end + 1 :])
        case "stop":
            done = container.stop()
        case "shutdown":
            _end_with_caller()
            if rest[1:]:  # never saved
                container.set_config_item("lxc.signal.halt", rest[1])
            done = _shutdown(container, float(rest[0]))
        case "freeze":
            done = container.freeze()
        case "unfreeze":
            done = container.unfreeze()
        case "set-limits":
            # What one takes can depend on another: swap and memory together, in cgroup v1.
            failed = [item for item in rest if not _set_limit(container, item)]
            done = all(_set_limit(container, item) for item in failed)
        case "allow-devices":
            rules = (item.partition("=") for item in rest)
            done = all(container.set_cgroup_item(key, value) for key, _, value in rules)
        case _:
            raise SystemExit(f"unknown action {action!r}")
    return 0 if done else 1


def _set_apart(container: lxc.Container, writable: Sequence[str]) -> None:
    """Mount sources of the guest's mounts on themselves, for the monitor and nobody else.

    The guest's mounts are copies of these. What was read-only before the guest's namespaces were,
    its root cannot make writable. And what is mounted below a source is not in the copy, but where
    the bind is recursive: the kernel refuses to make one that the guest could uncover. Root of a
    privileged guest is root on the host, which no mount keeps from anything; but liblxc makes only
    the top of a recursive bind read-only.
    """
    read_only = dict(_read_only(container.get_config_item("lxc.mount.entry") or ()))
    recursive = {source for source, below in read_only.items() if below}
    wanted = read_only.keys() | set(writable)
    if not container.get_config_item("lxc.idmap"):
        wanted = recursive
    sources = {source for source in wanted if os.path.lexists(source)}  # one may be optional
    if not sources:
        return
    _check(libc.unshare(CLONE_NEWNS))
    _check(libc.mount(None, b"/", None, MS_REC | MS_SLAVE, None))
    rootfs = str(container.get_config_item("lxc.rootfs.path")).removeprefix("dir:")
    _leave_mounts_of_others([rootfs, *sources, *_sources(container)], _whole_trees(container))
    attributes = (ctypes.c_uint64 * 4)(ATTR_RDONLY)  # struct mount_attr, see mount_setattr(2)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    for source in sorted(sources, reverse=True):  # those in others first
        path, whole = os.fsencode(source), source in recursive
        _check(libc.mount(path, path, None, MS_BIND | (MS_REC if whole else 0), None))
        if source in read_only:
            flags = AT_RECURSIVE if whole else 0
            _check(libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, path, flags, attributes, size))


def _leave_mounts_of_others(needed: Sequence[str], whole: Sequence[str]) -> None:
    """Unmount here what other VMs have mounted: the monitor would keep it busy for its life.

    What leads to the paths that are *needed* stays, and what is below those needed as a *whole*.
    If ``/`` is shared, what the host unmounts is unmounted here too; else nothing is.
    """
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mountinfo:
        lines = [line.split() for line in mountinfo]
    for fields in reversed(lines):
        point, fstype = _plain(fields[4]), fields[fields.index("-") + 1]
        is_needed = any(_is_within(path, point) for path in needed)
        is_needed = is_needed or any(_is_within(point, path) for path in whole)
        if not is_needed and _is_of_a_volume(point, fstype):
            libc.umount2(os.fsencode(point), MNT_DETACH)  # if it is gone already, all is well


def _is_within(path: str, above: str) -> bool:
    return f"{path}/".startswith(f"{above.rstrip('/')}/")


def _is_of_a_volume(point: str, fstype: str) -> bool:
    """Whether it is mounted for a VM: geats marks filesystems, and layers are deep in a pool."""
    if fstype == "overlay":
        return point.count("/") > OVERLAYS_OF_SYSTEMS
    if fstype not in FILESYSTEMS:
        return False
    try:
        return bool(os.getxattr(point, TAKEN_UP))
    except OSError:
        return False


def _sources(container: lxc.Container) -> Iterator[str]:
    """The sources of all mounts of the guest that are paths of the host."""
    for entry in container.get_config_item("lxc.mount.entry") or ():
        yield _plain(entry.partition(" ")[0])


def _whole_trees(container: lxc.Container) -> Sequence[str]:
    """The sources that are mounted with all that is below them."""
    entries = container.get_config_item("lxc.mount.entry") or ()
    return [_plain(entry.partition(" ")[0]) for entry in entries if "rbind" in entry]


def _plain(escaped: str) -> str:
    """A path as it is, out of fstab(5) or mountinfo, where spaces and such are octal."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), escaped)


def _read_only(entries: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """The sources of geats' own read-only mounts, and whether they are recursive.

    The lines, which are as in fstab(5), may be by hand as well.
    """
    for entry in entries:
        source, _, rest = entry.partition(" ")
        if found := READ_ONLY.search(rest):
            yield _plain(source), bool(found[1])


def _check(returned: int) -> None:
    if returned < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _end_with_caller() -> None:
    """Ask no guest to power off for somebody who was killed meanwhile."""
    _check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))


def _shutdown(container: lxc.Container, timeout_s: float) -> bool:
    """Ask again and again until it is off."""
    deadline = time.monotonic() + timeout_s
    waits = iter(RESEND_S)
    while (left_s := deadline - time.monotonic()) > 0:
        wait_s = next(waits, 3)
        if container.shutdown(max(1, round(min(wait_s, left_s)))):
            return True
    return False


def _set_limit(container: lxc.Container, item: str) -> bool:
    """Write one value, and see that it is there; the kernel rounds memory to pages."""
    key, _, value = item.partition("=")
    if not container.set_cgroup_item(key, value):
        print(f"{key} does not take {value}", file=sys.stderr)
        return False
    now = container.get_cgroup_item(key)
    if value.isdigit() and abs(int(now) - int(value)) >= 65536:
        print(f"{key} stays at {now}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
