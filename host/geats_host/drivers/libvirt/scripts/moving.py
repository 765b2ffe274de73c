"""Domains that move to another host while they run: a part of ``child``.

As that, it imports nothing of geats. The daemon here connects to the one there, and sends disks
and memory, all over sockets of this host that lead there. The domain arrives suspended: it is for
others to say when it goes on, as only they know that it cannot run on here.
"""

import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, TypeAlias

libvirt: Any = import_module("libvirt")  # it has no types

LOOKS_S = 0.05
SENT = [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED]
UNKNOWN = [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_UNKNOWN]
CUT = [
    [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION],
    [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_UNKNOWN],
    [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED],
    [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_FAILED],
    UNKNOWN,
]
WHOLE = [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER]
SECURE = libvirt.VIR_DOMAIN_XML_SECURE
MOVE = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_PEER2PEER
    | libvirt.VIR_MIGRATE_PAUSED
    | libvirt.VIR_MIGRATE_PERSIST_DEST
    | libvirt.VIR_MIGRATE_AUTO_CONVERGE
)
# libvirt refuses to leave a disk where it is on a filesystem that it does not know as shared, or
# with a cache. Of these, geats knows that both hosts see them, and has refused caches.
LEAVING = libvirt.VIR_MIGRATE_UNSAFE
Connection: TypeAlias = Any
Domain: TypeAlias = Any


def texts(domain: Domain) -> dict[str, object]:
    """The domain as it runs, and as it is defined, for another host to take."""
    return {
        "live": domain.XMLDesc(libvirt.VIR_DOMAIN_XML_MIGRATABLE | SECURE),
        "defined": domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | SECURE),
    }


def send(domain: Domain, request: Mapping[str, Any]) -> None:
    """Send it to where it is to be as the texts say; what is sent already is given up first."""
    with suppress(libvirt.libvirtError):  # there is nothing to be given up
        domain.abortJob()
    while domain.isActive() and domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE:
        time.sleep(LOOKS_S)
    parameters: dict[str, object] = {
        libvirt.VIR_MIGRATE_PARAM_URI: f"unix://{request['memory']}",
        libvirt.VIR_MIGRATE_PARAM_DEST_XML: request["live"],
        libvirt.VIR_MIGRATE_PARAM_PERSIST_XML: request["defined"],
    }
    along, flags = request.get("along", "").split(), MOVE
    copied = _copied(domain, along)
    if along:
        flags |= LEAVING
    if request["bandwidth"]:
        parameters[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = request["bandwidth"]
    if copied:
        flags |= libvirt.VIR_MIGRATE_NON_SHARED_DISK
        parameters[libvirt.VIR_MIGRATE_PARAM_DISKS_URI] = f"unix://{request['disks']}"
        parameters[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] = copied
    domain.migrateToURI3(f"qemu+unix:///system?socket={request['daemon']}", parameters, flags)


def _copied(domain: Domain, along: Collection[str]) -> list[str]:
    """The disks that are to be copied, by their names for the guest: not those *along*."""
    elements: Any = import_module("xml.etree.ElementTree")  # which takes a while, and few need it
    found = elements.fromstring(domain.XMLDesc()).iterfind("devices/disk")
    return [
        target.get("dev", "")
        for disk in found
        for target in disk.iterfind("target")
        if disk.get("device", "disk") == "disk"
        and disk.find("readonly") is None
        and disk.find("source") is not None
        and (disk.findtext("serial") or "").strip() not in along
    ]


def was_sent(domain: Domain) -> bool | None:
    """Whether it is off because it was sent to its end; a daemon that restarted does not know."""
    state = list(domain.state())
    return None if state == UNKNOWN else state == SENT


def was_cut(domain: Domain) -> bool:
    """Whether it stands still because of a move, or is off as nobody wanted, or nobody knows why.

    A daemon that is killed while it sends finds it so: a quick QEMU ends the move alone.
    """
    return list(domain.state()) in CUT


def arrived(domain: Domain | None) -> str:
    """What of it came here, by the words of ``Arrived``."""
    if domain is None or not domain.isActive():
        return "nothing"
    state = list(domain.state())
    if state[0] == libvirt.VIR_DOMAIN_RUNNING:
        return "running"
    return "whole" if state == WHOLE else "part"


def knows_machine(host: Connection, machine: str, kind: str) -> bool:
    """Whether domains of that kind can run on that machine."""
    try:
        host.getDomainCapabilities(None, None, machine, kind, 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_INVALID_ARG:
            return False
        raise
    return True
