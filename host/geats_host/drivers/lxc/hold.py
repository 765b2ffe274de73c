"""Containers are frozen for an operation by a script, which lets them go on: see ``held``."""

import os
from pathlib import Path

from geats_host.drivers import held
from geats_host.drivers.binding import Binding
from geats_host.drivers.held import HELD
from geats_host.drivers.lxc import process
from geats_host.drivers.lxc.definition import LOG
from geats_host.drivers.lxc.kernel import cgroups

SCRIPT = Path(__file__).parent / "scripts" / "hold_child.py"


def hold(binding: Binding, lxcpath: Path, name: str, timeout_s: float) -> None:
    """Freeze the container until ``let_go``, or until this process ends."""
    folder = lxcpath / name
    who = [str(lxcpath), name, str(folder / LOG), str(folder / HELD), str(os.getpid())]
    argv = [*binding.script(SCRIPT), *who, *cgroups.ways_out()]
    process.run("hold", argv, lxcpath, name, timeout_s)


def let_go(folder: Path) -> None:
    """From now on, if the container is frozen, that is by wish."""
    held.let_go(folder, SCRIPT)
