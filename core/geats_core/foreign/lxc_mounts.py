"""What a container's config says of mounts, as liblxc mounts them; and which of that are binds.

See mount_entry in liblxc's conf.c, and fstab(5). A target is within the root filesystem, whether
or not it begins with ``/``: one that begins with the path of the root filesystem is relative to
that, and any other absolute one is passed over. geats makes every mount point that is absent. So a
line that is ``optional``, and that says nothing of making it, is no bind of geats.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from returns.result import Success

from geats_core.containers.devices import BELOW, OWN, PATH
from geats_core.reading import fields
from geats_core.reading.values import dataclass
from geats_core.vm.lxc_config import fstab_escaped

ENTRY = "lxc.mount.entry"
OCTAL = re.compile(r"\\([0-7]{3})")
LONGEST_NAME = 63
OF_LIBLXC = frozenset({"optional", "create=dir", "create=file", "bind", "rbind", "ro", "rw"})
LATER = frozenset({"slave", "rslave"})
MADE = frozenset({"create=dir", "create=file"})
DEVICES = "/dev"
NUMBERED: Mapping[str, str] = {
    "10:200": "/dev/net/tun",
    "10:229": "/dev/fuse",
    "10:232": "/dev/kvm",
    "13": "/dev/input",
    "116": "/dev/snd",
    "189": "/dev/bus/usb",
    "226": "/dev/dri",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of mounts. ``target`` is absolute in the guest; None if liblxc passes over it."""

    source: str
    target: str | None
    fstype: str
    options: tuple[str, ...]

    def overlaps(self, other: "Entry") -> bool:
        """Whether one is mounted where the other is, or within it."""
        if self.target is None or other.target is None:
            return False
        here, there = f"{self.target.rstrip('/')}/", f"{other.target.rstrip('/')}/"
        return here.startswith(there) or there.startswith(here)

    def is_both_ways(self, other: "Entry") -> bool:
        """Whether the same files are in both, and read-only in one: geats has no such binds."""
        if ("ro" in self.options) == ("ro" in other.options):
            return False
        here, there = f"{self.source.rstrip('/')}/", f"{other.source.rstrip('/')}/"
        return here.startswith(there) or there.startswith(here)


def entry_of(value: str, roots: Sequence[str]) -> Entry | None:
    """What an ``lxc.mount.entry`` says; None if it says nothing.

    *roots* are the paths that mean the root filesystem, in the order in which liblxc looks.
    """
    words = value.split()
    if len(words) < 2 or words[0].startswith("#"):
        return None
    fstype, options, *_ = [*words[2:4], "", ""]
    target = _within(_plain(words[1]), roots)
    return Entry(_plain(words[0]), target, fstype, tuple(filter(None, options.split(","))))


def entry_text(value: str, roots: Sequence[str]) -> str:
    """The same with its target relative to the root, wherever that will be; else as it is."""
    words = value.split()
    entry = entry_of(value, roots)
    if entry is None or entry.target is None or not words[1].startswith("/"):
        return value
    return " ".join([words[0], fstab_escaped(entry.target[1:]), *words[2:]])


def bind_of(
    entry: Entry, others: Iterable[Entry], kinds: Mapping[str, bool]
) -> dict[str, object] | None:
    """The bind that does the same, as in a pillar; None if none does.

    *others* are all other mounts of the container. *kinds* says of sources whether they are
    directories.
    """
    words = {*entry.options} - {"defaults"} - LATER
    later = LATER & {*entry.options}
    recursive, made = "rbind" in words, words & MADE
    is_dir = kinds.get(entry.source, made == {"create=dir"})
    unknown = entry.source not in kinds and not made
    read_only = "ro" in words
    if (
        not words & {"bind", "rbind"}
        or words - OF_LIBLXC
        or unknown
        or ("optional" in words and not made)
        or made == {"create=file" if is_dir else "create=dir"}
        or (recursive and (read_only or not is_dir))
        or any(entry.overlaps(other) for other in others)
        or (later and (read_only or not is_dir or later != {f"{'r' * recursive}slave"}))
    ):
        return None
    match fields.bind_source("", entry.source), fields.mount("", entry.target):
        case Success(source), Success(mount) if mount not in fields.NO_MOUNTS:
            kind = {"recursive": recursive, "optional": "optional" in words, "file": not is_dir}
            said: dict[str, object] = {"source": source, "mount": mount, "read_only": read_only}
            propagated = {"propagation": "slave"} if later else {}
            return {**said, **{key: True for key, is_so in kind.items() if is_so}, **propagated}
        case _:
            return None


def device_of(entry: Entry) -> dict[str, object] | None:
    """The device that does the same, as in a pillar; None if none does."""
    words = {*entry.options} - {"defaults", "rw"}
    if not PATH.fullmatch(entry.source) or not PATH.fullmatch(entry.target or ""):
        return None
    if "bind" not in words and "rbind" not in words:
        return None
    if words - {"bind", "rbind", "optional", "create=file", "create=dir"}:
        return None
    target = entry.target or ""
    if target != entry.source and target.removeprefix(BELOW) in OWN:
        return None
    mount = {} if target == entry.source else {"mount": target}
    return {
        "source": entry.source,
        **mount,
        **({"optional": True} if "optional" in words else {}),
    }


def known_as(rule: str) -> str:
    """The device, or the directory, that a rule of a devices cgroup is for, if all hosts have the
    same number of it; else empty. See devices.txt of the kernel."""
    number = rule.split()[1] if rule.startswith("c ") and len(rule.split()) > 1 else ""
    return NUMBERED.get(number) or NUMBERED.get(number.partition(":")[0], "")


def name_of(mount: str, taken: Collection[object]) -> str:
    """A name for what is mounted there that is not *taken*."""
    plain = re.sub(r"[^a-z0-9]+", "-", mount.lower()).strip("-")[: LONGEST_NAME - 4].strip("-")
    stem = plain or "bind"
    names = [stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def needs_leave(bind: Mapping[str, object]) -> bool:
    """Whether it is of a file or of devices, which ``bind_sources`` seldom allows."""
    return bool(bind.get("file")) or is_device(bind)


def is_device(bind: Mapping[str, object]) -> bool:
    """Whether it is of devices of the host."""
    return f"{bind['source']}/".startswith(f"{DEVICES}/")


def doubles(entry: Entry) -> bool:
    """Whether it mounts what LXC's ``common.conf`` has liblxc mount: twice is an error."""
    return (entry.fstype, entry.target) in (("proc", "/proc"), ("sysfs", "/sys"))


def _within(target: str, roots: Sequence[str]) -> str | None:
    """Where it is in the guest: liblxc looks for the path of the root anywhere in the target."""
    if not target.startswith("/"):
        return fields.normal_path(target)
    for root in (each.rstrip("/") for each in roots if each.strip("/")):
        _, found, after = target.partition(root)
        if found:
            return fields.normal_path(after)
    return None


def _plain(word: str) -> str:
    return OCTAL.sub(lambda octal: chr(int(octal[1], 8)), word)
