"""Templates that are disk images: the source ``disk``, and writing an image to a root volume.

Nothing is ever probed: the format is declared, and an image is judged by its header. One in the
format qcow2 is converted once, to a raw file that the store keeps by the image's digest.
"""

import os
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, assert_never

from geats_core.declared.template import (
    DiskDownload,
    DiskFile,
    DiskFormat,
    Empty,
    LxdDisk,
    Simplestreams,
    Source,
)
from geats_core.foreign.simplestreams import Form
from geats_core.planning.offers import Offer
from geats_core.reading.sizes import format_size
from geats_host.errors import HostError
from geats_host.lazy import later
from geats_host.linux import qemu_img
from geats_host.linux.disks import write_disk
from geats_host.streams import meters
from geats_host.templates import lxd_disk, simplestreams
from geats_host.templates.digests import sha256_of
from geats_host.templates.disk_images import Image, problems_of_image, size_of
from geats_host.templates.store import Store, record_name
from geats_host.templates.stored_layers import StoredLayer, kept, kept_or_made

if TYPE_CHECKING:
    from geats_host.templates import downloads
else:  # it loads much of the standard library
    downloads = later("geats_host.templates.downloads")

DiskSource: TypeAlias = DiskFile | DiskDownload | Simplestreams


def record_of(source: DiskDownload) -> str:
    """Names what the store has of it."""
    return record_name("disk", source.url, source.sha256)


def problems(source: DiskFile | DiskDownload, store: Store) -> tuple[str, ...]:
    """All that is wrong with an image; of one that is to be downloaded, nothing is known yet."""
    if isinstance(source, DiskFile):
        return problems_of_image(Image(Path(source.path), source.format), source.sha256)
    if kept(store, record_of(source)) is None:
        return ()
    return _problems(source, image_of(source, store), source.sha256)


def problems_of_header(source: Source, store: Store) -> tuple[str, ...]:
    """What the header of an image tells that is wrong, if this host has it."""
    match source:
        case DiskDownload() | Simplestreams() | LxdDisk(rootfs=None) if (
            kept(store, _record_of(source)) is None
        ):
            return ()
        case Empty():
            return ()
        case DiskFile(path=path) | LxdDisk(rootfs=str(path)) if not os.path.lexists(path):
            return ()  # as where a configuration is only checked
        case _:
            return _problems(source, image_of(source, store), None)


def _problems(source: Source, image: Image, sha256: str | None) -> tuple[str, ...]:
    """All that is wrong with an image of a source, which may say how large its disk is."""
    found = problems_of_image(image, sha256)
    said = source.disk_bytes if isinstance(source, DiskDownload) else None
    if found or said is None or size_of(image) == said:
        return found
    sizes = f"{format_size(size_of(image))}, and disk_size says {format_size(said)}"
    return (f"the disk in {image.path} has {sizes}",)


def ready(source: DiskDownload, store: Store, *, refresh: bool) -> StoredLayer:
    """What was downloaded; if there is nothing, or with *refresh*, download it."""

    def downloaded(_: StoredLayer | None) -> StoredLayer:
        if not store.blob(source.sha256).is_file():
            _download(source, store)
        return Form.DISK, source.sha256

    return kept_or_made(store, record_of(source), downloaded, refresh=refresh)


def _download(source: DiskDownload, store: Store) -> None:
    with store.scratch() as scratch:
        path = scratch / "download"
        free_bytes = shutil.disk_usage(scratch).free
        downloads.fetch_file(source.url, path, at_most=free_bytes, sha256=source.sha256)
        found = _problems(source, Image(path, source.format), None)
        if found:
            raise HostError("\n".join(found))
        store.keep(path, source.sha256)


def known_size(source: Source, store: Store) -> int | None:
    """How large the disk of a template is, or is said to be, in bytes; None if nobody knows."""
    if isinstance(source, Empty):
        return 0
    try:
        return size_of(image_of(source, store))
    except HostError:
        return source.disk_bytes if isinstance(source, DiskDownload) else None


def image_of(source: Source, store: Store) -> Image:
    """The image of a source; ``HostError`` for one that has to be made ready first."""
    match source:
        case DiskFile(path=path, format=format_):
            return Image(Path(path), format_)
        case LxdDisk(rootfs=str(rootfs)):
            return Image(Path(rootfs), DiskFormat.QCOW2)
        case DiskDownload(format=format_):
            pass
        case Simplestreams() | LxdDisk():
            format_ = DiskFormat.QCOW2
        case _:
            raise AssertionError("a tree is no disk image")
    found = kept(store, _record_of(source))
    if found is None:
        raise HostError("is not imported yet")
    return Image(store.blob(found[1]), format_)


def _record_of(source: DiskDownload | Simplestreams | LxdDisk) -> str:
    match source:
        case DiskDownload():
            return record_of(source)
        case LxdDisk():
            return lxd_disk.record_of(source)
        case Simplestreams():
            return simplestreams.record_of(source)
        case _:
            assert_never(source)


def install(
    image: Image, target: Path, offers: Offer, room_bytes: int | None, store: Store
) -> None:
    """Let the disk at *target*, which is of *room_bytes*, begin with what the image holds.

    Refused before anything is read if it does not fit, as far as that is known. Only so many are
    written at a time on this host: others wait.
    """
    size_bytes = size_of(image)
    if room_bytes is not None and size_bytes > room_bytes:
        sizes = f"{format_size(size_bytes)} does not fit into {format_size(room_bytes)}"
        raise HostError(f"{target}: the disk of {sizes}")
    with store.unpacking():
        raw = _raw(image, size_bytes, store)
        match offers:
            case Offer.FILE | Offer.BLOCK_DEVICE:
                write_disk(raw, target, meters.counter(size_bytes))
            case Offer.QCOW2:
                space_bytes = partial(qemu_img.space_bytes, target)
                with meters.looking(space_bytes, qemu_img.space_bytes(raw)):
                    qemu_img.fill(raw, target)
            case Offer.DIRECTORY | Offer.NOTHING:
                raise HostError(f"{target}: is a {offers}, and a disk image needs a disk")
            case _:
                assert_never(offers)


def converted(image: Image, store: Store) -> Path | None:
    """Where the raw file of an image is, or would be; None for one that needs none."""
    return None if image.format is DiskFormat.RAW else store.disk(sha256_of(f"{image.path}"))


def _raw(image: Image, size_bytes: int, store: Store) -> Path:
    """A raw file with the image's disk, made unless that was done already."""
    raw = converted(image, store)
    if raw is None:
        return image.path
    with store.locked(f"disk-{raw.name}") as lock:
        lock.hold()
        if not raw.is_file():
            with store.scratch() as scratch:
                qemu_img.to_raw(image.path, scratch / "disk", size_bytes)
                if raw != converted(image, store):
                    raise HostError(f"{image.path}: was changed while it was converted")
                store.keep_disk(scratch / "disk", raw.name)
    return raw
