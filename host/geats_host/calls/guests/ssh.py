"""The way into a VM by ssh."""

import ipaddress
import socket
from collections.abc import Sequence

from geats_core.reading import fields, mappings
from geats_core.reading.mappings import Options
from geats_core.requests.guest_requests import owner
from geats_host.errors import Refused, accepted
from geats_host.host import Host

port = fields.whole_number(1, 65535)
PORT = 22
ANSWERS_WITHIN_S = 2.0


def ssh_command(host: Host, name: str, options: Options) -> list[str]:
    """The argv of ssh to the VM's first address; refused if it has none.

    *options* may have ``user``, ``identity`` (a file of the host) and ``port``.
    """
    words, _ = _words(options)
    return [*words, "--", _addresses(host, name)[0]]


def ssh_to(host: Host, name: str, options: Options, rest: Sequence[str]) -> list[str]:
    """The same, to the first address at which the VM answers, with more arguments of ssh."""
    words, at = _words(options)
    found = _addresses(host, name)
    address = found[0] if len(found) == 1 else _that_answers(name, found, at)
    return [*words, address, *rest]  # ssh takes options after the address too


def _words(options: Options) -> tuple[list[str], int]:
    """The program with its options, and the port."""
    read = mappings.options(options)
    user = read.take("user", owner, None)
    identity = read.take("identity", fields.absolute_path, None)
    port_ = read.take("port", port, None)
    accepted(read.done(None))
    login = [] if user is None else ["-l", str(user)]
    key = [] if identity is None else ["-i", identity]
    at = [] if port_ is None else ["-p", str(port_)]
    return ["ssh", *login, *key, *at], port_ or PORT


def _addresses(host: Host, name: str) -> tuple[str, ...]:
    """Those that the VM has now, in the order in which its driver tells them."""
    found = tuple(filter(_is_address, host.driver(name).info(name).addresses))
    if not found:
        have = host.known(name)
        power = f"is {have.power}, and" if have.exists else "is not defined, and"
        raise Refused(f"{name}: {power} has no address now")
    return found


def _is_address(text: str) -> bool:
    """Guests and DHCP say what they like, and it becomes a word of a command."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # after it comes the name of an interface, and that is any text


def _that_answers(name: str, addresses: Sequence[str], at: int) -> str:
    """The first at which something listens, by IPv4 or IPv6; refused with the reason of each."""
    why = []
    for address in addresses:
        try:
            socket.create_connection((address, at), ANSWERS_WITHIN_S).close()
        except OSError as error:
            why.append(f"{address} ({error.strerror or error})")
        else:
            return address
    raise Refused(f"{name}: nothing answers on port {at}: {', '.join(why)}")
