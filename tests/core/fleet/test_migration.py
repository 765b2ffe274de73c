"""Stories of VMs that move from host to host, and of which copy counts meanwhile."""

from collections.abc import Mapping
from dataclasses import replace

from geats_core import Candidate, HostFacts, Observation, Power, Target
from geats_core.fleet.migration import Migration, Phase, Undo, migration
from tests.core.hosts import at, goals, vm

WEB = vm("web", memory="1GiB")
ON, OFF = at(Target.RUNNING, WEB), at(Target.STOPPED, WEB)
EMPTY = Candidate()
MOVE = Migration(vm="web", source="a", target="b", running=True)


def host(seen: Mapping[str, Observation]) -> Candidate:
    return Candidate(observations=seen)


def refused(hosts: Mapping[str, Candidate], target: str = "b", **named: str) -> list[str]:
    return [*map(str, migration("web", target, hosts, **named).failure())]


def test_a_vm_moves_from_where_it_is_and_runs_there_if_it_ran() -> None:
    assert migration("web", "b", {"a": host(ON), "b": EMPTY}).unwrap() == MOVE
    assert migration("web", "b", {"a": host(ON), "b": EMPTY}, "a").unwrap() == MOVE
    off = migration("web", "b", {"a": host(OFF), "b": EMPTY}).unwrap()
    assert off == replace(MOVE, running=False)
    to_run = {"web": replace(OFF["web"], to_run=True)}  # as a move that was interrupted leaves it
    assert migration("web", "b", {"a": host(to_run), "b": EMPTY}).unwrap() == MOVE
    assert MOVE.phases == tuple(Phase)
    assert off.phases == (Phase.EXPORT, Phase.COPY, Phase.IMPORT, Phase.HAND_OVER, Phase.REMOVE)


def test_that_it_is_declared_on_the_target_is_as_it_should_be() -> None:
    declared = Candidate(goals=tuple(goals(Target.RUNNING, WEB)))
    assert migration("web", "b", {"a": host(ON), "b": declared}).unwrap() == MOVE


def test_a_vm_that_its_own_host_would_make_anew_stays() -> None:
    declared = replace(host(ON), goals=tuple(goals(Target.RUNNING, WEB)))
    assert refused({"a": declared, "b": EMPTY}) == [
        "web: is declared on a, which would recreate it: move its declaration to the target first"
    ]


def test_all_that_is_wrong_with_source_and_target_is_told_at_once() -> None:
    locked = host({"web": replace(ON["web"], locked=True)})
    small = Candidate(facts=HostFacts(memory_bytes=2**20))
    assert refused({"a": locked, "b": small})[0] == "web: is locked, and so stays where it is"
    assert refused({"a": host(ON), "b": small})[0].startswith("b.memory: web (1GiB) would take")
    foreign = host({"web": Observation(power=Power.RUNNING, foreign=True)})
    assert refused({"a": foreign, "b": EMPTY}) == [
        "web: is not managed by geats, so it cannot be moved"
    ]


def test_hosts_that_are_not_there_or_not_meant() -> None:
    assert refused({"a": host(ON)}) == ["target: unknown host 'b' (there is: a)"]
    assert refused({"a": host(ON), "b": EMPTY}, source="c") == [
        "source: unknown host 'c' (there is: a, b)"
    ]
    assert refused({"a": host(ON), "b": EMPTY}, source="b") == ["source: web is not on b, but on a"]
    assert refused({"a": EMPTY, "b": EMPTY}) == ["name: unknown VM 'web' (there is none)"]
    both = {"a": host(ON), "b": host(OFF)}
    assert refused(both) == ["source: must say which: web is on a, b"]
    assert refused(both, source="a") == ["target: web is on b already"]


def test_what_failed_before_the_hand_over_is_undone() -> None:
    assert {phase: MOVE.undone_by(phase) for phase in Phase} == {
        Phase.SHUTDOWN: (Undo.START_AGAIN,),
        Phase.EXPORT: (Undo.REMOVE_ARCHIVE, Undo.START_AGAIN),
        Phase.COPY: (Undo.REMOVE_ARCHIVE, Undo.START_AGAIN),
        Phase.IMPORT: (Undo.REMOVE_ARCHIVE, Undo.START_AGAIN),
        Phase.HAND_OVER: tuple(Undo),
        Phase.START: tuple(Undo),
        Phase.REMOVE: tuple(Undo),
    }
    off = replace(MOVE, running=False)
    assert off.undone_by(Phase.HAND_OVER) == (Undo.REMOVE_IMPORT, Undo.REMOVE_ARCHIVE)
    assert off.undone_by(Phase.EXPORT) == (Undo.REMOVE_ARCHIVE,)


def test_one_copy_counts() -> None:
    assert MOVE.counts(source_defines=True) == "a"
    assert MOVE.counts(source_defines=False) == "b"
