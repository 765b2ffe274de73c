"""What there is: domains with their state and XML, networks, what the daemon can do.

A part of ``libvirt_calls``; as that, it imports nothing of geats.
"""

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeAlias

libvirt: Any = import_module("libvirt")  # it has no types
of_geats: Any = import_module("of_geats")  # beside this one
looking: Any = import_module("looking")

Request: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = dict[str, object]
Connection: TypeAlias = Any
Domain: TypeAlias = Any


def observe(host: Connection, request: Request) -> Answer:
    """Every domain, or the one called ``name``, with its state and its XML."""
    answer: Answer = looking.observe(host, request, libvirt.libvirtError)
    return answer


def ended(host: Connection, request: Request) -> Answer:
    """How a domain came to be off; nothing is known of one that is not there."""
    domain = of_geats.found(host, request["name"])
    state, reason = (None, None) if domain is None else domain.state()
    return {"state": state, "reason": reason}


def text(host: Connection, request: Request) -> Answer:
    """All that is known of a domain, whoever made it, and that goes with its definition."""
    domain = of_geats.found(host, request["name"])
    if domain is None:
        return {}
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    secure = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
    return {
        "xml": xml,
        "live": domain.XMLDesc(0) if domain.isActive() else "",
        "has_secret": domain.XMLDesc(secure) != xml,
        **kept_of(domain),
    }


def kept_of(domain: Domain) -> Answer:
    """What libvirt keeps of a domain beside its definition."""
    is_persistent = bool(domain.isPersistent())
    return {
        "is_persistent": is_persistent,
        "is_saved": is_persistent and bool(domain.hasManagedSaveImage(0)),
        "snapshots": _count(domain.snapshotNum),
        "checkpoints": _count(lambda: len(domain.listAllCheckpoints(0))),
        "autostart": is_persistent and bool(domain.autostart()),
    }


def _count(ask: Callable[[], int]) -> int:
    """How many there are; a daemon that knows nothing of them has none."""
    try:
        return ask()
    except libvirt.libvirtError as error:
        if error.get_error_code() in of_geats.UNSUPPORTED:
            return 0
        raise


def user(host: Connection, request: Request) -> Answer:
    """Whom QEMU runs as, if libvirt says so."""
    found = re.search(
        rf"<model>dac</model>.*?<baselabel type='{request['kind']}'>(.*?)<",
        host.getCapabilities(),
        re.DOTALL,
    )
    return {"label": found[1] if found else ""}


def examine(host: Connection, request: Request) -> Answer:
    """Whether machines of the ``kind`` can run, and which of geats libvirt starts by itself."""
    runs = re.search(f"""<domain type=["']{request["kind"]}["']""", host.getCapabilities())
    flags = libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART
    started = (each for each in host.listAllDomains(flags) if of_geats.NAMESPACE in each.XMLDesc(0))
    return {"runs": bool(runs), "autostart": sorted(each.name() for each in started)}


def networks(host: Connection, request: Request) -> Answer:
    """The networks that a NIC can be connected to now."""
    active = host.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
    return {"active": sorted(each.name() for each in active)}
