"""What the host's network offers to VMs, and connections to them.

The kernel is asked itself, see rtnetlink(7): /sys/class/net shows the network namespace that it was
mounted in, and to run ip(8) takes 2 ms instead of 0.03. A message is a header ``{u32 length;
u16 type; u16 flags; u32 number; u32 sender}`` and a payload; that of a link is a ``struct
ifinfomsg``, and attributes ``{u16 length; u16 type}`` with their values, each of which begins at a
multiple of four.
"""

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from geats_core.containers.live_nics import EndSeen
from geats_host.errors import HostError

HEADER, ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=HH")
GET_LINKS, ALL = 18, 0x301  # RTM_GETLINK; NLM_F_REQUEST and NLM_F_DUMP
ERROR, DONE, LINK = 2, 3, 16  # NLMSG_ERROR, NLMSG_DONE, RTM_NEWLINK
CHANGED_MEANWHILE = 0x10  # NLM_F_DUMP_INTR
LINK_BYTES = 16  # struct ifinfomsg
HEAD, MTU, MASTER = 0, 4, 10  # no attribute: struct ifinfomsg; IFLA_MTU, IFLA_MASTER
FLAGS_AT, IS_UP, NUMBER = 8, 1, struct.Struct("=I")  # in struct ifinfomsg; IFF_UP
NAME, INFO, KIND = 3, 18, 1  # IFLA_IFNAME, IFLA_LINKINFO, and within that IFLA_INFO_KIND
BRIDGE, OPEN_VSWITCH, VETH = b"bridge\0", b"openvswitch\0", b"veth\0"
HAS_OPEN_VSWITCH = Path("/sys/module/openvswitch")
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
        )
        for link in _of_kind(VETH)
    }


def _name_of(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return ""  # it went meanwhile


def _names(kind: bytes) -> frozenset[str]:
    return frozenset(map(_name, _of_kind(kind)))


def _of_kind(kind: bytes) -> list[dict[int, bytes]]:
    try:
        for _ in range(ATTEMPTS):
            links = _links(kind)
            if links is not None:
                return [link for link in links if _kind(link) == kind]
    except OSError as error:
        raise HostError(f"cannot list the bridges: {error.strerror or error}") from None
    raise HostError("cannot list the bridges: they change all the time")


def connection(addresses: Sequence[str], port: int, timeout_s: float) -> socket.socket:
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


def _links(of_kind: bytes) -> list[dict[int, bytes]] | None:
    """The attributes of each link, those of other kinds left out if the kernel can do that.

    None if links came or went meanwhile, so that some may be missing.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(TIMEOUT_S)
        wanted = bytes(LINK_BYTES) + _attribute(INFO, _attribute(KIND, of_kind))
        kernel.send(HEADER.pack(HEADER.size + len(wanted), GET_LINKS, ALL, 1, 0) + wanted)
        links: list[dict[int, bytes]] = []
        changed = False
        while True:
            for kind, flags, payload in _messages(kernel.recv(LONGEST_ANSWER)):
                changed |= bool(flags & CHANGED_MEANWHILE)
                if kind == ERROR:
                    (number,) = struct.unpack_from("=i", payload)
                    raise OSError(-number, os.strerror(-number))
                if kind == DONE:
                    return None if changed else links
                if kind == LINK:
                    head, rest = payload[:LINK_BYTES], payload[LINK_BYTES:]
                    links.append({HEAD: head, **dict(_attributes(rest))})


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, flags and payload of each message."""
    while data:
        length, kind, flags, _, _ = HEADER.unpack_from(data)
        yield kind, flags, data[HEADER.size : length]
        data = data[_aligned(length) :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each attribute."""
    while len(data) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data)
        yield kind, data[ATTRIBUTE.size : length]
        data = data[_aligned(length) :]


def _attribute(kind: int, value: bytes) -> bytes:
    length = ATTRIBUTE.size + len(value)
    return (ATTRIBUTE.pack(length, kind) + value).ljust(_aligned(length), b"\0")


def _name(link: dict[int, bytes]) -> str:
    return os.fsdecode(link[NAME].rstrip(b"\0"))


def _kind(link: dict[int, bytes]) -> bytes | None:
    return dict(_attributes(link.get(INFO, b""))).get(KIND)


def _aligned(length: int) -> int:
    return length + 3 & ~3
