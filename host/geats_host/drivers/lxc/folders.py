"""The directories of containers, each below the lxcpath and with the name of its container."""

import os
from collections.abc import Iterator
from pathlib import Path

from geats_core.reading import fields
from geats_core.reading.fields import printable
from geats_host.drivers import vm_files
from geats_host.drivers.lxc.options import Options
from geats_host.errors import HostError

CONFIG = "config"


def make_lxcpath(options: Options) -> None:
    """Make the directory of all containers, or make it root's if it exists."""
    _check_link(options)
    with vm_files.host_errors(f"cannot make {options.path}"):
        vm_files.make_folder(options.path.resolve(), 0o711)


def _check_link(options: Options) -> None:
    """The lxcpath may be a link, but one that leads nowhere is a disk that is not mounted."""
    if options.path.is_symlink() and not options.path.exists():
        raise HostError(f"{options.path} is a link that leads nowhere: mount what it is on")


def names(options: Options) -> Iterator[str]:
    """The names of all directories that can be those of VMs."""
    return filter(fields.VM_NAME.fullmatch, _folders(options))


def _folders(options: Options) -> Iterator[str]:
    _check_link(options)
    if not options.path.exists():  # nothing was defined yet
        return
    with os.scandir(options.path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield entry.name


def strange_names(options: Options) -> dict[str, str]:
    """The names of the containers that no VM can be called; by what can be shown of them."""
    return {
        printable(name): name
        for name in sorted(_folders(options))
        if not fields.VM_NAME.fullmatch(name) and os.path.lexists(options.path / name / CONFIG)
    }


def folder_of(options: Options, name: str) -> Path:
    """The container's directory; every name that comes in is checked here."""
    if not fields.VM_NAME.fullmatch(name):
        raise HostError(f"{name!r} cannot be the name of a container")
    return options.path / name


def any_folder_of(options: Options, name: str) -> Path:
    """The same, also of a container that no VM can be called: only to read it, or to adopt."""
    strange = None if fields.VM_NAME.fullmatch(name) else strange_names(options).get(name)
    return folder_of(options, name) if strange is None else options.path / strange
