"""The XML of a domain that something else made, whose parts are taken one by one.

Each attribute and each text leaves a note: where it went, or why it went nowhere. An element of
which nothing was taken leaves one note for all that is in it; what libvirt adds everywhere, such as
addresses, leaves one for all of its kind. Values are in no note, as some are secret, such as the
password of a screen.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from returns.result import Success

from geats_core.domains.elements import WHOLE, parsed
from geats_core.foreign.notes import Taken
from geats_core.reading.checked import Checked, problem
from geats_core.reading.fields import printable

LONGEST = 1 << 20  # characters of a file: a large domain has some ten thousand
DEEPEST = 32  # elements within each other
MOST = 4096  # elements
LONGEST_NAME = 63  # characters: of a VM, or of an element in a note
OF_GEATS = "geats writes what is needed"
OF_LIBVIRT = "libvirt decides it"
NO_KEY = "has no key"
BY_XML = f"{NO_KEY}: hardware.xml can say it, if the driver has raw_xml"
HOLDERS = WHOLE - {"metadata"} | {"domain"}  # whose children are noted one by one
EVERYWHERE = ("address", "alias", "controller", "input")  # noted once for all
OF_HOST = f"geats passes managed PCI devices and USB devices by their ids only: this way {BY_XML}"
NO_BIND = f"geats shares directories by virtiofs only: this way {BY_XML}"
REASONS: Mapping[str, str] = {
    **dict.fromkeys(
        ("address", "alias", "emulator", "seclabel", "input", "audio", "backingStore"), OF_LIBVIRT
    ),
    **dict.fromkeys(("iothreads", "serial", "console", "acpi", "apic"), OF_GEATS),
    "controller": "libvirt and geats make those that are needed: see hardware.hotplug_ports",
    "listen": "geats shows a display on a UNIX socket",
    "metadata": "is what another program noted for itself",
    "uuid": "geats gives a UUID of its own: licences that are bound to the old one notice",
    "hostdev": OF_HOST,
    "redirdev": OF_HOST,
    "filesystem": NO_BIND,
}


@dataclass(slots=True)
class Parts:
    """One domain, while its parts are taken; ``wrong`` is what no key of geats can say."""

    domain: Element
    taken: Taken
    paths: dict[Element, str] = field(default_factory=dict)
    touched: set[tuple[Element, str]] = field(default_factory=set)
    wrong: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._label(self.domain, "")

    def get(self, path: str, name: str = "") -> str:
        """The attribute *name* of the first element at *path*, or else its text; perhaps empty."""
        element = self.domain.find(path)
        return "" if element is None else value_of(element, name)

    def went(self, element: Element, name: str, to: str, why: str = "") -> None:
        """Note that an attribute, or the text, of *element* is *to* be found there."""
        self.touched.add((element, name))
        self.taken.went(self.at(element, name), to, why)

    def left(self, element: Element, name: str, why: str) -> None:
        """Note that it is nowhere."""
        self.touched.add((element, name))
        self.taken.left(self.at(element, name), why)

    def left_whole(self, element: Element, why: str) -> None:
        """Note that it is nowhere, with all that is in it."""
        self.left(element, "", why)
        self.touched |= {(each, name) for each in element.iter() for name in ("", *each.attrib)}

    def refuse(self, element: Element, name: str, why: str) -> None:
        """Note that it is nowhere, and that the VM would be another one without it."""
        if name:
            self.left(element, name, why)
        else:
            self.left_whole(element, why)
        self.wrong.append((self.at(element, name), why))

    def at(self, element: Element, name: str) -> str:
        """What people call it."""
        path = self.paths[element] or element.tag
        return f"{path}@{local(name)}" if name else path

    def rest(self) -> None:
        """Note all that was not taken."""
        repeated: Counter[str] = Counter()
        self._rest(self.domain, {element for element, _ in self.touched}, repeated)
        for tag, count in repeated.items():
            self.taken.left(f"{tag}, {count} of them", REASONS[tag])

    def _rest(self, element: Element, touched: set[Element], repeated: Counter[str]) -> None:
        has_text = [""] if value_of(element) else []
        for name in (*element.attrib, *has_text):
            if (element, name) not in self.touched:
                self.left(element, name, NO_KEY)
        for child in element:
            if child.tag in HOLDERS or any(each in touched for each in child.iter()):
                self._rest(child, touched, repeated)
            elif child.tag in EVERYWHERE:
                repeated[child.tag] += 1
            else:
                why = BY_XML if element.tag in HOLDERS else NO_KEY
                self.left(child, "", REASONS.get(child.tag, why))

    def _label(self, parent: Element, path: str) -> None:
        self.paths[parent] = path
        counts = Counter(child.tag for child in parent)
        there: Counter[str] = Counter()
        for child in parent:
            there[child.tag] += 1
            which = f"[{there[child.tag]}]" if counts[child.tag] > 1 else ""
            name = f"{local(child.tag)}{_own_name(child) or which}"
            self._label(child, f"{path}/{name}" if path else name)


def read_file(file: str, text: str) -> Checked[Element]:
    """The domain in a file, or why there is none; no part of it is trusted yet."""
    if len(text) > LONGEST:
        return problem(file, f"must have at most {LONGEST} characters, got {len(text)}")
    found = parsed(text)
    if found is None:
        return problem(file, "is not XML, or has a document type, as no domain of libvirt has")
    if found.tag != "domain":
        return problem(file, f"must be a <domain> of libvirt, got <{local(found.tag)}>")
    if _is_deeper(found, DEEPEST):
        return problem(file, f"must not have more than {DEEPEST} elements within each other")
    count = sum(1 for _ in found.iter())
    if count > MOST:
        return problem(file, f"must have at most {MOST} elements, got {count}")
    length = len(value_of(child(found, "name")))
    if length > LONGEST_NAME:
        return problem(file, f"the name must have at most {LONGEST_NAME} characters, got {length}")
    return Success(found)


def value_of(element: Element, name: str = "") -> str:
    """An attribute, or else the text; empty without it."""
    return (element.get(name, "") if name else element.text or "").strip()


def child(element: Element, tag: str) -> Element:
    """The first such child; one that is nowhere, and empty, if there is none."""
    found = element.find(tag)
    return Element(tag) if found is None else found


def local(name: str) -> str:
    """A name without its namespace, for a note."""
    return _short(name.rpartition("}")[2])


def _short(name: str) -> str:
    return printable(name) if len(name) <= LONGEST_NAME else f"{printable(name[:LONGEST_NAME])}…"


def _own_name(element: Element) -> str:
    """By which people know a disk, or a network interface."""
    tag, name = {"disk": ("target", "dev"), "interface": ("mac", "address")}.get(
        element.tag, ("", "")
    )
    named = value_of(child(element, tag), name) if tag else ""
    return f"[{_short(named)}]" if named else ""


def _is_deeper(element: Element, most: int) -> bool:
    floor: Iterable[Element] = [element]
    for _ in range(most):
        floor = [each for above in floor for each in above]
    return bool(floor)
