"""Cuts of a pool's work: at the n-th thing that is asked of the host, before it or after it."""

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from geats_core.vm.observation import Stage
from geats_host.storage import Pool, VolumeId

ASKED = (
    *((os, name) for name in ("rename", "mkdir", "ftruncate", "unlink")),
    (subprocess, "run"),
    (fcntl, "ioctl"),
)


class Cut(BaseException):
    """The process ends here; nothing is caught, but descriptors are closed."""


@contextmanager
def cut_at(number: int, *, after: bool) -> Iterator[None]:
    """Raise ``Cut`` in place of, or right after, what is asked of the host as number *number*."""
    left = number

    def cutting(asked: Callable[..., object]) -> Callable[..., object]:
        def ask(*arguments: object, **keys: object) -> object:
            nonlocal left
            left -= 1
            if left == 0 and not after:
                raise Cut
            try:
                return asked(*arguments, **keys)
            finally:
                if left == 0:
                    raise Cut

        return ask

    with pytest.MonkeyPatch.context() as patch:
        for module, name in ASKED:
            patch.setattr(module, name, cutting(getattr(module, name)))
        yield


def converge(pool: Pool, volume: VolumeId, size_bytes: int) -> None:
    """What a plan would do to have *volume* in use, by what is observed."""
    if volume not in pool.observe():
        pool.allocate(volume, size_bytes)
    if pool.observe()[volume].stage < Stage.FORMATTED:
        pool.format(volume)
    if not pool.observe()[volume].active:
        pool.activate(volume)
    if (pool.observe()[volume].size_bytes or 0) < size_bytes:
        pool.grow(volume, size_bytes)
    seen = pool.observe()[volume]
    assert (seen.active, seen.size_bytes) == (True, size_bytes)


def cuts_of(work: Callable[[], None]) -> Iterator[int]:
    """Cut *work* at each place in turn, then not at all, and give the number of each place.

    The work is begun anew each time: whoever iterates brings the pool back to where it begins.
    """
    for after in (False, True):
        number, is_cut = 0, True
        while is_cut:
            number += 1
            try:
                with cut_at(number, after=after):
                    work()
                is_cut = False
            except Cut:
                pass
            yield number
        assert number > 1
