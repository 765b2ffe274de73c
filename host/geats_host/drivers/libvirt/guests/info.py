"""What libvirt counts of a guest, and what its agent says; see ``agent`` for its trust."""

import ipaddress
from collections.abc import Iterator, Mapping

from geats_core.reading.fields import printable
from geats_host.drivers import Info
from geats_host.drivers.libvirt.guests.agent import returned
from geats_host.errors import HostError
from geats_host.linux import processes

MOST = 64  # interfaces, and addresses of each
LONGEST = 100  # characters of a name


def info(found: Mapping[str, object], pid: int | None) -> Info:
    """What the answer of a child says of one domain: nothing, if that is off."""
    stats, known = found.get("stats"), found.get("addresses")
    if not isinstance(stats, dict):
        return Info()
    used, most = stats.get("balloon.rss"), stats.get("balloon.current")
    time_ns = stats.get("cpu.time")
    by_host = tuple(map(str, known)) if isinstance(known, list) else ()
    return Info(
        pid=pid,
        addresses=addresses(f"{found.get('told')}") or by_host,
        os=os_name(f"{found.get('os')}"),
        memory_used_bytes=None if used is None else used * 1024,
        memory_limit_bytes=None if most is None else most * 1024,
        cpu_time_s=None if time_ns is None else time_ns / 1e9,
        uptime_s=None if pid is None else processes.age_s(pid),
        disk_read_bytes=_sum_of(stats, "block.", ".rd.bytes"),
        disk_written_bytes=_sum_of(stats, "block.", ".wr.bytes"),
        network_received_bytes=_sum_of(stats, "net.", ".rx.bytes"),
        network_sent_bytes=_sum_of(stats, "net.", ".tx.bytes"),
    )


def _sum_of(stats: Mapping[str, int], begin: str, end: str) -> int | None:
    """What libvirt counts of all disks, or of all interfaces; None if it counts none."""
    counts = [n for name, n in stats.items() if name.startswith(begin) and name.endswith(end)]
    return sum(counts) if counts else None


def addresses(text: str) -> tuple[str, ...]:
    """The addresses at which others reach the guest, from ``guest-network-get-interfaces``."""
    return tuple(dict.fromkeys(_addresses(_said(text))))


def os_name(text: str) -> str | None:
    """What the guest calls its operating system, from ``guest-get-osinfo``."""
    match _said(text):
        case {"pretty-name": str(name)}:
            return printable(name[:LONGEST])
        case _:
            return None


def _said(text: str) -> object:
    try:
        return returned(text)
    except HostError:
        return None


def _addresses(interfaces: object) -> Iterator[str]:
    for interface in interfaces[:MOST] if isinstance(interfaces, list) else ():
        match interface:
            case {"ip-addresses": [*found]}:
                yield from (known for each in found[:MOST] for known in _address(each))
            case _:
                pass  # it has none


def _address(said: object) -> Iterator[str]:
    match said:
        case {"ip-address": str(text)}:
            try:
                address = ipaddress.ip_address(text)
            except ValueError:
                return
            if "%" in text:  # what comes after it is the guest's own interface, or any text
                return
            if not address.is_loopback and not address.is_link_local:
                yield f"{address}"
        case _:
            pass
