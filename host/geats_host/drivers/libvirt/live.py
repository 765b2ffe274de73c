"""Sockets over which a VM moves to another host: a directory for each VM, on both hosts alike.

Theory of operation
-------------------
The sending host has sockets in it that lead to the receiving one, by ssh: to the daemon there, and
to the sockets in the directory there on which QEMU expects memory and disks. So no port is opened,
neither host needs to log in to the other for libvirt, and all is encrypted. The path of a socket is
the same on both hosts, as libvirt has one address for both.
"""

import os
import shutil
from hashlib import sha256
from pathlib import Path

from geats_host.drivers.libvirt.daemon import Daemon

RUN = Path("/run/libvirt")
DAEMONS = ("virtqemud-sock", "libvirt-sock")
DAEMON, MEMORY, DISKS = "daemon", "memory", "disks"
SYSTEM = "qemu:///system"


def room_of(name: str) -> Path:
    """The directory of a VM; the path of a socket must be short, however long the name is."""
    return RUN / f"geats-{sha256(name.encode()).hexdigest()[:16]}"


def make_room(daemon: Daemon, name: str) -> Path:
    """Make the directory anew, for the user that QEMU is run as."""
    remove_room(name)
    room = room_of(name)
    user, group = _owner(daemon)
    room.mkdir(mode=0o700)
    os.chown(room, user, group)
    return room


def remove_room(name: str) -> None:
    """Remove the directory, with what is in it."""
    shutil.rmtree(room_of(name), ignore_errors=True)


def sockets(room: Path) -> dict[str, str]:
    """Each path on the sending host, and to which on this one it leads."""
    daemon = next((RUN / each for each in DAEMONS if (RUN / each).exists()), RUN / DAEMONS[-1])
    same = {f"{room / each}": f"{room / each}" for each in (MEMORY, DISKS)}
    return {f"{room / DAEMON}": f"{daemon}", **same}


def _owner(daemon: Daemon) -> tuple[int, int]:
    """Whom libvirt runs QEMU as, such as +64055:+994; root if it does not say."""
    label = f"{daemon.ask('user', None, kind=daemon.options.kind)['label']}"
    user, _, group = label.replace("+", "").partition(":")
    return (int(user), int(group)) if user.isdigit() and group.isdigit() else (0, 0)
