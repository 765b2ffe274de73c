"""What the load of a host would be with one VM more or less, without planning all of it again.

Theory of operation
-------------------
What a VM comes to does not depend on the others: a host has a plan for each of them, or none at
all. So the load of a host with one VM more is that of all that it comes to, and of what this one
does; whether the host has a plan then is not looked at. Where it has none now, one VM more or less
may give it one: then there is nothing to go by, and all is planned.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from returns.result import Success

from geats_core.deciding.planner import plan
from geats_core.fleet.placement import (
    Candidate,
    end_of,
    load_of,
    promises,
    share,
    with_goal,
    without,
)
from geats_core.planning.goal import Goal
from geats_core.plans.reverse import follow
from geats_core.vm.observation import Observation


@dataclass(frozen=True, slots=True)
class Outlook:
    """A host, and the loads that it could have.

    ``of_each`` is what each VM is promised in the end, by resource; None if there is no plan.
    ``newcomers`` is what VMs of other hosts would be promised here, if that was asked already.
    """

    host: Candidate
    load: float
    of_each: Mapping[str, Counter[str]] | None
    total: Counter[str]
    newcomers: dict[str, tuple[Goal, Counter[str] | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, host: Candidate) -> "Outlook":
        """The outlook of *host*."""
        match end_of(host):
            case Success(end):
                of_each = {name: promises({name: have}) for name, have in end.items()}
                total = sum(of_each.values(), Counter[str]())
                return cls(host, share(total, host), of_each, total)
            case _:
                return cls(host, load_of(host), None, Counter())

    def gained(self, goal: Goal) -> "Outlook":
        """The outlook once that VM came, with which the host has a plan if it has one now."""
        host, new = with_goal(self.host, goal), self.newcomer(goal)
        if self.of_each is None or new is None:
            return replace(Outlook.of(host), newcomers=self.newcomers)
        return self._with({**self.of_each, goal.name: new}, self.total + new, host)

    def lost(self, vm: str) -> "Outlook":
        """The outlook once that VM went."""
        host = without(self.host, vm)
        if self.of_each is None or any(goal.spec and vm in goal.spec.after for goal in host.goals):
            return replace(Outlook.of(host), newcomers=self.newcomers)
        left = {name: each for name, each in self.of_each.items() if name != vm}
        return self._with(left, self.total - self.of_each.get(vm, Counter()), host)

    def _with(
        self, of_each: Mapping[str, Counter[str]], total: Counter[str], host: Candidate
    ) -> "Outlook":
        return Outlook(host, share(total, host), of_each, total, self.newcomers)

    def without(self, vm: str) -> float:
        """Its load had it never heard of *vm*."""
        if self.of_each is None:
            return load_of(without(self.host, vm))
        return share(self.total - self.of_each.get(vm, Counter()), self.host)

    def with_(self, goal: Goal) -> float | None:
        """Its load with that VM, which it may already have; None if the VM cannot be there."""
        if self.of_each is None:
            there = with_goal(without(self.host, goal.name), goal)
            return load_of(there) if isinstance(end_of(there), Success) else None
        new = self.newcomer(goal)
        if new is None:
            return None
        return share(self.total - self.of_each.get(goal.name, Counter()) + new, self.host)

    def with_promise(self, new: Counter[str]) -> float:
        """Its load with a new VM that is promised so much, if it has a plan."""
        return share(self.total + new, self.host)

    def newcomer(self, goal: Goal) -> Counter[str] | None:
        """What a VM that is not there yet is promised here; None if it cannot be here."""
        if self.newcomers.get(goal.name, (None, None))[0] != goal:
            self.newcomers[goal.name] = (goal, _promised_to(goal, self.host))
        return self.newcomers[goal.name][1]


def _promised_to(goal: Goal, host: Candidate) -> Counter[str] | None:
    """What a VM that is not there yet is promised in the end; None if it cannot be there."""
    match plan(goal, Observation(), host.facts):
        case Success(made):
            return promises({goal.name: follow(made, Observation()).unwrap()})
        case _:
            return None
