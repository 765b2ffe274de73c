"""Drivers, storage plugins and registries, found by name among the installed entry points."""

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TypeAlias

from geats_core.checked import unknown
from geats_core.config import Raw
from geats_host.drivers import Driver
from geats_host.errors import Refused
from geats_host.registry import Registry
from geats_host.storage import Pool

OpenDriver: TypeAlias = Callable[[Raw, Path], Driver]
OpenPool: TypeAlias = Callable[[Raw, Pool | None], Pool]
OpenRegistry: TypeAlias = Callable[[Path], Registry]


def driver_plugin(path: str, name: str) -> OpenDriver:
    """The driver *name*; *path* is where the configuration names it."""
    opener: OpenDriver = _entry_point("drivers", "driver", path, name).load()
    return opener


def storage_plugin(path: str, name: str) -> OpenPool:
    """The storage plugin *name*; *path* is where the configuration names it."""
    opener: OpenPool = _entry_point("storage", "storage plugin", path, name).load()
    return opener


def registry_plugin(path: str, name: str) -> OpenRegistry:
    """The registry *name*; *path* is where the configuration names it."""
    opener: OpenRegistry = _entry_point("registry", "registry", path, name).load()
    return opener


def _entry_point(group: str, kind: str, path: str, name: str) -> EntryPoint:
    found: Mapping[str, EntryPoint] = {
        entry.name: entry for entry in entry_points(group=f"geats.{group}")
    }
    if name not in found:
        raise Refused(unknown(path, kind, name, found))
    return found[name]
