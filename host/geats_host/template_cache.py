"""Unpacked templates: each is unpacked once in a pool that can clone, and then cloned.

A template is kept as a volume of ``TEMPLATES``, named by what it is made from, so that another
archive never stands in for it. It is filled under a lock that ends with its process, and marked as
installed only when it is whole: after a crash it is filled again.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from geats_core.config import Template
from geats_core.observation import Stage, VolumeSeen
from geats_host.errors import HostError
from geats_host.storage import TEMPLATES, Offer, Pool, VolumeId

KEY_LENGTH = 40  # hexadecimal digits: 160 bits, and short enough for the name of a volume


def unpacked(
    pool: Pool, template: Template, fill: Callable[[Path], None], run_dir: Path
) -> VolumeId:
    """The volume of *pool* that holds *template*; where there is none yet, *fill* makes it."""
    volume = VolumeId(TEMPLATES, key_of(template))
    with _lock(run_dir, volume):
        seen = pool.observe().get(volume)
        if seen is not None and seen.stage is Stage.INSTALLED:
            return volume
        pool.allocate(volume, None)
        pool.format(volume)
        pool.activate(volume)
        started = replace(_seen(pool, volume), stage=Stage.FILLING)
        pool.mark(volume, started)
        if pool.offers is not Offer.NOTHING:
            fill(pool.path(volume))
        pool.mark(volume, replace(started, stage=Stage.INSTALLED, template=template.name))
    return volume


def key_of(template: Template) -> str:
    """Names the content of *template*: the sha256 of those of all that it is made from."""
    digest = hashlib.sha256()
    for path in (template.path, template.overlay):
        digest.update(b"-" if path is None else _sha256_of(path).encode())
    return digest.hexdigest()[:KEY_LENGTH]


def _sha256_of(path: str) -> str:
    try:
        found = os.stat(path)
        identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        return _sha256_of_file(path, identity)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from None


@lru_cache(maxsize=64)
def _sha256_of_file(path: str, identity: tuple[int, ...]) -> str:
    """*identity* changes with the file, so that what is cached is never stale."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seen(pool: Pool, volume: VolumeId) -> VolumeSeen:
    seen = pool.observe().get(volume)
    if seen is None:
        raise HostError(f"{pool.path(volume)}: was destroyed while it was filled")
    return seen


@contextmanager
def _lock(run_dir: Path, volume: VolumeId) -> Iterator[None]:
    """Wait until nobody else fills the volume."""
    directory = run_dir / "templates"
    try:
        run_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(directory / volume.volume, flags, 0o600)
    except OSError as error:
        raise HostError(f"{directory / volume.volume}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
