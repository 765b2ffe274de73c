"""The facade of one host: Salt modules, command line and other callers use nothing else."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil
from returns.result import Failure, Success

from geats_core import fields
from geats_core.actions import InstallTemplate
from geats_core.checked import Checked, unknown
from geats_core.config import HostConfig, StackLayer, parse_config
from geats_core.model import volumes_in_order
from geats_core.observation import Observation, VolumeSeen
from geats_core.parse import parse_vm
from geats_core.plan import Goal, HostFacts, Plan
from geats_core.planner import plan
from geats_core.spec import VMSpec
from geats_host import templates
from geats_host.apply import Applied, Progress, apply_plan, silent
from geats_host.drivers import Driver, DriverSeen, Info
from geats_host.errors import Refused
from geats_host.operation_lock import operation_lock
from geats_host.perform import Performer
from geats_host.plugins import driver_plugin, registry_plugin, storage_plugin
from geats_host.registry import Entry, Registry
from geats_host.storage import Offer, Pool

T = TypeVar("T")
DEFAULT_DRIVERS: Mapping[str, Mapping[object, object]] = {"lxc": {}}


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, with the goal and the observation it was made from."""

    goal: Goal
    have: Observation
    plan: Plan


@dataclass(frozen=True, slots=True)
class Host:
    """One host. Methods raise ``Refused`` on bad input, and ``HostError`` where the host fails."""

    config: HostConfig
    registry: Registry
    drivers: Mapping[str, Driver]
    pools: Mapping[str, Pool]

    @classmethod
    def from_config(cls, raw: object) -> "Host":
        """Open a host from the mapping that pillar or ``geats.yaml`` hold under ``geats``."""
        config = _accepted(parse_config(raw), "geats")
        state_dir = Path(config.state_dir)
        return cls(
            config,
            registry_plugin("geats.registry", config.registry)(state_dir),
            _open_drivers(config.drivers or DEFAULT_DRIVERS, state_dir),
            _open_pools(config.pools or _default_pools(state_dir)),
        )

    def names(self) -> tuple[str, ...]:
        """Every VM that is declared, or of which there is something on the host."""
        return tuple(sorted({*self.config.vms, *self.observe_all()}))

    def declared(self, name: str, raw: Mapping[object, object] | None = None) -> VMSpec | None:
        """What *raw*, else the configuration, says of the VM; None where neither says anything."""
        if raw is None and name not in self.config.vms:
            return None
        raw = self.config.vms[name] if raw is None else raw
        return _accepted(parse_vm(name, raw, self.config.profiles), name)

    def observe_all(self) -> Mapping[str, Observation]:
        """Everything of geats on this host, in one pass."""
        definitions, locked = self.registry.definitions(), self.registry.locked()
        seen: dict[str, DriverSeen] = {}
        for driver in self.drivers.values():
            seen |= driver.observe()
        volumes = self._volumes()
        return {
            name: _observation(
                definitions.get(name), seen.get(name), volumes.get(name, []), locked=name in locked
            )
            for name in sorted({*definitions, *seen, *volumes})
        }

    def observe(self, name: str) -> Observation:
        """What one VM is now; an empty observation where there is nothing of it."""
        _accepted(fields.name("name", name))
        return self.observe_all().get(name, Observation())

    def known(self, name: str) -> Observation:
        """What one VM is now; refused where it is neither declared nor on the host."""
        _accepted(fields.name("name", name))
        everything = self.observe_all()
        if name not in everything and name not in self.config.vms:
            raise Refused(unknown("name", "VM", name, {*everything, *self.config.vms}))
        return everything.get(name, Observation())

    def facts(self, spec: VMSpec | None) -> HostFacts:
        """What the planner has to know of this host, to plan for *spec*."""
        driver = self.drivers.get(spec.driver) if spec else None
        return HostFacts(
            drivers=frozenset(self.drivers),
            pools={name: pool.facts for name, pool in self.pools.items()},
            templates=frozenset(self.config.templates),
            bridges=driver.bridges() if driver else None,
            memory_bytes=psutil.virtual_memory().total,
            cpus=psutil.cpu_count(),
            declared=frozenset(self.config.vms),
        )

    def plan(self, goal: Goal, have: Observation | None = None) -> Planned:
        """The plan that brings the VM to *goal*; a template that it needs is verified now."""
        have = self.observe(goal.name) if have is None else have
        made = _accepted(plan(goal, have, self.facts(goal.spec)))
        self._verify_templates(made)
        return Planned(goal, have, made)

    def _verify_templates(self, made: Plan) -> None:
        for step in made.steps:
            match step.action:
                case InstallTemplate(pool, _, template) if self._holds_files(pool):
                    templates.verify(self.config.templates[template])
                case _:
                    continue

    def apply(self, planned: Planned, progress: Progress = silent) -> Applied:
        """Carry a plan out; refused where the VM is no longer what the plan was made from."""
        name = planned.plan.name
        if planned.plan.is_empty:
            return Success(())
        with operation_lock(Path(self.config.run_dir), name):
            if self.observe(name) != planned.have:
                raise Refused(f"{name}: has changed since the plan was made: plan again")
            self._verify_templates(planned.plan)  # the file may have changed as well
            driver = self._driver_of(name, planned.goal.spec or planned.have.recorded)
            performer = Performer(name, self.registry, driver, self.pools, self.config.templates)
            return apply_plan(planned.plan, performer.perform, self.registry, progress)

    def info(self, name: str) -> Info:
        """Statistics of one VM; empty for one that is only declared."""
        have = self.known(name)
        return self._driver_of(name, have.recorded).info(name) if have.exists else Info()

    def console_command(self, name: str) -> list[str]:
        """The argv that attaches a terminal to the VM's console."""
        have = self.known(name)
        if not have.exists:
            raise Refused(f"{name}: is not defined")
        return list(self._driver_of(name, have.recorded).console_command(name))

    def journal(self, name: str, limit: int = 50) -> Iterable[Entry]:
        """The newest steps that were applied to a VM, oldest first."""
        _accepted(fields.name("name", name))
        return self.registry.journal(name, limit)

    def _driver_of(self, name: str, spec: VMSpec | None) -> Driver:
        """The driver that *spec* names; where there is none, the one that knows the VM."""
        if spec is not None and spec.driver in self.drivers:
            return self.drivers[spec.driver]
        for driver in self.drivers.values():
            if name in driver.observe():
                return driver
        return next(iter(self.drivers.values()))

    def _holds_files(self, pool: str) -> bool:
        return self.pools[pool].offers is not Offer.NOTHING

    def _volumes(self) -> Mapping[str, list[VolumeSeen]]:
        volumes: dict[str, list[VolumeSeen]] = {}
        for pool_name, pool in self.pools.items():
            for volume, seen in pool.observe().items():
                volumes.setdefault(volume.vm, []).append(replace(seen, pool=pool_name))
        return volumes


def _observation(
    recorded: VMSpec | None, seen: DriverSeen | None, volumes: list[VolumeSeen], *, locked: bool
) -> Observation:
    vm = seen or DriverSeen()
    return Observation(
        recorded=recorded,
        defined=vm.defined,
        in_effect=vm.in_effect,
        power=vm.power,
        by_hand=vm.by_hand,
        foreign=vm.foreign,
        volumes=volumes_in_order(volumes),
        locked=locked,
    )


def _default_pools(state_dir: Path) -> Mapping[str, StackLayer]:
    path = str(state_dir / "volumes")
    return {"default": StackLayer(type="directory", options={"path": path})}


def _open_drivers(
    options: Mapping[str, Mapping[object, object]], state_dir: Path
) -> Mapping[str, Driver]:
    return _open_each(
        {name: partial(_open_driver, name, given, state_dir) for name, given in options.items()}
    )


def _open_driver(name: str, options: Mapping[object, object], state_dir: Path) -> Driver:
    return driver_plugin(f"geats.drivers.{name}", name)(options, state_dir)


def _open_pools(layers: Mapping[str, StackLayer]) -> Mapping[str, Pool]:
    return _open_each(
        {name: partial(_open_pool, f"geats.pools.{name}", layer) for name, layer in layers.items()}
    )


def _open_pool(path: str, layer: StackLayer) -> Pool:
    """Open a stack from the bottom up."""
    below = _open_pool(f"{path}.on", layer.on) if layer.on else None
    try:
        return storage_plugin(f"{path}.type", layer.type)(layer.options, below)
    except Refused as refused:
        raise Refused(*(f"{path}: {each}" for each in refused.problems)) from None


def _open_each(openers: Mapping[str, Callable[[], T]]) -> Mapping[str, T]:
    """Open all of them, or refuse with everything that is wrong with any."""
    opened: dict[str, T] = {}
    problems: list[str] = []
    for name, opener in openers.items():
        try:
            opened[name] = opener()
        except Refused as refused:
            problems += refused.problems
    if problems:
        raise Refused(*problems)
    return opened


def _accepted(checked: Checked[T], where: str = "") -> T:
    """The value; or, raised, every problem, under the path *where*."""
    match checked:
        case Success(value):
            return value
        case Failure(problems):
            raise Refused(*(replace(found, path=_under(where, found.path)) for found in problems))


def _under(where: str, path: str) -> str:
    return ".".join(part for part in (where, path) if part)
