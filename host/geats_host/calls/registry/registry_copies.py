"""The registry of a host, kept in a file and brought back: never anything of the VMs themselves."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from geats_core.declared.config import parse_config
from geats_core.planning.spec_changes import changes
from geats_core.reading import fields
from geats_core.vm.spec import VMSpec
from geats_host.calls.registry.registry_health import unchecked
from geats_host.errors import HostError, Refused, accepted
from geats_host.host import Host
from geats_host.locks import Locks
from geats_host.plugins.entry_points import open_locks
from geats_host.registry import CopiedRegistry, Registry

Report = dict[str, object]


@dataclass(frozen=True, slots=True)
class Restoring:
    """What bringing a copy back changes, in words; and the VMs that are in it or in the registry.

    ``current`` is None if what is there cannot be read.
    """

    path: Path
    lines: tuple[str, ...]
    names: frozenset[str]
    current: Registry | None

    @property
    def loses(self) -> bool:
        """Whether there is anything that the copy takes the place of."""
        return self.current is None or bool(self.lines and _names(self.current))

    def report(self) -> Report:
        """As plain data."""
        return {"path": f"{self.path}", "would": list(self.lines)}


def back_up(host: Host, path: object) -> Path:
    """Write definitions, locks, notes and journal to a new file, which contains secrets."""
    target = Path(accepted(fields.absolute_path("path", path)))
    registry = _copied(host.registry)
    if target.exists() or target.is_symlink():
        raise Refused(f"path: there is something at {f'{target}'!r} already")
    if not registry.is_there():
        raise Refused("registry: nothing was ever written to it")
    if not target.parent.is_dir():
        raise Refused(f"path: there is no directory {f'{target.parent}'!r}")
    registry.back_up(target)
    return target


def restoring(registry: Registry, path: object) -> Restoring:
    """What would be different with the copy at *path*; ``Refused`` if it is none."""
    source = Path(accepted(fields.absolute_path("path", path)))
    copied = _copied(registry)
    if not source.is_file():
        raise Refused(f"path: there is no file {f'{source}'!r}")
    try:
        kept = copied.at(source)
        names, problems = _names(kept), kept.problems()
    except HostError as error:
        raise Refused(
            f"path: is not a backup of a registry that can be restored: {error}"
        ) from None
    if problems:
        raise Refused(*(f"path: {problem}" for problem in problems))
    now = registry if _can_be_read(registry) else None
    if now is None:
        lines = ("replace a registry that cannot be read", *_different(kept, None))
    else:
        lines = tuple(_different(kept, now))
    return Restoring(source, lines, frozenset({*names, *(_names(now) if now else ())}), now)


def restore(registry: Registry, locks: Locks, wish: Restoring, *, overwrite: object) -> None:
    """Bring the copy back; unless *overwrite* is set, only if nothing is lost by it."""
    leave = accepted(fields.boolean("overwrite", overwrite))
    if wish.loses and not leave:
        raise Refused(
            "overwrite: the content of the registry would be replaced: look at what would "
            "change, then allow it with overwrite"
        )
    with ExitStack() as held:
        for name in sorted(wish.names):
            held.enter_context(locks.operation(name))
        _copied(registry).restore(wish.path)


def restored(raw: object, path: object, overwrite: object, test: object) -> Report:
    """Bring the copy back to the host that *raw* configures, but not where it is only a *test*."""
    config = accepted(parse_config(raw), "geats")
    now = unchecked(config)
    wish = restoring(now, path)
    if not test:
        locks = open_locks(config.lock, Path(config.run_dir))
        restore(now, locks, wish, overwrite=overwrite)
    return wish.report()


def _copied(registry: Registry) -> CopiedRegistry:
    if not isinstance(registry, CopiedRegistry):
        raise Refused("registry: a registry of this kind is not copied by geats")
    return registry


def _can_be_read(registry: Registry) -> bool:
    try:
        return not registry.problems()
    except HostError:
        return False


def _names(registry: Registry) -> frozenset[str]:
    return frozenset({*registry.definitions(), *registry.unreadable(), *registry.locked()})


def _different(kept: Registry, now: Registry | None) -> Iterator[str]:
    """What is otherwise in *kept*, VM by VM."""
    there = dict(now.definitions()) if now else {}
    wanted = dict(kept.definitions())
    for name in sorted({*there, *wanted}):
        yield from _of_vm(name, there, wanted)
    locked = now.locked() if now else frozenset[str]()
    yield from (f"{name}: is protected from deletion" for name in sorted(kept.locked() - locked))
    yield from (
        f"{name}: is no longer protected from deletion" for name in sorted(locked - kept.locked())
    )
    yield from (f"{name}: {why}" for name, why in sorted(kept.unreadable().items()))


def _of_vm(name: str, there: Mapping[str, VMSpec], wanted: Mapping[str, VMSpec]) -> Iterator[str]:
    if name not in wanted:
        yield f"{name}: its record is removed (what its driver has, and its volumes, stay)"
    elif name not in there:
        yield f"{name}: is recorded"
    else:
        yield from (f"{name}: {change}" for change in changes(there[name], wanted[name]))
