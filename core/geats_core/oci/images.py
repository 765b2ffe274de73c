"""Images in the layout of the OCI: which manifest is meant, and which layers it has.

See https://github.com/opencontainers/image-spec: ``index.json`` names manifests, or further
indexes, by their digests; a manifest names its layers, from the lowest to the topmost.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from returns.result import Failure, Success

from geats_core.reading import fields
from geats_core.reading.checked import Checked, problem, shown
from geats_core.reading.fields import Reader, of_mapping
from geats_core.reading.json_documents import parse_document

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
TYPE = re.compile(r"[A-Za-z0-9.+/-]{1,255}")
REF = "org.opencontainers.image.ref.name"
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
LAYER = re.compile(
    r"application/vnd\.(oci\.image\.layer(\.nondistributable)?\.v1\.tar(\+gzip|\+zstd)?"
    r"|docker\.image\.rootfs\.diff\.tar(\.gzip)?)"
)
MOST_LAYERS = 1000
LARGEST_DOCUMENT = 4 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """Names a blob by its digest; *tag* and *platform* (os/architecture) are of manifests only."""

    media_type: str
    digest: str
    size_bytes: int
    tag: str | None = None
    platform: str | None = None

    @property
    def is_index(self) -> bool:
        """Whether it names a list of manifests, and no manifest."""
        return self.media_type in INDEXES

    @property
    def sha256(self) -> str:
        """The digest without its kind."""
        return self.digest.partition(":")[2]


NO_DESCRIPTOR = Descriptor(media_type="", digest="", size_bytes=0)


def parse_layout(path: str, text: bytes) -> Checked[str]:
    """The version that the file ``oci-layout`` tells; only the first is known."""
    return parse_document(path, text, _layout)


def parse_index(path: str, text: bytes, tag: str | None, arch: str) -> Checked[Descriptor]:
    """The one manifest (or further index) with *tag*, or without one, that runs on *arch*."""
    match parse_document(path, text, _index):
        case Success(found):
            return _choose(path, found, tag, f"linux/{arch}")
        case Failure() as refused:
            return refused


def parse_manifest(path: str, text: bytes) -> Checked[tuple[Descriptor, ...]]:
    """The layers of an image, from the lowest to the topmost."""
    return parse_document(path, text, _manifest)


def parse_config_of(path: str, text: bytes) -> Checked[Descriptor]:
    """The configuration of an image, which its manifest names."""
    return parse_document(path, text, _config_of)


def _choose(
    path: str, found: Sequence[Descriptor], tag: str | None, platform: str
) -> Checked[Descriptor]:
    tagged = [each for each in found if tag in (None, each.tag)]
    if not tagged:
        there = ", ".join(sorted({each.tag for each in found if each.tag})) or "none"
        return problem(path, f"has no image {tag!r} (there is: {there})")
    fitting = [each for each in tagged if each.platform in (None, platform)]
    match fitting, tagged:
        case [only], _:
            return Success(only)
        case [], _:
            there = ", ".join(sorted({each.platform for each in tagged if each.platform}))
            return problem(path, f"has no image for {platform} (there is: {there})")
        case _:
            there = ", ".join(sorted({each.tag for each in fitting if each.tag})) or "none"
            return problem(path, f"has several images: a tag must say which (there is: {there})")


@of_mapping
def _layout(read: Reader) -> Checked[str]:
    version = read.need("imageLayoutVersion", _version, "")
    return read.checked(version)


@of_mapping
def _index(read: Reader) -> Checked[tuple[Descriptor, ...]]:
    none: tuple[Descriptor, ...] = ()
    return read.checked(read.need("manifests", fields.each(_descriptor), none))


@of_mapping
def _manifest(read: Reader) -> Checked[tuple[Descriptor, ...]]:
    none: tuple[Descriptor, ...] = ()
    layers = read.need("layers", fields.each(_descriptor), none)
    if len(layers) > MOST_LAYERS:
        return problem(read.path, f"must have at most {MOST_LAYERS} layers, got {len(layers)}")
    for index, layer in enumerate(layers):
        at = f"{read.at('layers')}[{index}].mediaType"
        read.keep(_layer_type(at, layer.media_type), "")
    return read.checked(layers)


@of_mapping
def _config_of(read: Reader) -> Checked[Descriptor]:
    return read.checked(read.need("config", _descriptor, NO_DESCRIPTOR))


@of_mapping
def _descriptor(read: Reader) -> Checked[Descriptor]:
    return read.checked(
        Descriptor(
            media_type=read.need("mediaType", _media_type, ""),
            digest=read.need("digest", _digest, ""),
            size_bytes=read.need("size", _size, 0),
            tag=read.take("annotations", _tag, None),
            platform=read.take("platform", _platform, None),
        )
    )


@of_mapping
def _tag(read: Reader) -> Checked[str | None]:
    return read.checked(read.take(REF, fields.text, None))


@of_mapping
def _platform(read: Reader) -> Checked[str | None]:
    system = read.need("os", fields.text, "")
    return read.checked(f"{system}/{read.need('architecture', fields.text, '')}")


def _layer_type(path: str, media_type: str) -> Checked[str]:
    if LAYER.fullmatch(media_type):
        return Success(media_type)
    return problem(path, f"must be that of a tar layer, got {shown(media_type)}")


_version = fields.matching(re.compile(r"1\.[0-9]+\.[0-9]+"), "a version 1.x.y")
_media_type = fields.matching(TYPE, "a media type")
_digest = fields.matching(DIGEST, "a digest such as sha256:… with 64 hexadecimal digits")
_size = fields.whole_number(0, 2**50)
