"""Drivers, storage plugins and registries: found by name among the entry points, and opened."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.metadata import EntryPoint, distributions, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn, TypeAlias

from geats_core.declared.config import HostConfig, StackLayer
from geats_core.planning.availability import DRIVERS, POOLS
from geats_core.reading.checked import unknown
from geats_core.reading.mappings import Raw
from geats_host.drivers import Driver
from geats_host.errors import Refused
from geats_host.plugins.opened import Opened
from geats_host.registry import Registry
from geats_host.storage import Offer, Pool

ABOUT_BELOW = "on: "  # how a problem of a plugin begins that cannot stand on what is below
DEFAULT_DRIVERS: Mapping[str, Raw] = {"lxc": {}}
NOTHING: Mapping[str, str] = MappingProxyType({})
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


def pools_of(config: HostConfig) -> Mapping[str, StackLayer]:
    """The pools of a host, as they are configured; one where none is."""
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
    options: Mapping[str, Raw], state_dir: Path, wrong: Mapping[str, str] = NOTHING
) -> Opened[Driver]:
    """The drivers by name, each with its options; opened when they are needed."""
    refused = wrong_of(DRIVERS, wrong)
    options = options or ({} if refused else DEFAULT_DRIVERS)
    openers: dict[str, Callable[[], Driver]] = {
        name: partial(_open_driver, name, given, state_dir) for name, given in options.items()
    }
    return Opened(
        "driver", openers | {name: partial(_refuse, why) for name, why in refused.items()}
    )


def _refuse(why: str) -> NoReturn:
    raise Refused(why)


def _open_driver(name: str, options: Raw, state_dir: Path) -> Driver:
    return driver_plugin(f"geats.drivers.{name}", name)(options, state_dir)


def open_pools(
    layers: Mapping[str, StackLayer], wrong: Mapping[str, str] = NOTHING
) -> Opened[Pool]:
    """The pools by name; opened when they are needed."""
    refused = wrong_of(POOLS, wrong)
    openers: dict[str, Callable[[], Pool]] = {
        name: partial(_open_pool, f"geats.pools.{name}", layer) for name, layer in layers.items()
    }
    return Opened("pool", openers | {name: partial(_refuse, why) for name, why in refused.items()})


def _open_pool(path: str, layer: StackLayer) -> Pool:
    """Open a stack from the bottom up."""
    below = _open_pool(f"{path}.on", layer.on) if layer.on else None
    open_pool = storage_plugin(f"{path}.type", layer.type)
    try:
        return open_pool(layer.options, below)
    except Refused as refused:
        raise Refused(*(_located(path, layer, below, each) for each in refused.problems)) from None


def _located(path: str, layer: StackLayer, below: Pool | None, problem: str) -> str:
    """A problem of one layer, with its place in the stack; and what the layer below offers."""
    if below is None or layer.on is None or not problem.startswith(ABOUT_BELOW):
        return f"{path}.{problem}"
    offer = below.offers if below.offers is Offer.NOTHING else f"a {below.offers}"
    message = problem.removeprefix(ABOUT_BELOW)
    return f"{path}.on.type: {message}, and {layer.on.type} offers {offer}"


def _entry_point(group: str, kind: str, path: str, name: str) -> EntryPoint:
    """Our own come first, as to find others every package that is installed must be read."""
    group = f"geats.{group}"
    for each in _own():
        if (each.group, each.name) == (group, name):
            return each
    found: Mapping[str, EntryPoint] = {each.name: each for each in entry_points(group=group)}
    if name not in found:
        raise Refused(unknown(path, kind, name, found))
    return found[name]


@cache
def _own() -> tuple[EntryPoint, ...]:
    return tuple(each for ours in distributions(name="geats") for each in ours.entry_points)
