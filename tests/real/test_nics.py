"""Kinds of NICs of real containers, on what this kernel has; the others are in tests/vm."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from geats_core.containers.nics import Nic, NicType, Rate, host_end
from geats_core.planning.actions import SetDevices
from geats_host.drivers import Place
from geats_host.drivers.lxc.driver import LxcDriver
from geats_host.drivers.lxc.kernel import nics as live_nics
from geats_host.errors import HostError
from geats_host.guest_trees.guest_names import configure_guest
from geats_host.linux import network as of_host
from tests.real.conftest import BRIDGE, sh, spec

PARENT, CARD = "gtparent", "gtcard"


@pytest.fixture
def links(bridge: str) -> Iterator[None]:
    """An interface of the host for others on top of it, whose other end is a port of the bridge;
    and one to give away."""
    for name in (PARENT, CARD):
        sh("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}2")
        sh("ip", "link", "set", f"{name}2", "master", BRIDGE, "up")
    sh("ip", "link", "set", PARENT, "up")
    yield
    for name in (PARENT, CARD):
        sh("ip", "link", "delete", name)


def started(driver: LxcDriver, root: Path, name: str, *nics: object) -> str:
    """A container with these NICs, that runs."""
    want = spec(name, nics=[*nics])
    assert driver.cannot_define(want) == ()
    driver.define(want, {"root": Place(root)})
    driver.start(want.name)
    return want.name


def inside(driver: LxcDriver, name: str, *argv: str) -> str:
    """What a program of the host says in the network of the guest."""
    return sh("nsenter", f"--net=/proc/{driver.info(name).pid}/ns/net", *argv)


def link(text: str) -> dict[str, object]:
    found: list[dict[str, object]] = json.loads(text)
    return found[0]


def test_pairs(driver: LxcDriver, busybox_rootfs: Path, bridge: str) -> None:
    """One with a named end and an MTU, one that is unplugged, one that nothing is connected to, and
    one that is routed, with an address of its own and a gateway that no network has."""
    name = started(
        driver,
        busybox_rootfs,
        "pairs",
        {
            "name": "eth0",
            "bridge": BRIDGE,
            "host_name": "gtweb",
            "mtu": 1400,
            "mac": "00:16:3e:xx:xx:xx",
            "addresses": ["10.77.0.9/24", "10.77.0.10/24", "fd77::9/64"],
            "routes": [{"to": "10.99.0.0/16", "via": "10.77.0.1"}],
        },
        {"name": "eth1", "bridge": BRIDGE, "link": "down"},
        {"name": "eth2", "type": "veth", "host_name": "gtalone"},
        {
            "name": "eth3",
            "type": "routed",
            "host_name": "gtrouted",
            "addresses": ["10.88.0.5/32"],
            "gateways": ["169.254.1.1"],
        },
    )
    web = link(sh("ip", "-json", "link", "show", "gtweb"))
    assert (web["master"], web["mtu"]) == (BRIDGE, 1400)
    guest = link(inside(driver, name, "ip", "-json", "link", "show", "eth0"))
    assert guest["mtu"] == 1400
    assert str(guest["address"]).startswith("00:16:3e:")
    assert "10.77.0.10/24" in inside(driver, name, "ip", "address", "show", "eth0")
    assert "10.99.0.0/16 via 10.77.0.1" in inside(driver, name, "ip", "route")
    unplugged = link(inside(driver, name, "ip", "-json", "link", "show", "eth1"))
    assert unplugged["operstate"] in ("DOWN", "LOWERLAYERDOWN")
    assert "master" not in link(sh("ip", "-json", "link", "show", "gtalone"))
    sh("ping", "-c1", "-W5", "10.77.0.9")
    sh("ping", "-c1", "-W5", "10.88.0.5")
    assert "default via 169.254.1.1 dev eth3" in inside(driver, name, "ip", "route")
    inside(driver, name, "ping", "-c1", "-W5", "-I", "10.88.0.5", "10.77.0.1")


def test_on_interfaces_of_the_host(driver: LxcDriver, busybox_rootfs: Path, links: None) -> None:
    """A macvlan has a MAC address of its own; a physical one is away, and comes back."""
    name = started(
        driver,
        busybox_rootfs,
        "on-host",
        {"name": "eth0", "type": "macvlan", "parent": PARENT, "addresses": ["10.77.0.11/24"]},
        {"name": "eth1", "type": "physical", "parent": CARD, "addresses": ["10.77.0.12/24"]},
    )
    sh("ping", "-c1", "-W5", "10.77.0.11")
    sh("ping", "-c1", "-W5", "10.77.0.12")
    assert CARD not in sh("ip", "-brief", "link").split()
    running = driver.observe()[name].in_effect
    assert running is not None
    assert driver.cannot_define(running) == ()
    driver.stop(name)
    assert sh("ip", "-brief", "link", "show", CARD)


def test_what_is_not_there_is_told_before_anything_is_done(driver: LxcDriver, bridge: str) -> None:
    want = spec(
        "nowhere",
        nics=[
            {"name": "eth0", "type": "macvlan", "parent": "gtnobody"},
            {"name": "eth1", "bridge": BRIDGE, "vlan": 7},
        ],
    )
    assert [str(each) for each in driver.cannot_define(want)] == [
        "nics[eth0].parent: there is no interface 'gtnobody' on this host",
        f"nics[eth1].vlan: the bridge {BRIDGE} knows no VLANs: ip link set dev {BRIDGE} type bridge"
        " vlan_filtering 1",
    ]


def test_what_changes_while_the_guest_runs(
    driver: LxcDriver, busybox_rootfs: Path, bridge: str
) -> None:
    """A NIC comes with its addresses, all that can changes, is the same after a restart, and goes;
    what is done already is done again without harm."""
    first = {"name": "eth0", "bridge": bridge, "addresses": ["10.77.0.20/24"]}
    second = {"name": "eth1", "bridge": bridge, "addresses": ["10.77.0.21/24"], "mtu": 1300}
    name = started(driver, busybox_rootfs, "live", first)
    changed = {**first, "host_name": "gtnew", "mtu": 1400}
    both, other, want = (
        spec("live", nics=nics)
        for nics in ([first, second], [changed, second], [{**changed, "link": "down"}, second])
    )
    for wanted in (both, other, want):
        for _ in range(2):
            driver.set_devices(name, SetDevices(wanted), {})
        assert driver.observe()[name].in_effect == wanted
        pinged = "10.77.0.21" if wanted is not want else "127.0.0.1"  # its way back is by eth0
        sh("ping", "-c1", "-W5", pinged)
    end = link(sh("ip", "-json", "link", "show", "gtnew"))
    assert (end["mtu"], end["operstate"], end["master"]) == (1400, "DOWN", bridge)
    guest = link(inside(driver, name, "ip", "-json", "link", "show", "eth1"))
    assert (guest["mtu"], guest["address"]) == (1300, want.nics[1].mac)
    sh("ip", "link", "set", "gtnew", "nomaster", "mtu", "1200")
    moved = driver.observe()[name].in_effect
    assert moved is not None
    assert (moved.nics[0].bridge, moved.nics[0].mtu) == ("", 1200)
    plain = spec("live", nics=[first])
    driver.set_devices(name, SetDevices(plain), {})
    sh("ip", "neigh", "flush", "dev", bridge)  # eth1 has answered for eth0
    sh("ping", "-c1", "-W5", "10.77.0.20")
    end = link(sh("ip", "-json", "link", "show", host_end(name, 0, plain.nics[0])))
    assert (end["mtu"], end["master"]) == (1500, bridge)
    assert "eth1" not in inside(driver, name, "ip", "-brief", "link")
    driver.set_devices(name, SetDevices(spec("live", nics=[])), {})
    assert "eth0" not in inside(driver, name, "ip", "-brief", "link")


def test_a_guest_whose_network_nobody_configures_is_told(busybox_rootfs: Path) -> None:
    want = spec("alone", nics=[{"name": "eth0", "bridge": BRIDGE}], guest_network="auto")
    with pytest.raises(HostError, match="nothing in its guest configures its network"):
        configure_guest(busybox_rootfs, want, owner=0, new=True)


@contextmanager
def network(*within: str) -> Iterator[int]:
    """A process in a network of its own, which is made *within* that of another."""
    asleep = (*within, "unshare", "-n", "sh", "-c", "echo; exec sleep 600")
    with subprocess.Popen(asleep, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def test_a_guest_cannot_pass_another_interface_off_as_the_one_that_was_made_for_it() -> None:
    lan = Nic(name="eth0", type=NicType.VETH, mac="02:00:00:00:00:01")
    drawn, named = (
        Nic(name="eth0", type=NicType.VETH, mac=lan.mac, host_name=name)
        for name in ("gtdrawn", "gtnamed")
    )
    with network() as guest:
        inside = ("nsenter", f"--net=/proc/{guest}/ns/net")
        live_nics.bring("web", guest, (), (lan,))
        end = host_end("web", 0, lan)
        sh(*inside, "ip", "link", "set", "dev", "eth0", "name", "old0")
        with network(*inside) as within:
            number = f"{socket.if_nametoindex(end)}"
            peer = ("peer", "name", "x", "netns", f"{within}", "index", number)
            sh(*inside, "ip", "link", "add", "eth0", "type", "veth", *peer)
            with pytest.raises(HostError, match="is not the one that was made for it"):
                live_nics.bring("web", guest, (drawn,), (named,))
            assert end in [name for _, name in socket.if_nameindex()]
        live_nics.bring("web", guest, (lan,), ())


def test_what_somebody_changed_of_a_limit_is_seen(
    driver: LxcDriver, busybox_rootfs: Path, bridge: str
) -> None:
    """By hand, while the guest runs: a limit that is another, that is gone, and that came."""
    nic = {"name": "eth0", "bridge": BRIDGE, "host_name": "gtweb", "rate": {"in": "1MiB"}}
    name = started(driver, busybox_rootfs, "rate", nic)

    def rate() -> Rate:
        runs = driver.observe()[name].in_effect
        assert runs is not None
        return runs.nics[0].rate

    assert rate() == Rate(in_bytes=1 << 20)
    change = ("tc", "qdisc", "replace", "dev", "gtweb", "root", "tbf")
    sh(*change, "rate", "5000000000bps", "burst", "65536", "latency", "50ms")
    assert rate() == Rate(in_bytes=5_000_000_000)
    sh("tc", "qdisc", "del", "dev", "gtweb", "root")
    assert rate() == Rate()
    want = spec("rate", nics=[nic])
    driver.set_devices(name, SetDevices(want), {})
    assert rate() == Rate(in_bytes=1 << 20)


SWITCH = """#!/bin/sh
# Stands in for Open vSwitch, which the kernel may lack: its bridges are bridges of Linux here.
echo "$*" >> {told}
case "$*" in
    *"add-port "*) for end; do :; done; ip link set dev "$end" master "$3" ;;
    *"del-port "*) for end; do :; done; ip link set dev "$end" nomaster || true ;;
esac
"""


def test_ports_of_open_vswitch_come_change_and_go_while_a_guest_runs(
    driver: LxcDriver,
    busybox_rootfs: Path,
    bridge: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = tmp_path / "told"
    (tmp_path / "ovs-vsctl").write_text(SWITCH.format(told=told))
    (tmp_path / "ovs-vsctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(of_host, "open_vswitches", lambda: frozenset({BRIDGE}))
    one = {"name": "eth0", "bridge": BRIDGE, "host_name": "gtone"}
    two = {"name": "eth1", "bridge": BRIDGE, "host_name": "gttwo", "vlan": 7}
    name = started(driver, busybox_rootfs, "ovs", one)
    init = driver.info(name).pid
    told.unlink(missing_ok=True)

    two["addresses"] = ["10.77.0.12/24"]
    driver.set_devices(name, SetDevices(spec("ovs", nics=[one, two])), {})
    sh("ping", "-c1", "-W5", "10.77.0.12")
    driver.set_devices(name, SetDevices(spec("ovs", nics=[{**one, "trunk": [8]}, two])), {})
    driver.set_devices(name, SetDevices(spec("ovs", nics=[{**one, "trunk": [8]}])), {})
    assert told.read_text().splitlines() == [
        "--if-exists del-port gttwo",
        f"--may-exist add-port {BRIDGE} gttwo",
        "clear port gttwo tag trunks vlan_mode",
        "set port gttwo vlan_mode=access tag=7",
        "clear port gtone tag trunks vlan_mode",
        "set port gtone vlan_mode=trunk trunks=8",
        "--if-exists del-port gttwo",
    ]
    assert driver.info(name).pid == init
    assert driver.facts.entries["nics"].live
