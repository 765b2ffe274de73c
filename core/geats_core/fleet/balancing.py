"""Moves of VMs between hosts: to empty one, or to take from the one that has too much.

Moves are found one after the other, each from what the ones before it lead to.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from returns.result import Failure, Success

from geats_core.declared.placement_rules import Rules, Strategy
from geats_core.fleet.placement import Candidate, load_of, place, with_goal
from geats_core.planning.goal import Goal, Target
from geats_core.planning.refusals import unreliable_parts
from geats_core.reading.checked import Checked, Problem, problem, unknown
from geats_core.vm.observation import Observation, Power

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

    Where the strategy of *rules* finds none, the other is tried: the host is to be emptied.
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
    moves: list[Move] = []
    problems: list[Problem] = []
    for name in _largest_first(hosts[source]):
        match _taken_over(name, hosts[source], rest, rules):
            case Success((goal, target)):
                rest[target] = with_goal(rest[target], goal)
                reason = f"{source} is to be emptied"
                moves.append(Move(vm=name, source=source, target=target, reason=reason))
            case Failure(why):
                problems += why
    return Failure(tuple(problems)) if problems else Success(tuple(moves))


def rebalance(
    hosts: Mapping[str, Candidate], rules: Rules | None = None, tolerance: float = TOLERANCE
) -> tuple[Move, ...]:
    """Moves away from a host with a high load, while one lowers it by over *tolerance*.

    The host with the highest load is relieved first; where it cannot be, the next one is.
    """
    rules = replace(rules or Rules(), strategy=Strategy.SPREAD)
    moves: list[Move] = []
    while (best := _best_move(hosts, rules, tolerance)) is not None:
        move, hosts = best
        moves.append(move)
    return tuple(moves)


def _taken_over(
    name: str, source: Candidate, others: Mapping[str, Candidate], rules: Rules
) -> Checked[tuple[Goal, str]]:
    """What the VM is to be on another host, and on which."""
    match movable(name, source):
        case Success(goal):
            match place(goal, others, rules):
                case Success(placement):
                    return Success((goal, placement.host))
                case Failure() as refused:
                    return refused
        case Failure() as refused:
            return refused


def _best_move(
    hosts: Mapping[str, Candidate], rules: Rules, tolerance: float
) -> tuple[Move, Mapping[str, Candidate]] | None:
    """The move that lowers the highest load most that can be lowered, and where it leads."""
    loads = {name: load_of(host) for name, host in hosts.items()}
    least = min(loads.values(), default=0.0)
    for source in sorted(loads, key=lambda name: (-loads[name], name)):
        if loads[source] - least <= tolerance:
            break  # no move can gain more than the difference
        found = dict(_moves_from(source, loads[source], hosts, rules))
        gains = {
            move: loads[source] - max(load_of(after[source]), load_of(after[move.target]))
            for move, after in found.items()
        }
        best = max(gains, key=lambda move: gains[move], default=None)
        if best and gains[best] > tolerance:
            return best, found[best]
    return None


def _moves_from(
    source: str, load: float, hosts: Mapping[str, Candidate], rules: Rules
) -> Iterable[tuple[Move, Mapping[str, Candidate]]]:
    """A move of each VM that can leave, and where it leads."""
    reason = f"{load:.0%} of what {source} has is promised"
    for vm in _largest_first(hosts[source]):
        after = {**hosts, source: without(hosts[source], vm)}
        match _taken_over(vm, hosts[source], after, rules):
            case Success((goal, target)) if target != source:
                after[target] = with_goal(after[target], goal)
                yield Move(vm=vm, source=source, target=target, reason=reason), after
            case _:
                pass  # it has to stay


def _largest_first(host: Candidate) -> list[str]:
    """The VMs of a host, by the memory that their specs ask for."""
    goals = {name: movable(name, host).value_or(None) for name in host.vms}
    specs = {name: goal.spec for name, goal in goals.items() if goal is not None and goal.spec}
    sizes = {name: spec.limits.memory_bytes or 0 for name, spec in specs.items()}
    return sorted(host.vms, key=lambda name: (-sizes.get(name, 0), name))


def movable(name: str, host: Candidate) -> Checked[Goal]:
    """What the VM is to be on another host: what it is to be here, or else as it is."""
    have = host.observations.get(name, Observation())
    goals = [goal for goal in host.goals if goal.name == name and goal.spec is not None]
    if have.locked:
        return problem(name, "is locked, and so stays where it is")
    if goals:
        return Success(goals[0])
    found = tuple(unreliable_parts(name, have))
    if found:
        return Failure(found)
    if have.recorded is None:
        return problem(name, "is not of geats, which cannot move it")
    target = Target.PROVISIONED if have.power is Power.STOPPED else Target.RUNNING
    return Success(Goal(name=name, target=target, spec=have.recorded))


def without(host: Candidate, vm: str) -> Candidate:
    """The same host, had it never heard of *vm*."""
    goals = tuple(goal for goal in host.goals if goal.name != vm)
    there = {name: have for name, have in host.observations.items() if name != vm}
    return replace(host, goals=goals, observations=there)
