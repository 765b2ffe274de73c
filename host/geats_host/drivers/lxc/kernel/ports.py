"""The host's ends of NICs as they are: whose ports, in which VLANs, and what they may carry.

The kernel is asked as in ``linux.network``. VLANs are in ``struct bridge_vlan_info``, see
linux/if_bridge.h; limits as tc(8) makes them are in linux/pkt_sched.h and linux/pkt_cls.h.
"""

import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from geats_core.containers.live_nics import EndSeen
from geats_core.containers.nics import Rate
from geats_host.errors import HostError
from geats_host.linux import network
from geats_host.linux.network import HEAD, LINK_BYTES, Attributes, attribute, attributes

GET_LINKS, LINK, OF_BRIDGES = 18, 16, 7  # RTM_GETLINK, RTM_NEWLINK; AF_BRIDGE
WITH_VLANS = attribute(29, struct.pack("=I", 2))  # IFLA_EXT_MASK: RTEXT_FILTER_BRVLAN
PORT, VLAN = 26, 2  # IFLA_AF_SPEC, and within that IFLA_BRIDGE_VLAN_INFO
VLAN_INFO, IS_USUAL = struct.Struct("=HH"), 2  # flags and number; BRIDGE_VLAN_INFO_PVID
GET_QUEUES, QUEUE = 38, 36  # RTM_GETQDISC, RTM_NEWQDISC
GET_FILTERS, FILTER = 46, 44  # RTM_GETTFILTER, RTM_NEWTFILTER
QUEUE_HEAD = struct.Struct("=BxxxiIII")  # struct tcmsg: family, interface, handle, parent, info
INGRESS = 0xFFFF0000
KIND, OPTIONS = 1, 2  # TCA_KIND, TCA_OPTIONS
TBF_PARAMETERS, TBF_RATE64, TBF_RATE_AT = 1, 4, 8  # the rate in struct tc_tbf_qopt
POLICE, POLICE_PARAMETERS, POLICE_RATE64, POLICE_RATE_AT = 6, 1, 8, 28  # in struct tc_police
RATE, RATE64 = struct.Struct("=I"), struct.Struct("=Q")


def ends() -> dict[str, EndSeen]:
    """The ends of pairs of interfaces that are in our network namespace, by their names."""
    found = network.ends()
    if not found:
        return {}
    with suppress(HostError):  # a kernel that knows no limits
        rates = _rates()
        found = {name: replace(e, rate=rates.get(e.number, Rate())) for name, e in found.items()}
    with suppress(HostError):  # nor VLANs of ports
        vlans, usual = _vlans(), network.usual_vlans()
        found = {name: _with_vlans(end, vlans, usual) for name, end in found.items()}
    return found


def _with_vlans(
    end: EndSeen,
    vlans: Mapping[int, tuple[int | None, tuple[int, ...]]],
    usual: Mapping[str, int],
) -> EndSeen:
    vlan, trunk = vlans.get(end.number, (None, ()))
    if vlan is None:  # the kernel knows of no VLANs of it
        return end
    return replace(end, vlan=vlan, trunk=trunk, usual_vlan=usual.get(end.master, 1))


def _vlans() -> dict[int, tuple[int | None, tuple[int, ...]]]:
    """Of each port of a bridge, by its index: its own VLAN, and those that it has with tags."""
    wanted = bytes([OF_BRIDGES]).ljust(LINK_BYTES, b"\0") + WITH_VLANS
    found = network.dumped(GET_LINKS, LINK, wanted, LINK_BYTES)
    return {network.number_of(port): _tags(port.get(PORT, b"")) for port in found}


def _tags(port: bytes) -> tuple[int | None, tuple[int, ...]]:
    infos = [VLAN_INFO.unpack(each) for kind, each in attributes(port) if kind == VLAN]
    own = next((number for flags, number in infos if flags & IS_USUAL), None)
    return own, tuple(sorted(number for _, number in infos if number != own))


def _rates() -> dict[int, Rate]:
    """What each interface may carry, by its index, as ``nic_lines.limiting`` says it to tc(8)."""
    found: dict[int, Rate] = {}
    for queue in network.dumped(GET_QUEUES, QUEUE, QUEUE_HEAD.pack(0, 0, 0, 0, 0), QUEUE_HEAD.size):
        _, index, *_ = QUEUE_HEAD.unpack(queue[HEAD])
        known = found.get(index, Rate())
        if queue.get(KIND) == b"tbf\0":
            options = dict(attributes(queue[OPTIONS]))
            shaped = _rate(options[TBF_PARAMETERS], TBF_RATE_AT, options.get(TBF_RATE64))
            found[index] = replace(known, in_bytes=shaped)
        elif queue.get(KIND) == b"ingress\0":
            found[index] = replace(known, out_bytes=_policed(index))
    return found


def _policed(index: int) -> int | None:
    wanted = QUEUE_HEAD.pack(0, index, 0, INGRESS, 0)
    rules = network.dumped(GET_FILTERS, FILTER, wanted, QUEUE_HEAD.size)
    return next((rate for rule in rules for rate in _police(rule)), None)


def _police(rule: Attributes) -> Iterable[int]:
    options = dict(attributes(rule.get(OPTIONS, b"")))
    if rule.get(KIND) == b"u32\0" and POLICE in options:
        police = dict(attributes(options[POLICE]))
        yield _rate(police[POLICE_PARAMETERS], POLICE_RATE_AT, police.get(POLICE_RATE64))


def _rate(parameters: bytes, at: int, large: bytes | None) -> int:
    return int((RATE64.unpack(large) if large else RATE.unpack_from(parameters, at))[0])
