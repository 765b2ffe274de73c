"""Which file of an image server is meant, and hostile indexes."""

import copy
import json
from collections.abc import Callable

import pytest
from returns.result import Failure, Success

from geats_core.foreign.simplestreams import (
    Form,
    Item,
    Offer,
    Wanted,
    find_image,
    parse_index,
    search,
)
from geats_core.vm.spec import RootKind

A, B, C = (digit * 64 for digit in "abc")
TREES = frozenset(Form) - {Form.DISK}
Raw = dict[str, object]


def item(ftype: str, sha256: str = A, path: str = "images/a_b:1/file.x", **more: object) -> Raw:
    return {"ftype": ftype, "path": path, "sha256": sha256, "size": 7, **more}


def product(**versions: list[Raw]) -> Raw:
    numbered = {
        version: {"items": {str(number): each for number, each in enumerate(items)}}
        for version, items in versions.items()
    }
    return {"aliases": "debian/12/default, debian/12", "arch": "amd64", "versions": numbered}


def text(raw: object) -> bytes:
    return json.dumps(raw).encode()


def found(
    *products: object, sha256: str | None = None, forms: frozenset[Form] = TREES
) -> Item | list[str]:
    wanted = Wanted(alias="debian/12", arch="amd64", sha256=sha256, forms=forms)
    document = {"products": {f"p{number}": each for number, each in enumerate(products)}}
    match find_image("s", text(document), wanted):
        case Success(image):
            return image
        case Failure(problems):
            return [str(each) for each in problems]


def test_the_newest_version_is_meant() -> None:
    image = found(product(v20240102=[item("root.tar.xz", B)], v20240101=[item("root.tar.xz", A)]))
    path = "images/a_b:1/file.x"
    assert image == Item(path=path, sha256=B, size_bytes=7, form=Form.TAR)


def test_a_version_without_a_root_filesystem_is_passed_over() -> None:
    no_root: list[Raw] = [item("disk-kvm.img"), {"ftype": 1}, {}]
    versions = {"v2": no_root, "v1": [item("squashfs", C)]}
    image = found(product(**versions))
    assert isinstance(image, Item)
    assert (image.sha256, image.form) == (C, Form.SQUASHFS)
    assert found(product(v2=[{"ftype": 1}])) == [
        "s: has no version of 'debian/12' for amd64 with a root filesystem"
    ]


def test_a_disk_is_another_kind_than_a_tree() -> None:
    """Both are of one version in most images; a disk is found where a disk is wanted."""
    disks = frozenset({Form.DISK})
    both = [item("squashfs", C), item("disk-kvm.img", A)]
    image = found(product(v=both), forms=disks)
    assert isinstance(image, Item)
    assert (image.sha256, image.form) == (A, Form.DISK)
    for ftype in ("uefi1.img", "disk1.img"):
        assert found(product(v=[item(ftype)])) == [
            "s: has the image 'debian/12' for amd64 only as disk, which is another kind"
        ]
    assert found(product(v=[item("squashfs")]), forms=disks) == [
        "s: has the image 'debian/12' for amd64 only as squashfs, which is another kind"
    ]


def test_a_tarball_is_preferred() -> None:
    items = [item("squashfs", A), item("lxd_combined.tar.gz", B), item("root.tar.xz", C)]
    image = found(product(v=items))
    assert isinstance(image, Item)
    assert (image.sha256, image.form) == (C, Form.TAR)
    whole = found(product(v=items[:2]))
    assert isinstance(whole, Item)
    assert (whole.sha256, whole.form) == (B, Form.IMAGE)


def test_a_form_that_cannot_be_unpacked_is_refused() -> None:
    only_tar = frozenset({Form.TAR})
    assert found(product(v=[item("squashfs")]), forms=only_tar) == [
        "s: has the image 'debian/12' for amd64 only as squashfs, which needs a tool"
    ]


def test_a_digest_says_which_version_is_meant() -> None:
    versions = {"v2": [item("root.tar.xz", B)], "v1": [item("root.tar.xz", A)]}
    image = found(product(**versions), sha256=A)
    assert isinstance(image, Item)
    assert image.sha256 == A
    assert found(product(**versions), sha256=C) == [
        f"s: has no version of 'debian/12' for amd64 with the sha256 {C}"
    ]


def test_an_alias_that_is_not_there_is_refused() -> None:
    near = {**product(), "aliases": "debian/13"}
    assert found(near) == ["s: has no image 'debian/12' for amd64, did you mean 'debian/13'?"]
    assert found({**product(), "arch": "arm64"}) == [
        "s: has no image 'debian/12' for amd64, did you mean 'debian/12'?"
    ]
    assert found() == ["s: has no image 'debian/12' for amd64"]
    assert found(product(), product()) == ["s: has several images 'debian/12' for amd64"]


@pytest.mark.parametrize("other", [None, 1, [], {}, {"aliases": 1, "arch": []}, {"aliases": "x"}])
def test_other_products_need_not_make_sense(other: object) -> None:
    assert isinstance(found(other, product(v=[item("root.tar.gz")])), Item)


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"path": "../etc/passwd"}, "path"),
        ({"path": "/etc/passwd"}, "path"),
        ({"path": "a/../../b"}, "path"),
        ({"path": "a/./b"}, "path"),
        ({"path": "http://other.example/x"}, "path"),
        ({"path": "//other.example/x"}, "path"),
        ({"path": "a?b"}, "path"),
        ({"path": "a b"}, "path"),
        ({"path": "a%2fb"}, "path"),
        ({"path": "a\r\nHost: x"}, "path"),
        ({"path": None}, "path"),
        ({"sha256": "x"}, "sha256"),
        ({"sha256": None}, "sha256"),
        ({"size": -1}, "size"),
        ({"size": 2**60}, "size"),
        ({"size": "x"}, "size"),
    ],
)
def test_a_hostile_item_is_refused(change: Raw, at: str) -> None:
    refused = found(product(v=[{**item("root.tar.xz"), **change}]))
    assert isinstance(refused, list)
    assert [each.partition(": ")[0] for each in refused] == [f"s.p0.versions.v.items.0.{at}"]


@pytest.mark.parametrize("at", [(), ("v",), ("v", "items")])
@pytest.mark.parametrize("wrong", [None, 1, "x", [1]])
def test_what_is_no_product_is_refused(at: tuple[str, ...], wrong: object) -> None:
    raw = copy.deepcopy(product(v=[item("root.tar.xz")]))
    keys = ("versions", *at)
    inner: object = raw
    for key in keys[:-1]:
        assert isinstance(inner, dict)
        inner = inner[key]
    assert isinstance(inner, dict)
    inner[keys[-1]] = wrong
    refused = found(raw)
    assert isinstance(refused, list)
    assert refused[0].startswith(f"s.p0.{'.'.join(keys)}: ")


def test_the_index_names_the_products() -> None:
    index = {
        "ids": {"datatype": "image-ids", "path": "streams/v1/ids.json"},
        "odd": 1,
        "images": {"datatype": "image-downloads", "path": "streams/v1/images.json", "x": 1},
    }
    assert parse_index("i", text({"index": index})) == Success("streams/v1/images.json")


@pytest.mark.parametrize(
    "index", [None, 1, {}, {"images": {"datatype": "image-downloads", "path": "../x"}}]
)
def test_an_index_without_products_is_refused(index: object) -> None:
    assert parse_index("i", text({"index": index})).failure()[0].path == "i.index"


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b"[]", b'{"products": 1}'])
@pytest.mark.parametrize("parse", [parse_index])
def test_what_is_no_document_is_refused(
    parse: Callable[[str, bytes], object], content: bytes
) -> None:
    assert isinstance(parse("i", content), Failure)
    wanted = Wanted(alias="a", arch="b", sha256=None, forms=TREES)
    assert isinstance(find_image("s", content, wanted), Failure)


def offers(document: object, *words: str, arch: str | None = "amd64") -> list[Offer]:
    return list(search("s", text(document), words, arch).unwrap())


def test_an_image_is_found_by_words_of_its_names_and_of_its_system() -> None:
    noble = {**product(one=[item("squashfs", path="images/n")]), "aliases": "n, ubuntu/noble"}
    noble |= {"os": "Ubuntu", "release_title": "24.04 LTS"}
    tree, disk = item("root.tar.xz"), item("disk-kvm.img")
    twelve = product(new=[tree], old=[tree, disk], other=[item("lxd.tar.xz")])
    document = {"products": {"n": noble, "d": {**twelve, "aliases": "debian/12,debian/bookworm"}}}

    (debian,) = offers(document, "DEBIAN", "book")
    assert (debian.alias, debian.version, debian.kinds) == (
        "debian/12",
        "old",
        (RootKind.TREE, RootKind.DISK),
    )
    assert [each.alias for each in offers(document)] == ["debian/12", "n"]
    assert [each.alias for each in offers(document, "24.04")] == ["n"]
    assert offers(document, "debian", "24.04") == []
    assert offers(document, arch="arm64") == []
    assert len(offers(document, arch=None)) == 2


def test_what_makes_no_sense_is_not_found() -> None:
    sound = product(one=[item("root.tar.xz")])
    wrong = [5, {}, {**sound, "aliases": " , "}, {**sound, "versions": 5}, product(one=[])]
    assert offers({"products": dict(enumerate(wrong))}) == []
    assert isinstance(search("s", b"{}", (), None), Failure)
