"""What libvirt gives back for a domain, held against what was written.

Theory of operation
-------------------
libvirt adds to what it is given: addresses, controllers, defaults of its version. So text is never
compared. What was written *embeds* in what is there if each of its elements has one of its own
there, of the same name and text, with at least its attributes, and in which its children embed. If
all does, the domain is as it was written.

What else is there is either of libvirt's own making or by another hand. Right after a domain is
defined, the digests of all its elements are kept as its *seal*: whatever has another digest later
was added by hand. Addresses and aliases do not count, and kinds that libvirt adds to any domain
never do. An element that differs from one of ours with the same key, such as a disk on the same
target, is that one, changed: it is written again. So is what was added within an element of ours.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from typing import TypeAlias
from xml.etree.ElementTree import Element

from geats_core.domains.domain_xml import DIGEST, NOTE
from geats_core.domains.elements import WHOLE, parsed, text_of
from geats_core.vm.observation import ForeignNic

Unit: TypeAlias = tuple[str, Element]  # what counts singly, and the name of what it is within
UNCOUNTED = frozenset({"address", "alias"})
KEYS = {  # by which an element is known to be another value of one of ours
    "disk": ("target", "dev"),
    "interface": ("mac", "address"),
    "channel": ("target", "name"),
}
MADE_BY_LIBVIRT: tuple[tuple[str, Mapping[str, frozenset[str]]], ...] = (
    ("controller", {"type": frozenset({"pci", "sata", "ide", "fdc"})}),
    ("input", {"bus": frozenset({"ps2"})}),
    ("audio", {}),
    ("clock", {}),
    ("seclabel", {}),
)
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainSeen:
    """What the XML of a domain says.

    ``digest`` is that of the spec that geats noted in it; empty if another program made it. It is
    ``as_written`` if all that geats wrote is there. ``by_hand`` are elements that somebody added,
    each as ``domain_xml`` keeps it. ``kind`` is its type, such as ``kvm``. ``places`` are the paths
    of its disks, by their serials.
    """

    digest: str = ""
    as_written: bool = False
    by_hand: tuple[str, ...] = ()
    nics: tuple[ForeignNic, ...] = ()
    kind: str = ""
    uuid: str = ""
    machine: str = ""
    places: Mapping[str, str] = field(default_factory=dict)


@lru_cache(maxsize=512)  # a plan looks at the same text several times
def read_domain(text: str, wanted: str = "", seal: frozenset[str] = NOTHING) -> DomainSeen:
    """What the XML *text* says of a domain that was written as *wanted*, and sealed then."""
    have, ours = parsed(text), parsed(wanted)
    if have is None:
        return DomainSeen()
    os_type = have.find("os/type")
    seen = DomainSeen(
        kind=have.get("type", ""),
        uuid=(have.findtext("uuid") or "").strip(),
        digest=_noted(have),
        nics=tuple(map(_nic, have.findall("devices/interface"))),
        machine="" if os_type is None else os_type.get("machine", ""),
        places=dict(_places(have)),
    )
    if ours is None:
        return seen
    by_hand = tuple(_by_hand(ours, have, seal))
    return replace(seen, as_written=embeds(ours, have), by_hand=by_hand)


def noted(text: str) -> str:
    """The digest that geats noted in a domain, or in what libvirt gives of its metadata."""
    top = parsed(text)
    return "" if top is None else _noted(top)


def _noted(top: Element) -> str:
    note = next(top.iter(NOTE), None)
    return "" if note is None else note.get(DIGEST, "")


def seal_of(text: str, wanted: str, keep: Sequence[str] = ()) -> frozenset[str]:
    """The seal of a domain that was just written as *wanted*, with the elements *keep* by hand."""
    have, ours = parsed(text), parsed(wanted)
    if have is None or ours is None:
        return NOTHING
    units = [*units_of(have, ours)]
    kept = [unit for element in map(parsed, keep) if element is not None for unit in _of(element)]
    theirs = {at for at in matches(kept, units) if at is not None}
    return frozenset(_digest(unit) for at, unit in enumerate(units) if at not in theirs)


def embeds(wanted: Element, have: Element) -> bool:
    """Whether *have* is *wanted*, and perhaps more."""
    same = wanted.tag == have.tag and wanted.attrib.items() <= have.attrib.items()
    if not same or _text(wanted) not in ("", _text(have)):
        return False
    own, there = [("", child) for child in wanted], [("", child) for child in have]
    return None not in matches(own, there)


def matches(wanted: Sequence[Unit], have: Sequence[Unit]) -> list[int | None]:
    """For each of *wanted* the position of one of *have* that it embeds in, and no other does.

    As many as possible find one: an earlier one moves if there is another for it.
    """
    fits = [
        [at for at, (within, unit) in enumerate(have) if within == of and embeds(element, unit)]
        for of, element in wanted
    ]
    taken: dict[int, int] = {}

    def place(index: int, tried: set[int]) -> bool:
        for at in fits[index]:
            if at not in tried:
                tried.add(at)
                if at not in taken or place(taken[at], tried):
                    taken[at] = index
                    return True
        return False

    for index in range(len(wanted)):
        place(index, set())
    found = {index: at for at, index in taken.items()}
    return [found.get(index) for index in range(len(wanted))]


def _by_hand(ours: Element, have: Element, seal: frozenset[str]) -> Iterable[str]:
    wanted, units = [*units_of(ours, ours)], [*units_of(have, ours)]
    found = matches(wanted, units)
    changed = {
        (within, _key(each)) for (within, each), at in zip(wanted, found, strict=True) if at is None
    }
    for at, (within, unit) in enumerate(units):
        is_ours = at in found or (within, _key(unit)) in changed
        if not is_ours and not is_libvirts(unit) and _digest((within, unit)) not in seal:
            yield as_kept(within, unit)


def units_of(domain: Element, like: Element) -> Iterable[Unit]:
    """What counts singly in *domain*: within what both it and *like* have, each child does."""
    for child in domain:
        if child.tag in WHOLE and like.find(child.tag) is not None:
            yield from _of(child)
        else:
            yield "", child


def _of(element: Element) -> Iterable[Unit]:
    if element.tag in WHOLE:
        yield from ((element.tag, child) for child in element)
    else:
        yield "", element


def _key(element: Element) -> tuple[str, str]:
    child, attribute = KEYS.get(element.tag, ("", ""))
    found = element.find(child) if child else None
    if found is None:
        return element.tag, element.get("type", "") if element.tag == "controller" else ""
    return element.tag, found.get(attribute, "")


def is_libvirts(element: Element) -> bool:
    """Whether it is of a kind that libvirt adds to any domain."""
    return any(
        element.tag == tag and all(element.get(key) in values for key, values in said.items())
        for tag, said in MADE_BY_LIBVIRT
    )


def as_kept(within: str, unit: Element) -> str:
    """The element *unit* as text, in what it is within."""
    plain = _plain(unit, uncounted=NOTHING)
    if not within:
        return text_of(plain)
    outer = Element(within)
    outer.append(plain)
    return text_of(outer)


def _digest(unit: Unit) -> str:
    within, element = unit
    plain = text_of(_plain(element, uncounted=UNCOUNTED))
    return sha256(f"{within} {plain}".encode()).hexdigest()[:16]


def _plain(element: Element, *, uncounted: frozenset[str]) -> Element:
    """The same without the blanks between elements, nor children that are *uncounted*."""
    plain = Element(element.tag, dict(sorted(element.attrib.items())))
    plain.text = _text(element) or None
    plain.extend(
        _plain(child, uncounted=uncounted) for child in element if child.tag not in uncounted
    )
    return plain


def _text(element: Element) -> str:
    return (element.text or "").strip()


def _nic(interface: Element) -> ForeignNic:
    mac, target = interface.find("mac"), interface.find("target")
    return ForeignNic(
        mac="" if mac is None else mac.get("address", "").lower(),
        pair="" if target is None else target.get("dev", ""),
    )


def _places(domain: Element) -> Iterable[tuple[str, str]]:
    for disk in domain.findall("devices/disk"):
        serial, source = disk.find("serial"), disk.find("source")
        if serial is not None and source is not None:
            yield _text(serial), source.get("file") or source.get("dev") or ""
