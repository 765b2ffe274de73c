"""What is left of containers that are not there: folders without a definition, and interfaces."""

import os
import stat
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

from geats_core.planning.plugin_facts import Leftover
from geats_host.drivers import vm_files
from geats_host.drivers.lock_marks import LOCKED
from geats_host.drivers.lxc.definition import CONFIG, OURS, PROFILES, ROOTFS
from geats_host.leftovers import Left

MODE = 0o700  # of a folder that geats made


def folders(lxcpath: Path, off: Collection[str]) -> Iterator[Left]:
    """Folders of containers that are *off*, without a definition, and with nothing but our files.

    What is locked has one that was lost.
    """
    for name in sorted(off):
        folder = lxcpath / name
        if _is_left(folder):
            yield Left(
                kind=Leftover.FOLDER,
                name=f"{folder}",
                reason="what defined a container in it, or removed it, was interrupted",
                remove=partial(_remove, folder),
                vm=name,
            )


def _is_left(folder: Path) -> bool:
    try:
        there, seen = set(os.listdir(folder)), folder.lstat()
    except OSError:
        return False
    made = stat.S_IMODE(seen.st_mode) == MODE and seen.st_uid == os.geteuid()
    return made and there.isdisjoint([CONFIG, LOCKED]) and there.issubset([*OURS, PROFILES])


def _remove(folder: Path) -> None:
    with vm_files.host_errors(f"cannot remove {folder}"):
        vm_files.remove_folder(folder, OURS, ROOTFS, PROFILES)
