"""Lines that a person added to a container's config: what of the spec each of them wins over.

They stand last, and in LXC what comes last wins. So a line for what the spec says as well is in
effect instead of it; who reads a plan has to know. What is added to lists, such as another address,
wins over nothing.
"""

import re
from collections.abc import Iterable

from geats_core.containers import nic_lines
from geats_core.containers.cgroups import BASIC, FILES
from geats_core.containers.isolation import field_of, isolation_lines
from geats_core.containers.programs import LINES, program_lines
from geats_core.vm.lxc_config import CPU_PERIOD_US, HALT, cgroup_items, halt_signal
from geats_core.vm.spec import VMSpec

FIELDS = {
    "lxc.uts.name": "hostname",
    "lxc.idmap": "idmap",
    "lxc.rootfs.options": "idmap",
    "lxc.rootfs.path": "volumes",
    "lxc.net": "nics",
    HALT: "init",
}
LIMITS = re.compile(r"lxc\.cgroup2?\.((memory|cpu|pids)\..+)")
CGROUP = re.compile(r"lxc\.cgroup(2?)\.(.+)")
OF_LIMIT = {"memory": "memory", "cpu": "cpus", "pids": "processes"}
NIC = re.compile(r"lxc\.net\.([0-9]+)(?:\.(.+))?")
NIC_VALUES = frozenset({None, "type", "link", "flags", "name", "hwaddr", "veth.pair"})
ADDED = frozenset({"ipv4.address", "ipv6.address", "veth.vlan.tagged.id"})  # to what there is
MOUNT = "lxc.mount.entry"
UNITS = {"K": 10, "M": 20, "G": 30}


def winning(lines: Iterable[str], spec: VMSpec) -> tuple[tuple[str, str], ...]:
    """Those of *lines* that win over *spec*, each with the key of it that is not in effect."""
    found = ((line, _wins_over(line, spec)) for line in lines)
    return tuple((line, key) for line, key in found if key)


def _wins_over(line: str, spec: VMSpec) -> str:
    key, equals, value = (part.strip() for part in line.partition("="))
    if not equals or key.startswith("#"):
        return ""
    if key == MOUNT:
        return _mounts(value, spec)
    if nic := NIC.fullmatch(key):
        return "nics" if _is_of_nic(int(nic[1]), nic[2], spec) else ""
    limit = LIMITS.fullmatch(key)
    if limit and BASIC.fullmatch(limit[1]):
        items = dict(cgroup_items(spec.limits))
        if spec.limits.cpus is not None:
            items["cgroup.cpu.cfs_period_us"] = f"{CPU_PERIOD_US}"
        said = items.get(key.removeprefix("lxc."))
        return OF_LIMIT[limit[2]] if said and _bytes(value) != said else ""
    if cgroup := CGROUP.fullmatch(key):
        said = dict(cgroup_items(spec.limits)).get(key.removeprefix("lxc."))
        of_files = "cgroup2" if cgroup[1] else "cgroup"
        return FILES.get(cgroup[2], of_files) if said and _bytes(value) != said else ""
    isolated = dict(map(_divided, isolation_lines(spec.isolation)))
    adds = bool(value) and key.startswith("lxc.cap.")
    if key in isolated and value != isolated[key] and not adds:
        return field_of(key)
    runs = dict(map(_divided, program_lines(spec.runs)))
    if key in LINES and key in runs and value != runs[key]:
        return LINES[key]
    field = FIELDS.get(key, "")
    return field if field and _is_said(field, value, spec) else ""


def _divided(line: str) -> tuple[str, str]:
    key, _, value = line.partition(" =")
    return key, value.strip()


def _is_of_nic(index: int, word: str | None, spec: VMSpec) -> bool:
    """Whether the line of an interface replaces one of a NIC of the spec."""
    if index >= len(spec.nics):
        return False
    written = nic_lines.lines(spec.name, index, spec.nics[index])
    words = {line.partition(" ")[0].removeprefix(f"lxc.net.{index}.") for line in written}
    return word in NIC_VALUES or word in words - ADDED


def _is_said(field: str, value: str, spec: VMSpec) -> bool:
    """Whether the spec has the key, and otherwise than *value*."""
    match field:
        case "hostname":
            return value != spec.hostname
        case "init":
            return halt_signal(spec) not in ("", value)
        case "idmap":
            return not spec.privileged
        case "nics":
            return bool(spec.nics)
        case _:
            return True


def _mounts(value: str, spec: VMSpec) -> str:
    """An entry for a place of the spec is mounted over it; an empty one takes all of them away."""
    volumes = {volume.mount for volume in spec.volumes if volume is not spec.root}
    volumes |= {other.mount for other in spec.shared_volumes}
    binds = {bind.mount for bind in spec.binds}
    if not value:
        return "volumes" if volumes else "binds" if binds else ""
    _, target, *_ = [*value.split(), "", ""]
    place = f"/{target.strip('/')}"
    return "volumes" if place in volumes else "binds" if place in binds else ""


def _bytes(value: str) -> str:
    """A number with one of liblxc's units as what the spec writes."""
    number, unit = value[:-1], value[-1:].upper()
    return f"{int(number) << UNITS[unit]}" if unit in UNITS and number.isdecimal() else value
