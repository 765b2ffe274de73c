"""The facade of one host: Salt modules, command line and other callers use nothing else."""

import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from returns.result import Success

from geats_core.declared.config import HostConfig, read_config, read_in_part
from geats_core.declared.policy import HostPolicy
from geats_core.hostwide import recheck
from geats_core.hostwide.host_planner import HostPlan, boot_goals, halt_goals, rebuild_goals
from geats_core.hostwide.recheck import no_longer, takes
from geats_core.hostwide.registry_upgrade import with_places, with_upgrade
from geats_core.planning.actions import (
    Action,
    Adopt,
    Define,
    InstallTemplate,
    NotePlaces,
    Pause,
    RemoveLeftover,
    Start,
    UpgradeRegistry,
    VolumeAction,
)
from geats_core.planning.availability import DRIVERS, POOLS, TEMPLATES, out_of_sight
from geats_core.planning.goal import DriverFacts, Goal, HostFacts, Plan, PoolFacts, Step, Target
from geats_core.planning.model import ON, volumes_in_order
from geats_core.planning.planner import plan
from geats_core.planning.refusals import unreliable_parts
from geats_core.plans.plan_files import Recorded, SavedPlan, alone, moved, saved
from geats_core.reading import fields
from geats_core.reading.checked import Checked, Problems, unknown
from geats_core.vm.observation import Observation, Power, VolumeMissing, VolumeSeen
from geats_core.vm.origins import origins
from geats_core.vm.secrets import observed_without_secrets, without_secrets
from geats_core.vm.spec import VMSpec
from geats_host.drivers import Driver, DriverSeen, Info
from geats_host.engine import binds, unfinished_restarts
from geats_host.engine.apply import (
    Applied,
    Listening,
    Onlooker,
    Progress,
    apply_steps,
    nobody,
    silent,
)
from geats_host.engine.astray import astray
from geats_host.engine.goals import (
    Refusals,
    Scope,
    Wishes,
    as_many_as_can,
    declared,
    goals,
    plan_goals,
    plan_wished,
)
from geats_host.engine.known_volumes import (
    Identities,
    Remembered,
    keep,
    learn_identities,
    missing,
    remembered,
    told_apart,
    upgrade_registry,
)
from geats_host.engine.obstacles import obstacles
from geats_host.engine.place_checks import Places
from geats_host.errors import HostError, Refused, accepted
from geats_host.lazy import later
from geats_host.locks import reservations
from geats_host.locks.operation_lock import operation_lock, wait_for_orphans
from geats_host.plugins.entry_points import (
    open_drivers,
    open_pools,
    pools_of,
    registry_plugin,
    wrong_of,
)
from geats_host.plugins.opened import Opened, guarded
from geats_host.registry import Entry, Outcome, Registry
from geats_host.storage import Offer, Pool, VolumeId

if TYPE_CHECKING:
    from geats_core.fleet import placement
    from geats_host import templates
    from geats_host.engine import interrupted, perform
    from geats_host.templates import store as stores
    from geats_host.templates import upkeep
else:
    placement = later("geats_core.fleet.placement")
    interrupted = later("geats_host.engine.interrupted")
    perform = later("geats_host.engine.perform")
    templates = later("geats_host.templates")
    stores = later("geats_host.templates.store")
    upkeep = later("geats_host.templates.upkeep")

DAY_S = 86_400
Facts: TypeAlias = Callable[[Iterable[str]], HostFacts]  # by the drivers of the VMs
ROW_ADVICE = "install the geats that wrote it, or restore a backup of the registry"


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, with the observation that it was made from, and who says what (``Host.origins``)."""

    have: Observation
    plan: Plan
    origins: Mapping[str, str] = field(default_factory=dict)

    def as_saved(self) -> SavedPlan:
        """The same, as the plan of a host on which nothing else is to do."""
        name, have = self.plan.name, self.have
        return saved(alone(self.plan), {name: have} if have.exists else {})


@dataclass(frozen=True, slots=True)
class Host:
    """One host. Methods raise ``Refused`` on bad input, and ``HostError`` where the host fails.

    ``origin`` is who asks, for the journal; ``listening`` gives who hears of each step. Drivers and
    pools are opened when they are needed: one that is not available concerns its own VMs only.
    """

    config: HostConfig
    registry: Registry
    drivers: Opened[Driver]
    pools: Opened[Pool]
    origin: str = ""
    listening: Listening = nobody

    @classmethod
    def from_config(cls, raw: object, origin: str = "", listening: Listening = nobody) -> "Host":
        """Open a host from the mapping that pillar or ``geats.yaml`` hold under ``geats``."""
        return cls._opened(read_config(raw), origin, listening)

    @classmethod
    def in_part(cls, raw: object, origin: str = "", listening: Listening = nobody) -> "Host":
        """The same, where keys of it may be wrong: for those who look, power off, or start again.

        They plan nothing from it. ``config.unsound`` is what is wrong.
        """
        return cls._opened(read_in_part(raw), origin, listening)

    @classmethod
    def _opened(cls, read: Checked[HostConfig], origin: str, listening: Listening) -> "Host":
        config = accepted(read, "geats")
        state_dir = Path(config.state_dir)
        return cls(
            config,
            registry_plugin("geats.registry", config.registry)(state_dir),
            open_drivers(config.drivers, state_dir, config.wrong),
            open_pools(pools_of(config), config.wrong),
            origin,
            listening,
        )

    def declared(self, name: str, raw: Mapping[object, object] | None = None) -> VMSpec | None:
        """What *raw*, else the configuration, says of the VM; None where neither says anything."""
        return declared(self.config, name, raw)

    def origins(self, name: str, raw: Mapping[object, object] | None = None) -> dict[str, str]:
        """Who says each key of the VM's spec: *raw* or ``vms.NAME``, or ``profiles.NAME``.

        A key that nobody says has its default; and nothing is said of what is no mapping.
        """
        said = self.config.vms.get(name) if raw is None else raw
        if not isinstance(said, Mapping):
            return {}
        source = f"vms.{name}" if raw is None else "its own arguments"
        return origins(said, self.config.profiles, source)

    def observe_all(self) -> Mapping[str, Observation]:
        """Everything of geats on this host, in one pass; a driver's empty directory is no VM."""
        return self._observed()

    def _observed(self, only: str | None = None) -> Mapping[str, Observation]:
        with self.registry.read_at_once():
            return self._seen(only)

    def _seen(self, only: str | None) -> Mapping[str, Observation]:
        wait_for_orphans(Path(self.config.run_dir), only)
        self.drivers.look_anew()
        self.pools.look_anew()
        definitions, locked = self.registry.definitions(), self.registry.locked()
        rows = self.registry.unreadable()
        seen: dict[str, DriverSeen] = {}
        for found in self.drivers.asked(lambda driver: driver.observe(only)).values():
            seen |= found
        out_of_sight = {
            name: _remembered(spec)
            for name, spec in definitions.items()
            if spec.driver in self.drivers.away
        }
        seen = {**out_of_sight, **seen}
        marked = {
            name: vm.locked
            for name, vm in seen.items()
            if name not in out_of_sight and (vm.locked or vm.defined is not None)
        }
        filled, interrupted = remembered(self.registry), unfinished_restarts.noted(self.registry)
        identities = self._identities(filled)
        volumes = {
            vm: told_apart(filled.get(vm, ()), found, identities)
            for vm, found in self._volumes().items()
        }
        names = [only] if only else sorted({*definitions, *rows, *seen, *volumes, *filled})
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
                to_run=name in interrupted and _may_run(seen.get(name), name in definitions),
                locked=name in locked or marked.get(name) is True,
                half_locked=marked.get(name, name in locked) is not (name in locked),
                unreliable=self._unreliable(rows.get(name), seen.get(name), volumes.get(name, [])),
            )
            for name in names
        }
        return {name: have for name, have in all_.items() if have.exists}

    def _unreliable(
        self, row: str | None, seen: DriverSeen | None, volumes: Sequence[VolumeSeen]
    ) -> str:
        """Why what is recorded of a VM, or what its driver holds, is not to be gone by."""

        def place(each: VolumeSeen) -> Path | None:
            volume = VolumeId(seen.defined.name if seen and seen.defined else "", each.name)
            return self.pools.ask(each.pool, lambda pool: pool.path(volume))

        of_driver = (seen.unreliable, astray(seen, volumes, place)) if seen else ()
        of_row = () if row is None else (f"{row}: {ROW_ADVICE}",)
        return "; ".join(filter(None, (*of_row, *of_driver)))

    def observe(self, name: str) -> Observation:
        """What one VM is now; an empty observation where there is nothing of it."""
        accepted(fields.name("name", name))
        return self._observed(name).get(name, Observation())

    def known(self, name: str) -> Observation:
        """What one VM is now; refused where it is neither declared nor on the host."""
        accepted(fields.name("name", name))
        have = self.observe(name)
        if not have.exists and name not in self.config.vms:
            raise Refused(unknown("name", "VM", name, {*self.observe_all(), *self.config.vms}))
        return have

    def facts(self, drivers: Iterable[str]) -> HostFacts:
        """What the planner has to know of this host, to plan for VMs run by *drivers*."""
        return self._facts()(drivers)

    def _facts(self) -> Facts:
        """The same for any drivers, from one look at the host."""
        import psutil  # who only looks at VMs does without, and it takes long to load

        pools = self.pools.asked(lambda pool: replace(pool.facts, offers=pool.offers))
        with self.registry.read_at_once():
            of_host = HostFacts(
                pools={name: pools.get(name, PoolFacts()) for name in self.pools},
                templates=frozenset(
                    {*self.config.templates, *wrong_of(TEMPLATES, self.config.wrong)}
                ),
                memory_bytes=psutil.virtual_memory().total,
                cpus=psutil.cpu_count(),
                declared=self.config.known,
                bind_sources=frozenset(self.config.bind_sources),
                upgrade=self.registry.outdated(),
                elsewhere=self.places.elsewhere(),
                moved=self.places.moved(pools),
            )
        bridges = cache(lambda name: self.drivers.ask(name, lambda driver: driver.bridges()))
        able = cache(lambda name: self.drivers.ask(name, lambda driver: driver.facts))

        def facts(drivers: Iterable[str]) -> HostFacts:
            used = sorted(self.drivers.keys() & set(drivers))
            found = [bridges(name) for name in used]
            known = [each for each in found if each is not None]
            return replace(
                of_host,
                drivers={n: (n in used and able(n)) or DriverFacts() for n in self.drivers},
                bridges=frozenset[str]().union(*known) if known and known == found else None,
                unavailable=self.unavailable,
            )

        return facts

    @property
    def places(self) -> Places:
        """Where this host has its VMs and pools, and where it is remembered to have them."""
        return Places(self.config, self.registry, self.drivers, self.pools, self.observe_all)

    @property
    def unavailable(self) -> dict[str, str]:
        """What is wrong in the configuration, or could not answer when it was last asked: why.

        The names are such as ``pools.fast``.
        """
        kinds = {DRIVERS: self.drivers.away, POOLS: self.pools.away}
        now = {f"{kind}.{name}": why for kind, away in kinds.items() for name, why in away.items()}
        return {**self.config.wrong, **now}

    def whole(self, name: str) -> Observation:
        """What one VM is now; refused where part of it cannot be seen, as where nobody knows it."""
        have = self.known(name)
        problems = self.out_of_sight(name, have)
        if problems:
            raise Refused(*problems)
        return have

    def out_of_sight(self, name: str, have: Observation) -> Problems:
        """Why not everything of one VM is known, since it was last looked at."""
        away = out_of_sight(name, have, HostFacts(unavailable=self.unavailable))
        return (*unreliable_parts(name, have), *away)

    def plan(self, goal: Goal, have: Observation | None = None) -> Planned:
        """The plan that brings the VM to *goal*; what other VMs have it must not take."""
        have = self.observe(goal.name) if have is None else have
        facts = self._facts()
        made = accepted(plan(goal, have, facts(_drivers([goal]))))
        if not (takes(made) or _concerns_others(goal, have)):
            self._check_sources(made.steps, {goal.name: have})
            return Planned(have, with_upgrade(made, facts(()).upgrade))
        seen = {**self.observe_all(), goal.name: have}
        return Planned(have, self.plan_host([goal], seen, Scope.SOME, facts=facts).plan.plans[0])

    def plan_alone(self, goal: Goal, have: Observation) -> Planned:
        """The same, whatever other VMs there are."""
        facts = self.facts(_drivers([goal]))
        made = accepted(plan(goal, have, facts))
        self._check_sources(made.steps, {goal.name: have})
        seen = {goal.name: have}
        return self.planned(have, with_places(made, facts.moved, seen, whole_host=False))

    def planned(self, have: Observation, made: Plan) -> Planned:
        """A plan that was made for a VM of this host, with what the host needs first."""
        return Planned(have, with_upgrade(made, self.registry.outdated()))

    def saved(
        self,
        made: HostPlan,
        observations: Mapping[str, Observation],
        warnings: tuple[str, ...] = (),
    ) -> SavedPlan:
        """A plan that was made for VMs of this host, with what the host needs first."""
        return saved(with_upgrade(made, self.registry.outdated()), observations, warnings)

    def plan_host(
        self,
        wanted: Sequence[Goal],
        seen: Mapping[str, Observation],
        scope: Scope,
        policy: HostPolicy | None = None,
        facts: Facts | None = None,
    ) -> SavedPlan:
        """The plan that brings VMs to their goals, on a host where *seen* is all there is.

        The *policy* is that of the configuration, where none is given, and *facts* are asked for.
        """
        of_host = (facts or self.facts)(_drivers(wanted))
        made = plan_goals(wanted, seen, of_host, policy or self.config.policy, scope)
        self._check_sources(made.plan.steps, seen)
        return made

    def plan_wishes(self, wishes: Wishes) -> SavedPlan:
        """The plan for the VMs that are named, else for the whole host.

        One of the configuration's that is elsewhere on this machine is not taken for gone.
        """
        there, facts = self.observe_all(), self._facts()
        lost = self.config.known.intersection(facts(()).elsewhere)
        seen = {**dict.fromkeys(sorted(lost), Observation()), **there}
        policy = wishes.policy(self.config.policy)
        return plan_wished(
            wishes,
            self.config,
            seen,
            lambda wanted: self.plan_host(wanted, seen, wishes.scope, policy, facts),
        )

    def plan_boot(self) -> SavedPlan:
        """The plan that starts every VM which is to run after the host's own start.

        One that cannot start keeps no other from it: ``refused`` says why it cannot. One that is to
        be gone stays off.
        """
        seen = self.observe_all()
        wanted = [goal for goal in boot_goals(seen) if goal.name not in self.config.gone]
        return self._as_many_as_can(wanted, seen)

    def plan_halt(self) -> SavedPlan:
        """The plan that powers off every VM, before the host does; ``refused`` as at its start."""
        seen = self.observe_all()
        return self._as_many_as_can(halt_goals(seen), seen)

    def plan_rebuild(self) -> SavedPlan:
        """The plan that records again what the registry lost, and marks locks where they are not.

        No VM is touched, and nothing of volumes. One that cannot be recorded is refused alone.
        """
        seen = self.observe_all()
        return self._as_many_as_can(rebuild_goals(seen), seen)

    def plan_each(
        self, wanted: Sequence[Goal], seen: Mapping[str, Observation]
    ) -> tuple[SavedPlan, Refusals]:
        """One plan for as many VMs as have one together; and why each of the others has none."""
        facts = self._facts()
        return as_many_as_can(
            wanted, lambda some: self.plan_host(some, seen, Scope.SOME, facts=facts)
        )

    def _as_many_as_can(self, wanted: Sequence[Goal], seen: Mapping[str, Observation]) -> SavedPlan:
        made, refused = self.plan_each(wanted, seen)
        return replace(made, refused=refused)

    def candidate(self) -> "placement.Candidate":
        """All that has to be known of this host to place VMs on it, or on others: no secrets."""
        seen = self.observe_all()
        wanted, _ = goals(Wishes(Goal(name="", target=Target.RUNNING)), self.config, seen)
        return placement.Candidate(
            goals=tuple(
                replace(goal, spec=without_secrets(goal.spec)) if goal.spec else goal
                for goal in wanted
            ),
            observations={name: observed_without_secrets(have) for name, have in seen.items()},
            facts=self.facts(self.drivers),
            policy=self.config.policy,
        )

    def recorded(self) -> Recorded:
        """All that a plan is made from, to make plans elsewhere."""
        return Recorded(observations=self.observe_all(), facts=self.facts(self.drivers))

    def _check_sources(self, steps: Iterable[Step], seen: Mapping[str, Observation]) -> None:
        """Whether the files of the host that *steps* use are as they should be, and unused."""
        steps = list(steps)
        self._verify_templates(steps)
        in_the_way = tuple(obstacles(steps, seen, self.drivers, self.pools))
        if in_the_way:
            raise Refused(*in_the_way)
        specs = {name: have.recorded for name, have in seen.items()}
        specs |= {s.vm: s.action.spec for s in steps if isinstance(s.action, Define | Adopt)}
        using = {step.vm for step in steps if isinstance(step.action, Define | Adopt | Start)}
        problems = [
            replace(each, path=f"{name}.{each.path}")
            for name in sorted(using)
            if (spec := specs.get(name)) and self._holds_files(spec.root.pool)
            for each in binds.problems(spec, self.config.bind_sources)
        ]
        if problems:
            raise Refused(*problems)

    def _verify_templates(self, steps: Iterable[Step]) -> None:
        needed = {
            step.action.template
            for step in steps
            if isinstance(step.action, InstallTemplate) and self._holds_files(step.action.pool)
        }
        for name in sorted(needed):
            templates.verify(self.config.templates[name], self.store)

    def apply(self, planned: Planned, progress: Progress = silent) -> Applied:
        """Carry a plan out; refused where the VM is no longer what the plan was made from."""
        return self.apply_host(planned.as_saved(), progress)

    def apply_host(self, planned: SavedPlan, progress: Progress = silent) -> Applied:
        """Carry a plan out; refused where a VM is no longer what the plan was made from."""
        made = planned.plan
        self.places.remember()
        if made.is_empty:
            return Success(())
        with self.listening(self.config.events, self.origin) as listener, ExitStack() as locks:
            for name in sorted({step.vm for step in made.steps if step.vm}):  # in one order for all
                locks.enter_context(operation_lock(Path(self.config.run_dir), name))
            self._reserve(planned, locks)
            self._check_configured(made.steps)
            self._check_sources(made.steps, planned.observations)  # they may have changed too
            if self.registry.outdated() is None:
                self._remember(planned)
            performers = {
                each.name: self._performer(each, planned.observations) for each in made.plans
            }

            def carry_out(step: Step) -> None:
                match step.action:
                    case Pause(seconds):
                        time.sleep(seconds)
                    case UpgradeRegistry() as upgrade:
                        upgrade_registry(self.registry, upgrade)
                        self._remember(planned)
                    case RemoveLeftover() as left:
                        with guarded(step.vm):
                            interrupted.remove(self, step.vm, left)
                    case NotePlaces() as noting:
                        self.places.note(noting.moved)
                    case action:
                        with guarded(step.vm):
                            performers[step.vm].perform(action)

            def tell(step: Step, outcome: Outcome, detail: str) -> None:
                progress(step, outcome, detail)
                listener(step, outcome, detail)

            onlooker = Onlooker(planned.observations, self.observe)
            applied = apply_steps(made.steps, carry_out, self.registry, tell, self.origin, onlooker)
            self._bound_journal()
            self.places.remember()  # a pool has its identity from its first volume on
            return applied

    def _bound_journal(self) -> None:
        """Forget what is older, or more, than the policy keeps."""
        bounds = self.config.policy.journal
        with suppress(HostError):  # what was done is done: the next plan forgets it
            self.registry.prune(time.time() - bounds.days * DAY_S, bounds.entries)

    def _reserve(self, planned: SavedPlan, locks: ExitStack) -> None:
        """Check that all is as the plan wants it, and hold what it takes until *locks* end."""
        made, run_dir = planned.plan, Path(self.config.run_dir)
        if not any(map(takes, made.plans)):
            self._check_unmoved(planned, self.observe_all())
            return
        with reservations.alone(run_dir):
            others = reservations.of_others(run_dir)  # before the look: one that ends is seen then
            seen = self.observe_all()
            self._check_unmoved(planned, seen)
            wanted = recheck.reservations(made.plans, seen)
            facts = self.facts(each.spec.driver for each in wanted.values())
            problems = no_longer(made.plans, seen, facts, self.config.policy, others)
            if problems:
                raise Refused(*problems)
            locks.enter_context(reservations.reserved(run_dir, wanted))

    def _check_unmoved(self, planned: SavedPlan, seen: Mapping[str, Observation]) -> None:
        """Compare the VMs that the plan is about, and what it was saved with."""
        about = {*planned.observations, *(each.name for each in planned.plan.plans)}
        problems = moved(planned, {name: have for name, have in seen.items() if name in about})
        if problems:  # what is not available has not moved
            away = (f"not available: {why}" for why in self.unavailable.values())
            raise Refused(*problems, *away)

    def _remember(self, planned: SavedPlan) -> None:
        """What an older geats did not remember of the VMs that the plan is about, and was there.

        Those that are on, nobody has to start. A pool that an older geats filled gets its identity.
        """
        learn_identities(self.registry, self.pools)
        locked = {step.vm for step in planned.plan.steps}  # others may be about to be powered off
        seen = planned.observations
        unfinished_restarts.forget(
            self.registry, [vm for vm in locked & seen.keys() if seen[vm].power in ON]
        )
        for each in planned.plan.plans:
            have = planned.observations.get(each.name, Observation())
            places = {
                (seen.pool, seen.name): self.pools[seen.pool].path(VolumeId(each.name, seen.name))
                for seen in have.volumes
            }
            pools = {seen.pool for seen in have.volumes}
            identities = self.pools.asked(lambda pool: pool.facts.identity, pools)
            keep(self.registry, each.name, have, places, identities)

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
        pools: set[str] = set()
        match action:
            case Define(spec) | Adopt(spec):
                pools = {volume.pool for volume in spec.all_volumes}
                if spec.driver not in self.drivers:
                    yield f"driver {spec.driver!r}"
            case InstallTemplate(_, _, template) if template not in self.config.templates:
                yield f"template {template!r}"
            case _:
                pass
        if isinstance(action, VolumeAction):
            pools = {action.pool}
        yield from (f"pool {pool!r}" for pool in pools - self.pools.keys())

    def _performer(self, made: Plan, seen: Mapping[str, Observation]) -> "perform.Performer":
        specs = [s.action.spec for s in made.steps if isinstance(s.action, Define | Adopt)]
        have = seen.get(made.name, Observation())
        spec = specs[0] if specs else have.recorded
        return perform.Performer(
            made.name,
            self.registry,
            cache(lambda: self._driver_of(made.name, spec)),
            self.pools,
            self.config.templates,
            self.store,
            spec,
            self.config.bind_sources,
            have.locked,
        )

    @property
    def store(self) -> "stores.Store":
        """The files and locks of this host's templates."""
        return stores.Store(Path(self.config.state_dir) / "templates", Path(self.config.run_dir))

    @property
    def templates(self) -> "upkeep.Upkeep":
        """The templates of this host: to list, import, verify and prune them."""
        return upkeep.Upkeep(self.config.templates, self.pools, self.store, self.config.wrong)

    def info(self, name: str) -> Info:
        """Statistics of one VM; empty for one that is only declared, or cannot be seen."""
        have = self.known(name)
        unseen = have.recorded is not None and have.recorded.driver in self.drivers.away
        if unseen or not have.exists:
            return Info()
        return self._driver_of(name, have.recorded).info(name)

    def driver(self, name: str) -> Driver:
        """The driver that runs the VM, or is to run it; refused where nobody knows the VM."""
        have = self.known(name)
        return self._driver_of(name, have.recorded if have.exists else self.declared(name))

    def running(self, name: str) -> Driver:
        """The driver of a VM that runs; refused where it does not."""
        have = self.known(name)
        if have.power is not Power.RUNNING:
            power = have.power if have.exists else "not defined"
            raise Refused(f"{name}: is {power}, and must be running")
        return self._driver_of(name, have.recorded)

    def console_command(self, name: str) -> list[str]:
        """The argv that attaches a terminal to the VM's console."""
        have = self.known(name)
        if not have.exists:
            raise Refused(f"{name}: is not defined")
        return list(self._driver_of(name, have.recorded).console_command(name))

    def journal(self, name: str, limit: int = 50) -> Iterable[Entry]:
        """The newest steps that were applied to a VM, oldest first."""
        accepted(fields.name("name", name))
        return self.registry.journal(name, accepted(fields.positive_int("limit", limit)))

    def _driver_of(self, name: str, spec: VMSpec | None) -> Driver:
        """The driver that *spec* names; where there is none, the one that knows the VM."""
        if spec is not None and spec.driver in self.drivers:
            return self.drivers[spec.driver]
        knowing = self.drivers.asked(lambda driver: bool(driver.observe(name)))
        found = [each for each, knows in knowing.items() if knows]
        return self.drivers[next(iter([*found, *self.drivers]))]

    def _holds_files(self, pool: str) -> bool:
        """Whether files are put on its volumes; not that of a pool that is not available."""
        return self.pools.ask(pool, lambda each: each.offers) not in (None, Offer.NOTHING)

    def _identities(self, filled: Remembered) -> Identities:
        """Of the pools that had one when a volume was filled: what others say takes time."""
        pools = {each.pool for known in filled.values() for each in known if each.identity}
        return self.pools.asked(lambda pool: pool.facts.identity, sorted(pools))

    def _volumes(self) -> Mapping[str, list[VolumeSeen]]:
        volumes: dict[str, list[VolumeSeen]] = {}
        for pool_name, found in self.pools.asked(lambda pool: pool.observe()).items():
            for volume, seen in found.items():
                if not volume.is_of_vm:
                    continue
                volumes.setdefault(volume.vm, []).append(replace(seen, pool=pool_name))
        return volumes


def _drivers(wanted: Iterable[Goal]) -> set[str]:
    return {goal.spec.driver for goal in wanted if goal.spec is not None}


def _concerns_others(goal: Goal, have: Observation) -> bool:
    """Whether the VM shares volumes, or mounts those of others; before, or as it is to be."""
    known = [spec for spec in (goal.spec, have.recorded, have.in_effect) if spec]
    return any(
        spec.shared_volumes or any(volume.shared for volume in spec.volumes) for spec in known
    )


def _may_run(seen: DriverSeen | None, is_recorded: bool) -> bool:
    """Whether a VM is one that can be started: it is defined, and off."""
    vm = seen or DriverSeen()
    return vm.power is Power.STOPPED and (is_recorded or vm.defined is not None)


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
        by_hand=vm.by_hand,
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
