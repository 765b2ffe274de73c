"""The facade of one host: Salt modules, command line and other callers use nothing else."""

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from returns.result import Success

from geats_core import fields
from geats_core.actions import Action, Define, InstallTemplate, Pause, VolumeAction
from geats_core.checked import unknown
from geats_core.config import HostConfig, parse_config
from geats_core.differences import differences
from geats_core.host_plan import HostPlan, plan_host
from geats_core.host_policy import HostPolicy
from geats_core.model import volumes_in_order
from geats_core.observation import Observation, VolumeSeen
from geats_core.parse import parse_vm
from geats_core.plan import Goal, HostFacts, Plan, Step
from geats_core.planner import plan
from geats_core.spec import VMSpec
from geats_host import templates
from geats_host.apply import Applied, Progress, apply_steps, silent
from geats_host.drivers import Driver, DriverSeen, Info
from geats_host.errors import Refused, accepted
from geats_host.operation_lock import operation_lock
from geats_host.perform import Performer
from geats_host.plugins import (
    DEFAULT_DRIVERS,
    default_pools,
    open_drivers,
    open_pools,
    registry_plugin,
)
from geats_host.registry import Entry, Registry
from geats_host.storage import Offer, Pool


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, with the goal and the observation it was made from."""

    goal: Goal
    have: Observation
    plan: Plan


@dataclass(frozen=True, slots=True)
class HostPlanned:
    """A plan of several VMs, and what was seen on the host when it was made."""

    plan: HostPlan
    seen: Mapping[str, Observation]


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
        config = accepted(parse_config(raw), "geats")
        state_dir = Path(config.state_dir)
        return cls(
            config,
            registry_plugin("geats.registry", config.registry)(state_dir),
            open_drivers(config.drivers or DEFAULT_DRIVERS, state_dir),
            open_pools(config.pools or default_pools(state_dir)),
        )

    def declared(self, name: str, raw: Mapping[object, object] | None = None) -> VMSpec | None:
        """What *raw*, else the configuration, says of the VM; None where neither says anything."""
        if raw is None and name not in self.config.vms:
            return None
        raw = self.config.vms[name] if raw is None else raw
        return accepted(parse_vm(name, raw, self.config.profiles), name)

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
        accepted(fields.name("name", name))
        return self.observe_all().get(name, Observation())

    def known(self, name: str) -> Observation:
        """What one VM is now; refused where it is neither declared nor on the host."""
        accepted(fields.name("name", name))
        everything = self.observe_all()
        if name not in everything and name not in self.config.vms:
            raise Refused(unknown("name", "VM", name, {*everything, *self.config.vms}))
        return everything.get(name, Observation())

    def facts(self, *specs: VMSpec | None) -> HostFacts:
        """What the planner has to know of this host, to plan for *specs*."""
        used = {spec.driver for spec in specs if spec}
        bridges = [driver.bridges() for name, driver in self.drivers.items() if name in used]
        known = [each for each in bridges if each is not None]
        return HostFacts(
            drivers=frozenset(self.drivers),
            pools={name: pool.facts for name, pool in self.pools.items()},
            templates=frozenset(self.config.templates),
            bridges=frozenset().union(*known) if known and len(known) == len(bridges) else None,
            memory_bytes=psutil.virtual_memory().total,
            cpus=psutil.cpu_count(),
            declared=frozenset(self.config.vms),
        )

    def plan(self, goal: Goal, have: Observation | None = None) -> Planned:
        """The plan that brings the VM to *goal*; a template that it needs is verified now."""
        have = self.observe(goal.name) if have is None else have
        made = accepted(plan(goal, have, self.facts(goal.spec)))
        self._verify_templates(made.steps)
        return Planned(goal, have, made)

    def plan_host(
        self, goals: Iterable[Goal], seen: Mapping[str, Observation], *, strays: bool = False
    ) -> HostPlanned:
        """The plan that brings all VMs to their *goals*, on a host where *seen* is all there is.

        With *strays*, VMs that nobody declared are reported or stopped, as the policy says.
        """
        goals = tuple(goals)
        facts = self.facts(*(goal.spec for goal in goals))
        if not strays:
            facts = replace(facts, declared=facts.declared | seen.keys())
        made = accepted(plan_host(goals, seen, facts, HostPolicy()))
        self._verify_templates(made.steps)
        return HostPlanned(made, seen)

    def _verify_templates(self, steps: Iterable[Step]) -> None:
        needed = {
            step.action.template
            for step in steps
            if isinstance(step.action, InstallTemplate) and self._holds_files(step.action.pool)
        }
        for name in sorted(needed):
            templates.verify(self.config.templates[name])

    def apply(self, planned: Planned, progress: Progress = silent) -> Applied:
        """Carry a plan out; refused where the VM is no longer what the plan was made from."""
        made = planned.plan
        alone = HostPlan(plans=(made,), steps=made.steps)
        return self.apply_host(HostPlanned(alone, {made.name: planned.have}), progress)

    def apply_host(self, planned: HostPlanned, progress: Progress = silent) -> Applied:
        """Carry a plan out; refused where a VM is no longer what the plan was made from."""
        made = planned.plan
        if made.is_empty:
            return Success(())
        with ExitStack() as locks:
            for name in sorted({step.vm for step in made.steps if step.vm}):  # in one order for all
                locks.enter_context(operation_lock(Path(self.config.run_dir), name))
            self._check_unmoved(planned)
            self._check_configured(made.steps)
            self._verify_templates(made.steps)  # the files may have changed as well
            performers = {each.name: self._performer(each, planned.seen) for each in made.plans}

            def perform(step: Step) -> None:
                match step.action:
                    case Pause(seconds):
                        time.sleep(seconds)
                    case action:
                        performers[step.vm].perform(action)

            return apply_steps(made.steps, perform, self.registry, progress)

    def _check_unmoved(self, planned: HostPlanned) -> None:
        now, moved = self.observe_all(), list[str]()
        for name in (each.name for each in planned.plan.plans):
            then = planned.seen.get(name, Observation())
            found = differences(name, then, now.get(name, Observation()))
            if found:
                moved += [f"{name}: has changed since the plan was made: plan again", *found]
        if moved:
            raise Refused(*moved)

    def _check_configured(self, steps: Iterable[Step]) -> None:
        """A plan may have been saved, and the configuration changed since."""
        problems = {
            f"{step.vm}: {what} is no longer configured"
            for step in steps
            for what in self._unknown(step.action)
        }
        if problems:
            raise Refused(*sorted(problems))

    def _unknown(self, action: Action) -> Iterable[str]:
        match action:
            case Define(spec, _) if spec.driver not in self.drivers:
                yield f"driver {spec.driver!r}"
            case InstallTemplate(_, _, template) if template not in self.config.templates:
                yield f"template {template!r}"
            case _:
                pass
        pools = {v.pool for v in action.spec.volumes} if isinstance(action, Define) else set()
        if isinstance(action, VolumeAction):
            pools = {action.pool}
        yield from (f"pool {pool!r}" for pool in pools - self.pools.keys())

    def _performer(self, made: Plan, seen: Mapping[str, Observation]) -> Performer:
        specs = [step.action.spec for step in made.steps if isinstance(step.action, Define)]
        spec = specs[0] if specs else seen.get(made.name, Observation()).recorded
        driver = self._driver_of(made.name, spec)
        return Performer(made.name, self.registry, driver, self.pools, self.config.templates)

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
        accepted(fields.name("name", name))
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
