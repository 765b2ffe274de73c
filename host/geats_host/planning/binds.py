"""What VMs bind of the host, and what their configs include: it is there, and nobody exchanges it.

Theory of operation
-------------------
liblxc mounts by path, some time after geats looked at it. So it must not be enough that the path
leads where it may now: on the way to it there is no symbolic link below the directory of
``bind_sources``, and nobody but root may rename what the path goes through. Guests, which may write
in what they bind, then cannot lead the mount of another one astray.
"""

import os
import stat
from collections.abc import Collection, Iterable
from pathlib import Path

from geats_core.reading.checked import Problem
from geats_core.reading.paths import allowed_by, is_within
from geats_core.vm.spec import Bind, VMSpec


def problems(spec: VMSpec, allowed: Collection[str]) -> Iterable[Problem]:
    """What is wrong with the binds of *spec*, where only what is within *allowed* may be bound.

    And with its includes: who can write one has the rights of root.
    """
    for key, path in _read_by_liblxc(spec):
        try:
            why = unsafe(path)
        except OSError as error:
            why = f"{path!r} cannot be read: {error.strerror}"
        if why:
            yield Problem(key, why)
    for bind in spec.binds:
        try:
            why = _wrong_with(bind, allowed)
        except OSError as error:
            absent = bind.optional and isinstance(error, FileNotFoundError)
            why = "" if absent else f"{bind.source!r} cannot be bound: {error.strerror}"
        if why:
            yield Problem(f"binds.{bind.name}.source", why)


def _read_by_liblxc(spec: VMSpec) -> Iterable[tuple[str, str]]:
    """The files of the host that say what a container is, each with the key that names it."""
    yield from (("includes", path) for path in spec.includes or ())
    if spec.isolation.seccomp.startswith("/"):
        yield "seccomp", spec.isolation.seccomp


def unsafe(path: str) -> str:
    """Why the file, or the directory of files, is not root's alone; empty if it is."""
    if path.endswith("/") and not os.path.lexists(path):
        return ""  # as liblxc does with a directory that is not there
    real = Path(_real_path(path, 0))
    files = [real, *real.glob("*.conf")] if real.is_dir() else [real]
    for each in files:
        seen = each.stat()
        if seen.st_uid not in (0, os.geteuid()) or seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"{path!r} is not safe: others than root can write {str(each)!r}"
    for part in (real, *real.parents):
        if _is_exchangeable(part):
            return f"{path!r} is not safe: others than root can exchange {str(part)!r}"
    return ""


def _wrong_with(bind: Bind, allowed: Collection[str]) -> str:
    """Why the source of *bind* cannot be bound; empty if it can."""
    source = bind.source
    tops = [top for top in allowed if is_within(source, [top])]
    if not tops:
        return f"{source!r} {allowed_by('bind_sources', allowed)}"
    real = _real_path(source, 0 if bind.file else os.O_DIRECTORY)
    if bind.file and Path(real).is_dir():
        return f"{source!r} is a directory, and the bind is of a file"
    if real not in {os.path.realpath(top) + source.removeprefix(top) for top in tops}:
        return f"{source!r} leads to {real!r}: links below bind_sources are not followed"
    for part in (Path(real), *Path(real).parents):
        if _is_exchangeable(part):
            return f"{source!r} is not safe: others than root can exchange {str(part)!r}"
    return ""


def _real_path(source: str, kind: int) -> str:
    """Where the kernel arrives; what is no directory is none with the *kind* ``O_DIRECTORY``."""
    found = os.open(source, os.O_PATH | kind | os.O_CLOEXEC)
    try:
        return os.readlink(f"/proc/self/fd/{found}")
    finally:
        os.close(found)


def _is_exchangeable(path: Path) -> bool:
    """Whether others than root may put something else at *path*.

    If only owners may, as in ``/tmp``, that is up to the owner of *path*.
    """
    us = (0, os.geteuid())
    own, above = path.lstat(), path.parent.lstat()
    others_may_write = bool(above.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    if others_may_write and above.st_mode & stat.S_ISVTX:
        others_may_write = own.st_uid not in us
    return others_may_write or above.st_uid not in us
