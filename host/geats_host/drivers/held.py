"""VMs that are frozen for an operation: who lets them go on, and how that shows.

The file ``held`` is there meanwhile, beside the definition. It contains the pids of the process
that lets the VM go on, which is a script of the driver, and of the one that the operation is of. If
the latter is gone, the former is about to do so.
"""

import time
from pathlib import Path

from geats_host.drivers import vm_files
from geats_host.linux import processes

HELD = "held"
LETTING_GO_S = 2.0


def let_go(folder: Path, script: Path) -> None:
    """From now on, if the VM is frozen, that is by wish; *script* is what would let it go on."""
    pids = _pids(folder)
    (folder / HELD).unlink(missing_ok=True)
    if pids is not None:
        processes.terminate(pids[0], script, LETTING_GO_S)


def is_held(folder: Path) -> bool:
    """Whether the VM, which is frozen, is so for an operation; one just cut is waited for.

    Otherwise it could be resumed between a look at it and what is done next.
    """
    deadline = time.monotonic() + LETTING_GO_S
    while (pids := _pids(folder)) and time.monotonic() < deadline:
        holder, caller = pids
        if processes.is_alive(caller) or not processes.is_alive(holder):
            break
        time.sleep(0.01)
    return bool(pids)


def _pids(folder: Path) -> tuple[int, int] | None:
    text = vm_files.read(folder, HELD)
    if text is None:
        return None
    pids = [int(word) for word in text.split() if word.isdigit()]
    return (pids[0], pids[1]) if len(pids) == 2 else (0, 0)
