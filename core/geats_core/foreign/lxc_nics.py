"""What a container's config says of network interfaces, as liblxc understands it.

liblxc makes them in the order of their numbers, whatever the order of the lines, and numbers may be
missing. One without a name gets the first ``ethN`` that is free then. A line of its ``type`` begins
a new interface: what was said of it before does not count any more.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, ip_address
from itertools import count
from types import MappingProxyType
from typing import TypeAlias

from geats_core.containers.nics import MODES, PAIRS, NicType, mac_of
from geats_core.foreign.lxc_lines import Includes, Line, all_lines, own_lines
from geats_core.foreign.notes import Plain
from geats_core.reading import fields
from geats_core.reading.values import dataclass
from geats_core.vm.observation import ForeignNic

NIC = re.compile(r"lxc\.net\.([0-9]{1,9})\.(.+)")
NICS = re.compile(r"lxc\.net(?:\.([0-9]{1,9}))?")
VETH = "veth"
NUMBERS = ("mtu", "trunk", "vlan")
LONGEST_NUMBER = 10  # digits
NOTHING: Includes = MappingProxyType({})
NIC_NAMES: Mapping[str, str] = {"ipv4": "ipv4.address", "ipv6": "ipv6.address"}
GATEWAYS = ("ipv4.gateway", "ipv6.gateway")
LISTS: Mapping[str, tuple[str, ...]] = {
    "addresses": ("ipv4.address", "ipv6.address"),
    "gateways": GATEWAYS,
    "trunk": ("veth.vlan.tagged.id",),
}
UNSETS: Mapping[str, tuple[str, ...]] = {
    **{word: (key,) for key, words in LISTS.items() for word in words},
    "hwaddr": ("mac",),
    "link": ("bridge", "parent"),
    "mtu": ("mtu",),
    "name": ("name",),
    "veth.pair": ("host_name",),
}
TYPES: Mapping[str, NicType] = {
    **{str(kind): kind for kind in (NicType.MACVLAN, NicType.IPVLAN, NicType.VLAN)},
    "phys": NicType.PHYSICAL,
}
LXC_MODES: Mapping[NicType, str] = {NicType.MACVLAN: "private", NicType.IPVLAN: "l3"}  # by default
IS_TYPE = ("type", "flags", "veth.mode", "l2proxy")  # what a type of geats says with it
OF_HOST = "none"  # the type of what is no interface: the network of the host
NO_TYPE = "geats has no NIC of the type"
SHARED = "the guest is to have the network of the host, beside NICs: take one of the two out"
NO_KEY = "has no key: add it to the new VM's config by hand, where it stays"
NO_ADDRESS = "has no key: say the address of the gateway, which liblxc takes from the bridge"
OF_GEATS = "geats writes what is needed"
ASKS = "stands for no address: the guest asks for one, if it does so by itself"
NO_LINK = "has no effect on a veth in the mode router without l2proxy"


@dataclass(frozen=True, slots=True)
class Said:
    """Where a line of an interface goes: to *key* of the NIC, or nowhere, for a reason.

    What goes nowhere ``stays`` in the config, if there is one.
    """

    key: str = ""
    value: str = ""
    why: str = ""
    stays: bool = False


Words: TypeAlias = Mapping[str, str]  # what counts of one interface, such as ``link``


def words_of(last: Mapping[str, str], number: str) -> Words:
    """What counts of the interface of that number, out of what counts of each key."""
    start = f"lxc.net.{number}."
    return {key.removeprefix(start): value for key, value in last.items() if key.startswith(start)}


def type_of(words: Words) -> NicType | None:
    """What it is, if geats has such NICs."""
    kind = words.get("type", VETH)
    if kind != VETH:
        return TYPES.get(kind)
    if words.get("veth.mode") == "router":
        return NicType.ROUTED
    return NicType.BRIDGE if words.get("link") else NicType.VETH


def said(word: str, value: str, words: Words, whose: str) -> Said:
    """What one line says of an interface, of which these *words* count."""
    kind = type_of(words)
    if kind is None:
        return Said(why=NO_KEY, stays=word != "type")
    if word == "type" and kind is not NicType.BRIDGE:
        return Said("type", str(kind))
    if word in IS_TYPE and (word, value) in _written(kind, words):
        return Said(why=OF_GEATS)
    if word == "link":
        return _link(value, kind, words)
    if word == "hwaddr" and kind is not NicType.IPVLAN:
        drawn = "x" in value.lower()
        why = "liblxc drew the digits x at each start: they are these from now on" if drawn else ""
        return Said("mac", mac_of(value, whose), why)
    if word in LISTS["addresses"] and value.strip():
        return _address(value)
    if word in GATEWAYS and value and value not in ("auto", "dev"):
        return Said("gateways", value)
    key = _simple_key(word, value, kind)
    return Said(key, value) if key else Said(why=_without_a_key(word), stays=True)


def _written(kind: NicType, words: Words) -> Iterable[tuple[str, str]]:
    """What geats writes of itself for a NIC of that type."""
    yield from (("type", VETH), ("flags", "up"))
    if kind is NicType.ROUTED:
        yield from (("veth.mode", "router"), ("l2proxy", "1" if words.get("link") else "0"))
    elif kind in PAIRS:
        yield "veth.mode", "bridge"


def _link(value: str, kind: NicType, words: Words) -> Said:
    if kind is NicType.ROUTED and words.get("l2proxy") != "1":
        return Said(why=NO_LINK)
    return Said("bridge" if kind is NicType.BRIDGE else "parent", value)


def _simple_key(word: str, value: str, kind: NicType) -> str:
    """The key of a NIC that is as the line is; empty if there is none."""
    is_number = value.isascii() and value.isdigit() and len(value) < LONGEST_NUMBER
    match word:
        case "name":
            return "name"
        case "mtu" if is_number:
            return "mtu"
        case "veth.pair" if kind in PAIRS and fields.INTERFACE.fullmatch(value):
            return "host_name"
        case "veth.vlan.id" if kind is NicType.BRIDGE and is_number:
            return "vlan"
        case "vlan.id" if kind is NicType.VLAN and is_number:
            return "vlan"
        case "veth.vlan.tagged.id" if kind is NicType.BRIDGE and is_number:
            return "trunk"
        case "macvlan.mode" | "ipvlan.mode" if value in MODES.get(kind, ()):
            return "mode" if word.startswith(kind) else ""
        case _:
            return ""


def _without_a_key(word: str) -> str:
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


def is_of_host(last: Mapping[str, str], names: Iterable[str]) -> bool:
    """Whether the container has the network of the host, and nothing beside it."""
    return [last.get(f"lxc.net.{number}.type") for number in names] == [OF_HOST]


def put(nic: Plain, key: str, value: str) -> None:
    """Set it; or add it, to what there can be several of."""
    there = nic.get(key)
    read = int(value) if key in NUMBERS else value
    if key not in LISTS:
        nic[key] = read
    else:
        nic[key] = [*(there if isinstance(there, list) else []), read]


def unset(nic: Plain, word: str) -> None:
    """Take out what a line without a value empties: of a list, what is of one IP version."""
    for key in UNSETS[word]:
        there = nic.pop(key, None)
        if isinstance(there, list) and key != "trunk":
            left = [each for each in there if (":" in each) is word.startswith("ipv4")]
            nic.update({key: left} if left else {})


def with_modes(nics: Mapping[str, Plain]) -> Iterable[Plain]:
    """Each with the mode that it has if no line says one: others than those of geats."""
    for nic in nics.values():
        mode = LXC_MODES.get(NicType(str(nic.get("type", NicType.BRIDGE))))
        yield {"mode": mode, **nic} if mode else nic


def wrong_nics(last: Mapping[str, str], numbers: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Interfaces that no NIC of geats is like, by keys of LXC: a guess would be another network."""
    for number in numbers:
        words = words_of(last, number)
        if type_of(words) is None:
            kind = words["type"]
            yield f"lxc.net.{number}.type", SHARED if kind == OF_HOST else f"{NO_TYPE} {kind!r}"


def nics_of(text: str, includes: Includes = NOTHING) -> tuple[ForeignNic, ...]:
    """The interfaces in a container's config, and in what it *includes*, by their numbers; those of
    no address too."""
    found: dict[int, ForeignNic] = {}
    kinds: dict[int, str] = {}
    for key, value in (line.pair for line in in_force(all_lines(own_lines(text), includes))):
        if nic := NIC.fullmatch(key):
            number = int(nic[1])
            kinds |= {number: value} if nic[2] == "type" else {}
            word = "veth.pair" if (nic[2], kinds.get(number)) == ("link", "phys") else nic[2]
            found[number] = _with(found.get(number, ForeignNic()), word, value)
    return tuple(nic for _, nic in sorted(found.items()) if nic != ForeignNic())


def _with(nic: ForeignNic, word: str, value: str) -> ForeignNic:
    match word:
        case "hwaddr" if "x" not in value.lower():  # those stand for digits that liblxc draws
            return replace(nic, mac=value.lower())
        case "veth.pair":
            return replace(nic, pair=value)
        case "ipv4.address" | "ipv6.address" | "ipv4" | "ipv6" if value.strip():
            address = _first(value).partition("/")[0]
            return replace(nic, addresses=(*nic.addresses, _plain_address(address)))
        case _:
            return nic


def _first(value: str) -> str:
    """Its first word; LXC does not take for space all that Python does."""
    return [*value.split(), value][0]


def _plain_address(written: str) -> str:
    """The address as geats writes it; one that is none stands as it is."""
    try:
        return str(ip_address(written))
    except ValueError:
        return written


def _address(value: str) -> Said:
    """liblxc takes a prefix of its own if there is none; a broadcast may follow."""
    address, _, prefix = _first(value).partition("/")
    try:
        parsed = ip_address(address)
    except ValueError:
        return Said("addresses", _first(value))
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
