"""The move that lowers the load of a host most, found without a plan of every host for every VM.

Theory of operation
-------------------
Hosts are kept in the order of their loads. What a VM is promised is the same on every host that has
a plan for it: so one plan tells what the load of each host would be with it, and only the host that
would have the least is planned with it. VMs that are promised the same have the same order of
hosts. If nothing can go from a host, only hosts that have less load than before are looked at for
it later.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from itertools import takewhile
from typing import TypeAlias

from returns.result import Success

from geats_core.declared.placement_rules import Rules
from geats_core.fleet.movable import largest_first
from geats_core.fleet.outlook import Outlook
from geats_core.fleet.placement import Candidate, load_with, with_labels, without
from geats_core.planning.goal import Goal, Target

Ranked: TypeAlias = Sequence[tuple[float, str]]  # hosts, each after its load with a VM
UNNAMED = Goal(name="", target=Target.DECLARED)


@dataclass(frozen=True, slots=True)
class Relief:
    """A VM that leaves *source*, whose load it lowers, for *target*."""

    goal: Goal
    source: str
    target: str


@dataclass(frozen=True, slots=True, order=True)
class _Chance:
    """A VM that may move: what the highest load loses by it at most, and where to."""

    loss: float  # below nothing: it gains
    position: int
    left_load: float = field(compare=False)
    goal: Goal = field(compare=False)
    targets: Ranked | None = field(compare=False, default=None)  # None: not looked for yet
    at: int = field(compare=False, default=0)  # which of them comes next


@dataclass(slots=True)
class Levels:
    """The hosts of a fleet by their loads, while VMs move."""

    outlooks: dict[str, Outlook]
    hosts: dict[str, Candidate]
    rules: Rules
    tolerance: float
    times: Counter[str]  # on how many hosts each VM is
    rising: list[tuple[float, str]]  # the loads, the least first
    falling: list[tuple[float, str]]  # the same below zero, the highest first
    stuck: dict[str, set[str]] = field(default_factory=dict)  # hosts that may change that, by host

    @classmethod
    def of(cls, hosts: Mapping[str, Candidate], rules: Rules, tolerance: float) -> "Levels":
        """The levels of *hosts*."""
        outlooks = {name: Outlook.of(host) for name, host in hosts.items()}
        rules = replace(with_labels(rules, UNNAMED, hosts), together_by=(), apart_by=())
        return cls(
            outlooks,
            dict(hosts),
            rules,
            tolerance,
            Counter(vm for host in hosts.values() for vm in host.vms),
            sorted((each.load, name) for name, each in outlooks.items()),
            sorted((-each.load, name) for name, each in outlooks.items()),
        )

    def next_move(self) -> Relief | None:
        """The move that lowers the highest load most that can be lowered."""
        for negative, source in self.falling:
            if -negative - self.rising[0][0] <= self.tolerance:
                break  # no move can gain more than the difference
            if found := self._best_from(source):
                return found
            self.stuck[source] = set()
        return None

    def carry_out(self, relief: Relief) -> None:
        """The VM is on its target from now on."""
        changed = {
            relief.source: self.outlooks[relief.source].lost(relief.goal.name),
            relief.target: self.outlooks[relief.target].gained(relief.goal),
        }
        for name, outlook in changed.items():
            old = self.outlooks[name].load
            del self.rising[bisect_left(self.rising, (old, name))]
            del self.falling[bisect_left(self.falling, (-old, name))]
            insort(self.rising, (outlook.load, name))
            insort(self.falling, (-outlook.load, name))
            self.outlooks[name], self.hosts[name] = outlook, outlook.host
        if self.rules.together or self.rules.apart:
            self.stuck.clear()  # who may go where has changed
        for name in changed:
            self.stuck.pop(name, None)
        for others in self.stuck.values():
            others.add(relief.source)

    def _gains(self, load: float, after: float) -> bool:
        return -(after - load) > self.tolerance

    def _best_from(self, source: str) -> Relief | None:
        """The move away from *source* that gains most.

        Whether a host can take a VM is looked at only if no other move could gain more.
        """
        load = self.outlooks[source].load
        lower = takewhile(lambda each: self._gains(load, each[0]), self.rising)
        below = [name for _, name in lower if name in self.stuck.get(source, self.hosts)]
        orders: dict[frozenset[tuple[str, int]], Ranked] = {}
        waiting = list(self._chances(source))
        heapify(waiting)
        while waiting:
            chance = heappop(waiting)
            if chance.targets is None:
                chance = replace(chance, targets=self._ranked(chance.goal, below, orders))
            elif (target := self._taken(chance, source)) is not None:
                return Relief(chance.goal, source, target)
            else:
                chance = replace(chance, at=chance.at + 1)
            if chance.targets is not None and chance.at < len(chance.targets):
                after = max(chance.left_load, chance.targets[chance.at][0])
                if self._gains(load, after):
                    heappush(waiting, replace(chance, loss=after - load))
        return None

    def _chances(self, source: str) -> Iterator[_Chance]:
        own = self.outlooks[source]
        for position, (name, goal) in enumerate(largest_first(own.host)):
            if goal is not None and self.times[name] == 1:
                left = own.without(name)
                if self._gains(own.load, left):
                    after = max(left, self.rising[0][0])
                    yield _Chance(after - own.load, position, left, goal)

    def _ranked(
        self,
        goal: Goal,
        names: Sequence[str],
        orders: dict[frozenset[tuple[str, int]], Ranked],
    ) -> Ranked:
        """Hosts by what their load would be with the VM, if they can have it."""
        some = (self.outlooks[name].newcomer(goal) for name in names)
        promise = next((each for each in some if each is not None), None)
        if promise is None:
            return ()
        key = frozenset(promise.items())
        if key not in orders:
            planned = (name for name in names if self.outlooks[name].of_each is not None)
            orders[key] = sorted(
                (self.outlooks[name].with_promise(promise), name) for name in planned
            )
        broken = [
            (load, name)
            for name in names
            if self.outlooks[name].of_each is None
            for load in [self.outlooks[name].with_(goal)]
            if load is not None
        ]
        return sorted([*orders[key], *broken]) if broken else orders[key]

    def _taken(self, chance: _Chance, source: str) -> str | None:
        """The host that comes next for the VM, if it can have it and the highest load sinks."""
        assert chance.targets is not None
        _, target = chance.targets[chance.at]
        if self.outlooks[target].newcomer(chance.goal) is None:
            return None
        after = {**self.hosts, source: without(self.hosts[source], chance.goal.name)}
        match load_with(chance.goal, target, after, self.rules):
            case Success(load):
                gains = self._gains(self.outlooks[source].load, max(load, chance.left_load))
                return target if gains else None
            case _:
                return None
