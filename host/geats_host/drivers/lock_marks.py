"""Which VMs are protected from deletion: a file of each VM says it, beside the registry's note.

It is a file of its own, so that no hand edits it together with a definition.
"""

import os
from pathlib import Path

from geats_host.drivers import vm_files

LOCKED = "geats.locked"
TEXT = "geats protects this VM from deletion, until: geats unlock\n"


def is_locked(folder: Path) -> bool:
    """Whether the VM with that folder is marked."""
    return os.path.lexists(folder / LOCKED)


def set_locked(folder: Path, *, locked: bool) -> None:
    """Write the mark, durably, or remove it; a VM without a folder has none."""
    if locked and folder.is_dir():
        vm_files.write_atomically(folder, LOCKED, TEXT)
    elif is_locked(folder):
        vm_files.remove_files(folder, (LOCKED,))
