"""The options that say where a pool is on the host, and what must be mounted there.

A pool on NFS, or on a disk of its own, is for a while only an empty directory on another
filesystem: before it is mounted. Whoever says what should be there is safe from volumes that are
made beside the true ones::

    geats:
      pools:
        default:
          type: directory
          path: /srv/nfs/geats
          mount_point: /srv/nfs
          mount_type: nfs4
"""

import os
from pathlib import Path

from geats_core.reading.checked import Problem
from geats_core.reading.fields import Parser, Reader, absolute_path, text
from geats_host.linux.mounts import fstype_of, mounts

NOWHERE = "/"


def pool_path(read: Reader, parse: Parser[str] = absolute_path) -> str:
    """The option ``path``, which is needed, checked by *parse*.

    ``mount_point``, if given, must be mounted, and ``path`` must be on it; ``mount_type`` must be
    the type of the filesystem that ``path`` is on.
    """
    path = read.need("path", parse, NOWHERE)
    point = read.take("mount_point", absolute_path, "")
    fstype = read.take("mount_type", text, "")
    if not read.problems:
        read.problems += _not_as_said(Path(path), point, fstype)
    return path


def existing(path: Path) -> Path:
    """The directory that *path* is, or would be made in."""
    return next(each for each in (path, *path.parents) if each.exists())


def _not_as_said(path: Path, point: str, fstype: str) -> list[Problem]:
    found: list[Problem] = []
    top, there = os.path.realpath(point), existing(path)
    if point and top not in {mount.point for mount in mounts()}:
        found.append(Problem("mount_point", f"nothing is mounted there: {point!r}"))
    elif point and not Path(os.path.realpath(path)).is_relative_to(top):
        found.append(Problem("path", f"must be on the mount point {point!r}: {str(path)!r}"))
    if fstype and fstype_of(there) != fstype:
        why = f"must be on {fstype}, and {str(there)!r} is on {fstype_of(there)}: {str(path)!r}"
        found.append(Problem("path", why))
    return found
