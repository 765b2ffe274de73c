"""The registry of a host, looked at before all else: can it be relied on, and what is to do."""

from collections.abc import Iterator
from pathlib import Path

from returns.result import Failure

from geats_core.declared.config import HostConfig, parse_config
from geats_core.hostwide.host_planner import rebuild_goals
from geats_core.planning.goal import Target
from geats_core.reading.checked import some_of
from geats_core.reading.values import dataclass
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.plugins.entry_points import open_registry
from geats_host.registry import Registry
from geats_host.registry.sqlite import SqliteRegistry, file_in

EMPTY = "is missing or empty, while VMs of geats are there:"
REBUILD = "look at geats registry rebuild --dry-run, then geats registry rebuild"
RESTORE = (
    "restore a backup with geats registry restore FILE; without one, see docs/how-to/upgrade.md"
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, and what to do; ``stops`` tells whether anything is kept from its work."""

    found: str
    fix: str
    stops: bool = True


def troubles(raw: object) -> tuple[Trouble, ...]:
    """All that is wrong with the registry that *raw* configures; nothing if *raw* is wrong."""
    match parse_config(raw):
        case Failure():
            return ()
        case checked:
            config = checked.unwrap()
    try:
        registry = open_registry(config.registry, Path(config.state_dir))
        return tuple(_of_registry(registry)) or tuple(_lost(raw, registry))
    except Refused:  # there is no such plugin: validate says so
        return ()
    except HostError as error:
        return (Trouble(f"{error}", f"nothing is changed until it can be read: {RESTORE}"),)


def unchecked(config: HostConfig) -> Registry:
    """The registry, also one that cannot be read: to bring it back."""
    if config.registry.type == "sqlite":
        return SqliteRegistry(file_in(Path(config.state_dir)))
    return open_registry(config.registry, Path(config.state_dir))


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
    """There are VMs that geats defined, or locks, of which it has nothing."""
    try:
        seen = Host.from_config(raw).observe_all()
    except (HostError, Refused):  # which is told where drivers and pools are looked at
        return
    goals = rebuild_goals(seen)
    names = [goal.name for goal in goals if goal.target is Target.DEFINED]
    locks = [goal.name for goal in goals if goal.target is Target.LOCKED]
    if names:
        empty = "has lost the definitions of" if registry.definitions() else EMPTY
        fix = f"{REBUILD}; or, if there is a backup: geats registry restore FILE"
        yield Trouble(f"{empty} {some_of(names)}", fix)
    if locks:
        found = f"differs from drivers or volumes in the locks of {some_of(locks)}"
        yield Trouble(found, f"{REBUILD}; or geats unlock NAME", stops=False)
