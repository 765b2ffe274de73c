"""All of geats, loaded: what is forked then does its own work only, and none of loading modules."""

import importlib
import os
import pkgutil
import select

import geats_core
import geats_host

SCRIPTS = ("geats_host.drivers.lxc.scripts", "geats_host.drivers.libvirt.scripts")
NEVER = ("geats_host.for_salt", "geats_host.cli.__main__", *SCRIPTS)


def load_all() -> None:
    """Load every module, but for those that only Salt has, or another Python runs."""
    for package in (geats_core, geats_host):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith(NEVER):
                importlib.import_module(module.name)


def ends_within(pid: int, timeout_s: float) -> bool:
    """Whether a child ends in time; it is still there to be asked for its exit code."""
    ended = os.pidfd_open(pid)
    try:
        return bool(select.select([ended], [], [], timeout_s)[0])
    finally:
        os.close(ended)
