"""Drivers, storage plugins and registries: found by name among the entry points, and opened."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from geats_core.declared.config import HostConfig, Plugin, StackLayer
from geats_core.reading.checked import unknown, within
from geats_core.reading.mappings import Raw
from geats_core.vm.unseen import DRIVERS, POOLS
from geats_host.drivers import Driver
from geats_host.errors import Refused
from geats_host.lazy import later
from geats_host.locks import Locks
from geats_host.plugins.installed import entry_points, load, own_entry_points
from geats_host.plugins.opened import Opened, guarded
from geats_host.plugins.strangers import lacking, watched
from geats_host.registry import Registry
from geats_host.storage import Offer, Pool

if TYPE_CHECKING:
    from geats_host.storage import owners
    from geats_host.storage import shared as shared_pools
else:
    owners = later("geats_host.storage.owners")
    shared_pools = later("geats_host.storage.shared")

HOST = "owner.json"  # in the directory of the host's state: who it is in shared pools
NOWHERE = Path("/nonexistent")
ABOUT_BELOW = "on: "  # how a problem of a plugin begins that cannot be on the pool below
DEFAULT_DRIVERS: Mapping[str, Plugin] = {"lxc": Plugin(type="lxc")}
OURS = "geats_host"
REGISTRY = "geats.registry"
LOCK = "geats.lock"
NOTHING: Mapping[str, str] = MappingProxyType({})
OpenDriver: TypeAlias = Callable[[Raw, Path], Driver]
OpenPool: TypeAlias = Callable[[Raw, Pool | None], Pool]
OpenRegistry: TypeAlias = Callable[[Raw, Path], Registry]
OpenLocks: TypeAlias = Callable[[Raw, Path], Locks]
T = TypeVar("T")


def driver_plugin(path: str, name: str) -> OpenDriver:
    """The driver *name*; *path* is where the configuration names it."""
    opener: OpenDriver = _loaded("drivers", "driver", path, name)
    return opener


def storage_plugin(path: str, name: str) -> OpenPool:
    """The storage plugin *name*; *path* is where the configuration names it."""
    opener: OpenPool = _loaded("storage", "storage plugin", path, name)
    return opener


def registry_plugin(path: str, name: str) -> OpenRegistry:
    """The registry *name*; *path* is where the configuration names it."""
    opener: OpenRegistry = _loaded("registry", "registry", path, name)
    return opener


def open_registry(plugin: Plugin, state_dir: Path) -> Registry:
    """The registry that is configured; ``HostError`` if its plugin fails."""
    who = f"registry {plugin.type}"
    with guarded(who):
        opener = registry_plugin(REGISTRY, plugin.type)
    with guarded(who), _located(REGISTRY):
        return _proven(opener(plugin.options, state_dir), Registry, opener, who)


def lock_plugin(path: str, name: str) -> OpenLocks:
    """The locks *name*; *path* is where the configuration names them."""
    opener: OpenLocks = _loaded("locks", "lock", path, name)
    return opener


def open_locks(plugin: Plugin, run_dir: Path) -> Locks:
    """The locks that are configured; ``HostError`` if their plugin fails."""
    who = f"lock {plugin.type}"
    with guarded(who):
        opener = lock_plugin(LOCK, plugin.type)
    with guarded(who), _located(LOCK):
        return _proven(opener(plugin.options, run_dir), Locks, opener, who)


def _proven(plugin: T, protocol: type, opener: Callable[..., T], who: str) -> T:
    """*plugin*, which its *opener* gave, if it has all that it should have."""
    if opener.__module__.partition(".")[0] == OURS:
        return plugin
    if missing := lacking(plugin, protocol):
        given = type(plugin).__name__
        raise TypeError(f"{opener.__name__} gave a {given}, which has no {', '.join(missing)}")
    return watched(plugin, who)


@contextmanager
def _located(path: str) -> Iterator[None]:
    """What is wrong with options gets the *path* to them."""
    try:
        yield
    except Refused as refused:
        raise Refused(*within(path, refused.found)) from None


def pools_of(config: HostConfig) -> Mapping[str, StackLayer]:
    """The pools of a host, as they are configured; one if none is."""
    if config.pools or POOLS in config.wrong or wrong_of(POOLS, config.wrong):
        return config.pools
    return default_pools(Path(config.state_dir))


def default_pools(state_dir: Path) -> Mapping[str, StackLayer]:
    """The pools of a host that is configured to have none."""
    path = str(state_dir / "volumes")
    return {"default": StackLayer(type="directory", options={"path": path})}


def wrong_of(kind: str, wrong: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with entries of one *kind*, by name: see ``HostConfig.wrong``."""
    top = f"{kind}."
    return {name.removeprefix(top): why for name, why in wrong.items() if name.startswith(top)}


def open_drivers(
    plugins: Mapping[str, Plugin], state_dir: Path, wrong: Mapping[str, str] = NOTHING
) -> Opened[Driver]:
    """The drivers by name, each with its options; opened when they are needed."""
    refused = wrong_of(DRIVERS, wrong)
    plugins = plugins or ({} if refused else DEFAULT_DRIVERS)
    openers: dict[str, Callable[[], Driver]] = {
        name: partial(_open_driver, name, plugin, state_dir) for name, plugin in plugins.items()
    }
    return Opened(
        "driver", openers | {name: partial(_refuse, why) for name, why in refused.items()}
    )


def _refuse(why: str) -> NoReturn:
    raise Refused(why)


def _open_driver(name: str, plugin: Plugin, state_dir: Path) -> Driver:
    """One that is named after its type has the directory of the host, any other one of its own."""
    own_dir = state_dir if name == plugin.type else state_dir / DRIVERS / name
    path = f"geats.drivers.{name}"
    opener = driver_plugin(path if name == plugin.type else f"{path}.type", plugin.type)
    with _located(path):
        return _proven(opener(plugin.options, own_dir), Driver, opener, f"driver {name}")


def open_pools(
    layers: Mapping[str, StackLayer],
    wrong: Mapping[str, str] = NOTHING,
    state_dir: Path = NOWHERE,
    records: Callable[[str], bool] = lambda _: False,
) -> Opened[Pool]:
    """The pools by name; opened when they are needed.

    In those that are shared, this host is who *state_dir* says, and has the VMs that it *records*.
    """
    refused = wrong_of(POOLS, wrong)
    openers: dict[str, Callable[[], Pool]] = {
        name: partial(_open_whole, f"geats.pools.{name}", layer, state_dir, records)
        for name, layer in layers.items()
    }
    return Opened("pool", openers | {name: partial(_refuse, why) for name, why in refused.items()})


def _open_whole(
    path: str, layer: StackLayer, state_dir: Path, records: Callable[[str], bool]
) -> Pool:
    """Open a stack; of one that is shared, only what is of this host."""
    pool, lowest = _open_stack(path, layer)
    if layer.shared is None:
        return pool
    us = owners.Us(layer.shared.host or os.uname().nodename, state_dir / HOST)
    with _located(path):
        return shared_pools.shared(pool, lowest, us, records)


def _open_stack(path: str, layer: StackLayer) -> tuple[Pool, Pool]:
    """Open a stack from the bottom up: the whole, and its lowest pool."""
    below, lowest = _open_stack(f"{path}.on", layer.on) if layer.on else (None, None)
    open_pool = storage_plugin(f"{path}.type", layer.type)
    try:
        pool = open_pool(layer.options, below)
    except Refused as refused:
        raise Refused(*(_in_stack(path, layer, below, e) for e in refused.problems)) from None
    pool = _proven(pool, Pool, open_pool, path.replace("geats.pools.", "pool ", 1))
    return pool, lowest or pool


def _in_stack(path: str, layer: StackLayer, below: Pool | None, problem: str) -> str:
    """A problem of one layer, with its place in the stack; and what the layer below offers."""
    if below is None or layer.on is None or not problem.startswith(ABOUT_BELOW):
        return f"{path}.{problem}"
    offer = below.offers if below.offers is Offer.NOTHING else f"a {below.offers}"
    message = problem.removeprefix(ABOUT_BELOW)
    return f"{path}.on.type: {message}, and {layer.on.type} offers {offer}"


def _loaded(group: str, kind: str, path: str, name: str) -> Any:
    """What opens the plugin *name*; our own come first."""
    group = f"geats.{group}"
    found = own_entry_points(group)
    if name not in found:
        found = entry_points(group)
    if name not in found:
        raise Refused(unknown(path, kind, name, found))
    return load(found[name])
