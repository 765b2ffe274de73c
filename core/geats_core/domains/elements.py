"""Elements of domain XML as text: parsed, written, and put where they belong.

An element by hand is written as it stands below ``<domain>``: a device within ``<devices>``, a
feature within ``<features>``. What an adoption kept may say how it stands to an element of geats:
with ``part`` it is more of that one, and with ``instead`` it takes the place of all of them. The
value of both is the key of that element. Neither attribute reaches libvirt, which has none of that
name there.
"""

from collections.abc import Iterable
from copy import deepcopy
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

WHOLE = frozenset({"devices", "features", "os", "cpu", "metadata"})  # their children count singly
PART, INSTEAD = "part", "instead"
NAMESPACE = "urn:geats:1"  # of what geats notes in a domain
ElementTree.register_namespace("geats", NAMESPACE)


def parsed(text: str) -> Element | None:
    """The element in *text*; None if that is not XML, or has a document type, as no domain has."""
    if "<!doctype" in text.lower():
        return None
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        return None


def text_of(element: Element) -> str:
    """*element* as one line of XML."""
    return ElementTree.tostring(element, encoding="unicode")


def sub(parent: Element, tag: str, text: str = "", **attributes: str) -> Element:
    element = ElementTree.SubElement(parent, tag, attributes)
    element.text = text or None
    return element


def of(tag: str, *children: Element, **attributes: str) -> Element:
    element = Element(tag, attributes)
    element.extend(children)
    return element


def unmergeable(texts: Iterable[str]) -> tuple[str, ...]:
    """Those of *texts* that are no elements, and so cannot be written into a domain."""
    return tuple(text for text in texts if parsed(text) is None)


def is_marked(text: str) -> bool:
    """Whether the element *text* says how it stands to one of geats."""
    return any(_is_marked(unit) for _, unit in _units(text))


def merge_all(domain: Element, texts: Iterable[str]) -> None:
    """Add the elements *texts* to *domain*, each where it belongs."""
    units = [unit for text in texts for unit in _units(text)]
    for within, unit in units:
        if INSTEAD in unit.attrib:
            _remove(domain, within, unit.tag, unit.get(INSTEAD, ""))
    for within, unit in units:
        if PART in unit.attrib:
            _graft_into(domain, within, unit)
        else:
            _holder(domain, within).append(_unmarked(unit))


def key_of(element: Element) -> str:
    """By which one element is told from others of its tag: disks by their serials, that is."""
    match element.tag:
        case "disk":
            return (element.findtext("serial") or "").strip()
        case "interface":
            return _said(element, "mac", "address").lower()
        case "channel":
            return _said(element, "target", "name")
        case "controller":
            return element.get("type", "")
        case _:
            return ""


def _said(element: Element, tag: str, name: str) -> str:
    found = element.find(tag)
    return "" if found is None else found.get(name, "")


def _units(text: str) -> Iterable[tuple[str, Element]]:
    """What is to be added, each with the name of what it is within; nothing if it is no XML."""
    added = parsed(text)
    if added is None:
        return
    if added.tag in WHOLE and not _is_marked(added):
        yield from ((added.tag, child) for child in added)
    else:
        yield "", added


def _is_marked(unit: Element) -> bool:
    return PART in unit.attrib or INSTEAD in unit.attrib


def _unmarked(unit: Element) -> Element:
    plain = deepcopy(unit)
    plain.attrib.pop(INSTEAD, None)
    return plain


def _holder(domain: Element, within: str) -> Element:
    """The element of that name, which is made if there is none; *domain* itself without a name."""
    found = domain.find(within) if within else domain
    return ElementTree.SubElement(domain, within) if found is None else found


def _remove(domain: Element, within: str, tag: str, key: str) -> None:
    holder = _holder(domain, within)
    for each in holder.findall(tag):
        if key_of(each) == key:
            holder.remove(each)


def _graft_into(domain: Element, within: str, part: Element) -> None:
    """What it is a part of may be gone by now, and then nothing is left of it."""
    for each in _holder(domain, within).findall(part.tag):
        if key_of(each) == part.get(PART):
            _graft(each, part)
            return


def _graft(ours: Element, part: Element) -> None:
    """Let *ours* have all that is in *part*, whose values win."""
    ours.attrib |= {name: value for name, value in part.attrib.items() if name != PART}
    ours.text = part.text or ours.text
    for child in part:
        there = ours.find(child.tag)
        if there is None:
            ours.append(deepcopy(child))
        else:
            _graft(there, child)
