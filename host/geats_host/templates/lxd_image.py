"""The source ``image``: one of LXD or distrobuilder, whole, or with the rootfs apart.

``metadata.yaml`` must be there and make sense, but nothing that it says is done: its templates are
not run. Only what is below ``rootfs`` is unpacked, and what ``rootfs`` itself is does not count
(CVE-2026-48749: a second entry, that makes it a link).
"""

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache

from geats_core.declared.template import LxdImage
from geats_host.errors import HostError
from geats_host.inputs.yaml_text import WrongYaml, read_yaml
from geats_host.templates.digests import Identity, identity_of, sha256_of
from geats_host.templates.layers import Layer, SquashfsLayer, TarLayer
from geats_host.templates.squashfs import is_squashfs, problems_of_squashfs
from geats_host.templates.tarballs import Member, members, problems_of_archive, text_of_member

METADATA, ROOTFS = "metadata.yaml", "rootfs"
LARGEST_METADATA = 2**20


def problems(source: LxdImage) -> Iterator[tuple[str, str]]:
    """All that is wrong with either file, each with the key of that file."""
    for message in _problems_of_image(source):
        yield "image", message
    if source.rootfs is not None:
        for message in _problems_of_rootfs(source.rootfs, source.rootfs_sha256):
            yield "image.rootfs", message


def layer(source: LxdImage) -> Layer:
    """What is put on a directory."""
    if source.rootfs is None:
        return whole_layer(source.path)
    return rootfs_layer(source.rootfs)


def whole_layer(path: str) -> Layer:
    """That of an image with metadata and rootfs in one."""
    return TarLayer(path, below=_rootfs_name(path))


def rootfs_layer(path: str) -> Layer:
    """That of a rootfs on its own."""
    try:
        return SquashfsLayer(path) if is_squashfs(path) else TarLayer(path)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from None


def content(source: LxdImage) -> str:
    """Names what both files contain."""
    rootfs = "-" if source.rootfs is None else sha256_of(source.rootfs)
    return f"image:{sha256_of(source.path)}:{rootfs}"


def _problems_of_image(source: LxdImage) -> tuple[str, ...]:
    found = problems_of_archive(source.path, source.sha256)
    if found:
        return found
    try:
        inside = tuple(members(source.path))
        found = tuple(problems_of_metadata(source.path, inside))
        if source.rootfs is None and not _has_rootfs(inside):
            found += (f"must have a rootfs: {source.path!r}",)
    except HostError as error:
        found = (str(error),)
    return found


def _problems_of_rootfs(path: str, sha256: str | None) -> tuple[str, ...]:
    try:
        if os.path.isfile(path) and is_squashfs(path):
            return problems_of_squashfs(path, sha256)
    except OSError as error:
        return (f"cannot be read: {error.strerror}: {path!r}",)
    return problems_of_archive(path, sha256)


def problems_of_metadata(path: str, inside: Iterable[Member]) -> Iterator[str]:
    """Of the entry that is found first, which is the one that is read."""
    found = [each for each in inside if plain(each.name) == METADATA]
    if not found or found[0].kind != "-":
        yield f"must have a {METADATA}: {path!r}"
    elif found[0].size_bytes > LARGEST_METADATA:
        yield f"must have a {METADATA} of at most {LARGEST_METADATA} bytes: {path!r}"
    else:
        try:
            raw = read_yaml(text_of_member(path, os.fsdecode(found[0].name)))
        except WrongYaml:
            raw = None
        if not isinstance(raw, dict) or not isinstance(raw.get("architecture"), str):
            yield f"must have a {METADATA} that tells the architecture: {path!r}"


def _rootfs_name(path: str) -> str:
    """The folder to unpack, as the archive has it: ``rootfs`` or ``./rootfs``."""
    try:
        return _rootfs_name_of(path, identity_of(os.stat(path)))
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from None


@lru_cache(maxsize=64)
def _rootfs_name_of(path: str, _: Identity) -> str:
    found = {_prefix(each.name) for each in members(path) if _is_below_rootfs(each)}
    if len(found) != 1:
        raise HostError(f"{path}: must have one rootfs, got {len(found)}")
    return f"{found.pop()}{ROOTFS}"


def _has_rootfs(inside: Iterable[Member]) -> bool:
    return len({_prefix(each.name) for each in inside if _is_below_rootfs(each)}) == 1


def _is_below_rootfs(member: Member) -> bool:
    return plain(member.name).startswith(f"{ROOTFS}/")


def plain(name: bytes) -> str:
    return os.fsdecode(name.removeprefix(b"./"))


def _prefix(name: bytes) -> str:
    return "./" if name.startswith(b"./") else ""
