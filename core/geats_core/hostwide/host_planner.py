"""The host planner: all the VMs of one host at once.

Theory of operation
-------------------
Each VM is planned by itself; its steps become a part of one graph. Rules then say what is true of
the host only: what two VMs cannot both have (``conflicts``), what they share
(``shared_volumes``), who starts before whom (``start_order``), and what must be given back before
more is taken (``capacity``). A rule adds edges and gates to the graph, or says why there is no
plan. Steps that do not wait for each other may run side by side.

Why nothing ever waits for itself: within a VM, what gives back (stops, destroys) comes before what
takes (allocations, starts), and no rule lets a step that gives wait for one that takes. The only
step that can do both is a change of limits, up in one and down in another: if such steps do wait
for each other, each is done in two, the lowering first. Waves (``rolling``) are the one rule that
lets what gives wait for what takes: where both cannot be, the plan is refused, and says so.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field, replace

from returns.result import Failure, Success

from geats_core.deciding.only_named import is_sweep, too_many, too_many_down
from geats_core.deciding.planner import plan
from geats_core.declared.policy import HostPolicy
from geats_core.hostwide.capacity import fit, lower_first
from geats_core.hostwide.conflicts import conflicts, described, hand_over
from geats_core.hostwide.own_ids import clashes, settled
from geats_core.hostwide.rolling import Rollout, order_waves, rollouts, with_checks
from geats_core.hostwide.shared_volumes import order_sharing, wrong_sharing
from geats_core.hostwide.start_order import cycles, order_starts_and_stops, unknown_names
from geats_core.hostwide.step_graph import Graph
from geats_core.hostwide.strays import Stray, stray_goals, strays_among
from geats_core.planning.actions import AwaitReady
from geats_core.planning.costs import Impact
from geats_core.planning.goal import Asked, Goal, Restart, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.ordering import ordered
from geats_core.planning.steps import Plan, Step
from geats_core.reading.checked import Checked, Code, Problem
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Observation, Power
from geats_core.vm.spec import PowerWish, VMSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """The steps that bring the VMs of a host to their goals, in an order in which they may run.

    ``plans`` are the plans of the single VMs: the same steps, without waiting for other VMs.
    """

    plans: tuple[Plan, ...] = ()
    steps: tuple[Step, ...] = ()
    strays: tuple[Stray, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.steps

    @property
    def impact(self) -> Impact:
        """The highest impact among the steps."""
        return max((step.impact for step in self.steps), default=Impact.NONE)


def plan_host(
    goals: Iterable[Goal],
    observations: Mapping[str, Observation],
    facts: HostFacts | None = None,
    policy: HostPolicy | None = None,
    groups: Mapping[str, str] | None = None,
) -> Checked[HostPlan]:
    """The steps that bring every VM to its goal, or every reason why there is no plan.

    *observations* is everything on the host, by the names of the VMs. VMs without a goal that are
    not in ``facts.declared`` are strays. *groups* has the groups of VMs that have no goal: they
    count if others of their group are to be down. Never raises.
    """
    facts, policy = facts or HostFacts(), policy or HostPolicy()
    by_name, problems = _by_name(goals)
    declared = {*by_name, *facts.declared}
    by_name, without = settled(by_name, observations, facts)
    problems += without
    strays = strays_among(observations, declared, policy)
    wanted = by_name | {goal.name: goal for goal in stray_goals(strays)}
    plans = _plan_each(wanted, observations, facts, problems)
    problems += too_many(wanted, plans, observations, declared, policy)
    problems += too_many_down(wanted, plans, observations, policy)
    problems += _order_problems(by_name, {*wanted, *observations, *facts.declared}, observations)
    problems += conflicts(wanted, observations, plans, facts)
    problems += clashes(wanted, observations, facts)
    problems += wrong_sharing(wanted, observations, plans)
    if problems:
        return Failure(tuple(problems))
    specs = _specs(wanted, observations)
    of_goals = {name: goal.group for name, goal in wanted.items() if goal.group}
    setting = Setting(specs, observations, facts, policy, {**of_goals, **(groups or {})})
    match arranged(plans, setting):
        case Success(made):
            return Success(replace(made, strays=strays))
        case Failure() as refused:
            return refused


@dataclass(frozen=True, slots=True)
class Setting:
    """All that the rules of a host look at; ``specs`` are what its VMs are to be.

    ``groups`` has the group of each VM that others stand in for.
    """

    specs: Mapping[str, VMSpec]
    observations: Mapping[str, Observation]
    facts: HostFacts
    policy: HostPolicy
    groups: Mapping[str, str] = field(default_factory=dict)


def arranged(plans: Sequence[Plan], host: Setting) -> Checked[HostPlan]:
    """The plans of single VMs as one, with what their steps wait for on other VMs."""
    found = rollouts(host.groups, host.policy.at_once, plans, host.specs, host.observations)
    if isinstance(found, Failure):
        return found
    rolling = found.unwrap()
    made = _arranged(with_checks(plans, rolling), host, rolling)
    if isinstance(made, Failure) and rolling and isinstance(_arranged(plans, host), Success):
        return Failure(tuple(map(_not_in_waves, made.failure())))
    return made


def _not_in_waves(found: Problem) -> Problem:
    why = f"cannot be kept: {found.message}; allow more VMs at once, or name some VMs at a time"
    return Problem("at_once", why, Code.REFUSED)


def _arranged(
    plans: Sequence[Plan], host: Setting, rolling: Sequence[Rollout] = ()
) -> Checked[HostPlan]:
    steps = _in_order(plans, host, rolling)
    if isinstance(steps, Failure):  # because limits change both ways at once, perhaps
        have = host.observations
        plans = [lower_first(each, have.get(each.name, Observation())) for each in plans]
        steps = _in_order(plans, host, rolling)
    match steps:
        case Success(in_order):
            return Success(HostPlan(plans=tuple(plans), steps=in_order))
        case Failure() as refused:
            return refused


def _in_order(
    plans: Iterable[Plan], host: Setting, rolling: Sequence[Rollout]
) -> Checked[tuple[Step, ...]]:
    graph = Graph()
    placed = [(each, graph.add_plan(each)) for each in plans]
    problems = [
        *hand_over(graph, host.specs, host.observations, placed, host.facts),
        *fit(graph, placed, host.observations, host.facts, host.policy),
    ]
    if problems:
        return Failure(tuple(problems))
    order_sharing(graph, host.specs, host.observations, placed)
    waving = {name for rollout in rolling for wave in rollout.waves for name in wave}
    order_starts_and_stops(graph, host.specs, waving)
    order_waves(graph, rolling, placed)
    return graph.in_order()


def _order_problems(
    goals: Mapping[str, Goal], known: Collection[str], observations: Mapping[str, Observation]
) -> list[Problem]:
    """What is wrong with ``after``; a name that was right when it was recorded may be gone now."""
    specs = {name: spec for name, goal in goals.items() if (spec := described(goal))}
    new = {
        name: spec
        for name, spec in specs.items()
        if spec != observations.get(name, Observation()).recorded
    }
    return [*unknown_names(new, known), *cycles(specs)]


def _by_name(goals: Iterable[Goal]) -> tuple[dict[str, Goal], list[Problem]]:
    by_name: dict[str, Goal] = {}
    problems: list[Problem] = []
    for goal in goals:
        if goal.name in by_name:
            problems.append(Problem(goal.name, "has two goals: a name belongs to one VM only"))
        by_name.setdefault(goal.name, goal)
    return by_name, problems


def _plan_each(
    goals: Mapping[str, Goal],
    observations: Mapping[str, Observation],
    facts: HostFacts,
    problems: list[Problem],
) -> list[Plan]:
    plans: list[Plan] = []
    for name, goal in goals.items():
        counted = replace(goal, asked=Asked.NAMED) if is_sweep(goal) else goal  # see too_many
        match plan(counted, observations.get(name, Observation()), facts):
            case Success(made):
                plans.append(made)
            case Failure(found):
                problems += found
    return plans


def _specs(goals: Mapping[str, Goal], observations: Mapping[str, Observation]) -> dict[str, VMSpec]:
    """What each VM with a goal is to be, or else is."""
    found = {name: goal.spec or _known(observations.get(name)) for name, goal in goals.items()}
    return {name: spec for name, spec in found.items() if spec is not None}


def _known(have: Observation | None) -> VMSpec | None:
    return None if have is None else have.recorded or have.in_effect or have.defined


def boot_goals(observations: Mapping[str, Observation]) -> tuple[Goal, ...]:
    """Goals for the start of the host: VMs that are off and defined with ``autostart`` should run.

    So should VMs that an interrupted plan powered off to start them again, for example because the
    host stopped. The highest priority comes first. VMs that geats did not make are left alone. VMs
    whose recorded definition cannot be read, that are stuck, or whose driver is not available get a
    goal too: there is no plan for them, so they are reported. If the registry has lost a VM, the
    definition of its driver counts. VMs that an interrupted operation left frozen are unfrozen.
    VMs that are described as off stay off, and those described as frozen are frozen once they run.
    """
    wanted = [
        spec
        for have in observations.values()
        if (spec := have.recorded or have.defined) is not None
        and ((spec.autostart.enabled and not spec.is_to_be_off) or have.to_run)
        and spec.enabled
        and have.power in (Power.STOPPED, Power.STUCK)
        and not have.foreign
    ]
    wanted.sort(key=lambda spec: spec.autostart.priority, reverse=True)
    return (
        *(_to_start(spec, observations[spec.name]) for spec in wanted),
        *(
            Goal(name=name, target=Target.DEFINED, spec=have.recorded, restart=Restart.NEVER)
            for name, have in observations.items()
            if have.recorded is not None and have.power is Power.HELD
        ),
    )


def _to_start(spec: VMSpec, have: Observation) -> Goal:
    """One that is stuck is left as it is: there is no plan for that, but a reason."""
    restart = Restart.NEVER if have.power is Power.STUCK else Restart.IF_NEEDED
    frozen = have.to_freeze or spec.power is PowerWish.FROZEN
    target = Target.FROZEN if frozen else Target.RUNNING
    return Goal(name=spec.name, target=target, spec=spec, restart=restart)


def without_idle_probes(made: HostPlan) -> HostPlan:
    """The same plan, in which only VMs that others need to be ready are waited for.

    The start of the host is over once all are started: a guest that is slow, or never ready, does
    not keep it.
    """
    needed = {at for step in made.steps for at in step.waits_for}
    idle = {at for at, step in enumerate(made.steps) if _probes(step) and at not in needed}
    kept = [at for at in range(len(made.steps)) if at not in idle]
    position = {old: new for new, old in enumerate(kept)}
    steps = tuple(
        step.waiting(tuple(position[n] for n in step.needs), tuple(position[n] for n in step.after))
        for step in (made.steps[at] for at in kept)
    )
    vms = {made.steps[at].vm for at in idle}
    plans = tuple(_without_probes(each) if each.name in vms else each for each in made.plans)
    return replace(made, plans=plans, steps=steps)


def _without_probes(made: Plan) -> Plan:
    return replace(made, steps=ordered(step for step in made.steps if not _probes(step)))


def _probes(step: Step) -> bool:
    return isinstance(step.action, AwaitReady)


def halt_goals(observations: Mapping[str, Observation]) -> tuple[Goal, ...]:
    """Goals for the shutdown of the host: every defined VM that is on or stuck should be off.

    VMs that geats did not make are left alone.
    """
    return tuple(
        Goal(name=name, target=Target.OFF)
        for name, have in observations.items()
        if have.was_described and have.power is not Power.STOPPED and not have.foreign
    )


def rebuild_goals(observations: Mapping[str, Observation]) -> tuple[Goal, ...]:
    """Goals to rebuild the registry from the drivers: definitions that it lost, and locks in both.

    The VMs themselves are not changed; the lock of a VM is recorded with its definition.
    """
    lost = {
        name: have.defined
        for name, have in observations.items()
        if have.defined is not None and not have.is_recorded
    }
    return (
        *(
            Goal(name=name, target=Target.DEFINED, spec=spec, restart=Restart.NEVER)
            for name, spec in lost.items()
        ),
        *(
            Goal(name=name, target=Target.LOCKED)
            for name, have in observations.items()
            if have.half_locked and have.is_recorded and not have.foreign
        ),
    )
