"""The laws of ids that geats allocates: for every host, and whatever is done to its VMs in turn."""

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from itertools import combinations
from typing import TypeAlias

from hypothesis import event, given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core import Goal, HostFacts, Observation, Target, VMSpec, after, plan_host
from geats_core.containers.own_ids import IdRange, OwnIds
from geats_core.planning.plugin_facts import DriverFacts, SubordinateIds
from geats_core.vm.spec import ROOT, Volume

Seen: TypeAlias = Mapping[str, Observation]

NAMES = ["a", "b", "c", "d"]
small = st.integers(min_value=1, max_value=30)
blocks = st.tuples(small, small)
holes = st.sampled_from([(), (IdRange(guest=2, host=7, count=1),)])
owns = st.builds(OwnIds, count=st.integers(min_value=4, max_value=9), through=holes)
written = blocks.map(lambda each: (IdRange(guest=0, host=each[0], count=each[1]),))
facts = st.builds(
    lambda ranges, shared: HostFacts(
        drivers={"lxc": DriverFacts(ids=SubordinateIds(ranges=tuple(ranges), shared=shared))}
    ),
    st.lists(blocks, max_size=3),
    st.none() | blocks,
)
wishes = st.dictionaries(
    st.sampled_from(NAMES), st.none() | owns | owns | owns | written, min_size=1
)


def spec(name: str, ids: OwnIds | tuple[IdRange, ...]) -> VMSpec:
    root = Volume(name=ROOT, pool="default", mount="/")
    made = VMSpec(name=name, driver="lxc", template="t", hostname=name, volumes=(root,))
    own = isinstance(ids, OwnIds)
    return replace(made, own_ids=ids) if own else replace(made, idmap=ids)  # type: ignore[arg-type]


def goal(name: str, ids: OwnIds | tuple[IdRange, ...] | None) -> Goal:
    """Define the VM so; or, for None, take it away."""
    if ids is None:
        return Goal(name=name, target=Target.UNDEFINED)
    return Goal(name=name, target=Target.DEFINED, spec=spec(name, ids))


def alone(specs: Mapping[str, VMSpec]) -> dict[str, set[int]]:
    """The ids that are of one VM only, as each is defined."""
    return {
        name: set(range(own.first, own.first + own.count))
        for name, each in specs.items()
        if (own := each.own_ids) and own.first is not None
    }


def recorded(seen: Seen) -> dict[str, VMSpec]:
    return {name: have.recorded for name, have in seen.items() if have.recorded}


@settings(max_examples=400, deadline=None)
@given(facts, st.lists(wishes, min_size=1, max_size=5))
def test_allocated_ids_are_of_one_vm_alone_and_stay_with_it(
    host: HostFacts, days: list[Mapping[str, OwnIds | tuple[IdRange, ...] | None]]
) -> None:
    """On each day, VMs are defined, redefined and taken away."""
    seen: dict[str, Observation] = {}
    for day in days:
        wanted = [goal(name, ids) for name, ids in day.items()]
        checked = plan_host(wanted, seen, host)
        if isinstance(checked, Failure):
            event("refused")
            assert {each.path.partition(".")[2] for each in checked.failure()} == {"idmap"}
            continue
        made = checked.unwrap()
        backwards = plan_host(wanted[::-1], seen, host).unwrap()
        assert {each.name: each for each in backwards.plans} == {
            each.name: each for each in made.plans
        }
        before = recorded(seen)
        for step in made.steps:
            have = seen.get(step.vm, Observation())
            seen[step.vm] = after(step.action, have).unwrap()
        now = recorded(seen)
        event(f"{len(alone(now))} have ids of their own")
        _check_apart(now, host)
        for name, ids in day.items():
            if isinstance(ids, OwnIds):
                _check_kept(before.get(name), now[name], ids)
        again = plan_host([each for each in wanted if each.spec], seen, host)
        assert again.map(lambda p: p.steps) == Success(())


def _check_apart(now: Mapping[str, VMSpec], host: HostFacts) -> None:
    ids = host.driver("lxc").ids or SubordinateIds()
    may = reduce(lambda found, each: found | {*range(each[0], sum(each))}, ids.ranges, set[int]())
    everyone = {*range(ids.shared[0], sum(ids.shared))} if ids.shared else set[int]()
    of_one = alone(now)
    assert all(a.isdisjoint(b) for a, b in combinations(of_one.values(), 2))
    for name, mine in of_one.items():
        others = [each for other, each in now.items() if other != name]
        theirs = {
            id for each in others for r in each.idmap for id in range(r.host, r.host + r.count)
        }
        assert mine.isdisjoint(theirs | everyone)
        own = now[name].own_ids
        assert own
        assert mine.isdisjoint({hole.host for hole in own.through})
        assert mine <= may or all(each.guest == 0 for each in now[name].idmap)


def _check_kept(before: VMSpec | None, now: VMSpec, ids: OwnIds) -> None:
    assert now.own_ids
    assert now.own_ids == replace(ids, first=now.own_ids.first)
    if before and before.own_ids and before.own_ids.count == ids.count:
        assert now.own_ids.first == before.own_ids.first
