"""What a guest's agent says of the guest, as far as that can be; see ``agent`` for its trust."""

import ipaddress
from collections.abc import Iterator

from geats_core.reading.fields import printable
from geats_host.drivers.libvirt.agent import returned
from geats_host.errors import HostError

MOST = 64  # interfaces, and addresses of each
LONGEST = 100  # characters of a name


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
