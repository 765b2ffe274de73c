"""Real guests ask a real DHCP server, and take what a router announces: each by its own manager."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from geats_host.drivers import Place
from geats_host.drivers.lxc.driver import LxcDriver
from geats_host.guest_trees.guest_names import configure_guest
from tests.real.conftest import BRIDGE, sh, spec

WITHIN_S = 60
NETWORKD = "systemd-networkd.service"
LEASED = """#!/bin/sh
case "$1" in
  bound | renew) ip addr flush dev "$interface"; ip addr add "$ip/$mask" dev "$interface"
    for each in $router; do ip route add default via "$each" dev "$interface"; done ;;
esac
"""
INITTAB = "::sysinit:/bin/ifup -a\n::respawn:/bin/sleep 600\n::ctrlaltdel:/bin/poweroff\n"
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def dhcp(bridge: str, tmp_path: Path) -> Iterator[Path]:
    """A server on the bridge, whose leases are in that file; it announces a network of IPv6."""
    leases = tmp_path / "leases"
    sh("ip", "address", "add", "fd77::1/64", "dev", bridge, "nodad")
    argv = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root"]
    argv += [f"--interface={bridge}", "--bind-interfaces", f"--dhcp-leasefile={leases}"]
    argv += ["--dhcp-range=10.77.0.100,10.77.0.150,1h", "--dhcp-option=option:router,10.77.0.1"]
    argv += ["--enable-ra", "--dhcp-range=fd77::,ra-only", "--pid-file"]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as server:
        yield leases
        server.terminate()
    sh("ip", "address", "delete", "fd77::1/64", "dev", bridge)


def addresses(driver: LxcDriver, name: str, *beginnings: str) -> tuple[str, ...]:
    """Those of the guest, once there is one of each beginning."""
    end = time.monotonic() + WITHIN_S
    while True:
        found = driver.info(name).addresses
        if all(any(each.startswith(b) for each in found) for b in beginnings):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.2)


def test_busybox_gets_a_lease_by_ifupdown_and_udhcpc(
    driver: LxcDriver, busybox_rootfs: Path, dhcp: Path
) -> None:
    for applet in ("ifup", "ifconfig", "udhcpc", "sysctl", "route", "run-parts"):
        (busybox_rootfs / "bin" / applet).symlink_to("busybox")
    for folder in ("etc/udhcpc", "etc/network", "var/run", "run", "sbin"):
        (busybox_rootfs / folder).mkdir(parents=True, exist_ok=True)
    (busybox_rootfs / "sbin/ifup").symlink_to("../bin/busybox")
    script = busybox_rootfs / "etc/udhcpc/default.script"  # of Debian's busybox
    script.write_text(LEASED)
    script.chmod(0o755)
    (busybox_rootfs / "sbin/init").unlink()
    (busybox_rootfs / "sbin/init").symlink_to("../bin/busybox")
    (busybox_rootfs / "etc/inittab").write_text(INITTAB)
    nic = {"name": "eth0", "bridge": BRIDGE, "dhcp": True}
    want = spec("udhcpc", nics=[nic], guest_network="auto", privileged=True)
    configure_guest(busybox_rootfs, want, owner=0, new=True)
    driver.define(want, {"root": Place(busybox_rootfs)})
    driver.start(want.name)
    (address, *_) = addresses(driver, want.name, "10.77.0.1")
    assert want.nics[0].mac in dhcp.read_text()
    assert address in dhcp.read_text()
    sh("ping", "-c1", "-W5", address)


def test_networkd_gets_a_lease_and_makes_an_address_of_its_token(
    driver: LxcDriver, debian_rootfs: Path, dhcp: Path, tmp_path: Path
) -> None:
    root = tmp_path / "debian"
    sh("cp", "-a", f"{debian_rootfs}", f"{root}")
    system = root / "etc/systemd/system"
    for unit in (NETWORKD, "systemd-networkd.socket"):
        (system / unit).unlink(missing_ok=True)
    (system / "multi-user.target.wants").mkdir(exist_ok=True)
    (system / "multi-user.target.wants" / NETWORKD).symlink_to(f"/lib/systemd/system/{NETWORKD}")
    nic = {
        **{"name": "eth0", "bridge": BRIDGE, "dhcp": True},
        "ipv6": {"ra": True, "token": "::5"},
    }
    want = spec("networkd", nics=[nic], guest_network="auto", init="systemd", privileged=True)
    configure_guest(root, want, owner=0, new=True)
    assert (root / "etc/systemd/network/00-geats-eth0.network").exists()
    driver.define(want, {"root": Place(root)})
    driver.start(want.name)
    found = addresses(driver, want.name, "10.77.0.1", "fd77::5")
    assert want.nics[0].mac in dhcp.read_text()
    sh("ping", "-c1", "-W5", found[0])
    sh("ping", "-c1", "-W5", "fd77::5")
