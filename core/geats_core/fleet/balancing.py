"""Moves of VMs between hosts: to empty a host, or to relieve the one with the highest load.

Moves are found one after the other, each from the state after the moves before it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush

from returns.result import Failure, Success

from geats_core.declared.placement_rules import Rules, Strategy
from geats_core.fleet.outlook import Outlook
from geats_core.fleet.placement import Candidate, load_with, place, with_goal, without
from geats_core.planning.goal import Goal, Target
from geats_core.reading.checked import Checked, Code, Problem, problem, unknown
from geats_core.vm.observation import Observation, Power
from geats_core.vm.unseen import unreliable_parts

TOLERANCE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A VM that leaves one host for another."""

    vm: str
    source: str
    target: str
    reason: str


def drain(
    source: str, hosts: Mapping[str, Candidate], rules: Rules | None = None
) -> Checked[tuple[Move, ...]]:
    """The moves that empty a host, the largest VM first; or every reason why some VM must stay.

    Where the strategy of *rules* finds none, the other is tried: the host should be emptied.
    """
    if source not in hosts:
        return Failure((unknown("host", "host", source, hosts),))
    rules = rules or Rules()
    found = _drained(source, hosts, rules)
    others = (each for each in Strategy if each is not rules.strategy)
    tries = (_drained(source, hosts, replace(rules, strategy=each)) for each in others)
    done = found if isinstance(found, Success) else next(tries)
    return done if isinstance(done, Success) else found


def _drained(
    source: str, hosts: Mapping[str, Candidate], rules: Rules
) -> Checked[tuple[Move, ...]]:
    rest = {name: host for name, host in hosts.items() if name != source}
    outlooks = {name: Outlook.of(host) for name, host in rest.items()}
    moves: list[Move] = []
    problems: list[Problem] = []
    for name, _ in _largest_first(hosts[source]):
        match _taken_over(name, hosts[source], outlooks, rules):
            case Success((goal, target)):
                rest[target] = with_goal(rest[target], goal)
                outlooks[target] = outlooks[target].moved(rest[target])
                reason = f"{source} should be emptied"
                moves.append(Move(vm=name, source=source, target=target, reason=reason))
            case Failure(why):
                problems += why
    return Failure(tuple(problems)) if problems else Success(tuple(moves))


def rebalance(
    hosts: Mapping[str, Candidate], rules: Rules | None = None, tolerance: float = TOLERANCE
) -> tuple[Move, ...]:
    """Moves away from a host with a high load, while one lowers it by over *tolerance*.

    The host with the highest load is relieved first. If that is not possible, the next one is.
    """
    rules = replace(rules or Rules(), strategy=Strategy.SPREAD)
    outlooks = {name: Outlook.of(host) for name, host in hosts.items()}
    moves: list[Move] = []
    while (best := _best_move(outlooks, rules, tolerance)) is not None:
        move, after = best
        moved = {name: outlooks[name].moved(after[name]) for name in (move.source, move.target)}
        outlooks |= moved
        moves.append(move)
    return tuple(moves)


def _taken_over(
    name: str, source: Candidate, outlooks: Mapping[str, Outlook], rules: Rules
) -> Checked[tuple[Goal, str]]:
    """What the VM is to be on another host, and on which: that of ``place``, found sooner."""
    match movable(name, source):
        case Success(goal):
            hosts = {each: outlook.host for each, outlook in outlooks.items()}
            sign = 1 if rules.strategy is Strategy.SPREAD else -1
            loads = ((each.with_(goal), host) for host, each in outlooks.items())
            ranked = sorted((sign * load, host) for load, host in loads if load is not None)
            for _, host in ranked if not _is_there(goal.name, hosts) else ():
                if isinstance(load_with(goal, host, hosts, rules), Success):
                    return Success((goal, host))
            return Failure(place(goal, hosts, rules).failure())  # which says why of each host
        case Failure() as refused:
            return refused


def _is_there(vm: str, hosts: Mapping[str, Candidate]) -> bool:
    return any(vm in host.vms for host in hosts.values())


def _best_move(
    outlooks: Mapping[str, Outlook], rules: Rules, tolerance: float
) -> tuple[Move, Mapping[str, Candidate]] | None:
    """The move that lowers the highest load most that can be lowered, and where it leads."""
    loads = {name: outlook.load for name, outlook in outlooks.items()}
    least = min(loads.values(), default=0.0)
    for source in sorted(loads, key=lambda name: (-loads[name], name)):
        if loads[source] - least <= tolerance:
            break  # no move can gain more than the difference
        if found := _best_from(source, outlooks, rules, tolerance):
            return found
    return None


def _best_from(
    source: str, outlooks: Mapping[str, Outlook], rules: Rules, tolerance: float
) -> tuple[Move, Mapping[str, Candidate]] | None:
    """The move away from *source* that gains most.

    Whether a host can take a VM is looked at only if no other move could gain more.
    """
    load = outlooks[source].load
    hosts = {name: outlook.host for name, outlook in outlooks.items()}
    waiting = list(_chances(source, outlooks))
    heapify(waiting)
    while waiting and -waiting[0].loss > tolerance:
        chance = heappop(waiting)
        after = {**hosts, source: without(hosts[source], chance.goal.name)}
        left, (_, target), *others = chance.left_load, *chance.targets
        match load_with(chance.goal, target, after, rules):
            case Success() if target != source:
                reason = f"{load:.0%} of what {source} has is promised"
                move = Move(vm=chance.goal.name, source=source, target=target, reason=reason)
                return move, {**after, target: with_goal(after[target], chance.goal)}
            case Failure() if others:
                loss = max(left, others[0][0]) - load
                heappush(waiting, replace(chance, loss=loss, targets=tuple(others)))
            case _:
                pass  # it has to stay, or nowhere is better
    return None


@dataclass(frozen=True, slots=True, order=True)
class _Chance:
    """A VM that may move: what the highest load loses by it, and where to, the best host first."""

    loss: float  # below nothing: it gains
    position: int
    left_load: float = field(compare=False)
    goal: Goal = field(compare=False)
    targets: tuple[tuple[float, str], ...] = field(compare=False)


def _chances(source: str, outlooks: Mapping[str, Outlook]) -> Iterable[_Chance]:
    elsewhere = frozenset[str]().union(
        *(each.host.vms for name, each in outlooks.items() if name != source)
    )
    own = outlooks[source]
    for position, (name, goal) in enumerate(_largest_first(own.host)):
        if goal is None or name in elsewhere:
            continue
        loads = ((each.with_(goal), host) for host, each in outlooks.items())
        targets = tuple(sorted((load, host) for load, host in loads if load is not None))
        if targets:
            left = own.without(name)
            yield _Chance(max(left, targets[0][0]) - own.load, position, left, goal, targets)


def _largest_first(host: Candidate) -> list[tuple[str, Goal | None]]:
    """The VMs of a host, by the memory that their specs ask for, and what each is to be elsewhere.

    None stands for one that has to stay.
    """
    wanted = {goal.name: goal for goal in reversed(host.goals) if goal.spec is not None}
    goals = {name: _movable(name, host, wanted.get(name)).value_or(None) for name in host.vms}
    sizes = {
        name: goal.spec.limits.memory_bytes or 0 if goal and goal.spec else 0
        for name, goal in goals.items()
    }
    return sorted(goals.items(), key=lambda each: (-sizes[each[0]], each[0]))


def movable(name: str, host: Candidate) -> Checked[Goal]:
    """The goal of the VM on another host: its goal here, or else its current state."""
    goals = (goal for goal in host.goals if goal.name == name and goal.spec is not None)
    return _movable(name, host, next(goals, None))


def _movable(name: str, host: Candidate, wanted: Goal | None) -> Checked[Goal]:
    have = host.observations.get(name, Observation())
    if have.locked:
        return problem(name, "is locked, and so stays where it is", Code.LOCKED)
    if wanted is not None:
        return Success(wanted)
    found = tuple(unreliable_parts(name, have))
    if found:
        return Failure(found)
    if have.recorded is None:
        return problem(name, "is not managed by geats, so it cannot be moved", Code.REFUSED)
    if have.copy_of:
        return problem(name, f"is an unfinished copy of {have.copy_of}", Code.REFUSED)
    is_off = have.power is Power.STOPPED and not have.to_run
    target = Target.PROVISIONED if is_off else Target.RUNNING
    return Success(Goal(name=name, target=target, spec=have.recorded))
