"""Which manifest of an OCI image is meant, and hostile indexes and manifests."""

import json
from collections.abc import Callable

import pytest
from returns.result import Failure, Success

from geats_core.oci.images import (
    INDEXES,
    REF,
    Descriptor,
    parse_index,
    parse_layout,
    parse_manifest,
)
from geats_core.reading.checked import Problem

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
A, B, C = (f"sha256:{digit * 64}" for digit in "abc")


def entry(digest: str = A, **more: object) -> dict[str, object]:
    return {"mediaType": MANIFEST, "digest": digest, "size": 7, **more}


def tagged(digest: str, tag: str) -> dict[str, object]:
    return entry(digest, annotations={REF: tag, "other": 1})


def on(digest: str, arch: str, system: str = "linux") -> dict[str, object]:
    return entry(digest, platform={"os": system, "architecture": arch, "variant": "v8"})


def text(raw: object) -> bytes:
    return json.dumps(raw).encode()


def chosen(*entries: object, tag: str | None = None) -> Descriptor:
    return parse_index("i", text({"manifests": entries}), tag, "amd64").unwrap()


def refused(*entries: object, tag: str | None = None) -> list[str]:
    found = parse_index("i", text({"manifests": entries}), tag, "amd64").failure()
    return [str(each) for each in found]


def test_the_only_image_is_meant() -> None:
    assert chosen(entry()) == Descriptor(media_type=MANIFEST, digest=A, size_bytes=7)
    assert chosen(entry()).sha256 == "a" * 64


def test_a_tag_says_which_image_is_meant() -> None:
    assert chosen(tagged(A, "v1"), tagged(B, "v2"), tag="v2").digest == B
    assert refused(tagged(A, "v1"), entry(B), tag="v3") == ["i: has no image 'v3' (there is: v1)"]
    assert refused(entry(B), tag="v3") == ["i: has no image 'v3' (there is: none)"]


def test_the_platform_says_which_image_is_meant() -> None:
    entries = (on(A, "arm64"), on(B, "amd64"), on(C, "unknown", "unknown"))
    assert chosen(*entries).digest == B
    assert refused(on(A, "arm64"), on(C, "amd64", "windows")) == [
        "i: has no image for linux/amd64 (there is: linux/arm64, windows/amd64)"
    ]


def test_of_several_images_none_is_guessed() -> None:
    several = "i: has several images: a tag must say which"
    assert refused(tagged(A, "v1"), tagged(B, "v2")) == [f"{several} (there is: v1, v2)"]
    assert refused(entry(A), entry(B)) == [f"{several} (there is: none)"]


@pytest.mark.parametrize("media_type", INDEXES)
def test_an_index_may_name_another(media_type: str) -> None:
    assert chosen({**entry(), "mediaType": media_type}).is_index
    assert not chosen(entry()).is_index


def test_layers_keep_their_order() -> None:
    layers = [{**entry(digest), "mediaType": LAYER} for digest in (B, A, B)]
    found = parse_manifest("m", text({"schemaVersion": 2, "config": {}, "layers": layers}))
    assert [layer.digest for layer in found.unwrap()] == [B, A, B]


def test_a_layer_that_is_no_tar_is_refused() -> None:
    layers = [{**entry(), "mediaType": "application/vnd.oci.image.layer.v1.tar+encrypted"}]
    (problem,) = parse_manifest("m", text({"layers": layers})).failure()
    assert problem.path == "m.layers[0].mediaType"


def test_layers_without_end_are_refused() -> None:
    layers = [{**entry(), "mediaType": LAYER}] * 1001
    assert parse_manifest("m", text({"layers": layers})) == Failure(
        (Problem("m", "must have at most 1000 layers, got 1001"),)
    )


def test_only_the_first_version_of_the_layout_is_known() -> None:
    assert parse_layout("l", text({"imageLayoutVersion": "1.0.0"})) == Success("1.0.0")
    assert isinstance(parse_layout("l", text({"imageLayoutVersion": "2.0.0"})), Failure)
    assert isinstance(parse_layout("l", text({})), Failure)


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:../../../../etc/passwd",
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63 + "/",
        "../sha256:" + "a" * 64,
        "md5:" + "a" * 32,
        "a" * 64,
        f"{A}\n",
        "",
        None,
        5,
        [A],
    ],
)
def test_a_digest_that_could_lead_anywhere_is_refused(digest: object) -> None:
    (problem,) = refused({"mediaType": MANIFEST, "digest": digest, "size": 7})
    assert problem.startswith("i.manifests[0].digest: ")


@pytest.mark.parametrize("size", [-1, 2**60, 1.5, "-7", True, None])
def test_a_size_that_cannot_be_is_refused(size: object) -> None:
    (problem,) = refused({**entry(), "size": size})
    assert problem.startswith("i.manifests[0].size: ")


def test_every_problem_is_told() -> None:
    hostile = {"mediaType": "a b", "digest": "x", "annotations": [], "platform": {"os": []}}
    assert len(refused(hostile, 1)) == 7


@pytest.mark.parametrize("parse", [parse_manifest, parse_layout])
@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[" * 100_000, b"1" * 5000, b"[]", b"null", b'{"layers": {}}', b'{"a": NaN}'],
)
def test_what_is_no_document_is_refused(
    parse: Callable[[str, bytes], object], content: bytes
) -> None:
    assert isinstance(parse("m", content), Failure)
    assert isinstance(parse_index("i", content, None, "amd64"), Failure)
