"""Who starts before whom: ``after`` and ``autostart``; and who stops before whom, in reverse.

``after`` is only an order: it is about VMs that start (or stop) in the same plan, and does not
start the other VM. The VMs that a VM comes after have at least its priority. If one of them could
not be started, or did not become ready, the VM is not started. A failed start does not stop VMs of
lower priority, which wait for starts only, and a failed stop does not keep others on.
"""

from collections import deque
from collections.abc import Collection, Mapping
from graphlib import TopologicalSorter
from itertools import groupby, pairwise
from typing import TypeAlias

from geats_core.hostwide.step_graph import Graph
from geats_core.planning.actions import Pause
from geats_core.planning.dependencies import Wait, tangles
from geats_core.planning.steps import Step
from geats_core.reading.checked import Problem, Problems, unknown
from geats_core.vm.spec import VMSpec

Before: TypeAlias = Mapping[str, tuple[str, ...]]  # the VMs that each comes after


def unknown_names(specs: Mapping[str, VMSpec], known: Collection[str]) -> Problems:
    """Names in ``after`` that are not VMs."""
    return tuple(
        unknown(f"{name}.after[{position}]", "VM", other, known)
        for name, spec in specs.items()
        for position, other in enumerate(spec.after)
        if other not in known
    )


def cycles(specs: Mapping[str, VMSpec]) -> Problems:
    """VMs after themselves; and of every group of VMs that come after each other, one cycle."""
    before = {name: tuple(o for o in spec.after if o in specs) for name, spec in specs.items()}
    alone = [
        Problem(f"{name}.after", "is a cycle: a VM cannot start after itself")
        for name, others in before.items()
        if name in others
    ]
    tangled = [sorted(group) for group in tangles(before) if len(group) > 1]
    shown = [_shortest_cycle(names[0], before) for names in sorted(tangled)]
    return (
        *alone,
        *(Problem(f"{each[0]}.after", f"is a cycle: {' after '.join(each)}") for each in shown),
    )


def _shortest_cycle(name: str, before: Before) -> list[str]:
    """From *name* back to it by the fewest others; it must be on a cycle of two or more."""
    came_from: dict[str, str] = {}
    todo = deque([name])
    while name not in came_from:
        here = todo.popleft()
        for other in before[here]:
            if other != here and other not in came_from:
                came_from[other] = here
                todo.append(other)
    way = [name]
    while len(way) == 1 or way[-1] != name:
        way.append(came_from[way[-1]])
    return way[::-1]


def in_start_order(names: Collection[str], specs: Mapping[str, VMSpec]) -> list[str]:
    """The VMs, all of which start: each after those that start before it."""
    before = _before(names, specs)
    priorities = _priorities(before, specs)
    return sorted(TopologicalSorter(before).static_order(), key=lambda name: -priorities[name])


def order_starts_and_stops(
    graph: Graph, specs: Mapping[str, VMSpec], waving: Collection[str] = ()
) -> None:
    """Make starts wait for starts, and stops for stops, as the specs of the VMs say.

    A VM needs the VMs that its spec names to have started. Everything else is only an order: if one
    fails, the others continue. If VMs come after each other in old specs, ``after`` is ignored.
    Those that restart in waves (*waving*) have no order but that, and need the VMs that their specs
    name. They go down, if possible, once they could start again; so do those that come after them.
    """
    before = _before(graph.starts, specs)
    priorities = _priorities(before, specs)
    started = _started(graph, specs, before, priorities)
    for name, others in before.items():
        for other in others:
            graph.need(graph.starts[name], graph.started[other])
            graph.follow(graph.starts[name], started[other])
            if name in graph.stops and not {name, other}.isdisjoint(waving):
                graph.wishes.append((Wait.NEEDS, graph.stops[name], graph.started[other]))
    by_turns = _without(graph.starts, waving)
    _by_priority(graph, by_turns, started, priorities, highest_first=True)
    stops = _without(graph.stops, waving)
    before = _before(stops, specs)
    priorities = _priorities(before, specs)
    for name, others in before.items():
        for other in others:
            graph.follow(stops[other], stops[name])
    _by_priority(graph, stops, stops, priorities, highest_first=False)


def _without(numbers: Mapping[str, int], left_out: Collection[str]) -> dict[str, int]:
    return {name: number for name, number in numbers.items() if name not in left_out}


def _before(moved: Collection[str], specs: Mapping[str, VMSpec]) -> Before:
    """What each of the VMs *moved* comes after, as far as that moves too, and without cycles."""
    after = {name: specs[name].after if name in specs else () for name in moved}
    before = {name: tuple(o for o in others if o in moved) for name, others in after.items()}
    tangle = {name: number for number, group in enumerate(tangles(before)) for name in group}
    return {
        name: tuple(other for other in others if tangle[other] != tangle[name])
        for name, others in before.items()
    }


def _priorities(before: Before, specs: Mapping[str, VMSpec]) -> dict[str, int]:
    found = {name: specs[name].autostart.priority if name in specs else 0 for name in before}
    for name in reversed(list(TopologicalSorter(before).static_order())):
        for other in before[name]:
            found[other] = max(found[other], found[name])
    return found


def _started(
    graph: Graph, specs: Mapping[str, VMSpec], before: Before, priorities: Mapping[str, int]
) -> dict[str, int]:
    """The step after which those of lower priority may start: its start, or the pause after that.

    There is a pause only if another start waits for it. Nobody waits until the VM is ready but
    those that come ``after`` it: a priority is only an order.
    """
    lowest = min(priorities.values(), default=0)
    waited_for = {other for others in before.values() for other in others}
    started = dict(graph.starts)
    for name, number in graph.starts.items():
        delay_s = specs[name].autostart.delay_s if name in specs else 0
        if delay_s and (priorities[name] > lowest or name in waited_for):
            reason = f"{name} is given that time before others start"
            started[name] = graph.add(Step(vm=name, action=Pause(delay_s), reason=reason))
            graph.need(started[name], number)
    return started


def _by_priority(
    graph: Graph,
    begins: Mapping[str, int],
    ends: Mapping[str, int],
    priorities: Mapping[str, int],
    *,
    highest_first: bool,
) -> None:
    """Let the VMs of each priority come after all of the one before, behind one gate."""
    names = sorted(begins, key=priorities.__getitem__, reverse=highest_first)
    by_priority = [(each, list(group)) for each, group in groupby(names, priorities.__getitem__)]
    doing = "start" if highest_first else "stop"
    for (earlier, first), (later, then) in pairwise(by_priority):
        reason = f"VMs of priority {earlier} {doing} before those of {later}"
        gate = graph.gate(reason, [ends[name] for name in first])
        for name in then:
            graph.follow(begins[name], gate)
