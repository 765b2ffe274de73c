"""A NIC as lines of LXC, and as the commands that its end on the host needs.

liblxc knows neither a limit of what a NIC carries, nor one that is unplugged, nor routes of the
guest. So it is told to run programs: at each start, and also when a guest reboots by itself. See
lxc.container.conf(5) for ``script.up`` and ``hook.start-host``. liblxc gives such a line to a
shell, to which the names and numbers in it mean nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Interface
from shlex import join
from typing import TypeAlias

from geats_core.containers.nics import PAIRS, Link, Nic, NicType, Rate, host_end
from geats_core.reading.fields import Address

Command: TypeAlias = tuple[str, ...]

TYPES: Mapping[NicType, str] = {
    **dict.fromkeys(PAIRS, "veth"),
    NicType.PHYSICAL: "phys",
}
NO_BROADCAST = "0.0.0.0"
IN_GUEST = "nsenter -t $LXC_PID -n"  # of the process that becomes the guest's init
LEAST_BURST = 65536  # bytes: as much as one packet can have that the kernel puts together
BURSTS_PER_S = 100


def lines(vm_name: str, index: int, nic: Nic) -> Iterable[str]:
    """The lines of the NIC at *index*."""
    return (f"lxc.net.{index}.{key} = {value}" for key, value in _items(vm_name, index, nic))


def hooks(nics: Sequence[Nic]) -> Iterable[str]:
    """The lines that give the guest its routes, once its interfaces are there."""
    for nic in nics:
        for route in nic.routes:
            added = ("ip", "route", "add", f"{route.to}", "via", f"{route.via}", "dev", nic.name)
            yield f"lxc.hook.start-host = {IN_GUEST} {join(added)} #"  # liblxc adds words


def _items(vm_name: str, index: int, nic: Nic) -> Iterable[tuple[str, str]]:
    kind, host_name = TYPES.get(nic.type, str(nic.type)), host_end(vm_name, index, nic)
    yield "type", kind
    if nic.type is NicType.ROUTED:
        yield "veth.mode", "router"
        if nic.parent:
            yield "l2proxy", "1"
    if nic.bridge or nic.parent:
        yield "link", nic.bridge or nic.parent
    if nic.mode:
        yield f"{kind}.mode", nic.mode
    yield from _vlans(kind, nic)
    yield "flags", "up"
    yield "name", nic.name
    if nic.mac:
        yield "hwaddr", nic.mac
    if nic.mtu is not None:
        yield "mtu", f"{nic.mtu}"
    if host_name:
        yield "veth.pair", host_name
    for address in nic.addresses:
        yield f"ipv{address.version}.address", f"{address.with_prefixlen}{_broadcast(address)}"
    for gateway in nic.gateways:
        yield f"ipv{gateway.version}.gateway", f"{gateway}"
    if wanted := dressing(host_name, nic):
        yield "script.up", f"sh -c '{' && '.join(map(join, wanted))}' #"  # liblxc adds words


def _vlans(kind: str, nic: Nic) -> Iterable[tuple[str, str]]:
    if nic.vlan is not None:
        yield "vlan.id" if nic.type is NicType.VLAN else f"{kind}.vlan.id", f"{nic.vlan}"
    for tag in nic.trunk:
        yield f"{kind}.vlan.tagged.id", f"{tag}"


def _broadcast(address: Address) -> str:
    """What follows an IPv4 address: without it liblxc 5 has 0.0.0.255 for a /24 (lxc issue 4522).

    The two addresses of a /31, and that of a /32, have none (RFC 3021).
    """
    if not isinstance(address, IPv4Interface):
        return ""
    network = address.network
    return f" {network.broadcast_address if network.prefixlen < 31 else NO_BROADCAST}"


def dressing(host_name: str, nic: Nic) -> tuple[Command, ...]:
    """What its end on the host needs beside what liblxc gives it, as commands."""
    down = (("ip", "link", "set", "dev", host_name, "down"),) if nic.link is Link.DOWN else ()
    return (*limiting(host_name, nic.rate), *down)


def limiting(host_name: str, rate: Rate) -> tuple[Command, ...]:
    """The commands of tc(8): what goes in is queued, what comes out too fast is dropped."""
    commands: list[Command] = []
    on = ("dev", host_name)
    if rate.in_bytes is not None:
        queue = ("tbf", "rate", f"{rate.in_bytes}bps", "burst", _burst(rate.in_bytes))
        commands.append(("tc", "qdisc", "add", *on, "root", *queue, "latency", "50ms"))
    if rate.out_bytes is not None:
        all_packets = ("protocol", "all", "prio", "1", "u32", "match", "u32", "0", "0")
        most = ("police", "rate", f"{rate.out_bytes}bps", "burst", _burst(rate.out_bytes), "drop")
        commands.append(("tc", "qdisc", "add", *on, "ingress"))
        commands.append(
            ("tc", "filter", "add", *on, "parent", "ffff:", *all_packets, *most, "flowid", ":1")
        )
    return tuple(commands)


def _burst(rate_bytes: int) -> str:
    return f"{max(LEAST_BURST, rate_bytes // BURSTS_PER_S)}"
