"""What the NICs of containers are connected to on this host: whether that is there, and fits."""

import json
import shutil
import socket
from collections.abc import Iterable, Mapping

from geats_core.containers.live_nics import SWITCHES
from geats_core.containers.nics import Nic
from geats_core.reading.checked import Code, Problem
from geats_core.vm.spec import VMSpec
from geats_host.linux import network
from geats_host.linux.run import run


def problems(spec: VMSpec, runs: VMSpec | None) -> Iterable[Problem]:
    """Why NICs of the VM cannot be connected; it may be on, and *runs* is what it has then."""
    there = {name for _, name in socket.if_nameindex()}
    there |= {nic.parent for nic in (runs.nics if runs else ())}  # it may be in the guest
    switches = network.open_vswitches()
    for nic in spec.nics:
        at = f"nics[{nic.name}]"
        if nic.parent and nic.parent not in there:
            why = f"there is no interface {nic.parent!r} on this host"
            yield Problem(f"{at}.parent", why, Code.UNKNOWN)
        if nic.bridge in switches and not shutil.which(SWITCHES):
            why = f"{nic.bridge} is of Open vSwitch, and {SWITCHES} is not installed"
            yield Problem(f"{at}.bridge", why, Code.UNAVAILABLE)
        ports = nic.bridge in there and nic.bridge not in switches
        if ports and (key := _tag_key(nic)) and not filters_vlans(nic.bridge):
            command = f"ip link set dev {nic.bridge} type bridge vlan_filtering 1"
            why = f"the bridge {nic.bridge} knows no VLANs: {command}"
            yield Problem(f"{at}.{key}", why, Code.REFUSED)


def _tag_key(nic: Nic) -> str:
    return "vlan" if nic.vlan is not None else "trunk" if nic.trunk else ""


def filters_vlans(bridge: str) -> bool:
    """Whether its ports can be in VLANs."""
    return bool(details(bridge).get("vlan_filtering"))


def details(link: str) -> Mapping[str, object]:
    """What the kernel says of an interface that is of its kind only."""
    found = json.loads(run(["ip", "-json", "-details", "link", "show", "dev", link]))
    said: Mapping[str, object] = found[0].get("linkinfo", {}).get("info_data", {})
    return said
