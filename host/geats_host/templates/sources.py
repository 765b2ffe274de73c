"""Each kind of source: what is wrong with it, what names its content, and what it comes down to."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, assert_never

from geats_core.declared.template import (
    Build,
    DiskDownload,
    DiskFile,
    Empty,
    Files,
    LxdDisk,
    LxdImage,
    OciImage,
    Simplestreams,
    Source,
    Template,
    kind,
)
from geats_core.vm.spec import RootKind
from geats_host.errors import HostError
from geats_host.lazy import later
from geats_host.templates import files
from geats_host.templates.digests import sha256_of
from geats_host.templates.layers import Layer
from geats_host.templates.store import Store
from geats_host.templates.stored_layers import (
    StoredLayer,
    content_of_kept,
    kept,
    kept_layer,
    problems_of_kept,
)

if TYPE_CHECKING:
    from geats_host.templates import build, disks, lxd_disk, lxd_image, oci, simplestreams
else:  # most hosts have one kind
    build = later("geats_host.templates.build")
    disks = later("geats_host.templates.disks")
    lxd_disk = later("geats_host.templates.lxd_disk")
    lxd_image = later("geats_host.templates.lxd_image")
    oci = later("geats_host.templates.oci")
    simplestreams = later("geats_host.templates.simplestreams")

Fetched: TypeAlias = Simplestreams | Build | DiskDownload | LxdDisk


def problems(source: Source, store: Store) -> Iterable[tuple[str, str]]:
    """All that is wrong with a source, each with the key that it is about; files are read whole."""
    key = kind(source)
    match source:
        case Files():
            return ((key, message) for message in files.problems(source))
        case OciImage():
            return ((key, message) for message in oci.problems(source, store))
        case LxdImage():
            return lxd_image.problems(source)
        case LxdDisk():
            return lxd_disk.problems(source, store)
        case Simplestreams():
            return ((key, message) for message in simplestreams.problems(source, store))
        case Build():
            return ((key, message) for message in build.problems(source, store))
        case DiskFile() | DiskDownload():
            return ((key, message) for message in disks.problems(source, store))
        case Empty():
            return ()
        case _:
            assert_never(source)


@contextmanager
def layers(source: Source, store: Store) -> Iterator[tuple[Layer, ...]]:
    """What is put on a directory, in order; it is there only as long as this lasts."""
    match source:
        case Files():
            yield (files.layer(source),)
        case OciImage():
            with oci.layers(source, store) as found:
                yield found
        case LxdImage():
            yield (lxd_image.layer(source),)
        case Simplestreams() | Build():
            yield (kept_layer(store, ready(source, store)),)
        case Empty():
            yield ()
        case DiskFile() | DiskDownload() | LxdDisk():
            raise AssertionError("a disk image has no layers")
        case _:
            assert_never(source)


def content(source: Source, store: Store) -> str:
    """Names what the source contains, so that another content never has the same name.

    ``HostError`` for one that has to be made ready first.
    """
    match source:
        case Files():
            return files.content(source)
        case OciImage():
            return oci.content(source)
        case LxdImage():
            return lxd_image.content(source)
        case DiskFile(path=path, format=format_):
            return f"disk:{format_}:{sha256_of(path)}"
        case Empty(root_kind=root_kind):
            return f"empty:{root_kind}"
        case LxdDisk(path=path, rootfs=str(rootfs)):
            return f"image:{sha256_of(path)}:{sha256_of(rootfs)}"
        case Simplestreams() | Build() | DiskDownload() | LxdDisk():
            record = record_of(source)
            return content_of_kept(None if record is None else kept(store, record))
        case _:
            assert_never(source)


def ready(source: Fetched, store: Store, *, refresh: bool = False) -> StoredLayer:
    """Download, unpack or build it, unless that was done; with *refresh*, look for what is new."""
    match source:
        case Simplestreams():
            return simplestreams.ready(source, store, refresh=refresh)
        case Build():
            return build.ready(source, store, refresh=refresh)
        case DiskDownload():
            return disks.ready(source, store, refresh=refresh)
        case LxdDisk():
            return lxd_disk.ready(source, store, refresh=refresh)
        case _:
            assert_never(source)


def record_of(source: Source) -> str | None:
    """Names what the store has of it; None for one that has nothing there."""
    match source:
        case Simplestreams():
            return simplestreams.record_of(source)
        case Build():
            return build.record_of(source)
        case DiskDownload():
            return disks.record_of(source)
        case LxdDisk(rootfs=None):
            return lxd_disk.record_of(source)
        case _:
            return None


def files_of(template: Template, store: Store) -> tuple[Path, ...]:
    """What the store has of a template: its record, its blobs, and the raw disk of an image."""
    record = record_of(template.source)
    kept_files = () if record is None else store.files_of(record)
    if template.root_kind is RootKind.TREE or isinstance(template.source, Empty):
        return kept_files
    try:
        raw = disks.converted(disks.image_of(template.source, store), store)
    except HostError:
        raw = None  # it cannot be read, or is not there yet
    return kept_files if raw is None else (*kept_files, raw)


def discard_damaged(source: Source, store: Store) -> None:
    """Forget what was downloaded or built if it is damaged, so that it is recreated."""
    record = record_of(source)
    if record is None:
        return
    with store.locked(record) as lock:
        lock.hold()
        found = kept(store, record)
        if found is not None and problems_of_kept(store, found):
            store.discard(found[1])
