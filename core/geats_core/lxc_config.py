"""The configuration of an LXC container as text: a pure function of spec and host facts.

The keys are those of lxc.container.conf(5) for LXC 4 and later. Limits are written for cgroup v1
and v2 alike: LXC ignores those of the layout that the host does not have.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from geats_core.checked import Checked, problem
from geats_core.parse import parse_vm, to_plain
from geats_core.spec import Init, Limits, Nic, VMSpec

SPEC_LINE = "# geats-spec: "
HALT_SIGNAL = {Init.SYSTEMD: "SIGRTMIN+3", Init.BUSYBOX: "SIGUSR1"}
CPU_PERIOD_US = 100_000
UNLIMITED = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LxcFacts:
    """What the rendering needs to know of the host.

    ``volume_paths`` maps each volume's name to the directory that holds its files. ``idmap_first``
    and ``idmap_count`` are the host's range of subordinate ids, equal for users and groups.
    """

    volume_paths: Mapping[str, str]
    idmap_first: int = 100_000
    idmap_count: int = 65_536
    apparmor: bool = False
    includes: str = "/usr/share/lxc/config"


def render_lxc_config(spec: VMSpec, facts: LxcFacts) -> str:
    """The whole text of the container's ``config`` file. Its first lines hold the spec itself."""
    lines = [
        "# Written by geats; changes made by hand are replaced at the next apply.",
        spec_line(spec),
        f"lxc.include = {facts.includes}/common.conf",
        *_identity(spec, facts),
        *_storage(spec, facts),
        *(line for index, nic in enumerate(spec.nics) for line in _nic(spec.name, index, nic)),
        *(f"lxc.{key} = {value}" for key, value in cgroup_items(spec.limits)),
    ]
    return "".join(f"{line}\n" for line in lines)


def spec_line(spec: VMSpec) -> str:
    """The comment that holds *spec*: ``spec_of_lxc_config`` reads it."""
    plain = json.dumps(to_plain(spec), sort_keys=True, ensure_ascii=True)
    return f"{SPEC_LINE}{spec.name} {plain}"


def spec_of_lxc_config(text: str) -> Checked[VMSpec]:
    """The spec that a text made by ``render_lxc_config`` was rendered from."""
    for line in text.splitlines():
        if line.startswith(SPEC_LINE):
            name, _, plain = line.removeprefix(SPEC_LINE).partition(" ")
            try:
                return parse_vm(name, json.loads(plain))
            except (ValueError, RecursionError):
                break
    return problem("config", "was not written by geats")


def cgroup_items(limits: Limits) -> tuple[tuple[str, str], ...]:
    """Keys (without their leading ``lxc.``) and values of every limit that is set."""
    return tuple((key, value) for key, value in _all_cgroup_items(limits) if value != UNLIMITED)


def _all_cgroup_items(limits: Limits) -> Iterable[tuple[str, str]]:
    memory = UNLIMITED if limits.memory_bytes is None else str(limits.memory_bytes)
    yield "cgroup.memory.limit_in_bytes", memory
    yield "cgroup2.memory.max", memory
    quota = None if limits.cpus is None else max(1000, round(limits.cpus * CPU_PERIOD_US))
    yield "cgroup.cpu.cfs_quota_us", UNLIMITED if quota is None else str(quota)
    yield "cgroup2.cpu.max", UNLIMITED if quota is None else f"{quota} {CPU_PERIOD_US}"
    processes = UNLIMITED if limits.processes is None else str(limits.processes)
    yield "cgroup.pids.max", processes
    yield "cgroup2.pids.max", processes


def live_items(limits: Limits, *, cgroup2: bool) -> tuple[tuple[str, str], ...]:
    """Cgroup files and the values to write into them while the container runs."""
    prefix = "cgroup2." if cgroup2 else "cgroup."
    none = {
        "memory.limit_in_bytes": "-1",
        "cpu.cfs_quota_us": "-1",
        "cpu.max": f"max {CPU_PERIOD_US}",
    }
    named = [
        (key.removeprefix(prefix), value)
        for key, value in _all_cgroup_items(limits)
        if key.startswith(prefix)
    ]
    return tuple((key, value or none.get(key, "max")) for key, value in named)


def veth_name(vm_name: str, index: int) -> str:
    """The host's end of a NIC: fixed, so that a leftover is found, and of at most 15 characters."""
    digest = sha256(vm_name.encode()).hexdigest()[:9]
    return f"gt{digest}n{index}"


def _identity(spec: VMSpec, facts: LxcFacts) -> Iterable[str]:
    if not spec.privileged:
        yield f"lxc.include = {facts.includes}/userns.conf"
        yield f"lxc.idmap = u 0 {facts.idmap_first} {facts.idmap_count}"
        yield f"lxc.idmap = g 0 {facts.idmap_first} {facts.idmap_count}"
    yield f"lxc.uts.name = {spec.hostname}"
    yield f"lxc.signal.halt = {HALT_SIGNAL[spec.init]}"
    yield f"lxc.apparmor.profile = {'generated' if facts.apparmor else 'unconfined'}"


def _storage(spec: VMSpec, facts: LxcFacts) -> Iterable[str]:
    for volume in spec.volumes:
        path = facts.volume_paths[volume.name]
        if volume is spec.root:
            yield f"lxc.rootfs.path = dir:{path}"
            if not spec.privileged:
                yield "lxc.rootfs.options = idmap=container"
        else:
            mode = "ro" if volume.read_only else "rw"
            idmap = "" if spec.privileged else ",idmap=container"
            inside = volume.mount.removeprefix("/")
            options = f"bind,{mode},create=dir{idmap}"
            yield f"lxc.mount.entry = {fstab_escaped(path)} {inside} none {options} 0 0"


def fstab_escaped(path: str) -> str:
    """See fstab(5): white space in a field is written in octal."""
    return path.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")


def _nic(vm_name: str, index: int, nic: Nic) -> Iterable[str]:
    key = f"lxc.net.{index}"
    yield f"{key}.type = veth"
    yield f"{key}.link = {nic.bridge}"
    yield f"{key}.flags = up"
    yield f"{key}.name = {nic.name}"
    yield f"{key}.hwaddr = {nic.mac}"
    yield f"{key}.veth.pair = {veth_name(vm_name, index)}"
    for address in nic.addresses:
        yield f"{key}.ipv{address.version}.address = {address.with_prefixlen}"
    for gateway in nic.gateways:
        yield f"{key}.ipv{gateway.version}.gateway = {gateway}"
