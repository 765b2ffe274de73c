"""What geats keeps of a domain that something else made, beside what it writes of it.

An element that geats does not write is kept as it stands. Of one that it writes, whatever is there
beyond that is kept as ``part`` of it, such as the address on its bus, by which the guest knows a
device. One that it would write otherwise is kept ``instead`` of it (see ``elements``).
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import TypeAlias
from xml.etree.ElementTree import Element

from geats_core.domains.domain_parts import child, local, value_of
from geats_core.domains.domain_xml import NOTE
from geats_core.domains.elements import INSTEAD, PART, WHOLE, key_of
from geats_core.domains.embedding import as_kept, embeds, is_libvirts, matches
from geats_core.domains.imported_devices import disk_path
from geats_core.reading.fields import printable

Wins: TypeAlias = frozenset[tuple[str, str]]
NOTHING: Wins = frozenset()
WINS: Mapping[str, Wins] = {  # what no key says, of elements that geats writes
    "disk": frozenset({("target", "dev"), ("serial", "")}),
    "interface": frozenset({("target", "dev")}),
}
LOST = "is lost, or another one, from the next start on"
ADDED = "is added at the next start"


def odd_tags(ours: Element, theirs: Element) -> set[str]:
    """The tags of elements that geats would write, and that are not there just so."""
    odd: set[str] = set()
    for _, own, there in _holders(ours, theirs):
        paired = {id(each) for each in _pairs(own, there).values()}
        odd |= {each.tag for each in own if id(each) not in paired}
    return odd


def rival_tags(ours: Element, theirs: Element) -> set[str]:
    """The tags of those of them that are there otherwise."""
    found: set[str] = set()
    for _, own, there in _holders(ours, theirs):
        pairs = _pairs(own, there)
        paired = {id(each) for each in pairs.values()}
        of_others = {each.tag for position, each in enumerate(there) if position not in pairs}
        found |= {each.tag for each in own if id(each) not in paired} & of_others
    return found


def kept(ours: Element, theirs: Element) -> Iterable[str]:
    """What is there beyond what is written: first whole elements, in their order."""
    plain: dict[int, str] = {}
    marked: list[str] = []
    for within, own, there in _holders(ours, theirs):
        pairs = _pairs(own, there)
        paired = {id(each) for each in pairs.values()}
        rivals = {(each.tag, key_of(each)) for each in own if id(each) not in paired}
        for position, unit in enumerate(there):
            if (mine := pairs.get(position)) is not None:
                more = _beyond(mine, unit, WINS.get(unit.tag, NOTHING))
                if more is not None:
                    more.set(PART, key_of(mine))
                    marked.append(as_kept(within, more))
            elif (unit.tag, key_of(unit)) in rivals or is_libvirts(unit):
                other = deepcopy(unit)
                other.set(INSTEAD, key_of(unit))
                marked.append(as_kept(within, other))
            else:
                plain[id(unit)] = as_kept(within, unit)
        if within and (others := _more_attributes(ours, theirs, within)):
            marked.append(as_kept("", Element(within, {PART: "", **others})))
    yield from (plain[id(each)] for each in theirs.iter() if id(each) in plain)
    yield from marked


def told(theirs: Element, final: Element) -> Iterable[str]:
    """What of a domain will be otherwise, once it is written as *final*."""
    for within, own, there in _holders(final, theirs):
        pairs = _pairs(own, there)
        for position, unit in enumerate(there):
            at, mine = _label(within, unit), pairs.get(position)
            gone = [at] if mine is None else [*_differing(unit, mine, at)]
            new = [] if mine is None else [*_differing(mine, unit, at)]
            yield from (f"{each} {LOST}" for each in gone)
            yield from (f"{each} {ADDED}" for each in new if each not in gone)
        paired = {id(each) for each in pairs.values()}
        yield from (
            f"{_label(within, each)} {ADDED}"
            for each in own
            if id(each) not in paired and each.tag not in (NOTE, "metadata")
        )


def _holders(ours: Element, theirs: Element) -> Iterable[tuple[str, list[Element], list[Element]]]:
    """What stands within one element of both, and its name; CPUs only if ours are what is there."""
    both = {tag for tag in WHOLE if None not in (ours.find(tag), theirs.find(tag))}
    cpu, old = ours.find("cpu"), theirs.find("cpu")
    if cpu is not None and old is not None and not embeds(cpu, old):
        both.discard("cpu")
    yield "", [e for e in ours if e.tag not in both], [e for e in theirs if e.tag not in both]
    for tag in sorted(both):
        yield tag, [*child(ours, tag)], [*child(theirs, tag)]


def _pairs(own: Sequence[Element], there: Sequence[Element]) -> dict[int, Element]:
    """What of *own* is which of *there*, by their positions.

    Disks are known by their files, NICs by their addresses, others by all that is in them.
    """
    named = {(each.tag, name): each for each in own if (name := _identity(each))}
    pairs = {
        position: named[each.tag, _identity(each)]
        for position, each in enumerate(there)
        if (each.tag, _identity(each)) in named
    }
    rest = [("", each) for each in own if not _identity(each)]
    found = matches(rest, [("", each) for each in there])
    for (_, each), position in zip(rest, found, strict=True):
        if position is not None:
            pairs[position] = each
    return pairs


def _identity(element: Element) -> str:
    match element.tag:
        case "disk":
            return disk_path(element)
        case "interface":
            return key_of(element)
        case _:
            return ""


def _beyond(ours: Element, theirs: Element, wins: Wins) -> Element | None:
    """What of *theirs* is not in *ours*; and what is there otherwise, if it *wins*."""
    more = Element(theirs.tag)
    for name, value in theirs.attrib.items():
        if name not in ours.attrib or ((theirs.tag, name) in wins and ours.get(name) != value):
            more.set(name, value)
    text = value_of(theirs)
    if text and text != value_of(ours) and (not value_of(ours) or (theirs.tag, "") in wins):
        more.text = text
    for each in theirs:
        if any(embeds(each, there) for there in ours):
            continue
        mine = ours.find(each.tag)
        beyond = deepcopy(each) if mine is None else _beyond(mine, each, wins)
        if beyond is not None:
            more.append(beyond)
    return more if more.attrib or more.text or len(more) else None


def _more_attributes(ours: Element, theirs: Element, tag: str) -> dict[str, str]:
    have = child(ours, tag).attrib
    return {name: value for name, value in child(theirs, tag).attrib.items() if name not in have}


def _differing(one: Element, other: Element, at: str) -> Iterable[str]:
    """What is in *one*, and not just so in the *other*."""
    yield from (
        f"{at}@{local(name)}" for name, value in one.attrib.items() if other.get(name) != value
    )
    if value_of(one) not in ("", value_of(other)):
        yield at
    for each in one:
        if any(embeds(each, there) for there in other):
            continue
        same = other.find(each.tag)
        below = f"{at}/{local(each.tag)}"
        if same is None:
            yield below
        else:
            yield from _differing(each, same, below)


def _label(within: str, unit: Element) -> str:
    """What people call it: disks by their targets, NICs by their addresses."""
    named = value_of(child(unit, "target"), "dev") if unit.tag == "disk" else key_of(unit)
    own = f"[{printable(named)}]" if named else ""
    return f"{within}{'/' * bool(within)}{local(unit.tag)}{own}"
