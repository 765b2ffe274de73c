"""Elements of domain XML as text: parsed, written, and put where they belong.

An element by hand is written as it stands below ``<domain>``: a device within ``<devices>``, a
feature within ``<features>``.
"""

from collections.abc import Iterable
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

WHOLE = frozenset({"devices", "features", "os", "cpu", "metadata"})  # their children count singly
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


def merge(domain: Element, text: str) -> None:
    """Add the element *text* to *domain*, or its children to the element of the same name."""
    added = parsed(text)
    if added is None:
        return
    there = domain.find(added.tag) if added.tag in WHOLE else None
    if there is None:
        domain.append(added)
    else:
        there.extend(added)
