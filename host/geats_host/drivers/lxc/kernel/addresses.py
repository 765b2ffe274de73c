"""The addresses and the traffic of a running container, as the kernel shows them to its init."""

from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path

GLOBAL = "00"  # the scope of an address, in if_inet6


def addresses(pid: int) -> tuple[str, ...]:
    """IPv4 and then IPv6 addresses in the network namespace of *pid*, but not those of ``lo``.

    A guest in the network of the host has none of its own.
    """
    if is_of_host(pid):
        return ()
    return (*sorted(set(_ipv4(pid))), *sorted(set(_ipv6(pid))))


def is_of_host(pid: int) -> bool:
    """Whether *pid* is in the network namespace of this process."""
    return Path(f"/proc/{pid}/ns/net").samefile("/proc/self/ns/net")


def _ipv4(pid: int) -> Iterator[str]:
    """See proc(5), ``/proc/PID/net/fib_trie``: a local address is a leaf ``/32 host LOCAL``."""
    leaf = ""
    for line in Path(f"/proc/{pid}/net/fib_trie").read_text().splitlines():
        words = line.split()
        if words[:1] == ["|--"]:
            leaf = words[1]
        elif words == ["/32", "host", "LOCAL"] and not leaf.startswith("127."):
            yield leaf


def _ipv6(pid: int) -> Iterator[str]:
    """``/proc/PID/net/if_inet6``: address, index, prefix length, scope, flags, interface."""
    file = Path(f"/proc/{pid}/net/if_inet6")
    for line in file.read_text().splitlines() if file.exists() else ():
        address, _, _, scope, _, interface = line.split()
        if scope == GLOBAL and interface != "lo":
            yield str(IPv6Address(bytes.fromhex(address)))


def traffic(pid: int) -> tuple[int, int]:
    """Bytes that the namespace of *pid* received and sent by all interfaces but ``lo``: proc(5).

    Of a guest in the network of the host, nobody counts them.
    """
    if is_of_host(pid):
        return 0, 0
    received, sent = 0, 0
    for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]:
        interface, _, counts = line.partition(":")
        numbers = counts.split()
        if interface.strip() != "lo":
            received, sent = received + int(numbers[0]), sent + int(numbers[8])
    return received, sent
