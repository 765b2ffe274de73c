"""Network interfaces: what each is connected to, read out of YAML and written back."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TypeAlias

from returns.result import Success

from geats_core.reading import fields
from geats_core.reading.checked import Checked, Code, Problem, problem, repeated, shown, unknown
from geats_core.reading.fields import Address, Gateway, Reader, each, of_mapping
from geats_core.reading.schemas import any_of, taking, text_matching
from geats_core.reading.sizes import format_size, parse_size
from geats_core.reading.values import dataclass

Network: TypeAlias = IPv4Network | IPv6Network

MAC_PATTERN = re.compile(r"[0-9a-fx][02468acex](:[0-9a-fx]{2}){5}")
LEAST_MTU, MOST_MTU = 68, 65535
MOST_VLAN = 4094


class NicType(StrEnum):
    """What a NIC is. The first three are pairs: one end is in the guest, the other on the host.

    BRIDGE is a port of a bridge, VETH is connected to nothing, and ROUTED is reached by routes of
    the host. MACVLAN, IPVLAN and VLAN are made on top of an interface of the host, the ``parent``,
    and a PHYSICAL one is that interface itself, which the host lacks while the VM is on.
    """

    BRIDGE = "bridge"
    VETH = "veth"
    ROUTED = "routed"
    MACVLAN = "macvlan"
    IPVLAN = "ipvlan"
    VLAN = "vlan"
    PHYSICAL = "physical"


PAIRS = frozenset({NicType.BRIDGE, NicType.VETH, NicType.ROUTED})
WITH_OWN_MAC = PAIRS | {NicType.MACVLAN}  # the others have that of their parent, if none is given
ON_PARENTS = (NicType.MACVLAN, NicType.IPVLAN, NicType.VLAN, NicType.PHYSICAL)
PASSTHRU = "passthru"  # a mode of macvlan in which there is one on a parent
MODES: Mapping[NicType, tuple[str, ...]] = {  # the first is that of a NIC that says none
    NicType.MACVLAN: ("bridge", "private", "vepa", PASSTHRU),
    NicType.IPVLAN: ("l3", "l3s", "l2"),
}


class Link(StrEnum):
    """Whether a NIC is as though it was plugged in."""

    UP = "up"
    DOWN = "down"


OF_PAIRS = (NicType.BRIDGE, NicType.VETH, NicType.ROUTED)
ONLY_FOR: Mapping[str, tuple[NicType, ...]] = {  # any other key is for all types
    "bridge": (NicType.BRIDGE,),
    "parent": (NicType.ROUTED, *ON_PARENTS),
    "mode": tuple(MODES),
    "host_name": OF_PAIRS,
    "vlan": (NicType.BRIDGE, NicType.VLAN),
    "trunk": (NicType.BRIDGE,),
    "rate": OF_PAIRS,
    "link": OF_PAIRS,
    "mac": tuple(kind for kind in NicType if kind is not NicType.IPVLAN),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What a NIC may carry at most, in bytes per second: into the guest, and out of it."""

    in_bytes: int | None = None
    out_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The guest reaches the network ``to`` by the gateway ``via``."""

    to: Network
    via: Gateway


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipv6:
    """Whether a guest takes what routers announce, and the end of the address that it makes of it:
    without ``token``, that of its MAC address."""

    ra: bool = True
    token: IPv6Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """One network interface. ``mac`` is given or derived; it is empty for one that has that of its
    ``parent``, an interface of the host.

    ``bridge`` is empty if it is connected to something else. ``host_name`` is the name of the
    host's end; empty is one that geats makes of the name of the VM. ``vlan`` is the VLAN that it is
    in: one without tags in the guest; ``trunk`` are those that the guest has with tags. ``mode`` is
    one of MODES. ``up`` is False if it is as though nobody had plugged it in.
    """

    name: str
    bridge: str = ""
    mac: str
    addresses: tuple[Address, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    type: NicType = NicType.BRIDGE
    parent: str = ""
    mode: str = ""
    host_name: str = ""
    vlan: int | None = None
    trunk: tuple[int, ...] = ()
    mtu: int | None = None
    rate: Rate = Rate()
    link: Link = Link.UP
    routes: tuple[Route, ...] = ()
    dhcp: bool = False
    ipv6: Ipv6 = Ipv6()

    @property
    def is_asked_for(self) -> bool:
        """Whether only the guest itself can get what it says."""
        return self.dhcp or self.ipv6 != Ipv6()

    @property
    def is_pair(self) -> bool:
        """Whether one end of it is on the host."""
        return self.type in PAIRS

    @property
    def takes_parent(self) -> bool:
        """Whether nothing else can use its parent meanwhile."""
        return self.type is NicType.PHYSICAL or self.mode == PASSTHRU


@of_mapping
def _nic(read: Reader) -> Checked[Nic]:
    kind = read.take("type", fields.one_of("type", NicType), NicType.BRIDGE)
    gateways = read.take("gateways", _ips, NO_GATEWAYS)
    routes = read.take("routes", _routes, NO_ROUTES)
    nic = Nic(
        name=read.need("name", fields.interface, ""),
        bridge=read.take("bridge", fields.interface, ""),
        mac=read.take("mac", mac_or_pattern, ""),
        addresses=read.take("addresses", _addresses, ()),
        gateways=gateways,
        type=kind,
        parent=read.take("parent", fields.interface, ""),
        mode=read.take("mode", _mode, _default_mode(kind)),
        host_name=read.take("host_name", fields.interface, ""),
        vlan=read.take("vlan", _vlan_or_none, None),
        trunk=read.take("trunk", _vlans, ()),
        mtu=read.take("mtu", _mtu_or_none, None),
        rate=read.take("rate", _rate, Rate()),
        link=read.take("link", _link, Link.UP),
        routes=routes,
        dhcp=read.take("dhcp", fields.boolean, False),
        ipv6=read.take("ipv6", _ipv6, Ipv6()),
    )
    read.problems += _problems(read, nic)
    return read.done(nic)


def _problems(read: Reader, nic: Nic) -> Iterable[Problem]:
    """What is wrong with its keys together."""
    if len({gateway.version for gateway in nic.gateways}) < len(nic.gateways):
        yield Problem(read.at("gateways"), "must be one of each IP version at most")
    is_known = all(found.path != read.at("type") for found in read.problems)
    for key, kinds in ONLY_FOR.items():
        if is_known and key in read.raw and nic.type not in kinds:
            wanted = " or ".join(kinds)
            yield Problem(read.at(key), f"is for a NIC of the type {wanted}, and it is {nic.type}")
    if nic.type in ON_PARENTS and "parent" not in read.raw:
        yield Problem(read.at("parent"), "is missing: an interface of the host", Code.MISSING)
    if nic.type is NicType.VLAN and "vlan" not in read.raw:
        yield Problem(read.at("vlan"), f"is missing: 1 to {MOST_VLAN}", Code.MISSING)
    modes = MODES.get(nic.type, ())
    if modes and nic.mode not in modes:
        yield unknown(read.at("mode"), "mode", nic.mode, modes)
    if len({*nic.trunk, nic.vlan}) < len(nic.trunk) + 1:
        yield Problem(read.at("trunk"), "must name each VLAN once, and not the one of vlan")
    for at, route in enumerate(nic.routes):
        if route.to.version != route.via.version:
            yield Problem(read.at(f"routes[{at}].via"), f"must be IPv{route.to.version} as to is")


def _default_mode(kind: NicType) -> str:
    return MODES[kind][0] if kind in MODES else ""


@of_mapping
def _rate(read: Reader) -> Checked[Rate]:
    return read.done(
        Rate(
            in_bytes=read.take("in", _size_or_none, None),
            out_bytes=read.take("out", _size_or_none, None),
        )
    )


@of_mapping
def _route(read: Reader) -> Checked[Route]:
    nowhere = ip_network("0.0.0.0/0")
    return read.done(
        Route(
            to=read.need("to", _network, nowhere),
            via=read.need("via", fields.ip, nowhere.network_address),
        )
    )


@of_mapping
def _ipv6(read: Reader) -> Checked[Ipv6]:
    return read.done(
        Ipv6(
            ra=read.take("ra", fields.boolean, True),
            token=read.take("token", _token_or_none, None),
        )
    )


@taking(text_matching(r"::[0-9A-Fa-f:]+", "the end of an IPv6 address such as ::5"))
def _token(path: str, raw: object) -> Checked[IPv6Address]:
    match fields.ip(path, raw):
        case Success(IPv6Address() as address) if 0 < int(address) < 1 << 64:
            return Success(address)
        case _:
            return problem(
                path, f"must be the end of an IPv6 address, such as ::5, got {shown(raw)}"
            )


@taking(text_matching(r"[0-9A-Fa-f:.]+/[0-9.]+", "a network such as 10.9.0.0/16"))
def _network(path: str, raw: object) -> Checked[Network]:
    if isinstance(raw, str) and "/" in raw and fields.ZONE not in raw:
        try:
            return Success(ip_network(raw))
        except ValueError:
            pass  # refused below, in the words of every other problem
    wanted = "must be a network such as 10.9.0.0/16, with no bits of a host"
    return problem(path, f"{wanted}, got {shown(raw)}")


_pattern = fields.matching(MAC_PATTERN, "a unicast MAC address such as 02:00:00:12:34:56")


@taking(any_of(fields.mac.schema(), text_matching(MAC_PATTERN.pattern, "digits x are derived")))
def mac_or_pattern(path: str, raw: object) -> Checked[str]:
    """A unicast MAC address; a digit ``x`` of it stands for one that is derived (``with_mac``)."""
    return _pattern(path, raw.lower() if isinstance(raw, str) else raw)


def repetitions(nics: Sequence[Nic]) -> Iterable[Problem]:
    """What two NICs of one VM both have, and only one of them can."""
    yield from repeated("nics", "name", [nic.name for nic in nics])
    yield from repeated("nics", "mac", [nic.mac for nic in nics])
    yield from repeated("nics", "addresses", [str(a.ip) for nic in nics for a in nic.addresses])
    yield from repeated("nics", "host_name", [nic.host_name for nic in nics])
    yield from repeated("nics", "parent", [nic.parent for nic in nics if nic.takes_parent])


def misnamed(nics: Sequence[Nic]) -> Iterable[Problem]:
    """Names that mean another thing than an interface of the guest or of the host."""
    for at, nic in enumerate(nics):
        for key in ("name", "bridge", "parent", "host_name"):
            why = fields.reserved(getattr(nic, key), fields.NO_INTERFACES)
            if why:
                yield Problem(f"nics[{at}].{key}", why)


def nic_warnings(nics: Iterable[Nic]) -> Iterable[tuple[str, str]]:
    """What somebody may be surprised by, each with its key."""
    for nic in nics:
        if nic.type in (NicType.MACVLAN, NicType.IPVLAN):
            why = f"a {nic.type} does not reach the interface that it is on, {nic.parent}"
            yield "nics", f"guest and host do not reach each other by {nic.name}: {why}"
        elif nic.type is NicType.PHYSICAL:
            yield "nics", f"the host is without {nic.parent} while the VM is on"


def with_mac(nic: Nic, vm_name: str) -> Nic:
    """The same, with the MAC address that it has in that VM."""
    if nic.mac:
        return replace(nic, mac=mac_of(nic.mac, f"{vm_name}/{nic.name}")) if "x" in nic.mac else nic
    own = nic.type in WITH_OWN_MAC
    return replace(nic, mac=derived_mac(vm_name, nic.name)) if own else nic


def derived_mac(vm_name: str, nic_name: str) -> str:
    """A locally administered MAC address that stays the same across rebuilds."""
    digest = bytes.fromhex(_hashed(f"{vm_name}/{nic_name}"))
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


def mac_of(value: str, whose: str) -> str:
    """The address, with digits for each ``x``, which are the same each time for one interface."""
    digest = iter(_hashed(whose))
    digits = [next(digest) if each == "x" else each for each in value.lower()]
    if value[1:2].lower() == "x":  # not one of a group, and its own
        digits[1] = "2"
    return "".join(digits)


def host_end(vm_name: str, index: int, nic: Nic) -> str:
    """The name of the host's end of a NIC, the one at *index*; empty if it has none."""
    return (nic.host_name or veth_name(vm_name, index)) if nic.is_pair else ""


def veth_name(vm_name: str, index: int) -> str:
    """What geats calls it: fixed, so that a leftover is found, and of at most 15 characters."""
    digest = _hashed(vm_name)[:9]
    return f"gt{digest}n{index}"


# Made once, as a parser takes longer to make than to use.
NO_GATEWAYS: tuple[Gateway, ...] = ()
NO_ROUTES: tuple[Route, ...] = ()
_addresses = each(fields.ip_address_with_prefix)
_ips = each(fields.ip)
_link = fields.one_of("link", Link)
_mode = fields.matching(re.compile(r"[a-z0-9]{1,10}"), "a mode such as bridge")
_mtu_or_none = fields.or_none(fields.whole_number(LEAST_MTU, MOST_MTU))
_routes = each(_route)
_token_or_none = fields.or_none(_token)
_size_or_none = fields.or_none(parse_size)
_vlan = fields.whole_number(1, MOST_VLAN)
_vlan_or_none = fields.or_none(_vlan)
_vlans = each(_vlan)
nics = each(_nic)


def to_plain(nic: Nic) -> dict[str, object]:
    """*nic* as plain data: ``nics`` gives it back."""
    rate = {"in": nic.rate.in_bytes, "out": nic.rate.out_bytes}
    extra: dict[str, object] = {
        "type": "" if nic.type is NicType.BRIDGE else str(nic.type),
        "parent": nic.parent,
        "mode": nic.mode,
        "host_name": nic.host_name,
        "vlan": nic.vlan,
        "trunk": [*nic.trunk],
        "mtu": nic.mtu,
        "rate": {key: format_size(value) for key, value in rate.items() if value is not None},
        "link": "" if nic.link is Link.UP else str(nic.link),
        "dhcp": nic.dhcp,
        "ipv6": _plain_ipv6(nic.ipv6),
        "routes": [{"to": str(route.to), "via": str(route.via)} for route in nic.routes],
    }
    return {
        "name": nic.name,
        **({"bridge": nic.bridge} if nic.bridge else {}),
        **({"mac": nic.mac} if nic.mac else {}),
        "addresses": [str(address) for address in nic.addresses],
        "gateways": [str(gateway) for gateway in nic.gateways],
        **{key: value for key, value in extra.items() if value},
    }


def _plain_ipv6(ipv6: Ipv6) -> dict[str, object]:
    ra: dict[str, object] = {} if ipv6.ra else {"ra": False}
    return ra | ({} if ipv6.token is None else {"token": str(ipv6.token)})


def _hashed(text: str) -> str:
    """Digits that stay the same."""
    from hashlib import sha256  # loads much of OpenSSL; a host without NICs needs none

    return sha256(text.encode()).hexdigest()
