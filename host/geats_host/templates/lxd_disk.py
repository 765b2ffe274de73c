"""The source ``image`` of the kind ``disk``: a virtual machine of LXD or Incus, on this host.

Its disk is an image in the format qcow2: a file of its own, or ``rootfs.img`` in the tarball that
has ``metadata.yaml``. From there it is taken into the store, once for each tarball as it is: one
that is changed is another. It is judged as every disk image is, and nothing else is unpacked.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from geats_core.declared.template import DiskFormat, LxdDisk
from geats_core.foreign.simplestreams import Form
from geats_core.reading.sizes import format_size
from geats_host.errors import HostError
from geats_host.templates.digests import identity_of, sha256_of
from geats_host.templates.disk_images import Image, problems_of_image
from geats_host.templates.lxd_image import plain, problems_of_metadata
from geats_host.templates.store import Store, record_name
from geats_host.templates.stored_layers import (
    StoredLayer,
    check_file,
    kept,
    kept_or_made,
    problems_of_kept,
)
from geats_host.templates.tarballs import Member, extract_file, members, problems_of_archive

DISK = "rootfs.img"


def record_of(source: LxdDisk) -> str:
    """Names what the store has of the tarball, as it is now."""
    try:
        now = repr(identity_of(os.stat(source.path)))
    except OSError:
        now = ""
    return record_name("image", source.path, now)


def problems(source: LxdDisk, store: Store) -> Iterator[tuple[str, str]]:
    """All that is wrong with the tarball and with the disk, each with the key of that file."""
    found = problems_of_archive(source.path, source.sha256) or _problems_inside(source)
    for message in found:
        yield "image", message
    if source.rootfs is not None:
        apart = Image(Path(source.rootfs), DiskFormat.QCOW2)
        for message in problems_of_image(apart, source.rootfs_sha256):
            yield "image.rootfs", message
    elif not found and (stored := kept(store, record_of(source))) is not None:
        for message in problems_of_kept(store, stored):
            yield "image", message


def ready(source: LxdDisk, store: Store, *, refresh: bool) -> StoredLayer:
    """The disk out of the tarball; if it is there already, only with *refresh* once more."""

    def taken(_: StoredLayer | None) -> StoredLayer:
        wrong = problems_of_archive(source.path, source.sha256) or _problems_inside(source)
        if wrong:
            raise HostError("\n".join(wrong))
        with store.scratch() as scratch:
            disk = _taken(source.path, scratch)
            check_file(f"{disk}", Form.DISK)
            sha256 = sha256_of(f"{disk}")
            store.keep(disk, sha256)
        return Form.DISK, sha256

    return kept_or_made(store, record_of(source), taken, refresh=refresh)


def _taken(path: str, scratch: Path) -> Path:
    (member,) = _disks(members(path))
    free_bytes = shutil.disk_usage(scratch).free
    if member.size_bytes > free_bytes:
        sizes = f"{format_size(member.size_bytes)} do not fit into {format_size(free_bytes)}"
        raise HostError(f"{path}: {DISK} of {sizes}")
    extract_file(path, os.fsdecode(member.name), scratch, member.size_bytes)
    return scratch / DISK


def _problems_inside(source: LxdDisk) -> tuple[str, ...]:
    try:
        inside = tuple(members(source.path))
        found = tuple(problems_of_metadata(source.path, inside))
    except HostError as error:
        return (str(error),)
    disks = _disks(inside)
    if source.rootfs is None and [each.kind for each in disks] != ["-"]:
        found += (f"must have one file {DISK}, or say below rootfs where it is: {source.path!r}",)
    return found


def _disks(inside: Iterable[Member]) -> list[Member]:
    return [each for each in inside if plain(each.name) == DISK]
