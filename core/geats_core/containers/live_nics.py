"""A NIC of a container that runs, brought to what is wanted: the commands for its two ends.

Those of one end go by name, on the host or in the network of the guest. Each may be run again: what
an earlier try did is not in their way.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from geats_core.containers.nic_lines import Command, limiting
from geats_core.containers.nics import Link, Nic, NicType, Rate, host_end
from geats_core.reading.values import dataclass

ATTACHED = frozenset({NicType.BRIDGE, NicType.VETH})  # types that come, go and change live
# Keys of those types that change live; and values of ``type`` in plain data that say them.
LIVE_KEYS = frozenset({"bridge", "host_name", "link", "mtu", "rate", "trunk", "vlan"})
SWITCHES = "ovs-vsctl"  # tells Open vSwitch of ports
SWITCH = "ovs-system"  # whose ports are those of all bridges of Open vSwitch
LIVE_TYPES = frozenset({None, str(NicType.VETH)})


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeFacts:
    """What a port of a bridge has that says nothing else; and which bridges are ``switches``, those
    of Open vSwitch."""

    mtu: int = 1500
    vlan: int = 1
    switches: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSeen:
    """The host's end of a NIC as it is: whose port it is, if of any, and whether it is up.

    ``number`` is its index. ``vlan`` is the VLAN that it is in on a bridge, of which
    ``usual_vlan`` is that of ports that say none, and ``trunk`` are those with tags. None is what
    is not known.
    """

    master: str
    mtu: int
    is_up: bool
    number: int = 0
    vlan: int | None = None
    trunk: tuple[int, ...] = ()
    usual_vlan: int = 1
    rate: Rate | None = None


def as_seen(vm_name: str, nics: Sequence[Nic], ends: Mapping[str, EndSeen]) -> tuple[Nic, ...]:
    """The NICs as they are now, of which *ends* are seen: somebody may have changed them.

    An end that is not seen is as it was: LXC may have drawn its name.
    """
    found = (ends.get(host_end(vm_name, at, nic)) for at, nic in enumerate(nics))
    return tuple(
        nic if end is None else _seen(nic, end) for nic, end in zip(nics, found, strict=True)
    )


def _seen(nic: Nic, end: EndSeen) -> Nic:
    if nic.type is NicType.BRIDGE and end.vlan is not None:
        said = None if nic.vlan is None and end.vlan == end.usual_vlan else end.vlan
        trunk = nic.trunk if {*nic.trunk} == {*end.trunk} else end.trunk
        nic = replace(nic, vlan=said, trunk=trunk)
    return replace(
        nic,
        rate=nic.rate if end.rate is None else end.rate,
        bridge=end.master if nic.type is NicType.BRIDGE and end.master != SWITCH else nic.bridge,
        mtu=nic.mtu if nic.mtu is None else end.mtu,
        link=Link.UP if end.is_up else Link.DOWN,
    )


def attaching(end: str, nic: Nic, pid: int, facts: BridgeFacts) -> Iterable[Command]:
    """The commands on the host that make a NIC of the guest whose init is *pid*."""
    peer = ("peer", "name", nic.name, "address", nic.mac, "netns", f"{pid}")
    yield ("ip", "link", "add", "dev", end, "type", "veth", *peer)
    # A bridge takes the lowest address of its ports, which must not be that of a guest.
    yield ("ip", "link", "set", "dev", end, "address", f"fe{nic.mac[2:]}")
    yield from changing(end, end, None, nic, facts)


def configuring(nic: Nic, facts: BridgeFacts) -> Iterable[Command]:
    """The commands in the network of the guest that give a new NIC what it says."""
    yield ("ip", "link", "set", "dev", nic.name, "mtu", f"{nic.mtu or facts.mtu}", "up")
    for address in nic.addresses:
        broadcast = ("broadcast", "+") if address.version == 4 else ("nodad",)
        wide = broadcast if address.network.prefixlen < 31 or address.version == 6 else ()
        yield ("ip", "address", "add", f"{address}", *wide, "dev", nic.name)
    for gateway in nic.gateways:
        by = ("via", f"{gateway}", "dev", nic.name, "onlink")
        yield ("ip", f"-{gateway.version}", "route", "add", "default", *by)
    for route in nic.routes:
        yield ("ip", "route", "add", f"{route.to}", "via", f"{route.via}", "dev", nic.name)


def changing(
    end: str, wanted: str, old: Nic | None, nic: Nic, facts: BridgeFacts
) -> Iterable[Command]:
    """The commands on the host that make *nic* of *old*, whose *end* is to be called *wanted*."""
    was_on_switch = old is not None and old.bridge in facts.switches
    is_on_switch = nic.bridge in facts.switches
    moved = old is None or old.bridge != nic.bridge or (was_on_switch and end != wanted)
    if moved and was_on_switch:  # which knows its ports by their names
        yield leaving(end)
    if end != wanted:
        yield ("ip", "link", "set", "dev", end, "down")  # kernels before 6.2 rename no other
        yield ("ip", "link", "set", "dev", end, "name", wanted)
    if moved and is_on_switch:
        if old is not None and not was_on_switch:
            yield ("ip", "link", "set", "dev", wanted, "nomaster")
        yield (SWITCHES, "--may-exist", "add-port", nic.bridge, wanted)
    elif moved and nic.bridge:
        yield ("ip", "link", "set", "dev", wanted, "master", nic.bridge)
    elif moved and not was_on_switch:
        yield ("ip", "link", "set", "dev", wanted, "nomaster")
    if old is None or old.mtu != nic.mtu:
        yield ("ip", "link", "set", "dev", wanted, "mtu", f"{nic.mtu or facts.mtu}")
    yield from (_tags_on_switch if is_on_switch else _tags)(
        wanted, None if moved else old, nic, facts
    )
    if old is None or old.rate != nic.rate:
        yield ("tc", "qdisc", "del", "dev", wanted, "root")
        yield ("tc", "qdisc", "del", "dev", wanted, "ingress")
        yield from limiting(wanted, nic.rate)
    yield ("ip", "link", "set", "dev", wanted, "down" if nic.link is Link.DOWN else "up")


def leaving(end: str) -> Command:
    """The command by which a switch has that port no more."""
    return (SWITCHES, "--if-exists", "del-port", end)


def _tags_on_switch(end: str, old: Nic | None, nic: Nic, _: BridgeFacts) -> Iterable[Command]:
    """As liblxc says them to Open vSwitch; see VLAN Configuration in ovs-vswitchd.conf.db(5)."""
    if old is not None and (old.vlan, old.trunk) == (nic.vlan, nic.trunk):
        return
    yield (SWITCHES, "clear", "port", end, "tag", "trunks", "vlan_mode")
    tags = (f"tag={nic.vlan}",) if nic.vlan is not None else ()
    trunks = (f"trunks={','.join(map(str, nic.trunk))}",) if nic.trunk else ()
    mode = "native-untagged" if tags and trunks else "access" if tags else "trunk"
    if tags or trunks:
        yield (SWITCHES, "set", "port", end, f"vlan_mode={mode}", *tags, *trunks)


def _tags(end: str, old: Nic | None, nic: Nic, facts: BridgeFacts) -> Iterable[Command]:
    """Its VLANs on the bridge: a new port is in the one of the bridge, without a tag."""
    was, now = (old.vlan, old.trunk) if old else (None, ()), (nic.vlan, nic.trunk)
    if was == now:
        return
    for tag in {was[0] or facts.vlan, *was[1]} - {now[0] or facts.vlan, *now[1]}:
        yield ("bridge", "vlan", "del", "dev", end, "vid", f"{tag}")
    untagged = ("vid", f"{now[0] or facts.vlan}", "pvid", "untagged")
    yield ("bridge", "vlan", "add", "dev", end, *untagged)
    for tag in now[1]:
        yield ("bridge", "vlan", "add", "dev", end, "vid", f"{tag}")
