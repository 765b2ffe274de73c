"""Placing and moving VMs: laws for hosts of any number and size."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core.declared.placement_rules import Rules
from geats_core.fleet.balancing import Move, drain, rebalance
from geats_core.fleet.placement import Candidate, load_of
from tests.core.fleet.test_placement import host, sized

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
