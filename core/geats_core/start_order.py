"""Who starts before whom: ``after`` and ``autostart``; and who stops before whom, in reverse.

``after`` is an order, not a wish: it says nothing of whether the other VM runs. What a VM comes
after has at least the priority of that VM.
"""

from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import groupby, pairwise

from geats_core.actions import Pause
from geats_core.checked import Problem, Problems, unknown
from geats_core.graph import Graph
from geats_core.plan import Step
from geats_core.spec import VMSpec


def order_problems(specs: Mapping[str, VMSpec], known: Collection[str]) -> Problems:
    """Names after ``after`` that are no VM's, and every cycle."""
    absent = [
        unknown(f"{name}.after[{position}]", "VM", other, known)
        for name, spec in specs.items()
        for position, other in enumerate(spec.after)
        if other not in known
    ]
    return (*absent, *_cycles({name: list(spec.after) for name, spec in specs.items()}))


def _cycles(before: dict[str, list[str]]) -> Iterable[Problem]:
    """Each cycle, found and then cut, until there is none."""
    while True:
        try:
            TopologicalSorter(before).prepare()
        except CycleError as error:
            cycle: list[str] = error.args[1]
            latest = cycle[1]
            yield Problem(
                f"{latest}.after", f"is a cycle: {' after '.join(reversed(_from_least(cycle)))}"
            )
            before[latest].remove(cycle[0])
        else:
            return


def _from_least(cycle: list[str]) -> list[str]:
    """The same cycle, begun (and ended) at the name that sorts first."""
    names = cycle[:-1]
    first = names.index(min(names))
    return [*names[first:], *names[:first], names[first]]


def order_starts_and_stops(graph: Graph, specs: Mapping[str, VMSpec]) -> None:
    """Let starts wait for starts, and stops for stops, as the specs of the VMs say."""
    moved = {name: specs[name] for name in (*graph.stops, *graph.starts) if name in specs}
    if not any(spec.after or spec.autostart.priority for spec in moved.values()):
        return
    priorities = _priorities(specs)
    started = _started(graph, specs, priorities)
    for name, spec in moved.items():
        for other in spec.after:
            if name in graph.starts and other in started:
                graph.wait(graph.starts[name], started[other])
            if name in graph.stops and other in graph.stops:
                graph.wait(graph.stops[other], graph.stops[name])
    _by_priority(graph, graph.starts, started, priorities, highest_first=True)
    _by_priority(graph, graph.stops, graph.stops, priorities, highest_first=False)


def _priorities(specs: Mapping[str, VMSpec]) -> dict[str, int]:
    found = {name: spec.autostart.priority for name, spec in specs.items()}
    before = {name: spec.after for name, spec in specs.items()}
    for name in reversed(list(TopologicalSorter(before).static_order())):
        for other in before.get(name, ()):
            if other in found:
                found[other] = max(found[other], found[name])
    return found


def _started(
    graph: Graph, specs: Mapping[str, VMSpec], priorities: Mapping[str, int]
) -> dict[str, int]:
    """The step after which each VM counts as started: its start, or the pause that follows it."""
    lowest = min(priorities.values())
    waited_for = {other for spec in specs.values() for other in spec.after}
    started: dict[str, int] = {}
    for name, number in list(graph.starts.items()):
        started[name] = number
        spec = specs.get(name)
        if spec and spec.autostart.delay_s and (priorities[name] > lowest or name in waited_for):
            pause = Pause(spec.autostart.delay_s)
            reason = f"{name} is given that time before others start"
            started[name] = graph.add(Step(vm=name, action=pause, reason=reason), [number])
    return started


def _by_priority(
    graph: Graph,
    begins: Mapping[str, int],
    ends: Mapping[str, int],
    priorities: Mapping[str, int],
    *,
    highest_first: bool,
) -> None:
    """Let the VMs of each priority wait for all of the one before, behind one gate."""

    def priority_of(name: str) -> int:
        return priorities.get(name, 0)

    names = sorted(begins, key=priority_of, reverse=highest_first)
    by_priority = [(priority, list(group)) for priority, group in groupby(names, key=priority_of)]
    doing = "start" if highest_first else "stop"
    for (earlier, first), (later, then) in pairwise(by_priority):
        reason = f"VMs of priority {earlier} {doing} before those of {later}"
        gate = graph.gate(reason, [ends[name] for name in first])
        for name in then:
            graph.wait(begins[name], gate)
