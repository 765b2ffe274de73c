"""The source ``path``, and each overlay: a tarball or a directory, found out by looking."""

import os
from collections.abc import Iterator

from geats_core.declared.template import Files
from geats_host.errors import HostError
from geats_host.templates.digests import devices_in_tree, digest_of_tree, sha256_of
from geats_host.templates.layers import Layer, TarLayer, TreeLayer
from geats_host.templates.tarballs import problems_of_archive


def problems(source: Files) -> Iterator[str]:
    """All that is wrong with it; it is read whole."""
    if os.path.isdir(source.path):
        yield from _problems_of_tree(source)
    else:
        yield from problems_of_archive(source.path, source.sha256)


def layer(source: Files) -> Layer:
    """What is put on a directory."""
    return TreeLayer(source.path) if os.path.isdir(source.path) else TarLayer(source.path)


def content(source: Files) -> str:
    """Names what it holds."""
    if os.path.isdir(source.path):
        return f"tree:{digest_of_tree(source.path)}"
    return f"tar:{sha256_of(source.path)}"


def _problems_of_tree(source: Files) -> Iterator[str]:
    try:
        got = digest_of_tree(source.path)
        devices = devices_in_tree(source.path)
    except (HostError, OSError) as error:
        yield f"cannot be read: {error}"
        return
    if source.sha256 not in (None, got):
        yield f"must have the sha256 {source.sha256}, got {got}: {source.path!r}"
    for device in devices:
        yield f"must have device nodes in its dev only, got {device!r}: {source.path!r}"
