"""Ids that are of one VM alone, on a host with several: allocated, and held against others."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeAlias

from returns.result import Failure, Success

from geats_core.deciding.own_ids import Block, blocks, with_own_ids
from geats_core.hostwide.conflicts import described
from geats_core.planning.goal import Goal
from geats_core.planning.host_facts import HostFacts
from geats_core.reading.checked import Checked, Code, Problem, within
from geats_core.vm.observation import Observation
from geats_core.vm.spec import VMSpec


def settled(
    goals: Mapping[str, Goal], observations: Mapping[str, Observation], facts: HostFacts
) -> tuple[dict[str, Goal], list[Problem]]:
    """The same goals, in which each VM has its ids; those that have none are left out."""
    made, problems = dict(goals), list[Problem]()
    open_ = [name for name, goal in goals.items() if _is_open(described(goal))]
    if not open_:
        return made, problems
    taken = {name: _taken(name, goals, observations) for name in {*goals, *observations}}
    for name in sorted(open_):
        goal = goals[name]
        others = [each for other, found in taken.items() if other != name for each in found]
        have = observations.get(name, Observation())
        assert goal.spec is not None
        match with_own_ids(goal.spec, have, others, facts):
            case Success(spec):
                made[name] = replace(goal, spec=spec)
                taken[name] |= {*blocks(spec)}
            case Failure(found):
                problems += within(name, found)
                del made[name]
    return made, problems


def settled_alone(
    spec: VMSpec, observations: Mapping[str, Observation], facts: HostFacts
) -> Checked[VMSpec]:
    """*spec* of one more VM of a host, with its ids; *observations* is everything there."""
    taken = [
        each for name, have in observations.items() if name != spec.name for each in _of_host(have)
    ]
    match with_own_ids(spec, observations.get(spec.name, Observation()), taken, facts):
        case Failure(found):
            return Failure(within(spec.name, found))
        case settled_spec:
            return settled_spec


def clashes(
    goals: Mapping[str, Goal], observations: Mapping[str, Observation], facts: HostFacts
) -> Iterable[Problem]:
    """VMs of which one is to have ids for itself that another one has: at least one by its goal."""
    specs = {name: spec for name, goal in goals.items() if (spec := described(goal))}
    known = [spec for have in observations.values() for spec in _specs(have)]
    if not any(spec.own_ids for spec in (*specs.values(), *known)):
        return
    found = [
        *((block, spec, True) for spec in specs.values() for block in _own(spec)),
        *(
            (block, spec, False)
            for name, have in observations.items()
            for spec in _specs(have)
            if not (name in specs and spec == specs[name])
            for block in _own(spec)
        ),
    ]
    yield from _overlapping(found)
    for name, spec in specs.items():
        ids = facts.driver(spec.driver).ids
        own = spec.own_ids
        if own and own.first is not None and ids and ids.shared:
            first, count = ids.shared
            if own.first < first + count and first < own.first + own.count:
                message = f"has ids of {first}:{count}, which all VMs without idmap have"
                yield Problem(f"{name}.idmap", message, Code.CONFLICT)


Found: TypeAlias = tuple[tuple[Block, bool], VMSpec, bool]  # the ids, whether they are of it alone


def _own(spec: VMSpec) -> Iterable[tuple[Block, bool]]:
    """The ids of a VM, each with whether nobody else may have them: not so are its holes."""
    own = spec.own_ids
    for block in dict.fromkeys(blocks(spec)):
        yield block, own is not None and block == (own.first, own.count)


def _overlapping(found: Iterable[Found]) -> Iterable[Problem]:
    """In the order of ids, so that each is held against those only that are not over yet."""
    alone: list[Found] = []
    others: list[Found] = []
    for each in sorted(found, key=lambda item: (item[0][0], item[1].name)):
        (first, _), is_alone = each[0]
        alone, others = ([o for o in these if _end(o) > first] for these in (alone, others))
        for other in (*alone, *(others if is_alone else ())):
            if other[1].name != each[1].name and (other[2] or each[2]):
                mine, theirs = (each, other) if each[2] else (other, each)
                yield _clash(mine, theirs, first)
        (alone if is_alone else others).append(each)


def _clash(mine: Found, other: Found, first: int) -> Problem:
    message = f"has ids of the host from {first} on that are those of {other[1].name} as well"
    return Problem(f"{mine[1].name}.idmap", message, Code.CONFLICT)


def _end(found: Found) -> int:
    (first, count), _ = found[0]
    return first + count


def _is_open(spec: VMSpec | None) -> bool:
    return spec is not None and spec.own_ids is not None and spec.own_ids.first is None


def _specs(have: Observation) -> tuple[VMSpec, ...]:
    """As it is defined, and as it runs."""
    found = (have.recorded, have.defined, have.in_effect)
    return tuple(dict.fromkeys(spec for spec in found if spec))


def _of_host(have: Observation) -> Iterable[Block]:
    return (block for spec in _specs(have) for block in blocks(spec))


def _taken(
    name: str, goals: Mapping[str, Goal], observations: Mapping[str, Observation]
) -> set[Block]:
    wanted = described(goals[name]) if name in goals else None
    return {*_of_host(observations.get(name, Observation())), *(blocks(wanted) if wanted else ())}
