"""What the host's network offers to VMs, and connections to them.

The kernel is asked itself, see rtnetlink(7): /sys/class/net shows the network namespace that it was
mounted in, and to run ip(8) takes 2 ms instead of 0.03. A message is a header ``{u32 length;
u16 type; u16 flags; u32 number; u32 sender}`` and a payload; that of a link is a ``struct
ifinfomsg``, and attributes ``{u16 length; u16 type}`` with their values, each of which begins at a
multiple of four.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from geats_core.containers.live_nics import EndSeen
from geats_host.errors import HostError
from geats_host.lazy import later

if TYPE_CHECKING:
    import socket
else:
    socket = later("socket")

HEADER, ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=HH")
GET_LINKS, ALL = 18, 0x301  # RTM_GETLINK; NLM_F_REQUEST and NLM_F_DUMP
ERROR, DONE, LINK = 2, 3, 16  # NLMSG_ERROR, NLMSG_DONE, RTM_NEWLINK
CHANGED_MEANWHILE = 0x10  # NLM_F_DUMP_INTR
LINK_BYTES = 16  # struct ifinfomsg
HEAD, MTU, MASTER = 0, 4, 10  # no attribute: struct ifinfomsg; IFLA_MTU, IFLA_MASTER
FLAGS_AT, IS_UP, NUMBER = 8, 1, struct.Struct("=I")  # in struct ifinfomsg; IFF_UP
INDEX_AT, SHORT = 4, struct.Struct("=H")  # in struct ifinfomsg
NAME, INFO, KIND = 3, 18, 1  # IFLA_IFNAME, IFLA_LINKINFO, and within that IFLA_INFO_KIND
DATA, DEFAULT_PVID = 2, 39  # IFLA_INFO_DATA, and within that IFLA_BR_VLAN_DEFAULT_PVID
OF_KIND = 0x3FFF  # of the type of an attribute, whose other bits say what it contains
BRIDGE, OPEN_VSWITCH, VETH = b"bridge\0", b"openvswitch\0", b"veth\0"
HAS_OPEN_VSWITCH = Path("/sys/module/openvswitch")
Attributes: TypeAlias = dict[int, bytes]
LONGEST_ANSWER = 1 << 16  # of one recv; the kernel splits what is longer
ATTEMPTS, TIMEOUT_S = 10, 10


def bridges() -> frozenset[str]:
    """The names of the bridges in our network namespace, those of Open vSwitch included."""
    return _names(BRIDGE) | open_vswitches()


def open_vswitches() -> frozenset[str]:
    """Those of Open vSwitch; only if it is there, the kernel is asked for them."""
    return _names(OPEN_VSWITCH) if HAS_OPEN_VSWITCH.exists() else frozenset()


def ends() -> dict[str, EndSeen]:
    """The ends of pairs of interfaces that are in our network namespace, by their names."""
    name_of = cache(_name_of)
    return {
        _name(link): EndSeen(
            master=name_of(*NUMBER.unpack(link[MASTER])) if MASTER in link else "",
            mtu=NUMBER.unpack(link[MTU])[0],
            is_up=bool(NUMBER.unpack_from(link[HEAD], FLAGS_AT)[0] & IS_UP),
            number=number_of(link),
        )
        for link in _of_kind(VETH)
    }


def number_of(link: Attributes) -> int:
    """The index of an interface."""
    return int(NUMBER.unpack_from(link[HEAD], INDEX_AT)[0])


def usual_vlans() -> dict[str, int]:
    """The VLAN of each bridge that ports are in which say no other, by its name."""
    data = {_name(link): dict(attributes(link[INFO])).get(DATA, b"") for link in _of_kind(BRIDGE)}
    pvids = {name: dict(attributes(each)).get(DEFAULT_PVID) for name, each in data.items()}
    return {name: SHORT.unpack(pvid)[0] for name, pvid in pvids.items() if pvid is not None}


def _name_of(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return ""  # it went meanwhile


def _names(kind: bytes) -> frozenset[str]:
    return frozenset(map(_name, _of_kind(kind)))


def _of_kind(kind: bytes) -> list[Attributes]:
    wanted = bytes(LINK_BYTES) + attribute(INFO, attribute(KIND, kind))
    found = dumped(GET_LINKS, LINK, wanted, LINK_BYTES)
    return [link for link in found if _kind(link) == kind]


def dumped(question: int, answer: int, wanted: bytes, head_bytes: int) -> list[Attributes]:
    """All that the kernel answers to a *question* for what is *wanted*, each with its head."""
    try:
        for _ in range(ATTEMPTS):
            found = _asked(question, answer, wanted, head_bytes)
            if found is not None:
                return found
    except OSError as error:
        raise HostError(f"cannot list the network: {error.strerror or error}") from None
    raise HostError("cannot list the network: it changes all the time")


def connection(addresses: Sequence[str], port: int, timeout_s: float) -> "socket.socket":
    """A connection to a TCP port at the first of some addresses that takes one.

    Raises ``HostError`` with the first answer if none does.
    """
    why = ""
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout_s / len(addresses))
        except OSError as error:
            why = why or f"port {port} at {address}: {error.strerror or error}"
    raise HostError(why)


def _asked(question: int, answer: int, wanted: bytes, head_bytes: int) -> list[Attributes] | None:
    """The attributes of each thing; links of other kinds are left out if the kernel can do that.

    None if some came or went meanwhile, so that some may be missing.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(TIMEOUT_S)
        kernel.send(HEADER.pack(HEADER.size + len(wanted), question, ALL, 1, 0) + wanted)
        found: list[Attributes] = []
        changed = False
        while True:
            for kind, flags, payload in _messages(kernel.recv(LONGEST_ANSWER)):
                changed |= bool(flags & CHANGED_MEANWHILE)
                if kind == ERROR:
                    (number,) = struct.unpack_from("=i", payload)
                    raise OSError(-number, os.strerror(-number))
                if kind == DONE:
                    return None if changed else found
                if kind == answer:
                    head, rest = payload[:head_bytes], payload[head_bytes:]
                    found.append({HEAD: head, **dict(attributes(rest))})


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, flags and payload of each message."""
    while data:
        length, kind, flags, _, _ = HEADER.unpack_from(data)
        yield kind, flags, data[HEADER.size : length]
        data = data[_aligned(length) :]


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each attribute."""
    while len(data) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data)
        yield kind & OF_KIND, data[ATTRIBUTE.size : length]
        data = data[_aligned(length) :]


def attribute(kind: int, value: bytes) -> bytes:
    length = ATTRIBUTE.size + len(value)
    return (ATTRIBUTE.pack(length, kind) + value).ljust(_aligned(length), b"\0")


def _name(link: Attributes) -> str:
    return os.fsdecode(link[NAME].rstrip(b"\0"))


def _kind(link: Attributes) -> bytes | None:
    return dict(attributes(link.get(INFO, b""))).get(KIND)


def _aligned(length: int) -> int:
    return length + 3 & ~3
