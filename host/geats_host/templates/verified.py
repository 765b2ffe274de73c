"""Templates that were found sound: their files are read whole once, and not by every process.

Theory of operation
-------------------
``verified/ID.json`` in the store says what the files of one template, as it is declared, were like
when they were read: device, inode, size and both times of each. It also has the key of their
content, and what an image says of the program in it. If anything of that differs, or geats or a
program that reads archives was replaced since, they are read again.

The clock of a filesystem ticks: a file that is changed twice within a tick looks the same. So only
files are remembered that were left alone since shortly before this process began to read. Whatever
only looks writes nothing here; that is done when a template is put on a volume.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import assert_never

from geats_core.containers.programs import WhatRuns, read_from_image, what_runs_to_plain
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
)
from geats_core.reading import file_formats
from geats_host.errors import HostError
from geats_host.templates import sources
from geats_host.templates.digests import Touched, identity_of, touched
from geats_host.templates.store import Store, record_name
from geats_host.templates.stored_layers import kept

TICK_NS = 2 * 10**9  # the longest that a clock of a filesystem takes, that of FAT
BEGAN_NS = time.time_ns()  # before this process read any
PROGRAMS = ("tar", "gzip", "xz", "zstd", "unsquashfs", "qemu-img")


def file_of(template: Template, store: Store) -> Path:
    """Where it is remembered; another checksum, for example, makes another declaration."""
    name = record_name(repr((template.source, template.overlays)))
    return store.root / "verified" / f"{name}.json"


def known_key(template: Template, store: Store) -> str | None:
    """The key of a template that was found sound; None if it was not, or was touched since."""
    match _known(template, store):
        case {"key": str(key)}:
            return key
        case _:
            return None


def known_program(template: Template, store: Store) -> WhatRuns | None:
    """What the image of a template that was found sound says of its program; None as above."""
    said = _known(template, store).get("program")
    return read_from_image(f"{file_of(template, store)}", said).value_or(None)


def _known(template: Template, store: Store) -> Mapping[object, object]:
    try:
        raw = json.loads(file_of(template, store).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    match raw:
        case {file_formats.FORMAT: file_formats.VERIFIED, "seen": str(seen), **known}:
            return known if seen == _words(files_now(template, store)) else {}
        case _:
            return {}


def files_now(template: Template, store: Store) -> tuple[Touched, ...]:
    """What each file of a template is like; none if one is missing."""
    try:
        return tuple(map(touched, _paths(template, store)))
    except (HostError, OSError):
        return ()


def remember(
    template: Template,
    store: Store,
    key: str,
    read: tuple[Touched, ...],
    program: WhatRuns | None = None,
) -> None:
    """Remember that it is sound, if its files are still what they were when they were *read*."""
    newest_ns = max((each.last_ns for each in read), default=BEGAN_NS)
    if newest_ns > BEGAN_NS - TICK_NS or read != files_now(template, store):
        return
    found = {file_formats.FORMAT: file_formats.VERIFIED, "seen": _words(read), "key": key}
    more = {} if program is None else {"program": what_runs_to_plain(program)}
    with suppress(HostError, OSError), store.scratch() as scratch:  # a full disk: it is read again
        new = scratch / "verified"
        new.write_text(json.dumps({**found, **more}))
        new.rename(file_of(template, store))


def _words(read: tuple[Touched, ...]) -> str:
    """What the files are like, and what reads them."""
    return hashlib.sha256(repr((read, _readers(os.environ.get("PATH")))).encode()).hexdigest()


@lru_cache(maxsize=8)
def _readers(search: str | None) -> str:
    """The programs that are found along that path, and geats: as they are when it is first asked.

    This process reads nothing with those that replace them: it remembers what it has found.
    """
    programs = [shutil.which(name, path=search) for name in PROGRAMS]
    return repr([(path, identity_of(os.stat(path))) for path in (*programs, __file__) if path])


def _paths(template: Template, store: Store) -> Iterator[str]:
    """Of all that its content is read from; raises ``HostError`` if that is not there yet."""
    yield from _paths_of(template.source, store)
    for overlay in template.overlays:
        yield overlay.path


def _paths_of(source: Source, store: Store) -> Iterator[str]:
    match source:
        case Files(path=path) | OciImage(path=path) | DiskFile(path=path):
            yield path
        case LxdImage(path=path, rootfs=rootfs) | LxdDisk(path=path, rootfs=str(rootfs)):
            yield from filter(None, (path, rootfs))
        case Empty():
            pass
        case Simplestreams() | Build() | DiskDownload() | LxdDisk():
            record = sources.record_of(source)
            found = None if record is None else kept(store, record)
            if found is None:
                raise HostError("is not imported yet")
            yield f"{store.blob(found[1])}"
        case _:
            assert_never(source)
