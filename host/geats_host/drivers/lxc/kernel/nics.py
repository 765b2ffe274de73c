"""NICs of a container that runs: attached, changed and detached, from the host."""

import json
import socket
from collections.abc import Sequence
from itertools import zip_longest

from geats_core.containers.live_nics import BridgeFacts, attaching, changing, configuring, leaving
from geats_core.containers.nic_lines import Command
from geats_core.containers.nics import Nic, host_end
from geats_host.drivers.lxc.kernel import connections, links
from geats_host.errors import HostError
from geats_host.linux import network
from geats_host.linux.run import run

MAY_FAIL = ("tc", "qdisc", "del")  # there may be no limit that goes
FAILED = 2  # the exit code of tc(8) then


def bring(vm_name: str, pid: int, had: Sequence[Nic], has: Sequence[Nic]) -> None:
    """Let the guest whose init is *pid* have these NICs instead of those that it *had*."""
    pairs = [*enumerate(zip_longest(had, has))]
    # What goes, first: the MTU of a bridge is the least of its ports.
    for index, (old, nic) in pairs:
        alone = nic if old is None else old if nic is None else None
        if alone is not None:
            _take_out(host_end(vm_name, index, alone), alone)
    for index, (old, nic) in pairs:
        if nic is not None and old is None:
            _attach(host_end(vm_name, index, nic), nic, pid)
        elif nic is not None and old is not None and old != nic:
            known, wanted = (host_end(vm_name, index, each) for each in (old, nic))
            _change(known, wanted, old, nic, pid)


def _take_out(end: str, nic: Nic) -> None:
    """Both ends are gone then; one that an earlier try left half done as well."""
    if nic.bridge in network.open_vswitches():
        _run(leaving(end))
    if links.is_there(end):
        run(("ip", "link", "delete", "dev", end))


def _attach(end: str, nic: Nic, pid: int) -> None:
    facts = _bridge_facts(nic, end)
    for command in attaching(end, nic, pid, facts):
        _run(command)
    for command in configuring(nic, facts):
        _run(_inside(pid, command))


def _change(known: str, wanted: str, old: Nic, nic: Nic, pid: int) -> None:
    """Only if its end on the host has another name, the guest is asked which one it is."""
    end = known if links.is_there(known) else _end_of(nic, pid)
    facts = _bridge_facts(nic, end)
    for command in changing(end, wanted, old, nic, facts):
        _run(command)
    if old.mtu != nic.mtu:
        mtu = f"{nic.mtu or facts.mtu}"
        _run(_inside(pid, ("ip", "link", "set", "dev", nic.name, "mtu", mtu)))


def _end_of(nic: Nic, pid: int) -> str:
    """The name of its end on the host, which one that LXC made itself drew.

    The guest can put another interface in place of its own, whose number means one of the host.
    """
    found = json.loads(run(_inside(pid, ("ip", "-json", "link", "show", "dev", nic.name))))
    try:
        end = socket.if_indextoname(found[0]["link_index"])
    except (KeyError, OSError):
        raise HostError(f"{nic.name} of the guest has no end on this host") from None
    if all(each.get("link_index") != found[0]["ifindex"] for each in _links("dev", end)):
        raise HostError(f"{nic.name} of the guest is not the one that was made for it")
    return end


def _bridge_facts(nic: Nic, end: str) -> BridgeFacts:
    """The MTU is that of the bridge, or what it is without the port *end*, if that is more."""
    switches = network.open_vswitches()
    if not nic.bridge:
        return BridgeFacts(switches=switches)
    ports = [each for each in _links("master", nic.bridge) if each["ifname"] != end]
    others = min((int(f"{each['mtu']}") for each in ports), default=BridgeFacts().mtu)
    (bridge,) = _links("dev", nic.bridge)
    tag = connections.details(nic.bridge).get("vlan_default_pvid", 1)
    mtu = max(others, int(f"{bridge['mtu']}"))
    return BridgeFacts(mtu=mtu, vlan=int(f"{tag}"), switches=switches)


def _links(*which: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(
        run(("ip", "-json", "link", "show", *which)) or "[]"
    )
    return [each for each in found if each]


def _inside(pid: int, command: Command) -> Command:
    return ("nsenter", f"--net=/proc/{pid}/ns/net", *command)


def _run(command: Command) -> None:
    run(command, accepted=(0, FAILED) if command[:3] == MAY_FAIL else (0,))
