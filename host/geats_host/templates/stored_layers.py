"""Files of the store as layers: what was downloaded or built, by the form that it has."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import assert_never

from geats_core.declared.template import DiskFormat
from geats_core.foreign.simplestreams import Form
from geats_host.errors import HostError
from geats_host.templates.disk_images import Image, problems_of_image
from geats_host.templates.layers import Layer, SquashfsLayer, TarLayer
from geats_host.templates.lxd_image import whole_layer
from geats_host.templates.squashfs import problems_of_squashfs
from geats_host.templates.store import Store
from geats_host.templates.tarballs import problems_of_archive

StoredLayer = tuple[Form, str]  # and the sha256


def kept(store: Store, record: str) -> StoredLayer | None:
    """What a source has in the store; None if it has nothing yet."""
    blobs: Mapping[str, str] = store.record(record)
    return next(((form, blobs[form]) for form in Form if form in blobs), None)


def keep(store: Store, record: str, found: StoredLayer) -> StoredLayer:
    """Remember what a source has."""
    form, sha256 = found
    store.write_record(record, {form: sha256})
    return found


def kept_or_made(
    store: Store, record: str, make: Callable[[StoredLayer | None], StoredLayer], *, refresh: bool
) -> StoredLayer:
    """What a source has in the store; if that is nothing, or with *refresh*, what *make* makes.

    It is told what there is. Another process that wants the same waits.
    """
    with store.locked(record) as lock:
        lock.hold()
        found = kept(store, record)
        if found is not None and not refresh:
            return found
        return keep(store, record, make(found))


def kept_layer(store: Store, found: StoredLayer) -> Layer:
    """What is put on a directory."""
    form, sha256 = found
    path = f"{store.blob(sha256)}"
    match form:
        case Form.TAR:
            return TarLayer(path)
        case Form.IMAGE:
            return whole_layer(path)
        case Form.SQUASHFS:
            return SquashfsLayer(path)
        case Form.DISK:
            raise AssertionError("a disk image is no layer")
        case _:
            assert_never(form)


def problems_of_kept(store: Store, found: StoredLayer) -> tuple[str, ...]:
    """All that is wrong with the file, which is read whole."""
    form, sha256 = found
    return problems_of_file(f"{store.blob(sha256)}", form, sha256)


def problems_of_file(path: str, form: Form, sha256: str | None) -> tuple[str, ...]:
    """All that is wrong with a file that should have that form."""
    if form is Form.SQUASHFS:
        return problems_of_squashfs(path, sha256)
    if form is Form.DISK:
        return problems_of_image(Image(Path(path), DiskFormat.QCOW2), sha256)
    return problems_of_archive(path, sha256)


def check_file(path: str, form: Form) -> None:
    """Raise ``HostError`` if a file that was just made or fetched is not sound."""
    found = problems_of_file(path, form, None)
    if found:
        raise HostError("\n".join(found))


def content_of_kept(found: StoredLayer | None) -> str:
    """Names what the file contains; ``HostError`` if there is none yet."""
    if found is None:
        raise HostError("is not imported yet")
    form, sha256 = found
    return f"{form}:{sha256}"
