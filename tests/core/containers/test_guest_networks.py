"""Files for the network managers of guests: who is there, and what each is told."""

import json

import pytest
from returns.result import Failure

from geats_core import VMSpec, parse_vm
from geats_core.containers.guest_networks import (
    ENABLED,
    INTERFACES,
    NETPLAN_FILE,
    Manager,
    found_in,
    network_files,
)
from geats_core.vm.guest_files import guest_digest

STATIC: dict[str, object] = {
    "name": "eth0",
    "bridge": "br0",
    "addresses": ["10.0.0.2/24", "10.0.0.3/24", "fd00::2/64"],
    "gateways": ["10.0.0.1", "fd00::1"],
    "routes": [{"to": "10.9.0.0/16", "via": "10.0.0.254"}, {"to": "fd09::/16", "via": "fd00::9"}],
    "ipv6": {"ra": False},
}
ASKING: dict[str, object] = {
    "name": "eth1",
    "bridge": "br1",
    "dhcp": True,
    "ipv6": {"token": "::5"},
}
QUIET: dict[str, object] = {"name": "eth2", "bridge": "br2", "ipv6": {"ra": False}}


def web(*nics: object, manager: str = "auto") -> VMSpec:
    return parse_vm("web", {"template": "t", "nics": [*nics], "guest_network": manager}).unwrap()


ALL = web(STATIC, ASKING, QUIET).nics


@pytest.mark.parametrize(
    ("there", "manager"),
    [
        ((), Manager.NONE),
        (("usr/sbin/netplan", ENABLED), Manager.NETPLAN),
        (("usr/sbin/NetworkManager", "usr/lib/systemd/systemd-networkd"), Manager.NETWORK_MANAGER),
        (("sbin/ifup", ENABLED), Manager.NETWORKD),
        (("usr/sbin/ifup", "usr/lib/systemd/systemd-networkd"), Manager.IFUPDOWN),
        (("lib/systemd/systemd-networkd",), Manager.NETWORKD),
    ],
)
def test_who_configures_the_network_is_found(there: tuple[str, ...], manager: Manager) -> None:
    assert found_in(there) is manager


def test_systemd_networkd_has_a_file_for_each() -> None:
    assert network_files(ALL, Manager.NETWORKD) == {
        "etc/systemd/network/00-geats-eth0.network": (
            "# written by geats\n[Match]\nName=eth0\n[Network]\nDHCP=no\nIPv6AcceptRA=no\n"
            "Address=10.0.0.2/24\nAddress=10.0.0.3/24\nAddress=fd00::2/64\n"
            "[Route]\nGateway=10.0.0.1\nGatewayOnLink=yes\n"
            "[Route]\nGateway=fd00::1\nGatewayOnLink=yes\n"
            "[Route]\nDestination=10.9.0.0/16\nGateway=10.0.0.254\n"
            "[Route]\nDestination=fd09::/16\nGateway=fd00::9\n"
        ),
        "etc/systemd/network/00-geats-eth1.network": (
            "# written by geats\n[Match]\nName=eth1\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=yes\n"
            "[IPv6AcceptRA]\nToken=static:::5\n"
        ),
        "etc/systemd/network/00-geats-eth2.network": (
            "# written by geats\n[Match]\nName=eth2\n[Network]\nDHCP=no\nIPv6AcceptRA=no\n"
        ),
    }


def test_ifupdown_has_one_file() -> None:
    assert network_files(ALL, Manager.IFUPDOWN) == {
        INTERFACES: (
            "# written by geats\nauto lo\niface lo inet loopback\n"
            "auto eth0\niface eth0 inet static\n"
            "    pre-up sysctl -qw net.ipv6.conf.eth0.accept_ra=0 || true\n"
            "    address 10.0.0.2/24\n"
            "    up ip address add 10.0.0.3/24 dev eth0\n"
            "    up ip -4 route add default via 10.0.0.1 dev eth0 onlink\n"
            "    up ip route add 10.9.0.0/16 via 10.0.0.254 dev eth0\n"
            "iface eth0 inet6 static\n    address fd00::2/64\n"
            "    up ip -6 route add default via fd00::1 dev eth0 onlink\n"
            "    up ip route add fd09::/16 via fd00::9 dev eth0\n"
            "auto eth1\niface eth1 inet dhcp\n"
            "iface eth1 inet6 auto\n    pre-up ip token set ::5 dev eth1\n"
            "auto eth2\niface eth2 inet manual\n"
            "    pre-up sysctl -qw net.ipv6.conf.eth2.accept_ra=0 || true\n"
        )
    }


def test_network_manager_has_a_connection_for_each() -> None:
    files = network_files(ALL, Manager.NETWORK_MANAGER)
    folder = "etc/NetworkManager/system-connections"
    assert [*files] == [f"{folder}/geats-eth{at}.nmconnection" for at in range(3)]
    head = "# written by geats\n[connection]\nid=geats-eth{0}\ntype=ethernet\n"
    head += "interface-name=eth{0}\nautoconnect-priority=100\n"
    assert [*files.values()] == [
        head.format(0) + "[ipv4]\nmethod=manual\naddress1=10.0.0.2/24\naddress2=10.0.0.3/24\n"
        "gateway=10.0.0.1\nroute1=10.9.0.0/16,10.0.0.254\n"
        "[ipv6]\nmethod=manual\naddress1=fd00::2/64\ngateway=fd00::1\n"
        "route1=fd09::/16,fd00::9\n",
        head.format(1)
        + "[ipv4]\nmethod=auto\n[ipv6]\nmethod=auto\naddr-gen-mode=eui64\ntoken=::5\n",
        head.format(2) + "[ipv4]\nmethod=disabled\n[ipv6]\nmethod=disabled\n",
    ]


def test_netplan_has_one_file_whose_json_is_yaml() -> None:
    files = network_files(ALL, Manager.NETPLAN)
    said = json.loads(files[NETPLAN_FILE].partition("\n")[2])["network"]["ethernets"]
    assert said["eth0"] == {
        "dhcp4": False,
        "dhcp6": False,
        "accept-ra": False,
        "addresses": STATIC["addresses"],
        "routes": [
            {"to": "default", "via": "10.0.0.1", "on-link": True},
            {"to": "default", "via": "fd00::1", "on-link": True},
            {"to": "10.9.0.0/16", "via": "10.0.0.254"},
            {"to": "fd09::/16", "via": "fd00::9"},
        ],
    }
    assert said["eth1"]["ipv6-address-token"] == "::5"
    assert said["eth1"]["dhcp4"] is True


def test_nobody_is_told_anything_without_nics_or_a_manager() -> None:
    assert network_files(ALL, Manager.NONE) == {}
    assert network_files((), Manager.NETPLAN) == {}


def test_what_only_the_guest_can_do_needs_somebody_there() -> None:
    wrong = parse_vm("web", {"template": "t", "nics": [ASKING, QUIET]})
    assert isinstance(wrong, Failure)
    told = "only the guest can do that: say who does it there, such as guest_network: auto"
    assert [str(each) for each in wrong.failure()] == [
        f"nics[0].dhcp: {told}",
        f"nics[1].ipv6: {told}",
    ]
    for token in ("fd00::5", "::", "10.0.0.1", 5):
        bad = {**QUIET, "ipv6": {"token": token}}
        (problem,) = parse_vm("web", {"template": "t", "nics": [bad]}).failure()
        assert problem.path == "nics[0].ipv6.token"


def test_the_guest_is_configured_again_if_what_it_is_told_changes() -> None:
    plain = {key: STATIC[key] for key in ("name", "bridge")}
    told, other = web(plain), web({**plain, "mtu": 1400})
    assert guest_digest(told) == guest_digest(other)
    assert guest_digest(told) != guest_digest(web({**plain, "dhcp": True}))
    assert guest_digest(told) != guest_digest(web(plain, manager="none"))
    assert guest_digest(told) != guest_digest(web(plain, manager="netplan"))
