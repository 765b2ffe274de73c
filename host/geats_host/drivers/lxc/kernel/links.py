"""The host's ends of guests' network interfaces: whose each is, and which are left over.

liblxc makes a pair of interfaces and moves one of them into the guest. If it was killed before,
both are on the host, belong to nobody, and no start succeeds: their name is taken. ip(8) says of
each whether the other one is here (``link``) or in another network namespace (``link_index``).
"""

import json
import os
import re
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeAlias

from geats_core.containers.nics import host_end, veth_name
from geats_core.planning.plugin_facts import Leftover
from geats_core.vm.spec import VMSpec
from geats_host.errors import HostError
from geats_host.leftovers import Left
from geats_host.linux.mounts import command_of
from geats_host.linux.run import run

OURS = re.compile(r"(gt[0-9a-f]{9}n)[0-9]+")  # see ``veth_name``
IP = ("ip", "-json", "link", "show")
Link: TypeAlias = Mapping[str, object]


def make_way(spec: VMSpec) -> None:
    """Remove what is left of interfaces of a VM that is off; ``HostError`` says who has one."""
    for index, nic in enumerate(spec.nics):
        name = host_end(spec.name, index, nic)
        if not name or not is_there(name):
            continue
        if nic.host_name and not in_the_way(name):
            raise HostError(f"there is an interface {name} on the host: delete it, or say another")
        remove(name)


def in_the_way(name: str) -> str:
    """Who has an interface of this name that is not left over; empty if nobody has."""
    found = next((link for link in _links(*IP) if link.get("ifname") == name), None)
    if found is None or "link" in found:
        return ""
    who = _holder(found) if "link_index" in found else "another program than geats made it"
    return f"there is an interface {name} on the host: {who}"


def remove(name: str) -> None:
    """Remove it, unless somebody has it by now."""
    taken = in_the_way(name)
    if taken:
        raise HostError(taken)
    if is_there(name):
        run(["ip", "link", "delete", "dev", name])


def leftovers(vms: Collection[str], on: Collection[str]) -> Iterator[Left]:
    """Interfaces of VMs that are off; *vms* are all that are known, of which some are *on*."""
    owners = {veth_name(vm, 0)[:-1]: vm for vm in vms}
    for link in _links(*IP, "type", "veth"):
        name = str(link.get("ifname"))
        match = OURS.fullmatch(name)
        if match is None or "link" not in link or owners.get(match[1]) in on:
            continue
        vm = owners.get(match[1])
        yield Left(
            kind=Leftover.INTERFACE,
            name=name,
            reason=f"{vm or 'its VM'} is off, and both ends of it are on the host",
            remove=partial(remove, name),
            vm=vm or "",
            owner="" if vm else "it belongs to a VM that this host does not know",
        )


def is_there(name: str) -> bool:
    """Whether the host has an interface of this name."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def _links(*argv: str) -> list[Link]:
    raw = json.loads(run(argv) or "[]")
    return [link for link in raw if isinstance(link, dict)]


def _holder(link: Link) -> str:
    """Who has the other end, in another network namespace."""
    here = os.readlink("/proc/self/ns/net")
    known = {here}
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        with suppress(OSError, HostError):  # it ended meanwhile
            network = os.readlink(process / "ns/net")
            if network in known:
                continue
            known.add(network)
            inside = _links("nsenter", f"--net={process}/ns/net", *IP, "type", "veth")
            ends = [(each.get("ifindex"), each.get("link_index")) for each in inside]
            if (link.get("link_index"), link.get("ifindex")) in ends:
                return f"its other end is in the network of {command_of(int(process.name))}"
    return "its other end is in the network of a process that cannot be found"
