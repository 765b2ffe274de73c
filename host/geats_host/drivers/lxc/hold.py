"""Containers that are frozen for an operation: who lets them go on, and how that shows.

``LXCPATH/NAME/held`` is there meanwhile. It holds the pids of the process that froze the container,
which lets it go on (``hold_child``), and of the one that the operation is of. Where the latter
is gone, the former is about to do so.
"""

import os
import time
from pathlib import Path

from geats_host.drivers import vm_files
from geats_host.drivers.binding import Binding
from geats_host.drivers.lxc import cgroups, process
from geats_host.drivers.lxc.definition import HELD, LOG

SCRIPT = Path(__file__).parent / "scripts" / "hold_child.py"
LETTING_GO_S = 2.0


def hold(binding: Binding, lxcpath: Path, name: str, timeout_s: float) -> None:
    """Freeze the container until ``let_go``, or until this process ends."""
    folder = lxcpath / name
    who = [str(lxcpath), name, str(folder / LOG), str(folder / HELD), str(os.getpid())]
    argv = [*binding.script(SCRIPT), *who, *cgroups.ways_out()]
    process.run("hold", argv, lxcpath, name, timeout_s)


def let_go(folder: Path) -> None:
    """From now on, where the container is frozen, that is by wish."""
    pids = _pids(folder)
    (folder / HELD).unlink(missing_ok=True)
    if pids is not None:
        process.terminate(pids[0], SCRIPT, LETTING_GO_S)


def is_held(folder: Path) -> bool:
    """Whether the container, which is frozen, is so for an operation; one just cut is waited for.

    Otherwise it would be let go on between a look at it and whatever comes of that.
    """
    deadline = time.monotonic() + LETTING_GO_S
    while (pids := _pids(folder)) and time.monotonic() < deadline:
        holder, caller = pids
        if process.is_alive(caller) or not process.is_alive(holder):
            break
        time.sleep(0.01)
    return bool(pids)


def _pids(folder: Path) -> tuple[int, int] | None:
    text = vm_files.read(folder, HELD)
    if text is None:
        return None
    pids = [int(word) for word in text.split() if word.isdigit()]
    return (pids[0], pids[1]) if len(pids) == 2 else (0, 0)
