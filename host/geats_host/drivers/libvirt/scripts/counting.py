"""What domains use: time of processors, memory, disks, NICs, and their addresses.

A part of ``libvirt_calls``; as that, it imports nothing of geats.
"""

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, TypeAlias

libvirt: Any = import_module("libvirt")  # it has no types
of_geats: Any = import_module("of_geats")  # beside this one

USAGE_S = 2.0  # that the agents of all guests have together
INTERFACES = "guest-network-get-interfaces"
AGENT_IS_THERE = re.compile(r"""<target [^>]*org\.qemu\.guest_agent\.0[^>]*=["']connected["']""")
ONCE_S, TELLS_S = 1, 5  # whole seconds that an agent has
Request: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = dict[str, object]
Connection: TypeAlias = Any
Domain: TypeAlias = Any


def info(host: Connection, request: Request) -> Answer:
    """What it uses now; nothing if it is off."""
    domain = of_geats.found(host, request["name"])
    if domain is None or not domain.isActive():
        return {}
    ((_, stats),) = _stats(host, [domain])
    told = of_geats.agent_says(domain, INTERFACES, TELLS_S)
    os = of_geats.agent_says(domain, "guest-get-osinfo", TELLS_S) if told else ""
    known = sorted(_addresses(domain))
    return {"stats": stats, "addresses": known, "told": told, "os": os}


def usage(host: Connection, request: Request) -> Answer:
    """The same of each of the ``names`` that is on; agents have a moment for all of them."""
    domains = host.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
    wanted = [each for each in domains if each.name() in request["names"]]
    told: Answer = {}
    until = time.monotonic() + USAGE_S
    for domain, stats in _stats(host, wanted) if wanted else ():
        with suppress(libvirt.libvirtError):  # it ended meanwhile
            asks = time.monotonic() < until and AGENT_IS_THERE.search(domain.XMLDesc(0))
            told[domain.name()] = {
                "stats": stats,
                "addresses": sorted(_addresses(domain)),
                "told": of_geats.agent_says(domain, INTERFACES, ONCE_S) if asks else "",
            }
    return told


def _stats(host: Connection, domains: list[Domain]) -> Any:
    """Each with what it uses, from whichever QEMU has no other work."""
    wanted = libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    wanted |= libvirt.VIR_DOMAIN_STATS_BLOCK | libvirt.VIR_DOMAIN_STATS_INTERFACE
    return host.domainListGetStats(
        domains, wanted, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
    )


def _addresses(domain: Domain) -> set[str]:
    """As the host's DHCP gave them, or else as its ARP table has them."""
    for source in (
        libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
        libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
    ):
        with suppress(libvirt.libvirtError):  # it has no agent, or is on no network of libvirt
            found = {
                address["addr"]
                for name, nic in domain.interfaceAddresses(source).items()
                if name != "lo"
                for address in nic["addrs"] or ()
                if not address["addr"].startswith("fe80:")
            }
            if found:
                return found
    return set()
