"""What a container's config says of network interfaces, as liblxc understands it.

liblxc makes them in the order of their numbers, whatever the order of the lines, and numbers may be
missing. One without a name gets the first ``ethN`` that is free then. A line of its ``type`` begins
a new interface: what was said of it before does not count any more.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from ipaddress import IPv4Address, ip_address
from itertools import count
from types import MappingProxyType

from geats_core.foreign.legacy_notes import Plain
from geats_core.foreign.lxc_lines import Includes, Line, all_lines, own_lines
from geats_core.vm.observation import ForeignNic

NIC = re.compile(r"lxc\.net\.([0-9]+)\.(.+)")
NICS = re.compile(r"lxc\.net(?:\.([0-9]+))?")
VETH = "veth"
NOTHING: Includes = MappingProxyType({})
NIC_NAMES: Mapping[str, str] = {
    "ipv4": "ipv4.address",
    "ipv6": "ipv6.address",
    "link": "bridge",
    "hwaddr": "mac",
}
GATEWAYS = ("ipv4.gateway", "ipv6.gateway")
LISTS: Mapping[str, tuple[str, str]] = {
    "addresses": ("ipv4.address", "ipv6.address"),
    "gateways": GATEWAYS,
}
UNSETS: Mapping[str, str] = {word: key for key, words in LISTS.items() for word in words} | {
    word: word for word in ("bridge", "mac", "name")
}
ONLY_BRIDGES = "geats has NICs on bridges only (veth)"
ON_BRIDGES = f"{ONLY_BRIDGES}, got"
NO_KEY = "has no key: add it to the new VM's config by hand, where it stays"
NO_ADDRESS = "has no key: say the address of the gateway, which liblxc takes from the bridge"
OF_GEATS = "geats writes what is needed"
ASKS = "stands for no address: the guest asks for one, if it does so by itself"
OF_HOST = "geats names the host's end by itself: change this name in firewalls and the like"
NO_VLAN = "a VLAN on a veth has no key of geats, and without it the guest is in another network"


@dataclass(frozen=True, slots=True)
class Said:
    """Where a line of an interface goes: to *key* of the NIC, or nowhere, for a reason.

    What goes nowhere ``stays`` in the config, if there is one.
    """

    key: str = ""
    value: str = ""
    why: str = ""
    stays: bool = False


def said(word: str, value: str, kind: str, whose: str) -> Said:
    """What one line says of an interface of that *kind*, ``veth`` or another."""
    if (word, value) in (("type", VETH), ("flags", "up")):
        return Said(why=OF_GEATS)
    if kind != VETH and word not in (*LISTS["addresses"], *GATEWAYS, "name", "mac"):
        return Said(why=f"{ON_BRIDGES} {kind!r}", stays=True)
    if word in ("name", "bridge"):
        return Said(word, value)
    if word == "mac":
        drawn = "x" in value.lower()
        why = "liblxc drew the digits x at each start: they are these from now on" if drawn else ""
        return Said("mac", mac_of(value, whose), why)
    if word in LISTS["addresses"] and value:
        return _address(value)
    if word in LISTS["gateways"] and value and value not in ("auto", "dev"):
        return Said("gateways", value)
    return Said(why=_without_a_key(word), stays=True)


def _without_a_key(word: str) -> str:
    if word == "veth.pair":
        return OF_HOST
    if word == "veth.mode":
        return ONLY_BRIDGES
    if word.startswith("veth.vlan."):
        return NO_VLAN
    return NO_ADDRESS if word in GATEWAYS else NO_KEY


def in_force(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Without the lines of interfaces that a later line takes back, and without those that do."""
    kept: list[Line] = []
    for line in lines:
        taken_back = _taken_back(line)
        kept = [each for each in kept if not each.key.startswith(taken_back)]
        if not NICS.fullmatch(line.key):
            kept.append(line)
    return tuple(kept)


def _taken_back(line: Line) -> tuple[str, ...]:
    """How keys begin that *line* takes back."""
    nic, nics = NIC.fullmatch(line.key), NICS.fullmatch(line.key)
    if nics and not line.value:
        return (f"{line.key}.",)
    return (f"lxc.net.{nic[1]}.",) if nic and nic[2] == "type" else ()


def names_of(last: Mapping[str, str]) -> dict[str, str]:
    """The interfaces by their numbers, in the order in which liblxc makes them, with their names.

    *last* is what counts of each key. What is ``empty``, or of no type, is no interface.
    """
    numbers = {nic[1] for nic in map(NIC.fullmatch, last) if nic}
    names: dict[str, str] = {}
    for number in sorted(numbers, key=int):
        if last.get(f"lxc.net.{number}.type", "empty") != "empty":
            free = next(name for name in map("eth{}".format, count()) if name not in names.values())
            names[number] = last.get(f"lxc.net.{number}.name") or free
    return names


def put(nic: Plain, key: str, value: str) -> None:
    """Set it; or add it, to what there can be several of."""
    there = nic.get(key)
    if key not in LISTS:
        nic[key] = value
    else:
        nic[key] = [*(there if isinstance(there, list) else []), value]


def unset(nic: Plain, word: str) -> None:
    """Take out what a line without a value empties: of a list, what is of one IP version."""
    there = nic.pop(UNSETS[word], None)
    if isinstance(there, list):
        left = [each for each in there if (":" in each) is word.startswith("ipv4")]
        nic.update({UNSETS[word]: left} if left else {})


def wrong_nics(last: Mapping[str, str], nics: Mapping[str, Plain]) -> Iterable[tuple[str, str]]:
    """Interfaces that no NIC of geats is like, by keys of LXC: a guess would be another network."""
    for number, nic in nics.items():
        at = f"lxc.net.{number}"
        kind = last.get(f"{at}.type", "none")
        if kind != VETH:
            yield f"{at}.type", f"{ON_BRIDGES} {kind!r}"
        elif "bridge" not in nic:
            mode = last.get(f"{at}.veth.mode", "bridge")
            yield f"{at}.link", f"is missing: geats has no veth without a bridge (mode {mode})"
        for key in (f"{at}.veth.vlan.id", f"{at}.veth.vlan.tagged.id"):
            if key in last:
                yield key, NO_VLAN


def nics_of(text: str, includes: Includes = NOTHING) -> tuple[ForeignNic, ...]:
    """The interfaces in a container's config, and in what it *includes*, by their numbers; those of
    no address too."""
    found: dict[int, ForeignNic] = {}
    for key, value in (line.pair for line in in_force(all_lines(own_lines(text), includes))):
        if nic := NIC.fullmatch(key):
            number = int(nic[1])
            found[number] = _with(found.get(number, ForeignNic()), nic[2], value)
    return tuple(nic for _, nic in sorted(found.items()) if nic != ForeignNic())


def _with(nic: ForeignNic, word: str, value: str) -> ForeignNic:
    match word:
        case "hwaddr" if "x" not in value.lower():  # those stand for digits that liblxc draws
            return replace(nic, mac=value.lower())
        case "veth.pair":
            return replace(nic, pair=value)
        case "ipv4.address" | "ipv6.address" | "ipv4" | "ipv6" if value:
            address = value.split()[0].partition("/")[0]
            return replace(nic, addresses=(*nic.addresses, _plain_address(address)))
        case _:
            return nic


def _plain_address(written: str) -> str:
    """The address as geats writes it; one that is none stands as it is."""
    try:
        return str(ip_address(written))
    except ValueError:
        return written


def mac_of(value: str, whose: str) -> str:
    """The address, with digits for each ``x``, which are the same each time for one interface."""
    digest = iter(sha256(whose.encode()).hexdigest())
    digits = [next(digest) if each == "x" else each for each in value.lower()]
    if value[1:2].lower() == "x":  # not one of a group, and its own
        digits[1] = "2"
    return "".join(digits)


def _address(value: str) -> Said:
    """liblxc takes a prefix of its own if there is none; a broadcast may follow."""
    address, _, prefix = value.split()[0].partition("/")
    try:
        parsed = ip_address(address)
    except ValueError:
        return Said("addresses", value.split()[0])
    if parsed == IPv4Address(0):
        return Said(why=ASKS)
    if prefix:
        return Said("addresses", f"{address}/{prefix}")
    taken = prefix_of(parsed) if isinstance(parsed, IPv4Address) else 64
    return Said("addresses", f"{address}/{taken}", f"has no prefix, and liblxc takes /{taken}")


def prefix_of(address: IPv4Address) -> int:
    """What liblxc takes: the class of the address, of which it looks at the last byte first.

    See config_ip_prefix in confile.c, on a machine whose numbers begin with their lowest byte.
    """
    last = address.packed[-1]
    return 8 if last < 128 else 16 if last < 192 else 24 if last < 224 else 0
