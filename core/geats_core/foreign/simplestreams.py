"""Image servers in the simplestreams format: which file of a server is the image that is meant.

``streams/v1/index.json`` names a file of products; a product has aliases, an architecture, and
versions; a version has items: files, each with its path, size and sha256. Only the products that
are meant have to make sense.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import TypeAlias

from returns.result import Failure, Success

from geats_core.reading import fields
from geats_core.reading.checked import Checked, gather, problem
from geats_core.reading.fields import Reader, of_mapping
from geats_core.reading.json_documents import parse_document
from geats_core.reading.values import dataclass
from geats_core.vm.spec import RootKind

INDEX = "streams/v1/index.json"
DOWNLOADS = "image-downloads"
LARGEST_DOCUMENT = 64 * 2**20
PART = "[A-Za-z0-9_][A-Za-z0-9._:+~@=-]*"
PATH = re.compile(f"{PART}(/{PART})*")
ABOUT = ("os", "release", "release_title", "variant")  # of a product, which is searched


class Form(StrEnum):
    """How a file contains a root filesystem, the most welcome first."""

    TAR = "tar"
    IMAGE = "image"  # of LXD, whole
    SQUASHFS = "squashfs"
    DISK = "disk"  # of a virtual machine, in the format qcow2


FORMS = {
    "root.tar.xz": Form.TAR,
    "root.tar.gz": Form.TAR,
    "incus_combined.tar.gz": Form.IMAGE,
    "lxd_combined.tar.gz": Form.IMAGE,
    "squashfs": Form.SQUASHFS,
    "disk-kvm.img": Form.DISK,
    "uefi1.img": Form.DISK,
    "disk1.img": Form.DISK,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for on a server; *forms* are those that this host can unpack."""

    alias: str
    arch: str
    sha256: str | None
    forms: frozenset[Form]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A file on the server; *path* is relative to the server's URL, and plain."""

    path: str
    sha256: str
    size_bytes: int
    form: Form


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An image that a server has: its shortest alias, its newest version, and the kinds of that.

    ``size_bytes`` is that of the file that is the most welcome; ``text`` is what is searched.
    """

    alias: str
    arch: str
    version: str
    kinds: tuple[RootKind, ...]
    size_bytes: int
    text: str


Found: TypeAlias = tuple[Offer, ...]


def parse_index(path: str, text: bytes) -> Checked[str]:
    """The path of the file of products."""
    return parse_document(path, text, _index)


def find_image(path: str, text: bytes, wanted: Wanted) -> Checked[Item]:
    """The newest image that is wanted, out of a file of products."""
    match parse_document(path, text, _products):
        case Success(products):
            return _find(path, products, wanted)
        case Failure() as refused:
            return refused


def search(path: str, text: bytes, words: Collection[str], arch: str | None) -> Checked[Found]:
    """The images whose names or systems have all *words* in them, for *arch* or for any.

    What makes no sense is passed over.
    """
    match parse_document(path, text, _products):
        case Success(products):
            wanted = [word.lower() for word in words]
            offers = (_offer(product) for product in products.values())
            found = (
                offer
                for offer in offers
                if offer is not None
                and arch in (None, offer.arch)
                and all(word in offer.text for word in wanted)
            )
            return Success(tuple(sorted(found, key=lambda each: (each.alias, each.arch))))
        case Failure() as refused:
            return refused


def _offer(product: object) -> Offer | None:
    """What a product is; None if it is none, or has nothing that a root could be made of."""
    match product, _product("", product):
        case {"aliases": str(aliases), "arch": str(arch)}, Success(versions):
            names = [fields.printable(each.strip()) for each in aliases.split(",") if each.strip()]
            newest = max((name for name, items in versions.items() if items), default=None)
            if not names or newest is None:
                return None
            about = (str(product.get(key, "")) for key in ABOUT)  # type: ignore[attr-defined]
            return Offer(
                alias=min(names, key=lambda name: (len(name), name)),
                arch=fields.printable(arch),
                version=fields.printable(newest),
                kinds=tuple(dict.fromkeys(_kind(item.form) for item in versions[newest])),
                size_bytes=versions[newest][0].size_bytes,
                text=" ".join([*names, *about]).lower(),
            )
        case _:
            return None


def _kind(form: Form) -> RootKind:
    return RootKind.DISK if form is Form.DISK else RootKind.TREE


def _find(path: str, products: Mapping[object, object], wanted: Wanted) -> Checked[Item]:
    meant = {
        key: product
        for key, product in products.items()
        if (wanted.alias, wanted.arch) in set(_names(product))
    }
    if len(meant) > 1:
        return problem(path, f"has several images {wanted.alias!r} for {wanted.arch}")
    for key, product in meant.items():
        match _product(f"{path}.{fields.printable(key)}", product):
            case Success(versions):
                return _newest(path, versions, wanted)
            case Failure() as refused:
                return refused
    there = sorted({alias for each in products.values() for alias, _ in _names(each)})
    close = get_close_matches(wanted.alias, there, n=1)
    hint = f", did you mean {close[0]!r}?" if close else ""
    return problem(path, f"has no image {wanted.alias!r} for {wanted.arch}{hint}")


def _newest(path: str, versions: Mapping[str, tuple[Item, ...]], wanted: Wanted) -> Checked[Item]:
    """Versions are named by their time, so that the last in order of the alphabet is the newest."""
    every = [item for name in sorted(versions, reverse=True) for item in versions[name]]
    asked = [item for item in every if wanted.sha256 in (None, item.sha256)]
    usable = [item for item in asked if item.form in wanted.forms]
    image = f"{wanted.alias!r} for {wanted.arch}"
    if usable:
        return Success(usable[0])
    if asked:
        is_other = Form.DISK in {asked[0].form, *wanted.forms}
        why = "which is another kind" if is_other else "which needs a tool"
        return problem(path, f"has the image {image} only as {asked[0].form}, {why}")
    if every:
        return problem(path, f"has no version of {image} with the sha256 {wanted.sha256}")
    return problem(path, f"has no version of {image} with a root filesystem")


def _names(product: object) -> Iterator[tuple[str, str]]:
    """Each alias of a product, with its architecture; of what is no product, none."""
    match product:
        case {"aliases": str(aliases), "arch": str(arch)}:
            yield from ((alias.strip(), arch) for alias in aliases.split(","))
        case _:
            pass


@of_mapping
def _index(read: Reader) -> Checked[str]:
    none: Mapping[object, object] = {}
    for entry in read.need("index", fields.mapping, none).values():
        match entry:
            case {"datatype": "image-downloads", "path": found}:
                return _path(read.at("index"), found)
            case _:
                pass
    return problem(read.at("index"), f"must name {DOWNLOADS}")


@of_mapping
def _products(read: Reader) -> Checked[Mapping[object, object]]:
    none: Mapping[object, object] = {}
    return read.checked(read.need("products", fields.mapping, none))


@of_mapping
def _product(read: Reader) -> Checked[Mapping[str, tuple[Item, ...]]]:
    """The items of each version, the most welcome first."""
    none: Mapping[object, object] = {}
    versions: dict[str, tuple[Item, ...]] = {}
    for name, version in read.need("versions", fields.mapping, none).items():
        at = read.at(f"versions.{fields.printable(name)}")
        versions[str(name)] = read.keep(_version(at, version), ())
    return read.checked(versions)


@of_mapping
def _version(read: Reader) -> Checked[tuple[Item, ...]]:
    none: Mapping[object, object] = {}
    items = read.need("items", fields.mapping, none)
    meant = [
        _item(read.at(f"items.{fields.printable(name)}"), raw)
        for name, raw in items.items()
        if _form(raw) is not None
    ]
    found = read.keep(gather(meant), ())
    return read.checked(tuple(sorted(found, key=lambda item: list(Form).index(item.form))))


@of_mapping
def _item(read: Reader) -> Checked[Item]:
    return read.checked(
        Item(
            path=read.need("path", _path, ""),
            sha256=read.need("sha256", fields.sha256, ""),
            size_bytes=read.need("size", fields.whole_number(1, 2**50), 1),
            form=_form(read.raw) or Form.TAR,
        )
    )


def _form(item: object) -> Form | None:
    """None for a difference to another version, or metadata."""
    match item:
        case {"ftype": str(ftype)}:
            return FORMS.get(ftype)
        case _:
            return None


_path = fields.matching(PATH, "a plain relative path")
