"""NICs whose kinds the kernel of a build machine may lack: VLANs, ipvlan, rates, tagged ports."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from geats_core.containers.nics import Nic, Rate
from geats_core.planning.actions import SetDevices
from geats_host.drivers.lxc.driver import LxcDriver, open_driver
from tests.real.conftest import (
    BRIDGE,
    bridge,
    busybox_rootfs,
    own_namespaces,
    sh,
    spec,
    tmp_path,
)
from tests.real.test_nics import CARD, PARENT, inside, links, started

__all__ = ["bridge", "busybox_rootfs", "links", "own_namespaces", "tmp_path"]


@pytest.fixture
def driver(own_namespaces: None, tmp_path: Path) -> Iterator[LxcDriver]:
    """The driver, with time for an emulated processor."""
    opened = open_driver({"timeout": 90}, tmp_path)
    yield opened
    for name in opened.observe():
        opened.end(name)
        opened.undefine(name)


@pytest.fixture
def tagging(bridge: str) -> Iterator[str]:
    """The bridge knows VLANs, and the host is in VLAN 20 with 10.20.0.1, and in VLAN 30.

    It has an address of its own: without ports it has none, and no VLAN of it can be up.
    """
    sh("ip", "link", "set", BRIDGE, "address", "02:77:00:00:00:01")
    sh("ip", "link", "set", BRIDGE, "type", "bridge", "vlan_filtering", "1")
    for tag in ("20", "30"):
        sh("bridge", "vlan", "add", "dev", BRIDGE, "vid", tag, "self")
        sh("ip", "link", "add", "link", BRIDGE, "name", f"gt.{tag}", "type", "vlan", "id", tag)
        sh("ip", "address", "add", f"10.{tag}.0.1/24", "dev", f"gt.{tag}")
        sh("ip", "link", "set", f"gt.{tag}", "up")
    yield bridge
    for tag in ("20", "30"):
        sh("ip", "link", "delete", f"gt.{tag}")
    sh("ip", "link", "set", BRIDGE, "type", "bridge", "vlan_filtering", "0")


def test_a_port_is_in_its_vlan_and_a_trunk_has_tags(
    driver: LxcDriver, busybox_rootfs: Path, tagging: str
) -> None:
    name = started(
        driver,
        busybox_rootfs,
        "tags",
        {"name": "eth0", "bridge": tagging, "vlan": 20, "addresses": ["10.20.0.2/24"]},
        {"name": "eth1", "bridge": tagging, "trunk": [30]},
    )
    sh("ping", "-c1", "-W5", "10.20.0.2")
    inside(
        driver, name, "ip", "link", "add", "link", "eth1", "name", "v", "type", "vlan", "id", "30"
    )
    inside(driver, name, "ip", "address", "add", "10.30.0.2/24", "dev", "v")
    inside(driver, name, "ip", "link", "set", "v", "up")
    sh("ping", "-c1", "-W5", "10.30.0.2")


def test_interfaces_on_one_of_the_host(
    driver: LxcDriver, busybox_rootfs: Path, links: None
) -> None:
    """An ipvlan has the MAC address of its parent; a VLAN of it is another network."""
    sh("ip", "link", "add", "link", f"{CARD}2", "name", "gtcard2.7", "type", "vlan", "id", "7")
    sh("ip", "link", "set", f"{CARD}2", "nomaster")
    sh("ip", "address", "add", "10.7.0.1/24", "dev", "gtcard2.7")
    sh("ip", "link", "set", "gtcard2.7", "up")
    sh("ip", "link", "set", CARD, "up")
    started(
        driver,
        busybox_rootfs,
        "parents",
        {
            "name": "eth0",
            "type": "ipvlan",
            "parent": PARENT,
            "mode": "l2",
            "addresses": ["10.77.0.13/24"],
        },
        {
            "name": "eth1",
            "type": "vlan",
            "parent": CARD,
            "vlan": 7,
            "addresses": ["10.7.0.2/24"],
        },
    )
    sh("ping", "-c1", "-W5", "10.77.0.13")
    sh("ping", "-c1", "-W5", "10.7.0.2")


def test_a_routed_nic_is_answered_for_on_its_parent(
    driver: LxcDriver, busybox_rootfs: Path, links: None
) -> None:
    """A neighbour on the bridge reaches the guest by the host, which answers on the parent."""
    for key in (f"ipv4.conf.{PARENT}.forwarding", "ipv4.ip_forward"):
        Path("/proc/sys/net", key.replace(".", "/")).write_text("1")
    started(
        driver,
        busybox_rootfs,
        "proxied",
        {
            "name": "eth0",
            "type": "routed",
            "parent": PARENT,
            "addresses": ["10.78.0.5/32"],
            "gateways": ["169.254.1.1"],
        },
    )
    proxied = json.loads(sh("ip", "-json", "neigh", "show", "proxy", "dev", PARENT))
    assert [each["dst"] for each in proxied] == ["10.78.0.5"]


def test_no_more_than_its_rate_goes_in_and_out(
    driver: LxcDriver, busybox_rootfs: Path, bridge: str
) -> None:
    nic = {"name": "eth0", "bridge": bridge, "host_name": "gtrated", "addresses": ["10.77.0.14/24"]}
    started(driver, busybox_rootfs, "rated", {**nic, "rate": {"in": "1MiB", "out": "2MiB"}})
    queues = sh("tc", "qdisc", "show", "dev", "gtrated")
    assert "tbf" in queues
    assert "ingress" in queues
    assert "police" in sh("tc", "filter", "show", "dev", "gtrated", "parent", "ffff:")


def test_what_the_bridge_cannot_is_told(driver: LxcDriver, bridge: str) -> None:
    want = spec("told", nics=[{"name": "eth0", "bridge": bridge, "trunk": [7]}])
    assert [each.path for each in driver.cannot_define(want)] == ["nics[eth0].trunk"]


def test_tags_and_rates_change_while_the_guest_runs(
    driver: LxcDriver, busybox_rootfs: Path, tagging: str
) -> None:
    nic = {"name": "eth0", "bridge": tagging, "host_name": "gtlive", "addresses": ["10.20.0.3/24"]}
    name = started(driver, busybox_rootfs, "changes", nic)
    for changed in (
        {**nic, "vlan": 20, "rate": {"in": "1MiB", "out": "2MiB"}},
        {**nic, "vlan": 20, "rate": {"in": "3MiB"}, "trunk": [30]},
    ):
        want = spec("changes", nics=[changed])
        driver.set_devices(name, SetDevices(want), {})
        driver.set_devices(name, SetDevices(want), {})
        sh("ping", "-c1", "-W5", "10.20.0.3")
    assert "rate 25" in sh("tc", "qdisc", "show", "dev", "gtlive")  # megabits
    assert "ingress" not in sh("tc", "qdisc", "show", "dev", "gtlive")
    ports = json.loads(sh("bridge", "-json", "vlan", "show", "dev", "gtlive"))
    assert [each["vlan"] for each in ports[0]["vlans"]] == [20, 30]
    driver.set_devices(name, SetDevices(spec("changes", nics=[nic])), {})
    ports = json.loads(sh("bridge", "-json", "vlan", "show", "dev", "gtlive"))
    assert [(each["vlan"], each["flags"]) for each in ports[0]["vlans"]] == [
        (1, ["PVID", "Egress Untagged"])
    ]


def test_what_somebody_changed_of_vlans_and_limits_is_seen(
    driver: LxcDriver, busybox_rootfs: Path, tagging: str
) -> None:
    """And mended while the guest runs."""
    first = {"name": "eth0", "bridge": tagging, "vlan": 20, "host_name": "gtone"}
    limited = {"rate": {"in": "1MiB", "out": "2MiB"}, "host_name": "gttwo"}
    nics = [first, {"name": "eth1", "bridge": tagging, "trunk": [30], **limited}]
    name = started(driver, busybox_rootfs, "drift", *nics)
    want = spec("drift", nics=nics)

    def runs() -> tuple[Nic, ...]:
        seen = driver.observe()[name].in_effect
        assert seen is not None
        return seen.nics

    assert runs() == want.nics
    sh("bridge", "vlan", "add", "dev", "gtone", "vid", "30", "pvid", "untagged")
    sh("bridge", "vlan", "del", "dev", "gttwo", "vid", "30")
    sh("tc", "qdisc", "del", "dev", "gttwo", "root")
    sh("tc", "qdisc", "del", "dev", "gttwo", "ingress")
    one, two = runs()
    assert (one.vlan, one.trunk, two.vlan, two.trunk, two.rate) == (30, (20,), None, (), Rate())
    driver.set_devices(name, SetDevices(want), {})
    assert runs() == want.nics
