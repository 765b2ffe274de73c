"""What the guest's own network manager is told of its NICs: its files, as text.

liblxc gives a guest addresses before its init runs. A manager that the guest has may flush these,
and only it can ask by DHCP, take what routers announce, and renew that. So it gets files of its
own: for systemd-networkd and NetworkManager beside others, which theirs come before; netplan merges
them; and ifupdown, that of Debian, Alpine and busybox, has one file for all.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

from geats_core.containers.nics import Nic
from geats_core.reading.checked import Problem
from geats_core.reading.fields import Gateway

HEADER = "# written by geats\n"
INTERFACES = "etc/network/interfaces"
NETPLAN_FILE = "etc/netplan/95-geats.yaml"


class Manager(StrEnum):
    """Who configures the network in a guest: nobody that geats tells, or who is found there."""

    NONE = "none"
    AUTO = "auto"
    NETWORKD = "systemd-networkd"
    IFUPDOWN = "ifupdown"
    NETWORK_MANAGER = "networkmanager"
    NETPLAN = "netplan"


ENABLED = "etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
# The first that has a file in the guest counts. Debian has systemd-networkd, enabled or not.
FOUND_BY: Sequence[tuple[str, Manager]] = (
    ("usr/sbin/netplan", Manager.NETPLAN),
    ("usr/sbin/NetworkManager", Manager.NETWORK_MANAGER),
    (ENABLED, Manager.NETWORKD),
    ("sbin/ifup", Manager.IFUPDOWN),
    ("usr/sbin/ifup", Manager.IFUPDOWN),
    ("usr/lib/systemd/systemd-networkd", Manager.NETWORKD),
    ("lib/systemd/systemd-networkd", Manager.NETWORKD),
)
LOOKED_FOR = tuple(path for path, _ in FOUND_BY)
NO_FILES: Mapping[str, str] = MappingProxyType({})


def found_in(paths: Collection[str]) -> Manager:
    """Who configures the network of a guest that has these of LOOKED_FOR."""
    return next((manager for path, manager in FOUND_BY if path in paths), Manager.NONE)


def unasked(nics: Sequence[Nic], manager: Manager) -> Iterable[Problem]:
    """What nobody would do in the guest that its NICs say."""
    for at, nic in enumerate(nics):
        if manager is Manager.NONE and nic.is_asked_for:
            key = "dhcp" if nic.dhcp else "ipv6"
            why = "only the guest can do that: say who does it there, such as guest_network: auto"
            yield Problem(f"nics[{at}].{key}", why)


def network_digest(nics: Sequence[Nic], manager: Manager) -> str:
    """Names what the guest is told, whoever configures it there; empty if nobody is told."""
    told = network_files(nics, Manager.NETPLAN) if manager is not Manager.NONE else NO_FILES
    return "".join(f"{manager}\0{text}\0" for text in told.values())


def network_files(nics: Sequence[Nic], manager: Manager) -> Mapping[str, str]:
    """Each file's content, by its path relative to the guest's root; none without NICs."""
    if not nics:
        return NO_FILES
    match manager:
        case Manager.NETWORKD:
            return {f"etc/systemd/network/00-geats-{n.name}.network": _networkd(n) for n in nics}
        case Manager.NETWORK_MANAGER:
            folder = "etc/NetworkManager/system-connections"
            return {f"{folder}/geats-{n.name}.nmconnection": _connection(n) for n in nics}
        case Manager.IFUPDOWN:
            loopback = "auto lo\niface lo inet loopback\n"
            return {INTERFACES: HEADER + loopback + "".join(map(_interface, nics))}
        case Manager.NETPLAN:
            said = {"version": 2, "ethernets": {nic.name: _ethernet(nic) for nic in nics}}
            return {NETPLAN_FILE: HEADER + json.dumps({"network": said}, indent=1) + "\n"}
        case _:
            return NO_FILES


def _networkd(nic: Nic) -> str:
    """See systemd.network(5)."""
    six = nic.ipv6
    lines = ["[Match]", f"Name={nic.name}", "[Network]", f"DHCP={'ipv4' if nic.dhcp else 'no'}"]
    lines += [f"IPv6AcceptRA={'yes' if six.ra else 'no'}"]
    lines += [f"Address={address}" for address in nic.addresses]
    for gateway in nic.gateways:
        lines += ["[Route]", f"Gateway={gateway}", "GatewayOnLink=yes"]
    for route in nic.routes:
        lines += ["[Route]", f"Destination={route.to}", f"Gateway={route.via}"]
    if six.token is not None:
        lines += ["[IPv6AcceptRA]", f"Token=static:{six.token}"]
    return HEADER + "".join(f"{line}\n" for line in lines)


def _connection(nic: Nic) -> str:
    """See nm-settings-keyfile(5)."""
    lines = ["[connection]", f"id=geats-{nic.name}", "type=ethernet", f"interface-name={nic.name}"]
    lines += ["autoconnect-priority=100"]
    for version in (4, 6):
        lines += [f"[ipv{version}]", f"method={_method(nic, version)}"]
        own = [address for address in nic.addresses if address.version == version]
        lines += [f"address{at}={address}" for at, address in enumerate(own, start=1)]
        lines += [f"gateway={gateway}" for gateway in _of(nic.gateways, version)]
        routes = [route for route in nic.routes if route.to.version == version]
        lines += [f"route{at}={r.to},{r.via}" for at, r in enumerate(routes, start=1)]
        if version == 6 and nic.ipv6.token is not None:
            lines += ["addr-gen-mode=eui64", f"token={nic.ipv6.token}"]
    return HEADER + "".join(f"{line}\n" for line in lines)


def _method(nic: Nic, version: int) -> str:
    asks = nic.dhcp if version == 4 else nic.ipv6.ra
    own = any(address.version == version for address in nic.addresses)
    return "auto" if asks else "manual" if own else "disabled"


def _interface(nic: Nic) -> str:
    """See interfaces(5); the first address of each version is its own, others are added."""
    text = f"auto {nic.name}\n"
    for version, family in ((4, "inet"), (6, "inet6")):
        own = [address for address in nic.addresses if address.version == version]
        method = _ifupdown_method(nic, version)
        if method == "manual" and version == 6:
            continue
        text += f"iface {nic.name} {family} {method}\n"
        if version == 4 and not nic.ipv6.ra:
            text += f"    pre-up sysctl -qw net.ipv6.conf.{nic.name}.accept_ra=0 || true\n"
        if method == "static":
            text += f"    address {own.pop(0)}\n"
        text += "".join(f"    up ip address add {each} dev {nic.name}\n" for each in own)
        for by in _of(nic.gateways, version):
            text += f"    up ip -{version} route add default via {by} dev {nic.name} onlink\n"
        for route in nic.routes:
            if route.to.version == version:
                text += f"    up ip route add {route.to} via {route.via} dev {nic.name}\n"
        if version == 6 and nic.ipv6.token is not None:
            text += f"    pre-up ip token set {nic.ipv6.token} dev {nic.name}\n"
    return text


def _ifupdown_method(nic: Nic, version: int) -> str:
    """What routers announce the kernel takes by itself."""
    if nic.dhcp if version == 4 else nic.ipv6.token is not None:
        return "dhcp" if version == 4 else "auto"
    return "static" if any(each.version == version for each in nic.addresses) else "manual"


def _ethernet(nic: Nic) -> dict[str, object]:
    """See netplan(5); what is on the link is said to be so."""
    gateways = [{"to": "default", "via": f"{each}", "on-link": True} for each in nic.gateways]
    routes = [{"to": f"{route.to}", "via": f"{route.via}"} for route in nic.routes]
    said: dict[str, object] = {
        "dhcp4": nic.dhcp,
        "dhcp6": False,
        "accept-ra": nic.ipv6.ra,
        "addresses": [f"{address}" for address in nic.addresses],
        "routes": [*gateways, *routes],
    }
    return said | ({} if nic.ipv6.token is None else {"ipv6-address-token": f"{nic.ipv6.token}"})


def _of(gateways: Iterable[Gateway], version: int) -> list[Gateway]:
    return [each for each in gateways if each.version == version]
