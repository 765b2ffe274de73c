"""Whether a host has what its VMs are promised: memory, cpus, and the space of its pools.

Theory of operation
-------------------
What a VM is promised changes along a chain of steps that wait for each other: its starts, stops and
changes of limits for memory and cpus, the actions on one volume for space. Chains are independent,
so the most that can be promised at any point, in any order, is what is promised now and the peak of
every chain. If that is too much, but would not be once other chains have given back what they will,
those come first. Each chain that takes waits for the chains that it takes from, as few as possible,
so that one that fails to give back does not block others. If it is still too much, there is no
plan.

Amounts are whole numbers: bytes, and millionths of a CPU. A VM without a limit counts as nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from itertools import product
from math import isfinite
from typing import TypeAlias

from geats_core.declared.policy import HostPolicy
from geats_core.hostwide.step_graph import Graph
from geats_core.planning.actions import SetLimits
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.model import after
from geats_core.planning.ordering import ordered
from geats_core.planning.steps import Plan, Step
from geats_core.reading.checked import Code, Problem
from geats_core.reading.sizes import UNITS
from geats_core.vm.claims import kept_spec
from geats_core.vm.observation import Observation, Power
from geats_core.vm.spec import Limits

Resource: TypeAlias = str  # "memory", "cpus", or "pools.NAME"
Chain: TypeAlias = tuple[Resource, str, str]  # what, the VM, and the volume (empty for the others)
MEMORY, CPUS, POOLS = "memory", "cpus", "pools."
MILLION = 10**6


@dataclass(slots=True)
class _Use:
    """How one chain changes what its VM is promised, relative to now."""

    now: int = 0
    peak: int = 0
    gives: list[int] = field(default_factory=list)
    takes: list[int] = field(default_factory=list)

    def change(self, by: int, step: int) -> None:
        self.now += by
        self.peak = max(self.peak, self.now)
        (self.takes if by > 0 else self.gives).append(step)


def limit_of(resource: Resource, facts: HostFacts, policy: HostPolicy) -> int | None:
    """How much may be promised; None if it is not known or not limited."""
    if resource == CPUS:
        return _times(_millionths(facts.cpus), policy.cpu_overcommit)
    if resource == MEMORY:
        return _times(facts.memory_bytes, policy.memory_overcommit)
    size_bytes = facts.pool(resource.removeprefix(POOLS)).size_bytes
    return _times(size_bytes, policy.disk_overcommit)


def _times(amount: int | None, factor: float) -> int | None:
    millionths = _millionths(factor)
    return None if amount is None or millionths is None else amount * millionths // MILLION


def _millionths(number: float | None) -> int | None:
    return None if number is None or not isfinite(number) else round(number * MILLION)


def promised(have: Observation, name: str) -> dict[Chain, int]:
    """What the VM *name* is promised now: a stuck one keeps what it has until it is repaired.

    One that an interrupted plan is to start again is promised what it is started with.
    """
    found: dict[Chain, int] = {}
    kept = kept_spec(have) if have.to_run else have.in_effect
    if kept is not None and (have.to_run or have.power is not Power.STOPPED):
        limits = kept.limits
        found[MEMORY, name, ""] = limits.memory_bytes or 0
        found[CPUS, name, ""] = _millionths(limits.cpus) or 0
    for volume in have.volumes:
        found[f"{POOLS}{volume.pool}", name, volume.name] = volume.size_bytes or 0
    return found


def fit(
    graph: Graph,
    placed: Iterable[tuple[Plan, range]],
    observations: Mapping[str, Observation],
    facts: HostFacts,
    policy: HostPolicy,
) -> list[Problem]:
    """Make steps of *graph* wait if others must release first; report what there is too little
    of."""
    chains: dict[Resource, dict[Chain, _Use]] = defaultdict(dict)
    for plan, numbers in placed:
        if plan.steps:
            _follow(plan, numbers, observations.get(plan.name, Observation()), chains)
    limits = {resource: limit_of(resource, facts, policy) for resource in sorted(chains)}
    if all(limit is None for limit in limits.values()):
        return []
    in_use = _in_use(observations)
    return [
        problem
        for resource, limit in limits.items()
        if limit is not None
        for problem in _fit_one(graph, resource, limit, chains[resource], in_use[resource])
    ]


def _fit_one(
    graph: Graph,
    resource: Resource,
    limit: int,
    chains: Mapping[Chain, _Use],
    in_use: Mapping[str, int],
) -> Iterable[Problem]:
    takers = {chain: use for chain, use in chains.items() if use.peak > 0}
    givers = {chain: use for chain, use in chains.items() if use.now < 0}
    base = sum(in_use.values())
    asked = sum(use.peak for use in takers.values())
    if not takers or base + asked <= limit:
        return
    if base + asked + sum(use.now for use in givers.values()) > limit:
        yield _too_much(resource, limit, takers, givers, in_use)
        return
    for use, gives in _dealt(max(limit - base, 0), takers.values(), givers.values()):
        for later, earlier in product(use.takes, gives):
            graph.take(later, earlier)


def _dealt(
    free: int, takers: Iterable[_Use], givers: Iterable[_Use]
) -> Iterable[tuple[_Use, list[int]]]:
    """The steps that each taker has its room from, in order: none if there is room already.

    It takes from those that have most left to give, so that they are few.
    """
    left = [(giver.now, number, giver) for number, giver in enumerate(givers)]  # most left first
    heapify(left)
    for use in takers:
        wanted = max(use.peak - free, 0)
        free = max(free - use.peak, 0)
        gives: list[int] = []
        while wanted:
            less, number, giver = heappop(left)
            gives += giver.gives
            if wanted + less < 0:
                heappush(left, (wanted + less, number, giver))
            wanted = max(wanted + less, 0)
        yield use, gives


def _follow(
    plan: Plan, numbers: range, have: Observation, chains: dict[Resource, dict[Chain, _Use]]
) -> None:
    """Enter what each step of *plan* gives or takes."""
    for number, (_, by) in zip(numbers, _given_and_taken(plan, have), strict=True):
        for chain, amount in by.items():
            chains[chain[0]].setdefault(chain, _Use()).change(amount, number)


def _given_and_taken(plan: Plan, have: Observation) -> Iterable[tuple[Step, dict[Chain, int]]]:
    """Each step of *plan*, and by how much it changes what the VM is promised.

    What it gives by being powered off, others can take until it is started again.
    """
    state, now = have, promised(have, plan.name)
    for step in plan.steps:
        state = after(step.action, state).value_or(state)
        then = promised(replace(state, to_run=state.to_run and have.to_run), plan.name)
        by = {chain: then.get(chain, 0) - now.get(chain, 0) for chain in (now | then)}
        yield step, {chain: amount for chain, amount in by.items() if amount}
        now = then


def lower_first(plan: Plan, have: Observation) -> Plan:
    """The same plan; but a step that lowers one limit and raises another is two, lowering first."""
    steps: list[Step] = []
    limits = Limits() if have.in_effect is None else have.in_effect.limits
    for step, by in _given_and_taken(plan, have):
        directions = {amount > 0 for amount in by.values()}
        if isinstance(step.action, SetLimits) and len(directions) == 2:
            steps.append(replace(step, action=SetLimits(_lowered(limits, step.action.limits))))
        steps.append(step)
    return replace(plan, steps=ordered(steps))


def _lowered(old: Limits, new: Limits) -> Limits:
    """*new*, without what is more than in *old*."""
    memory = min(old, new, key=lambda limits: limits.memory_bytes or 0)
    cpus = min(old, new, key=lambda limits: limits.cpus or 0)
    return replace(new, memory_bytes=memory.memory_bytes, cpus=cpus.cpus)


def _in_use(observations: Mapping[str, Observation]) -> Mapping[Resource, dict[str, int]]:
    """How much of each resource every VM is promised now."""
    found: dict[Resource, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for name, have in observations.items():
        for (resource, _, _), amount in promised(have, name).items():
            found[resource][name] += amount
    return found


def _too_much(
    resource: Resource,
    limit: int,
    takers: Mapping[Chain, _Use],
    givers: Mapping[Chain, _Use],
    in_use: Mapping[str, int],
) -> Problem:
    asked: dict[str, int] = defaultdict(int)
    kept = dict(in_use)
    for (_, vm, _), use in takers.items():
        asked[vm] += use.peak
    for (_, vm, _), use in givers.items():
        kept[vm] += use.now
    free = max(limit - sum(kept.values()), 0)
    keepers = {vm: amount for vm, amount in kept.items() if amount > 0}
    by = f": the rest is kept by {_by_vm(resource, keepers)}" if keepers else ""
    return Problem(
        resource,
        f"{_by_vm(resource, asked)} would take {_shown(resource, sum(asked.values()))}, but of the "
        f"{_shown(resource, limit)} that may be promised {_shown(resource, free)} can be free{by}",
        Code.CAPACITY,
    )


def _by_vm(resource: Resource, amounts: Mapping[str, int], most: int = 5) -> str:
    """The largest few, with their amounts."""
    largest = sorted(amounts, key=lambda vm: (-amounts[vm], vm))
    words = [f"{vm} ({_shown(resource, amounts[vm])})" for vm in largest[:most]]
    more = [f"{len(largest) - most} more"] if len(largest) > most else []
    return ", ".join([*words, *more])


def _shown(resource: Resource, amount: int) -> str:
    """An amount for a person: at most two places after the point."""
    if resource == CPUS:
        return f"{_rounded(amount, MILLION)} cpus"
    letter = next((each for each in "PTGMK" if amount >= UNITS[f"{each}iB"]), "")
    return f"{_rounded(amount, UNITS[letter])}{letter}{'iB' if letter else 'B'}"


def _rounded(amount: int, unit: int) -> str:
    whole, hundredths = divmod(amount * 100 // unit, 100)
    return f"{whole}.{hundredths:02}".rstrip("0").rstrip(".")
