"""Stories of VMs that move from host to host, and of which copy counts meanwhile."""

from collections.abc import Mapping
from dataclasses import replace

from geats_core import Candidate, HostFacts, Observation, Power, Target
from geats_core.fleet.migration import Begun, Migration, Phase, Undo, migration
from geats_core.jobs.arrivals import Arrival
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
    assert MOVE.phases == tuple(Phase)[1:]
    only_running = {Phase.SHUTDOWN, Phase.START}
    assert off.phases == tuple(each for each in MOVE.phases if each not in only_running)


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


ARRIVED = {"web": replace(OFF["web"], copy_of=Arrival("a").copy_of("web", "5a"), to_run=True)}
BARE = {"web": replace(OFF["web"], recorded=None, defined=None)}


def test_a_move_that_was_interrupted_before_the_hand_over_begins_again() -> None:
    move = migration("web", "b", {"a": host(ON), "b": host(ARRIVED)}).unwrap()
    assert move == replace(MOVE, begun=Begun.IMPORTED)
    assert move.phases == tuple(Phase)


def test_one_that_was_interrupted_after_it_goes_on_there() -> None:
    move = replace(MOVE, begun=Begun.HANDED_OVER)
    assert move.phases == (Phase.ACCEPT, Phase.START, Phase.REMOVE)
    for left in (BARE, {}):
        hosts = {"a": host(left), "b": host(ARRIVED)}
        assert migration("web", "b", hosts).unwrap() == move
        assert migration("web", "b", hosts, "a").unwrap() == move
    off = {"web": replace(ARRIVED["web"], to_run=False)}
    stays = migration("web", "b", {"a": host(BARE), "b": host(off)}).unwrap()
    assert stays.phases == (Phase.ACCEPT, Phase.REMOVE)


def test_one_that_was_accepted_is_only_to_be_started() -> None:
    accepted = {"web": replace(OFF["web"], to_run=True)}
    move = migration("web", "b", {"a": host(BARE), "b": host(accepted)}).unwrap()
    assert (move.phases, move.target) == ((Phase.START,), "b")
    assert refused({"a": host(BARE), "b": host(ON), "c": EMPTY}) == [
        "target: web is on b already; a has volumes of it that nobody defines"
    ]


def test_whoever_cannot_be_asked_may_still_have_it() -> None:
    assert refused({"b": host(ARRIVED)}) == [
        "source: web comes from a, which did not answer: it may still have the VM"
    ]
    half = {"web": replace(ARRIVED["web"], volumes=())}
    assert refused({"a": EMPTY, "b": host(half)}) == [
        "web: a has given web up, and b has a part of it only: define it there"
    ]
    assert refused({"a": host(ON), "b": host(ARRIVED), "c": host(ON)}, source="c") == [
        "target: web is on b already"
    ]
    assert refused({"a": EMPTY, "b": host(ARRIVED), "c": EMPTY}, target="c") == [
        "web: is an unfinished copy of the VM web of the host a (5a)"
    ]


def test_what_failed_before_the_hand_over_is_undone() -> None:
    again = replace(MOVE, begun=Begun.IMPORTED)
    assert {phase: again.undone_by(phase) for phase in Phase} == {
        Phase.CLEAR: (Undo.START_AGAIN,),
        Phase.SHUTDOWN: (Undo.START_AGAIN,),
        Phase.EXPORT: (Undo.REMOVE_ARCHIVE, Undo.START_AGAIN),
        Phase.COPY: (Undo.REMOVE_ARCHIVE, Undo.START_AGAIN),
        Phase.IMPORT: (Undo.REMOVE_ARCHIVE, Undo.START_AGAIN),
        Phase.HAND_OVER: tuple(Undo),
        Phase.ACCEPT: tuple(Undo),
        Phase.START: tuple(Undo),
        Phase.REMOVE: tuple(Undo),
    }
    off = replace(MOVE, running=False)
    assert off.undone_by(Phase.HAND_OVER) == (Undo.REMOVE_IMPORT, Undo.REMOVE_ARCHIVE)
    assert off.undone_by(Phase.EXPORT) == (Undo.REMOVE_ARCHIVE,)


def test_one_copy_counts() -> None:
    assert MOVE.counts(source_defines=True) == "a"
    assert MOVE.counts(source_defines=False) == "b"
