"""On which of several hosts to place a VM.

Theory of operation
-------------------
A host can take a VM if ``plan_host`` has a plan for it together with everything else that is wanted
on the host. So drivers, pools, templates, bridges, addresses and space count exactly as they do
when the plan is applied. Of the hosts that can, the strategy chooses one by its *load*: the
promised share of the resource of which it has the least left.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from returns.result import Failure, Success

from geats_core.declared.placement_rules import Rules, Strategy
from geats_core.declared.policy import HostPolicy
from geats_core.hostwide.capacity import limit_of, promised
from geats_core.hostwide.host_planner import plan_host
from geats_core.planning.goal import Goal
from geats_core.planning.host_facts import HostFacts
from geats_core.plans.reverse import follow
from geats_core.reading.checked import Checked, Code, Problem, problem, within
from geats_core.reading.labels import NO_LABELS, Labels, alike
from geats_core.vm.observation import Observation

Ends: TypeAlias = Mapping[str, Observation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A host, with the arguments of ``plan_host``: what is wanted there, and what there is."""

    goals: tuple[Goal, ...] = ()
    observations: Mapping[str, Observation] = field(default_factory=dict)
    facts: HostFacts = field(default_factory=HostFacts)
    policy: HostPolicy = field(default_factory=HostPolicy)

    @property
    def vms(self) -> frozenset[str]:
        """The VMs that are on the host, or should be."""
        there = {name for name, have in self.observations.items() if have.exists}
        return frozenset(there | {goal.name for goal in self.goals})


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The host for a VM, its load with the VM, and why no other host could have been taken."""

    host: str
    load: float
    refused: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)


def place(
    wanted: Goal, hosts: Mapping[str, Candidate], rules: Rules | None = None
) -> Checked[Placement]:
    """The host on which *wanted* is reached, or why each of *hosts* cannot take the VM."""
    rules = rules or Rules()
    there = sorted(name for name, host in hosts.items() if wanted.name in host.vms)
    if there:
        return problem(wanted.name, f"is on {there[0]} already", Code.REFUSED)
    if not hosts:
        return problem(wanted.name, "there is no host for it", Code.REFUSED)
    loads: dict[str, float] = {}
    refused: dict[str, tuple[Problem, ...]] = {}
    for name in hosts:
        match load_with(wanted, name, hosts, rules):
            case Success(load):
                loads[name] = load
            case Failure(found):
                refused[name] = found
    if not loads:
        return Failure(tuple(p for name, found in refused.items() for p in within(name, found)))
    sign = 1 if rules.strategy is Strategy.SPREAD else -1
    best = min(loads, key=lambda name: (sign * loads[name], name))
    return Success(Placement(host=best, load=loads[best], refused=refused))


def load_with(
    wanted: Goal, name: str, hosts: Mapping[str, Candidate], rules: Rules
) -> Checked[float]:
    """The load of the host *name* with the VM on it; refused if the VM cannot be there."""
    host = with_goal(hosts[name], wanted)
    problems = list(_neighbours(wanted.name, name, hosts, with_labels(rules, wanted, hosts)))
    match end_of(host):
        case Success(end):
            problems += _above_reserve(wanted.name, host, end, rules)
            return Failure(tuple(problems)) if problems else Success(share(promises(end), host))
        case Failure(found):
            return Failure((*problems, *found))


def _above_reserve(name: str, host: Candidate, end: Ends, rules: Rules) -> Iterable[Problem]:
    """The resources that the VM takes, and of which too little would be left."""
    shares, most = _shares(promises(end), host), 1 - rules.reserve
    taken = {resource for (resource, _, _), amount in promised(end[name], name).items() if amount}
    for resource in sorted(taken & shares.keys()):
        if shares[resource] > most:
            words = f"{shares[resource]:.0%} would be promised, and {most:.0%} may be"
            yield Problem(resource, words, Code.CAPACITY)


def with_labels(rules: Rules, wanted: Goal, hosts: Mapping[str, Candidate]) -> Rules:
    """*rules* with the groups that labels make of *wanted* and the VMs of *hosts*."""
    if not rules.together_by and not rules.apart_by:
        return rules
    of_wanted = wanted.spec.labels if wanted.spec else NO_LABELS
    of_vms = [each for host in hosts.values() for each in _labels_of(host).items()]
    known = [(wanted.name, of_wanted), *(each for each in of_vms if each[0] != wanted.name)]

    def groups(names: Iterable[str]) -> Iterable[frozenset[str]]:
        return (group for name in names for group in alike(name, known).values())

    return replace(
        rules,
        together=(*rules.together, *groups(rules.together_by)),
        apart=(*rules.apart, *groups(rules.apart_by)),
    )


def _labels_of(host: Candidate) -> Mapping[str, Labels]:
    """Those of each VM, as it is to be, or else as it is."""
    there = {
        name: have.recorded.labels for name, have in host.observations.items() if have.recorded
    }
    return there | {goal.name: goal.spec.labels for goal in host.goals if goal.spec}


def _neighbours(
    vm: str, name: str, hosts: Mapping[str, Candidate], rules: Rules
) -> Iterable[Problem]:
    """What the groups that the VM is in say against the host *name*."""
    for group in rules.together:
        others = group - {vm} if vm in group else frozenset[str]()
        there = {each: hosts[each].vms & others for each in hosts if others and each != name}
        found = sorted((other, elsewhere) for elsewhere in there for other in there[elsewhere])
        for other, elsewhere in found:
            why = f"must be together with {other}, which is on {elsewhere}"
            yield Problem(vm, why, Code.REFUSED)
    for group in rules.apart:
        for other in sorted(hosts[name].vms & group - {vm}) if vm in group else ():
            yield Problem(vm, f"must be apart from {other}", Code.REFUSED)


def load_of(host: Candidate) -> float:
    """The highest share of any resource, once what is wanted is reached, or else as it is now."""
    return share(promises(end_of(host).value_or(host.observations)), host)


def share(total: Mapping[str, int], host: Candidate) -> float:
    """The highest share that *total* is of what may be promised on *host*, of any resource."""
    return max(_shares(total, host).values(), default=0.0)


def promises(end: Ends) -> Counter[str]:
    """How much of each resource is promised to VMs."""
    total: Counter[str] = Counter()
    for name, have in end.items():
        for (resource, _, _), amount in promised(have, name).items():
            total[resource] += amount
    return total


def _shares(total: Mapping[str, int], host: Candidate) -> dict[str, float]:
    """How much of each resource is promised, as a share of what may be."""
    limits = {resource: limit_of(resource, host.facts, host.policy) for resource in total}
    return {resource: total[resource] / limit for resource, limit in limits.items() if limit}


def end_of(host: Candidate) -> Checked[Ends]:
    """What is on the host after its plan; refused if the host has no plan."""
    match plan_host(host.goals, host.observations, host.facts, host.policy):
        case Success(made):
            found = dict(host.observations)
            for each in made.plans:
                found[each.name] = follow(each, found.get(each.name, Observation())).unwrap()
            return Success(found)
        case Failure() as refused:
            return refused


def with_goal(host: Candidate, goal: Goal) -> Candidate:
    """The same host, with one more VM to have."""
    return replace(host, goals=(*host.goals, goal))


def without(host: Candidate, vm: str) -> Candidate:
    """The same host, had it never heard of *vm*."""
    goals = tuple(goal for goal in host.goals if goal.name != vm)
    there = {name: have for name, have in host.observations.items() if name != vm}
    return replace(host, goals=goals, observations=there)
