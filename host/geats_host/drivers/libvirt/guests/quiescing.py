"""Filesystems of a guest at rest: written out and frozen by its agent, while it is held.

The file ``quiesced`` is there from before they are frozen until they are known to go on. So whoever
lets the VM go on lets them as well, also if an earlier try to do so was interrupted.
"""

from contextlib import suppress
from pathlib import Path

from geats_host.drivers import vm_files
from geats_host.drivers.libvirt.guests.agent import Asks
from geats_host.errors import HostError

QUIESCED = "quiesced"
ANSWERS_S, FREEZES_S, THAWS_S = 5.0, 30.0, 10.0  # a guest may have much to write out
TRIES = 3
THAW = "guest-fsfreeze-thaw"
UNASKED = "its filesystems are as after a power cut, since it was not asked to write them out"
STILL = "it goes on, but its filesystems may still be frozen: thaw them, or power it off"


def quiesce(folder: Path, asks: Asks) -> None:
    """Put the filesystems to rest; ``HostError`` if the guest does not do it."""
    if asks("guest-fsfreeze-status", {}, ANSWERS_S) == "frozen":
        return  # by another program, or by a hold that was interrupted
    with vm_files.host_errors("cannot note that filesystems are at rest"):
        vm_files.write_atomically(folder, QUIESCED, "")
    asks("guest-fsfreeze-freeze", {}, FREEZES_S)


def is_quiesced(folder: Path) -> bool:
    """Whether they may be at rest."""
    return (folder / QUIESCED).exists()


def thaw(folder: Path, asks: Asks) -> None:
    """Let the filesystems go on; ``HostError`` if the guest does not do it."""
    for _ in range(TRIES - 1):
        with suppress(HostError):
            asks(THAW, {}, THAWS_S)
            break
    else:
        asks(THAW, {}, THAWS_S)
    forget(folder)


def forget(folder: Path) -> None:
    """They go on, for example because the guest was started again."""
    (folder / QUIESCED).unlink(missing_ok=True)
