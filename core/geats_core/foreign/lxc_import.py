"""The pillar out of the ``config`` files of LXC containers that something else made.

Keys are those of lxc.container.conf(5), and of LXC 2, which had other names for some. As with the
first geats, each line leaves a note: where it went, or why it went nowhere.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import TypeAlias

from geats_core.foreign.legacy import problems_of_pillar
from geats_core.foreign.legacy_notes import Imported, Note, Pillar, Plain, Taken
from geats_core.reading.sizes import format_size
from geats_core.vm.observation import ForeignNic

Line: TypeAlias = tuple[str, str]
Words: TypeAlias = Mapping[str, str]

CPU_PERIOD_US = 100_000
NIC = re.compile(r"lxc\.net\.([0-9]+)\.(.+)")
NO_LIMIT = ("max", "-1")
BY_HAND = "has no key: add it to the new VM's config by hand, where it stays"
OF_GEATS = "geats writes what is needed"
NO_NIC = "a VM without NICs has a network of its own, with nothing in it"
OLD_NAMES: Words = {
    "lxc.utsname": "lxc.uts.name",
    "lxc.rootfs": "lxc.rootfs.path",
    "lxc.id_map": "lxc.idmap",
    "lxc.haltsignal": "lxc.signal.halt",
}
NIC_NAMES: Words = {
    "ipv4": "ipv4.address",
    "ipv6": "ipv6.address",
    "link": "bridge",
    "hwaddr": "mac",
}
WRITTEN = (
    "lxc.include",
    "lxc.apparmor.profile",
    "lxc.arch",
    "lxc.autodev",
    "lxc.tty.max",
    "lxc.pty.max",
)
INITS: Words = {"SIGRTMIN+3": "systemd", "SIGUSR1": "busybox"}


def import_lxc(configs: Mapping[str, tuple[str, str]]) -> Imported:
    """The pillar for containers, by their files: each a name, and the text of its ``config``."""
    geats: Pillar = {"templates": {}, "vms": {}}
    notes: list[Note] = []
    sources: list[str] = []
    for file, (name, text) in configs.items():
        taken = Taken(file)
        geats["vms"][name] = container(taken, name, text, geats["templates"], sources)
        notes += taken.notes
    kept: Plain = {key: value for key, value in geats.items() if value}
    if sources:
        kept["bind_sources"] = sources
    return Imported(geats=kept, notes=tuple(notes), problems=problems_of_pillar(kept))


def container(taken: Taken, name: str, text: str, templates: Plain, sources: list[str]) -> Plain:
    """The VM of one ``config``; each of its ``lines_of`` leaves a note in *taken*, in their order.

    What it needs of the rest of the pillar goes to *templates* and *sources* (of binds).
    """
    at = f"vms.{name}"
    lines = list(lines_of(text))
    keys = dict(lines)
    vm: Plain = {}
    nics: dict[str, Plain] = {}
    if "lxc.idmap" not in keys:
        vm["privileged"] = True
    for key, value in lines:
        simple = SIMPLE.get(key)
        if found := NIC.fullmatch(key):
            number, word = found[1], NIC_NAMES.get(found[2], found[2])
            if keys.get(f"lxc.net.{number}.type") == "empty":
                taken.left(key, NO_NIC)
                continue
            nic = nics.setdefault(number, {"name": f"eth{number}"})
            _nic(taken, key, word, value, nic, f"{at}.nics[{len(nics) - 1}]")
        elif simple and (read := simple[1](value)) is not None:
            vm[simple[0]] = read
            taken.went(key, f"{at}.{simple[0]}")
        elif simple and value.startswith(NO_LIMIT):
            taken.left(key, OF_GEATS)
        elif key == "lxc.rootfs.path":
            _rootfs(taken, name, keys, vm, templates)
        elif key == "lxc.mount.entry":
            _mount(taken, value, vm, at, sources)
        elif key == "lxc.idmap":
            taken.went(key, f"{at}.privileged", "VMs are unprivileged unless they say otherwise")
        elif key.startswith("lxc.start."):
            _start(taken, key, value, vm, at)
        else:
            taken.left(key, OF_GEATS if key in WRITTEN else BY_HAND)
    return {**vm, "nics": list(nics.values())} if nics else vm


def lines_of(text: str) -> Iterable[Line]:
    """Keys and values, named as since LXC 3; before, each ``type`` began an interface."""
    nics = -1
    for line in text.split("\n"):
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or key.startswith("#"):
            continue
        if key.startswith("lxc.network."):
            nics += key == "lxc.network.type"
            key = f"lxc.net.{max(nics, 0)}.{key.removeprefix('lxc.network.')}"
        yield OLD_NAMES.get(key, key), value


def nics_of(text: str) -> tuple[ForeignNic, ...]:
    """The interfaces in a container's config, by their numbers; those of no address too."""
    found: dict[int, ForeignNic] = {}
    for key, value in lines_of(text):
        if nic := NIC.fullmatch(key):
            number = int(nic[1])
            found[number] = _with(found.get(number, ForeignNic()), nic[2], value)
    return tuple(nic for _, nic in sorted(found.items()) if nic != ForeignNic())


def _with(nic: ForeignNic, word: str, value: str) -> ForeignNic:
    match word:
        case "hwaddr" if "x" not in value.lower():  # those stand for digits that liblxc draws
            return replace(nic, mac=value.lower())
        case "veth.pair":
            return replace(nic, pair=value)
        case "ipv4.address" | "ipv6.address" | "ipv4" | "ipv6" if value:
            address = value.split()[0].partition("/")[0]
            return replace(nic, addresses=(*nic.addresses, _plain_address(address)))
        case _:
            return nic


def _plain_address(written: str) -> str:
    """The address as geats writes it; one that is none stands as it is."""
    try:
        return str(ip_address(written))
    except ValueError:
        return written


def _nic(taken: Taken, key: str, word: str, value: str, nic: Plain, at: str) -> None:
    if word in ("name", "bridge", "mac"):
        nic[word] = value
        taken.went(key, f"{at}.{word}")
    elif word in ("ipv4.address", "ipv6.address"):
        _append(nic, "addresses", value.split(" ")[0])
        taken.went(key, f"{at}.addresses")
    elif word in ("ipv4.gateway", "ipv6.gateway") and value not in ("auto", "dev"):
        _append(nic, "gateways", value)
        taken.went(key, f"{at}.gateways")
    elif word in ("flags", "veth.pair") or (word, value) == ("type", "veth"):
        taken.left(key, OF_GEATS)
    else:
        taken.left(key, "geats has NICs on bridges only (veth), with these addresses")


def _rootfs(taken: Taken, name: str, keys: Words, vm: Plain, templates: Plain) -> None:
    """The root filesystem becomes the template that the new one is copied from."""
    path = keys["lxc.rootfs.path"].removeprefix("dir:")
    if not path.startswith("/"):
        taken.left("lxc.rootfs.path", "only a directory can be the template of the new VM")
    elif "lxc.idmap" in keys and "idmap=container" not in keys.get("lxc.rootfs.options", ""):
        taken.left("lxc.rootfs.path", "its files have the ids of an unprivileged guest")
    else:
        templates[f"{name}-root"] = {"path": path}
        vm["template"] = f"{name}-root"
        why = "the new VM gets a copy: stop the old one before, and keep it until all is well"
        taken.went("lxc.rootfs.path", f"templates.{name}-root.path", why)


def _mount(taken: Taken, value: str, vm: Plain, at: str, sources: list[str]) -> None:
    """A bind of a directory of the host; anything else is left."""
    source, mount, _, options, *_ = [*value.split(), "", "", "", ""]
    words = {*options.split(",")}
    is_bind = words & {"bind", "rbind"} and "create=file" not in words
    if not source.startswith("/") or not is_bind or "\\" in value:
        taken.left("lxc.mount.entry", BY_HAND)
        return
    name = re.sub(r"[^a-z0-9]+", "-", mount.lower()).strip("-")
    bind = {"source": source, "mount": f"/{mount.lstrip('/')}", "read_only": "ro" in words}
    vm["binds"] = {**_mapping(vm.get("binds")), name: bind}
    sources += [source] if source not in sources else []
    taken.went("lxc.mount.entry", f"{at}.binds.{name}")


def _start(taken: Taken, key: str, value: str, vm: Plain, at: str) -> None:
    """LXC starts the lowest order first, geats the highest priority."""
    word = key.removeprefix("lxc.start.")
    if word not in ("auto", "order", "delay") or not re.fullmatch("-?[0-9]{1,9}", value):
        taken.left(key, BY_HAND)
        return
    said: Mapping[str, Plain] = {
        "auto": {"enabled": value == "1"},
        "order": {"priority": -int(value)},
        "delay": {"delay": int(value)},
    }
    vm["autostart"] = {"enabled": False, **_mapping(vm.get("autostart")), **said[word]}
    taken.went(key, f"{at}.autostart")


def _append(nic: Plain, key: str, value: str) -> None:
    there = nic.get(key)
    nic[key] = [*(there if isinstance(there, list) else []), value]


def _mapping(there: object) -> Plain:
    return there if isinstance(there, dict) else {}


def _limit(value: str) -> object:
    if value in NO_LIMIT:
        return None
    return int(value) if value.isdigit() and len(value) < 20 else value


def _memory(value: str) -> object:
    limit = _limit(value)
    return format_size(limit) if isinstance(limit, int) else limit


def _cpus(value: str) -> object:
    """A quota, and perhaps the period that it is of, in µs."""
    words = value.split()
    if not all(re.fullmatch("[1-9][0-9]{0,9}", word) for word in words) or not 0 < len(words) < 3:
        return None
    period = int(words[1]) if len(words) == 2 else CPU_PERIOD_US
    return int(words[0]) / period


SIMPLE: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "lxc.uts.name": ("hostname", str),
    "lxc.cgroup.memory.limit_in_bytes": ("memory", _memory),
    "lxc.cgroup.pids.max": ("processes", _limit),
    "lxc.cgroup2.memory.max": ("memory", _memory),
    "lxc.cgroup2.pids.max": ("processes", _limit),
    "lxc.cgroup.cpu.cfs_quota_us": ("cpus", _cpus),
    "lxc.cgroup2.cpu.max": ("cpus", _cpus),
    "lxc.signal.halt": ("init", INITS.get),
}
