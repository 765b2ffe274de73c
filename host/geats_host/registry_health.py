"""The registry of a host, looked at before all else: can it be relied on, and what is to do."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from returns.result import Failure

from geats_core.config import HostConfig, parse_config
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.plugins import registry_plugin
from geats_host.registry import Registry
from geats_host.registry.sqlite import SqliteRegistry, file_in

RESTORE = "restore a backup with geats registry restore FILE; without one, see docs/upgrade.md"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, and what to do; ``stops`` tells whether anything is kept from its work."""

    found: str
    fix: str
    stops: bool = True


def troubles(raw: object) -> tuple[Trouble, ...]:
    """All that is wrong with the registry that *raw* configures; nothing where *raw* is wrong."""
    match parse_config(raw):
        case Failure():
            return ()
        case checked:
            config = checked.unwrap()
    try:
        registry = registry_plugin("geats.registry", config.registry)(Path(config.state_dir))
        return tuple(_of_registry(registry)) or tuple(_lost(raw, registry))
    except Refused:  # there is no such plugin: the configuration is told of that
        return ()
    except HostError as error:
        return (Trouble(f"{error}", f"nothing is changed until it can be read: {RESTORE}"),)


def unchecked(config: HostConfig) -> Registry:
    """The registry, also one that cannot be read: to bring it back."""
    if config.registry == "sqlite":
        return SqliteRegistry(file_in(Path(config.state_dir)))
    return registry_plugin("geats.registry", config.registry)(Path(config.state_dir))


def _of_registry(registry: Registry) -> Iterator[Trouble]:
    yield from (Trouble(f"is damaged: {each}", RESTORE) for each in registry.problems())
    for name, why in registry.unreadable().items():
        fix = f"install the geats that wrote it, or {RESTORE}, or: geats define {name}"
        yield Trouble(f"the definition of {name} cannot be read: {why}", fix)
    upgrade = registry.outdated()
    if upgrade is not None:
        found = f"is of schema {upgrade.found}, and this geats writes {upgrade.wanted}"
        fix = "the next plan that writes to it upgrades it, and keeps a copy"
        yield Trouble(found, fix, stops=False)


def _lost(raw: object, registry: Registry) -> Iterator[Trouble]:
    """Nothing is recorded, and there are VMs that geats defined."""
    if registry.definitions():
        return
    try:
        seen = Host.from_config(raw).observe_all()
    except (HostError, Refused):  # which is told where drivers and pools are looked at
        return
    names = sorted(name for name, have in seen.items() if have.defined is not None)
    if names:
        found = f"is missing or empty, while VMs of geats are there: {', '.join(names)}"
        fix = f"{RESTORE}; or record them as described with geats define, and lock them again"
        yield Trouble(found, fix)
