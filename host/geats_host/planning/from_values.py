"""Plans for several VMs from values: of this host, or of one that was recorded.

As many VMs as have a plan together get one; and each of the others a reason why it has none.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeAlias

from geats_core.deciding.only_named import NAMES, is_sweep
from geats_core.declared.config import HostConfig
from geats_core.declared.policy import HostPolicy
from geats_core.hostwide.host_planner import plan_host
from geats_core.hostwide.registry_upgrade import with_places, with_upgrade
from geats_core.hostwide.strays import left_alone
from geats_core.planning.goal import Goal
from geats_core.planning.host_facts import HostFacts
from geats_core.plans.plan_files import Recorded, SavedPlan, saved
from geats_core.reading.checked import Code, Problem
from geats_core.vm.mounts import DEFAULT_POOL
from geats_core.vm.observation import Observation
from geats_core.vm.spec import RootKind
from geats_host.errors import Refused, accepted
from geats_host.planning.goals import Refusals, Scope, Wishes, goals, groups_of, in_groups, leaving
from geats_host.plugins.entry_points import DEFAULT_DRIVERS

PlanAll: TypeAlias = Callable[[Sequence[Goal]], SavedPlan]


def plan_wished(
    wishes: Wishes, config: HostConfig, seen: Mapping[str, Observation], plan_all: PlanAll
) -> SavedPlan:
    """The plan for what is wished, for as many VMs as have one together.

    ``refused`` says why each of the others has none, and the warnings why a VM that is to be gone
    cannot be. If nothing is to be done for any of them, what is refused is raised.
    """
    wanted, wrong = goals(wishes, config, seen)
    going = leaving(wishes, config, seen)
    if is_sweep(replace(wishes.goal, asked=wishes.asked)):
        _refuse_too_many(wanted, plan_all)
    made = as_many_as_can((*wanted, *going), plan_all)
    unplanned = made.refused
    stay = {goal.name for goal in going}
    refused = wrong | {name: why for name, why in unplanned.items() if name not in stay}
    problems = list(dict.fromkeys(chain.from_iterable(refused.values())))
    if problems and made.plan.is_empty:
        raise Refused(*problems)
    left = chain.from_iterable(why for name, why in unplanned.items() if name in stay)
    return replace(made, refused=refused, warnings=(*made.warnings, *map(str, left)))


def _refuse_too_many(wanted: Sequence[Goal], plan_all: PlanAll) -> None:
    """Look at all VMs that nobody named together: a part of them might be few enough."""
    try:
        _ = plan_all(wanted)
    except Refused as refused:
        of_all = [each for each in refused.found if each.path == NAMES]
        if of_all:
            raise Refused(*of_all) from None


def plan_goals(
    wanted: Sequence[Goal],
    seen: Mapping[str, Observation],
    facts: HostFacts,
    policy: HostPolicy,
    scope: Scope,
    groups: Mapping[str, str] | None = None,
) -> SavedPlan:
    """The plan for all of them, with what it must find unchanged: with Scope.SOME, only those.

    With Scope.HOST, VMs of these *groups* count as well if they have no goal.
    """
    of_others = groups if scope is Scope.HOST else None
    if scope is Scope.SOME:
        facts = replace(facts, declared=facts.declared | seen.keys())
    made = accepted(plan_host(wanted, seen, facts, policy, of_others))
    noting = with_places(made, facts.moved, seen, whole_host=scope is Scope.HOST)
    about = {plan.name for plan in made.plans}
    return saved(
        with_upgrade(noting, facts.upgrade),
        {name: have for name, have in seen.items() if scope is Scope.HOST or name in about},
        tuple(left_alone(made.strays)),
    )


def as_many_as_can(wanted: Sequence[Goal], plan_all: PlanAll) -> SavedPlan:
    """The plan for as many of *wanted* as have one together, the first of them before others.

    ``refused`` is why each of the rest has no part in it, by the name of the VM. Of VMs that nobody
    named, all are left out that are too many together: a part of them might be few enough.
    """
    try:
        return plan_all(wanted)
    except Refused as refused:
        unnamed = _unnamed(wanted, refused.found)
    if unnamed:
        made = as_many_as_can([goal for goal in wanted if goal.name not in unnamed], plan_all)
        return replace(made, refused={**unnamed, **made.refused})
    kept, problems = _together(tuple(wanted), (), plan_all)
    tried = None
    while problems and kept != tried:  # one may need another that comes after it
        tried = kept
        left = tuple(goal for goal in wanted if goal not in tried)
        kept, problems = _together(left, tried, plan_all)
    return replace(plan_all(kept), refused=problems)


def _unnamed(wanted: Sequence[Goal], found: Iterable[Problem]) -> Refusals:
    """Why each VM would lose something that nobody asked for by its name, of those that would."""
    names = {goal.name for goal in wanted}
    wrong: Refusals = {}
    for each in found:
        if each.code is Code.UNNAMED and each.path in names:
            wrong[each.path] = (*wrong.get(each.path, ()), each)
    return wrong


def _together(
    more: tuple[Goal, ...], kept: tuple[Goal, ...], plan_all: PlanAll
) -> tuple[tuple[Goal, ...], Refusals]:
    """*kept*, and of *more* those that go with it; and what is wrong with the others."""
    try:
        plan_all((*kept, *more))
    except Refused as refused:
        if len(more) <= 1:
            return kept, {goal.name: refused.found for goal in more}
    else:
        return (*kept, *more), {}
    half = len(more) // 2
    kept, wrong = _together(more[:half], kept, plan_all)
    kept, also_wrong = _together(more[half:], kept, plan_all)
    return kept, {**wrong, **also_wrong}


def plan_recorded(wishes: Wishes, config: HostConfig, recorded: Recorded) -> SavedPlan:
    """The plan for a host that is elsewhere: as *config* wants it, and as it was *recorded*."""
    facts = replace(
        recorded.facts,
        drivers={name: recorded.facts.driver(name) for name in config.drivers or DEFAULT_DRIVERS},
        pools={name: recorded.facts.pool(name) for name in config.pools or (DEFAULT_POOL,)},
        templates=frozenset(config.templates),
        disks={
            name: recorded.facts.disks.get(name)
            for name, template in config.templates.items()
            if template.root_kind is RootKind.DISK
        },
        declared=config.known,
        bind_sources=frozenset(config.bind_sources),
        device_sources=frozenset(config.device_sources),
        hook_directories=frozenset(config.hook_directories),
        raw_lines=frozenset(config.policy.raw_lines),
        host_network=config.policy.host_network,
    )
    seen, policy = recorded.observations, wishes.policy(config.policy)

    def plan_all(wanted: Sequence[Goal]) -> SavedPlan:
        grouped = in_groups(wanted, config)
        return plan_goals(grouped, seen, facts, policy, wishes.scope, groups_of(config))

    return plan_wished(wishes, config, seen, plan_all)
