"""Templates: whether they are sound, the key of their content, and putting one on a root volume.

Each kind of source has its own module, which turns it into layers. Whatever a layer contains,
nothing is ever written outside the directory into which it is unpacked.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from geats_core.containers.programs import WhatRuns
from geats_core.declared.template import (
    Build,
    DiskDownload,
    Empty,
    LxdDisk,
    OciImage,
    Simplestreams,
    Template,
    kind,
)
from geats_core.reading.checked import Problem
from geats_core.vm.spec import RootKind
from geats_host.errors import HostError, Refused
from geats_host.lazy import later
from geats_host.storage import Offer, Pool, VolumeId
from geats_host.streams import meters
from geats_host.templates import files, sources, verified
from geats_host.templates.layers import bytes_of, empty, finish, put
from geats_host.templates.store import Store

if TYPE_CHECKING:
    from geats_host.templates import disk_images, disks, oci
else:  # of virtual machines, and of images, only
    oci = later("geats_host.templates.oci")
    disk_images = later("geats_host.templates.disk_images")
    disks = later("geats_host.templates.disks")

KEY_LENGTH = 40  # hexadecimal digits: 160 bits, and short enough for the name of a volume


def problems(template: Template, store: Store) -> tuple[Problem, ...]:
    """All that is wrong with the source and the overlays of *template*; reads them whole."""

    def found() -> Iterator[tuple[str, str]]:
        yield from sources.problems(template.source, store)
        for index, overlay in enumerate(template.overlays):
            for message in files.problems(overlay):
                yield f"overlays[{index}]", message

    return tuple(Problem(f"templates.{template.name}.{key}", text) for key, text in found())


def problems_of_disks(declared: Iterable[Template], store: Store) -> tuple[Problem, ...]:
    """What is wrong with the headers of the disk images that this host has."""
    return tuple(
        Problem(f"templates.{each.name}.{kind(each.source)}", message)
        for each in declared
        if each.root_kind is RootKind.DISK
        for message in disks.problems_of_header(each.source, store)
    )


def verify(template: Template, store: Store) -> None:
    """Raise ``Refused`` with all that is wrong with *template*.

    Its files are only read if they were touched since they were found sound (``verified``).
    """
    if verified.known_key(template, store) is None and (found := problems(template, store)):
        raise Refused(*found)


def remember_sound(template: Template, store: Store) -> None:
    """Spare the next process reading the files of *template*, which was just put on a volume."""
    if verified.known_key(template, store) is None:
        read = verified.files_now(template, store)
        if not problems(template, store):
            key = _key_of_content(template, store)
            verified.remember(template, store, key, read, _program_or_none(template, store))


def program_of(template: Template, store: Store) -> WhatRuns | None:
    """What the image of *template* says of the program in it; None for what is no such image.

    ``HostError`` for an image that cannot be read, or whose program cannot be run.
    """
    if not isinstance(template.source, OciImage):
        return None
    with _named(template):
        return verified.known_program(template, store) or oci.program(template.source, store)


def _program_or_none(template: Template, store: Store) -> WhatRuns | None:
    """The same; who wants to run it is told what is wrong with it."""
    try:
        return program_of(template, store)
    except HostError:
        return None


def make_ready(template: Template, store: Store, *, refresh: bool = False) -> None:
    """Download, unpack or build the template, unless that was done; with *refresh*, do it again."""
    match template.source:
        case Simplestreams() | Build() | DiskDownload() | LxdDisk(rootfs=None) as source:
            with store.in_use(), _named(template):
                sources.ready(source, store, refresh=refresh)
        case _:
            pass


@contextmanager
def _named(template: Template) -> Iterator[None]:
    """Let errors say of which template they are."""
    try:
        yield
    except HostError as error:
        raise HostError(f"templates.{template.name}: {error}") from None


def key_of(template: Template, store: Store) -> str:
    """Names the content of *template*: a digest of those of all that it is made from, in order.

    ``HostError`` for a template that is not ready.
    """
    return verified.known_key(template, store) or _key_of_content(template, store)


def _key_of_content(template: Template, store: Store) -> str:
    content = [sources.content(template.source, store), *map(files.content, template.overlays)]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:KEY_LENGTH]


def size_of(template: Template, store: Store) -> int | None:
    """The size of the disk that a disk image needs, in bytes; None for a tree.

    ``HostError`` for an image that is not ready.
    """
    if template.root_kind is RootKind.TREE:
        return None
    if is_blank(template):
        return 0
    with _named(template):
        return disk_images.size_of(disks.image_of(template.source, store))


def is_blank(template: Template) -> bool:
    """Whether a volume stays as it was made: a disk with nothing on it."""
    return isinstance(template.source, Empty) and template.root_kind is RootKind.DISK


def fill(
    template: Template, pool: Pool, volume: VolumeId, store: Store, size_bytes: int | None
) -> None:
    """Fill a volume of that size, which is active, with *template*; one in memory stays empty."""
    match template.root_kind:
        case _ if pool.offers is Offer.NOTHING or is_blank(template):
            pass
        case RootKind.TREE:
            install(template, pool.path(volume), store)
        case RootKind.DISK:
            with store.in_use(), _named(template):
                image = disks.image_of(template.source, store)
                disks.install(image, pool.path(volume), pool.offers, size_bytes, store)


def install(template: Template, target: Path, store: Store) -> None:
    """Replace all that is in the directory *target* by the content of *template*, durably.

    Overlays are unpacked over the source, through links to directories as long as they stay in
    *target*. Anything else, a device node outside ``/dev`` too, is a ``HostError``, as is a full
    disk; *target* then contains a part of it. Device nodes in ``/dev`` are left to the driver. Only
    so many are unpacked at a time on this host: others wait.
    """
    with ExitStack() as stack:
        stack.enter_context(store.in_use())
        layers = stack.enter_context(sources.layers(template.source, store))
        stack.enter_context(store.unpacking())
        empty(target)
        all_layers = (*layers, *map(files.layer, template.overlays))
        meters.counter(bytes_of(all_layers))
        for layer in all_layers:
            put(layer, target, store)
        finish(target)
