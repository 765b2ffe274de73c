"""Which init a guest runs, among those that liblxc does not send the right signal by itself.

To an init that blocks SIGRTMIN+3 liblxc sends that, and to any other SIGPWR: right for systemd,
busybox and sysvinit. But openrc-init blocks all that it does not know, and the others here know
no SIGPWR. So these are looked for: the program that runs, then what ``/sbin/init`` leads to.
"""

import os
from pathlib import PurePath

from geats_core.vm.spec import Init
from geats_host.guest_trees.guest_files import openat2
from geats_host.linux.descriptors import closing

PROGRAMS = {
    "openrc-init": Init.OPENRC,
    "runit": Init.RUNIT,
    "runit-init": Init.RUNIT,
    "s6-svscan": Init.S6,
    "s6-linux-init": Init.S6,
    "procd": Init.PROCD,
}


def found(pid: int) -> Init | None:
    """The init with that pid on the host; None for any other, and if it cannot be seen."""
    try:
        running = PROGRAMS.get(PurePath(os.readlink(f"/proc/{pid}/exe")).name)
        return running or PROGRAMS.get(_linked(pid))
    except OSError:  # it ends just now, or has no such file
        return None


def _linked(pid: int) -> str:
    """The name of what ``/sbin/init`` of the guest leads to, within the guest."""
    with (
        closing(os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY)) as root,
        closing(openat2(root, "sbin/init", os.O_PATH)) as init,
    ):
        return PurePath(os.readlink(f"/proc/self/fd/{init}")).name
