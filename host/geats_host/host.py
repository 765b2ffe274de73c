"""One host: opened from its configuration, and observed.

The functions of ``planning`` decide what to do, and ``engine.apply_plan`` does it: they take a
``Host``.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from geats_core.deciding.keeping_up import Kept
from geats_core.declared.config import HostConfig, read_config, read_in_part
from geats_core.planning.then import Then
from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problems, unknown
from geats_core.reading.values import dataclass
from geats_core.vm.observation import (
    Observation,
    Power,
    VolumeMissing,
    VolumeSeen,
    volumes_in_order,
)
from geats_core.vm.spec import Init, VMSpec
from geats_core.vm.unseen import DRIVERS, POOLS, out_of_sight, unreliable_parts
from geats_host.drivers import Driver, DriverSeen, Info
from geats_host.errors import HostError, Refused, accepted
from geats_host.lazy import later
from geats_host.locks import Locks
from geats_host.observing import (
    lines_by_hand,
    unfinished_copies,
    unfinished_moves,
    unfinished_renames,
    unfinished_restarts,
)
from geats_host.observing.astray import astray
from geats_host.observing.known_volumes import (
    Identities,
    Remembered,
    missing,
    remembered,
    tells_of_locks,
    told_apart,
)
from geats_host.observing.several_drivers import merged
from geats_host.plugins.answers import vms_of, volumes_of
from geats_host.plugins.entry_points import (
    open_drivers,
    open_locks,
    open_pools,
    open_registry,
    pools_of,
)
from geats_host.plugins.opened import Opened
from geats_host.registry import Entry, Registry, kept_up
from geats_host.step_listeners import Listening, nobody
from geats_host.storage import Pool, VolumeId

if TYPE_CHECKING:
    from geats_host.inputs import declared as descriptions
    from geats_host.templates import programs, upkeep
    from geats_host.templates import store as stores
else:
    descriptions = later("geats_host.inputs.declared")
    programs = later("geats_host.templates.programs")  # most VMs have an init
    stores = later("geats_host.templates.store")
    upkeep = later("geats_host.templates.upkeep")

ROW_ADVICE = "install the geats that wrote it, or restore a backup of the registry"


@dataclass(frozen=True, slots=True)
class Host:
    """One host. Methods raise ``Refused`` on wrong input, and ``HostError`` if the host fails.

    ``origin`` is who asks, for the journal; ``listening`` says who is told about each step. Drivers
    and pools are opened when they are needed: if one is not available, only its own VMs are
    affected.
    """

    config: HostConfig
    registry: Registry
    drivers: Opened[Driver]
    pools: Opened[Pool]
    origin: str = ""
    listening: Listening = nobody

    @classmethod
    def from_config(cls, raw: object, origin: str = "", listening: Listening = nobody) -> "Host":
        """Open a host from the mapping under ``geats`` in the pillar or ``geats.yaml``."""
        return cls._opened(read_config(raw), origin, listening)

    @classmethod
    def in_part(cls, raw: object, origin: str = "", listening: Listening = nobody) -> "Host":
        """The same, even if keys are wrong: for callers that only look, power off, or start VMs
        again.

        Nothing is planned from this configuration. ``config.unsound`` says what is wrong.
        """
        return cls._opened(read_in_part(raw), origin, listening)

    @classmethod
    def _opened(cls, read: Checked[HostConfig], origin: str, listening: Listening) -> "Host":
        config = accepted(read, "geats")
        state_dir = Path(config.state_dir)
        registry = open_registry(config.registry, state_dir)
        return cls(
            config,
            registry,
            open_drivers(config.drivers, state_dir, config.wrong),
            open_pools(
                pools_of(config), config.wrong, state_dir, lambda vm: vm in registry.definitions()
            ),
            origin,
            listening,
        )

    def declared(self, name: str, raw: Mapping[object, object] | None = None) -> VMSpec | None:
        """The spec of the VM from *raw*, else from the configuration; None if there is none."""
        spec = descriptions.declared(self.config, name, raw)
        if spec is None or spec.init is not Init.NONE:
            return spec
        return programs.with_image(self.config, spec, self.registry.definitions().get(name))

    def observe_all(self) -> Mapping[str, Observation]:
        """Every VM on this host, in one pass; an empty directory of a driver is not a VM."""
        return self._observed()

    def _observed(self, only: str | None = None) -> Mapping[str, Observation]:
        with self.registry.read_at_once():
            return self._seen(only)

    def _seen(self, only: str | None) -> Mapping[str, Observation]:
        self.locks.wait_for_orphans(only)
        self.drivers.look_anew()
        self.pools.look_anew()
        vms = self.drivers.asking(lambda driver: vms_of(driver, only))
        definitions, locked = self.registry.definitions(), self.registry.locked()
        rows = self.registry.unreadable()
        filled, interrupted = remembered(self.registry), unfinished_restarts.noted(self.registry)
        kept = kept_up.noted(self.registry)
        identities, on_pools = self._identities(filled), self._volumes()
        seen, doubled = merged(vms(), definitions)
        out_of_sight = {
            name: _remembered(spec)
            for name, spec in definitions.items()
            if spec.driver in self.drivers.away
        }
        seen = {**out_of_sight, **seen}
        moving = unfinished_moves.noted(self.registry)
        volumes = {
            vm: unfinished_moves.shown(
                moving, definitions.get(vm), told_apart(filled.get(vm, ()), found, identities)
            )
            for vm, found in on_pools.items()
        }
        by_hand = lines_by_hand.noted(self.registry)
        known = {*definitions, *rows, *seen, *volumes, *filled, *by_hand}
        renaming = unfinished_renames.noted(self.registry, known)
        copies = unfinished_copies.noted(self.registry, {*definitions, *rows})
        names = [only] if only else sorted({*known, *renaming})
        locks = {
            name: {
                name in locked,
                *_lock_marks(None if name in out_of_sight else seen.get(name)),
                *_lock_marks_on(volumes.get(name, [])),
            }
            for name in names
        }
        all_ = {
            name: replace(
                _observation(
                    definitions.get(name),
                    seen.get(name),
                    volumes.get(name, []),
                    filled.get(name, ()),
                    self.pools.away,
                    identities,
                ),
                by_hand=lines_by_hand.seen_of(seen.get(name), by_hand.get(name, ())),
                drivers=doubled.get(name, ()),
                copy_of=copies.get(name, ""),
                renaming=renaming.get(name),
                to_run=name in interrupted and _may_run(seen.get(name), name in definitions),
                to_freeze=interrupted.get(name) is Then.FROZEN
                and _may_be_frozen(seen.get(name), name in definitions),
                ended=_has_ended(definitions.get(name), seen.get(name), kept.get(name)),
                locked=True in locks[name],
                half_locked={True, False} <= locks[name],
                unreliable=self._unreliable(rows.get(name), seen.get(name), volumes.get(name, [])),
            )
            for name in names
        }
        return {name: have for name, have in all_.items() if have.exists}

    def _unreliable(
        self, row: str | None, seen: DriverSeen | None, volumes: Sequence[VolumeSeen]
    ) -> str:
        """Why what is recorded of a VM, or what its driver says, cannot be relied on."""

        def place(each: VolumeSeen) -> Path | None:
            volume = VolumeId(seen.defined.name if seen and seen.defined else "", each.name)
            return self.pools.ask(each.pool, lambda pool: pool.path(volume))

        of_driver = (seen.unreliable, astray(seen, volumes, place)) if seen else ()
        of_row = () if row is None else (f"{row}: {ROW_ADVICE}",)
        return "; ".join(filter(None, (*of_row, *of_driver)))

    def observe(self, name: str) -> Observation:
        """What one VM is now; an empty observation if nothing of it exists."""
        accepted(fields.vm_name("name", name))
        return self._observed(name).get(name, Observation())

    def known(self, name: str) -> Observation:
        """What one VM is now; refused if it is neither declared nor on the host."""
        accepted(fields.vm_name("name", name))
        have = self.observe(name)
        if not have.exists and name not in self.config.vms:
            raise Refused(unknown("name", "VM", name, {*self.observe_all(), *self.config.vms}))
        return have

    @property
    def unavailable(self) -> dict[str, str]:
        """What is wrong in the configuration, or could not answer when it was last asked: why.

        The names are such as ``pools.fast``.
        """
        kinds = {DRIVERS: self.drivers.away, POOLS: self.pools.away}
        now = {f"{kind}.{name}": why for kind, away in kinds.items() for name, why in away.items()}
        return {**self.config.wrong, **now}

    def whole(self, name: str) -> Observation:
        """What one VM is now; refused if part of it cannot be seen, or if nobody knows it."""
        have = self.known(name)
        problems = self.out_of_sight(name, have)
        if problems:
            raise Refused(*problems)
        return have

    def out_of_sight(self, name: str, have: Observation) -> Problems:
        """Why not everything about one VM is known, as of the last look at it."""
        away = out_of_sight(name, have, self.unavailable)
        return (*unreliable_parts(name, have), *away)

    @property
    def locks(self) -> Locks:
        """What keeps operations on this host apart."""
        return open_locks(self.config.lock, Path(self.config.run_dir))

    @property
    def store(self) -> "stores.Store":
        """The files and locks of this host's templates."""
        return stores.Store(Path(self.config.state_dir) / "templates", Path(self.config.run_dir))

    @property
    def templates(self) -> "upkeep.Upkeep":
        """The templates of this host: to list, import, verify and prune them."""
        return upkeep.Upkeep(self.config.templates, self.pools, self.store, self.config.wrong)

    def info(self, name: str) -> Info:
        """Statistics of one VM; empty if it is only declared, or cannot be seen."""
        have = self.known(name)
        unseen = have.recorded is not None and have.recorded.driver in self.drivers.away
        if unseen or not have.exists:
            return Info()
        return self.driver_of(name, have.recorded).info(name)

    def driver(self, name: str) -> Driver:
        """The driver that runs the VM, or would run it; refused if nobody knows the VM."""
        have = self.known(name)
        return self.driver_of(name, have.recorded if have.exists else self.declared(name))

    def running(self, name: str) -> Driver:
        """The driver of a running VM; refused if it does not run."""
        have = self.known(name)
        self._check_one(name, have)
        if have.power is not Power.RUNNING:
            power = have.power if have.exists else "not defined"
            raise Refused(f"{name}: is {power}, and must be running")
        return self.driver_of(name, have.recorded)

    def console_command(self, name: str) -> list[str]:
        """The argv that attaches a terminal to the VM's console."""
        have = self.known(name)
        if not have.exists:
            raise Refused(f"{name}: is not defined")
        self._check_one(name, have)
        return list(self.driver_of(name, have.recorded).console_command(name))

    def journal(
        self, name: str | None, limit: int = 50, *, since_s: float = 0.0, after: int = 0
    ) -> Sequence[Entry]:
        """The newest steps that were applied to a VM, oldest first; None: to any, and to the host.

        See ``Registry.journal``.
        """
        about = None if name is None else accepted(fields.vm_name("name", name))
        most = accepted(fields.positive_int("limit", limit))
        return self.registry.journal(about, most, since_s=since_s, after=after)

    def driver_of(self, name: str, spec: VMSpec | None) -> Driver:
        """The driver that *spec* names; without a spec, the driver that knows the VM."""
        if spec is not None and spec.driver in self.drivers:
            return self.drivers[spec.driver]
        knowing = self.drivers.asked(lambda driver: bool(driver.observe(name)))
        found = [each for each, knows in knowing.items() if knows]
        if len(found) > 1:
            raise HostError(
                f"{name}: the drivers {' and '.join(found)} each have a VM of this name"
            )
        return self.drivers[next(iter([*found, *self.drivers]))]

    def _check_one(self, name: str, have: Observation) -> None:
        """Refuse to do anything with one of two VMs that have the same name."""
        if have.drivers:
            raise Refused(*unreliable_parts(name, replace(have, unreliable="", volumes=())))

    def _identities(self, filled: Remembered) -> Identities:
        """Of the pools that had one when a volume was filled: what others say takes time."""
        pools = {each.pool for known in filled.values() for each in known if each.identity}
        return self.pools.asked(lambda pool: pool.facts.identity, sorted(pools))

    def _volumes(self) -> Mapping[str, list[VolumeSeen]]:
        volumes: dict[str, list[VolumeSeen]] = {}
        for pool_name, found in self.pools.asked(volumes_of).items():
            for volume, seen in found.items():
                if not volume.is_of_vm:
                    continue
                volumes.setdefault(volume.vm, []).append(replace(seen, pool=pool_name))
        return volumes


def _may_run(seen: DriverSeen | None, is_recorded: bool) -> bool:
    """Whether a VM is one that can be started: it is defined, and off."""
    vm = seen or DriverSeen()
    return vm.power is Power.STOPPED and (is_recorded or vm.defined is not None)


def _has_ended(spec: VMSpec | None, seen: DriverSeen | None, kept: Kept | None) -> bool:
    """Whether geats started it, did not power it off, and is to start it again."""
    is_off = seen is not None and seen.power is Power.STOPPED
    is_kept = spec is not None and spec.is_kept_up
    return is_off and is_kept and kept is not None and kept.started_s is not None


def _may_be_frozen(seen: DriverSeen | None, is_recorded: bool) -> bool:
    """Whether it can be frozen, once it is on."""
    on = seen is not None and seen.power in (Power.RUNNING, Power.HELD)
    return on or _may_run(seen, is_recorded)


def _lock_marks(vm: DriverSeen | None) -> Iterable[bool]:
    """Whether its driver has it as locked, if it has anything that could tell."""
    return [vm.locked] if vm is not None and (vm.locked or vm.defined is not None) else []


def _lock_marks_on(volumes: Iterable[VolumeSeen]) -> Iterable[bool]:
    """Whether each of its volumes has, of those that could tell."""
    return [each.locked for each in volumes if each.locked or tells_of_locks(each)]


def _remembered(spec: VMSpec) -> DriverSeen:
    """What is taken for true of a VM whose driver is not available: it may well run."""
    return DriverSeen(defined=spec, in_effect=spec, power=Power.STUCK)


def _observation(
    recorded: VMSpec | None,
    seen: DriverSeen | None,
    volumes: list[VolumeSeen],
    filled: tuple[VolumeMissing, ...],
    out_of_sight: Container[str],
    identities: Identities,
) -> Observation:
    vm = seen or DriverSeen()
    is_on = vm.power is not Power.STOPPED and not vm.foreign
    return Observation(
        recorded=recorded,
        defined=vm.defined,
        in_effect=vm.in_effect,
        power=vm.power,
        foreign=vm.foreign,
        foreign_nics=vm.foreign_nics,
        volumes=volumes_in_order(volumes),
        missing=missing(
            filled,
            volumes,
            recorded,
            is_on=is_on,
            out_of_sight=out_of_sight,
            identities=identities,
        ),
    )
