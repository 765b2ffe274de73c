"""Moves of VMs between hosts: to empty a host, or to relieve the one with the highest load.

Moves are found one after the other, each from the state after the moves before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from returns.result import Failure, Success

from geats_core.declared.placement_rules import Rules, Strategy
from geats_core.fleet.levels import Levels
from geats_core.fleet.movable import largest_first, movable
from geats_core.fleet.outlook import Outlook
from geats_core.fleet.placement import Candidate, load_with, place, with_goal
from geats_core.planning.goal import Goal
from geats_core.reading.checked import Checked, Problem, unknown

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
    for name, _ in largest_first(hosts[source]):
        match _taken_over(name, hosts[source], outlooks, rules):
            case Success((goal, target)):
                rest[target] = with_goal(rest[target], goal)
                outlooks[target] = outlooks[target].gained(goal)
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
    levels = Levels.of(hosts, replace(rules or Rules(), strategy=Strategy.SPREAD), tolerance)
    moves: list[Move] = []
    while (found := levels.next_move()) is not None:
        load = levels.outlooks[found.source].load
        reason = f"{load:.0%} of what {found.source} has is promised"
        vm, source, target = found.goal.name, found.source, found.target
        moves.append(Move(vm=vm, source=source, target=target, reason=reason))
        levels.carry_out(found)
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
