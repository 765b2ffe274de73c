"""The source ``oci``: an image in the OCI's layout, a directory or an archive of one.

Blobs are found by the digests that name them, and never through a symbolic link; each is compared
with its digest before it is used.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from geats_core.containers.programs import WhatRuns
from geats_core.declared.template import OciImage
from geats_core.oci.images import (
    LARGEST_DOCUMENT,
    Descriptor,
    parse_config_of,
    parse_index,
    parse_layout,
    parse_manifest,
)
from geats_core.oci.programs import parse_image_program, with_ids
from geats_host.errors import HostError, sound
from geats_host.templates.architectures import oci_arch
from geats_host.templates.digests import Identity, identity_of, sha256_of
from geats_host.templates.layers import Layer, OciLayer
from geats_host.templates.store import Store
from geats_host.templates.tarballs import members, problems_of_archive, text_of_member, unpack

DEEPEST_INDEX = 4
LARGEST_PASSWD = 2**20
PASSWD, GROUP = "etc/passwd", "etc/group"


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest, by its digest and where it is, and its layers."""

    digest: str
    manifest: Path
    layers: tuple[Descriptor, ...]


def problems(source: OciImage, store: Store) -> tuple[str, ...]:
    """All that is wrong with the image; its layers are read whole."""
    try:
        if os.path.isdir(source.path):
            return _problems_of_layout(Path(source.path), source.tag)
        found = problems_of_archive(source.path)
        return found or _problems_of_archive(source, store, identity_of(os.stat(source.path)))
    except HostError as error:
        return tuple(str(error).splitlines())
    except OSError as error:
        return (f"cannot be read: {error.strerror}: {source.path!r}",)


@contextmanager
def layers(source: OciImage, store: Store) -> Iterator[tuple[Layer, ...]]:
    """The layers, from the lowest to the topmost."""
    with _layout(source, store) as layout:
        image = _image(layout, source.tag)
        yield tuple(OciLayer(_blob(layout, layer)) for layer in image.layers)


def content(source: OciImage) -> str:
    """Names the image: by the digest of its manifest, or that of the whole archive."""
    if os.path.isdir(source.path):
        return f"oci:{_image(Path(source.path), source.tag).digest}"
    return f"oci-archive:{sha256_of(source.path)}:{source.tag}"


def program(source: OciImage, store: Store) -> WhatRuns:
    """What the image says of the program in it; ``HostError`` for what cannot be done so."""
    with _layout(source, store) as layout:
        image = _image(layout, source.tag)
        manifest = f"{image.manifest}"
        config = sound(parse_config_of(manifest, _document(image.manifest)))
        path = _blob(layout, config)
        found = sound(parse_image_program(path, _document(Path(path))))
        names = (PASSWD, GROUP) if found.user else ()
        texts = {name: _text(layout, image, name) for name in names}
        return sound(with_ids(path, found, texts.get(PASSWD, ""), texts.get(GROUP, "")))


def _text(layout: Path, image: Image, name: str) -> str:
    """A small file of the image, as the topmost layer has it; empty if there is none."""
    for layer in reversed(image.layers):
        blob = _blob(layout, layer)
        for each in members(blob):
            plain = each.name.decode("utf-8", "replace")
            if plain.removeprefix(".").removeprefix("/") == name and each.kind == "-":
                if each.size_bytes > LARGEST_PASSWD:
                    raise HostError(f"{blob}: has a file {name} that is too large to be read")
                return text_of_member(blob, plain)
    return ""


@contextmanager
def _layout(source: OciImage, store: Store) -> Iterator[Path]:
    """The directory; that of an archive is there only as long as this lasts."""
    if os.path.isdir(source.path):
        yield Path(source.path)
        return
    with store.scratch() as scratch:
        unpack(source.path, scratch)
        yield scratch


@lru_cache(maxsize=64)
def _problems_of_archive(source: OciImage, store: Store, _: Identity) -> tuple[str, ...]:
    with _layout(source, store) as layout:
        found = _problems_of_layout(layout, source.tag)
        return tuple(text.replace(f"{layout}", source.path) for text in found)


def _problems_of_layout(layout: Path, tag: str | None) -> tuple[str, ...]:
    found: list[str] = []
    for layer in _image(layout, tag).layers:
        try:
            found += problems_of_archive(_blob(layout, layer))
        except HostError as error:
            found.append(str(error))
    return tuple(found)


def _image(layout: Path, tag: str | None) -> Image:
    """Follow indexes from the top down to the manifest that is meant."""
    version, index = layout / "oci-layout", layout / "index.json"
    sound(parse_layout(f"{version}", _document(version)))
    found = sound(parse_index(f"{index}", _document(index), tag, oci_arch()))
    for _ in range(DEEPEST_INDEX):
        path = _blob(layout, found)
        if not found.is_index:
            manifest = Path(path)
            return Image(found.digest, manifest, sound(parse_manifest(path, _document(manifest))))
        found = sound(parse_index(path, _document(Path(path)), None, oci_arch()))
    raise HostError(f"{index}: is more than {DEEPEST_INDEX} indexes deep")


def _blob(layout: Path, descriptor: Descriptor) -> str:
    """The path of a blob that is what its descriptor says."""
    path = os.path.join(os.path.realpath(layout), "blobs", "sha256", descriptor.sha256)
    try:
        found = os.lstat(path)
    except OSError as error:
        raise HostError(f"{path}: cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode) or os.path.realpath(path) != path:
        raise HostError(f"{path}: must be a regular file, reached by no symbolic link")
    if found.st_size != descriptor.size_bytes:
        wanted = f"must be of {descriptor.size_bytes} bytes, got {found.st_size}"
        raise HostError(f"{path}: {wanted}")
    if sha256_of(path) != descriptor.sha256:
        raise HostError(f"{path}: must have the sha256 {descriptor.sha256}")
    return path


def _document(path: Path) -> bytes:
    """The whole of a small file; of a larger one so much that it is no JSON any more."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise HostError(f"{path}: must be a regular file")
            return file.read(LARGEST_DOCUMENT)
    except OSError as error:
        raise HostError(f"{path}: cannot be read: {error.strerror}") from None
