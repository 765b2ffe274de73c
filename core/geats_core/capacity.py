"""Whether a host has what its VMs are promised: memory, cpus, and the space of its pools.

Theory of operation
-------------------
What a VM is promised changes along a chain of steps that wait for each other: its starts and stops
for memory and cpus, the actions on one volume for space. Chains are independent, so the most that
can be promised at any point, in any order, is what is promised now and the peak of every chain. If
that is too much, but would not be once other chains have given back what they will, those come
first: a gate is put between. If it still is, there is no such plan.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from geats_core.checked import Problem
from geats_core.graph import Graph
from geats_core.host_policy import HostPolicy
from geats_core.model import ON, after
from geats_core.observation import Observation
from geats_core.plan import HostFacts, Plan
from geats_core.sizes import format_size

Resource: TypeAlias = str  # "memory", "cpus", or "pools.NAME"
Chain: TypeAlias = tuple[Resource, str, str]  # what, the VM, and the volume (empty for the others)
MEMORY, CPUS = "memory", "cpus"


@dataclass(slots=True)
class _Use:
    """How one chain changes what its VM is promised, relative to now."""

    now: float = 0
    peak: float = 0
    gives: list[int] = field(default_factory=list)
    takes: list[int] = field(default_factory=list)

    def change(self, by: float, step: int) -> None:
        self.now += by
        self.peak = max(self.peak, self.now)
        (self.takes if by > 0 else self.gives).append(step)


def limit_of(resource: Resource, facts: HostFacts, policy: HostPolicy) -> float | None:
    """How much may be promised; None where it is not known."""
    has: float | None
    if resource == MEMORY:
        has, factor = facts.memory_bytes, policy.memory_overcommit
    elif resource == CPUS:
        has, factor = facts.cpus, policy.cpu_overcommit
    else:
        has = facts.pool(resource.removeprefix("pools.")).size_bytes
        factor = policy.disk_overcommit
    return None if has is None else has * factor


def promised(have: Observation, name: str) -> dict[Chain, float]:
    """What the VM *name* is promised now; what has no limit of its own counts as nothing."""
    found: dict[Chain, float] = {}
    if have.power in ON and have.in_effect is not None:
        limits = have.in_effect.limits
        found[MEMORY, name, ""] = limits.memory_bytes or 0
        found[CPUS, name, ""] = limits.cpus or 0
    for volume in have.volumes:
        found[f"pools.{volume.pool}", name, volume.name] = volume.size_bytes or 0
    return found


def fit(
    graph: Graph,
    plans: Iterable[tuple[Plan, range]],
    observations: Mapping[str, Observation],
    facts: HostFacts,
    policy: HostPolicy,
) -> list[Problem]:
    """Put gates into *graph* where room must be made first; say where there is not enough."""
    chains: dict[Resource, dict[Chain, _Use]] = defaultdict(dict)
    for plan, numbers in plans:
        if plan.steps:
            _follow(plan, numbers, observations.get(plan.name, Observation()), chains)
    problems: list[Problem] = []
    limits = {resource: limit_of(resource, facts, policy) for resource in sorted(chains)}
    if any(limit is not None for limit in limits.values()):
        base, users = _in_use(observations)
        for resource, limit in limits.items():
            takers = {chain: use for chain, use in chains[resource].items() if use.peak > 0}
            asked = sum(use.peak for use in takers.values())
            if limit is None or not takers or base[resource] + asked <= limit:
                continue
            givers = [use for use in chains[resource].values() if use.now < 0]
            given = -sum(use.now for use in givers)
            if base[resource] + asked - given > limit:
                left = limit - base[resource] + given
                problems.append(_too_much(resource, limit, left, takers, users[resource]))
                continue
            reason = f"{_title(resource)} must be given back before more of it is taken"
            gate = graph.gate(reason, [step for use in givers for step in use.gives])
            for use in takers.values():
                for step in use.takes:
                    graph.wait(step, gate)
    return problems


def _follow(
    plan: Plan, numbers: range, have: Observation, chains: dict[Resource, dict[Chain, _Use]]
) -> None:
    """Enter what each step of *plan* gives or takes."""
    state, now = have, promised(have, plan.name)
    for number, step in zip(numbers, plan.steps, strict=True):
        state = after(step.action, state).value_or(state)
        then = promised(state, plan.name)
        for chain in {*now, *then}:
            by = then.get(chain, 0) - now.get(chain, 0)
            if by:
                chains[chain[0]].setdefault(chain, _Use()).change(by, number)
        now = then


def _in_use(
    observations: Mapping[str, Observation],
) -> tuple[dict[Resource, float], dict[Resource, dict[str, float]]]:
    """How much of each resource is promised now: in all, and by VM."""
    base: dict[Resource, float] = defaultdict(float)
    users: dict[Resource, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for name, have in observations.items():
        for (resource, _, _), amount in promised(have, name).items():
            base[resource] += amount
            users[resource][name] += amount
    return base, users


def _too_much(
    resource: Resource,
    limit: float,
    left: float,
    takers: Mapping[Chain, _Use],
    users: Mapping[str, float],
) -> Problem:
    asked: dict[str, float] = defaultdict(float)
    for (_, vm, _), use in takers.items():
        asked[vm] += use.peak
    in_use = {vm: amount for vm, amount in users.items() if amount}
    used = f", in use by {_by_vm(resource, in_use)}" if in_use else ""
    return Problem(
        resource,
        f"{_by_vm(resource, asked)} would take {_shown(resource, sum(asked.values()))}, "
        f"but of {_shown(resource, limit)} only {_shown(resource, max(left, 0))} can be free{used}",
    )


def _by_vm(resource: Resource, amounts: Mapping[str, float], most: int = 5) -> str:
    """The largest few, with their amounts."""
    largest = sorted(amounts, key=lambda vm: (-amounts[vm], vm))
    words = [f"{vm} ({_shown(resource, amounts[vm])})" for vm in largest[:most]]
    more = [f"{len(largest) - most} more"] if len(largest) > most else []
    return ", ".join([*words, *more])


def _shown(resource: Resource, amount: float) -> str:
    return f"{amount:g} cpus" if resource == CPUS else format_size(int(amount))


def _title(resource: Resource) -> str:
    return resource if resource in (MEMORY, CPUS) else f"space in {resource.removeprefix('pools.')}"
