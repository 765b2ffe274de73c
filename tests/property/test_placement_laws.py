"""Placing and moving VMs: laws for hosts of any number and size."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core.declared.placement_rules import Rules, Strategy
from geats_core.fleet import placement
from geats_core.fleet.balancing import Move, drain, rebalance
from geats_core.fleet.movable import movable
from geats_core.fleet.placement import Candidate, load_of, place, with_goal, with_labels, without
from geats_core.hostwide.host_planner import HostPlan, plan_host
from geats_core.reading.checked import Checked
from geats_core.vm.spec import VMSpec
from tests.core.fleet.test_placement import host, sized, to_run
from tests.core.hosts import nic

sizes = st.lists(st.integers(1, 6), max_size=5)


@settings(deadline=None, max_examples=50)
@given(st.lists(sizes, min_size=1, max_size=4), st.floats(0, 0.5))
def test_moves_lead_from_one_possible_state_to_another(rows: list[list[int]], left: float) -> None:
    hosts = {
        f"h{row}": host(*(sized(f"vm{row}-{at}", gib) for at, gib in enumerate(gibs)), gib=30)
        for row, gibs in enumerate(rows)
    }
    every = {name for each in hosts.values() for name in each.vms}
    rules = Rules(reserve=left)

    moves = rebalance(hosts, rules)
    after = follow_moves(hosts, moves)
    assert {name for each in after.values() for name in each.vms} == every
    assert max(map(load_of, after.values())) <= max(map(load_of, hosts.values()))
    assert rebalance(after, rules) == ()

    match drain("h0", hosts, rules):
        case Success(moves):
            after = follow_moves(hosts, moves)
            assert after["h0"].vms == frozenset()
            assert {name for each in after.values() for name in each.vms} == every
            assert all(
                load_of(each) <= 1 - left for name, each in after.items() if move_to(name, moves)
            )
        case Failure(problems):
            assert problems


@st.composite
def fleets(draw: st.DrawFn) -> dict[str, Candidate]:
    """Hosts with VMs that run, are locked, share an address, or are still to come."""
    hosts: dict[str, Candidate] = {}
    for row in range(draw(st.integers(1, 4))):
        kinds = draw(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), max_size=5))
        specs = [
            sized(
                f"vm{row}-{at}",
                gib,
                labels={"role": "web" if gib % 2 else "db"},
                **({"nics": nic("10.0.0.5")} if kind == 1 else {}),
            )
            for at, (gib, kind) in enumerate(kinds)
        ]
        room = draw(st.sampled_from([4, 12, 30]))
        lacks = draw(st.sampled_from([{}, {}, {"templates": frozenset({"alpine"})}]))
        here = host(
            *(s for s, (_, kind) in zip(specs, kinds, strict=True) if kind != 2), gib=room, **lacks
        )
        locked = [s.name for s, (_, kind) in zip(specs, kinds, strict=True) if kind == 3]
        seen = {
            name: replace(have, locked=name in locked) for name, have in here.observations.items()
        }
        goals = tuple(
            to_run(s) for s, (_, kind) in zip(specs, kinds, strict=True) if kind in (2, 4)
        )
        hosts[f"h{row}"] = replace(here, observations=seen, goals=goals)
    return hosts


@st.composite
def rules_for(draw: st.DrawFn) -> Rules:
    names = [f"vm{row}-{at}" for row in range(3) for at in range(3)]
    groups = st.lists(st.frozensets(st.sampled_from(names), min_size=2, max_size=3), max_size=2)
    return Rules(
        reserve=draw(st.sampled_from([0.0, 0.2])),
        together=tuple(draw(groups)),
        apart=tuple(draw(groups)),
        together_by=draw(st.sampled_from([(), (), ("zone",)])),
        apart_by=draw(st.sampled_from([(), (), ("role",)])),
    )


@settings(deadline=None, max_examples=25)
@given(fleets(), rules_for(), st.sampled_from(["web", "db"]))
def test_labels_stand_for_the_groups_of_those_that_have_them(
    hosts: dict[str, Candidate], rules: Rules, role: str
) -> None:
    """What is placed by a label goes where it goes if the groups are written out."""
    wanted = to_run(sized("new", 1, labels={"role": role}))
    written = with_labels(rules, wanted, hosts)
    written = replace(written, together_by=(), apart_by=())
    assert place(wanted, hosts, rules) == place(wanted, hosts, written)
    labelled = {
        name
        for each in hosts.values()
        for name in each.vms
        if (spec := spec_of(each, name)) and dict(spec.labels)["role"] == role
    }
    expected = {frozenset({"new", *labelled})} if rules.apart_by else set()
    assert {group for group in written.apart[len(rules.apart) :] if "new" in group} == expected


def spec_of(host: Candidate, name: str) -> VMSpec | None:
    """As the VM is to be, or else as it is."""
    wanted = [goal.spec for goal in host.goals if goal.name == name]
    return wanted[0] if wanted else host.observations[name].recorded


@settings(deadline=None, max_examples=25)
@given(fleets(), rules_for(), st.sampled_from([0.0, 0.05]))
def test_what_is_only_estimated_makes_no_other_moves(
    hosts: dict[str, Candidate], rules: Rules, tolerance: float
) -> None:
    """Those that are found by planning every host with every VM that could come or go."""
    assert rebalance(hosts, rules, tolerance) == tuple(plainly(hosts, rules, tolerance))


def plainly(hosts: Mapping[str, Candidate], rules: Rules, tolerance: float) -> Iterator[Move]:
    while best := best_move(hosts, replace(rules, strategy=Strategy.SPREAD), tolerance):
        move, hosts = best
        yield move


def best_move(
    hosts: Mapping[str, Candidate], rules: Rules, tolerance: float
) -> tuple[Move, Mapping[str, Candidate]] | None:
    loads = {name: load_of(each) for name, each in hosts.items()}
    for source in sorted(loads, key=lambda name: (-loads[name], name)):
        if loads[source] - min(loads.values()) <= tolerance:
            break
        best = max(moves_from(source, hosts, rules), key=lambda each: each[0], default=None)
        if best and best[0] > tolerance:
            return best[1:]
    return None


def moves_from(
    source: str, hosts: Mapping[str, Candidate], rules: Rules
) -> Iterator[tuple[float, Move, Mapping[str, Candidate]]]:
    load = load_of(hosts[source])
    goals = {vm: movable(vm, hosts[source]).value_or(None) for vm in hosts[source].vms}

    def size(vm: str) -> int:
        goal = goals[vm]
        return goal.spec.limits.memory_bytes or 0 if goal and goal.spec else 0

    for vm in sorted(goals, key=lambda vm: (-size(vm), vm)):
        goal = goals[vm]
        after = {**hosts, source: without(hosts[source], vm)}
        found = place(goal, after, rules).value_or(None) if goal else None
        if goal and found and found.host != source:
            after[found.host] = with_goal(after[found.host], goal)
            gain = load - max(load_of(after[source]), load_of(after[found.host]))
            why = f"{load:.0%} of what {source} has is promised"
            yield gain, Move(vm=vm, source=source, target=found.host, reason=why), after


def test_few_plans_are_made_for_many_vms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some for each move, however many VMs could have moved."""
    plans: list[int] = []

    def counted(*told: object) -> Checked[HostPlan]:
        plans.append(1)
        return plan_host(*told)  # type: ignore[arg-type]

    monkeypatch.setattr(placement, "plan_host", counted)
    full = host(*(sized(f"vm{at}", 1) for at in range(24)), gib=24)
    moves = rebalance({"a": full, "b": host(gib=24), "c": host(gib=24)}, tolerance=0.001)
    assert len(moves) == 16
    assert len(plans) <= 4 * (len(moves) + 3)


def move_to(name: str, moves: tuple[Move, ...]) -> bool:
    return any(move.target == name for move in moves)


def follow_moves(hosts: Mapping[str, Candidate], moves: tuple[Move, ...]) -> dict[str, Candidate]:
    """The hosts once each VM has moved, with what it was."""
    now = dict(hosts)
    for move in moves:
        there = dict(now[move.source].observations)
        have = there.pop(move.vm)
        now[move.source] = replace(now[move.source], observations=there)
        target = now[move.target]
        assert move.vm not in target.vms
        now[move.target] = replace(target, observations={**target.observations, move.vm: have})
    return now
