"""Moves between hosts, each call of which may fail: one copy counts, and the report says which."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from returns.result import Failure, Success

from geats_core import Candidate, Goal, Migration, Observation, Target, plan
from geats_core.jobs.arrivals import Arrival
from geats_core.plans.codec import encode
from geats_host.errors import Refused
from geats_host.for_salt.fleet import Fleet, Report
from geats_host.for_salt.migrating import Mover, to_a_person, wrong_with_master
from tests.core.hosts import at, vm

WEB = vm("web", memory="1GiB")
RUNNING, STOPPED = at(Target.RUNNING, WEB)["web"], at(Target.STOPPED, WEB)["web"]
BARE = replace(STOPPED, recorded=None, defined=None)  # its volumes, which nobody defines
TO_RUN = replace(STOPPED, to_run=True)
COPY_OF = Arrival("a").copy_of("web", "5a")
ARRIVED = replace(STOPPED, copy_of=COPY_OF)
NOTHING = Observation()
PATH = "/var/lib/geats/exports/web.tar.zst"
MOVE = Migration(vm="web", source="a", target="b", running=True)


class Killed(BaseException):
    """The runner is dead: no code of geats may catch this."""


@dataclass
class TwoHosts:
    """``a``, ``b`` and their master, as far as a move needs them; one call may go wrong.

    It goes wrong ``before`` it did anything, ``after`` it did, or ``silent``: done, with no answer.
    """

    wrong: int = -1
    how: str = "before"
    hosts: dict[str, Observation] = field(default_factory=lambda: {"a": RUNNING, "b": NOTHING})
    files: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    bytes: int = 1000
    mute: set[str] = field(default_factory=set)
    notes: tuple[str, ...] = ()

    def ask(self, host: str, function: str, *args: object, **named: object) -> Mapping[str, Any]:
        number = len(self.calls)
        if number == self.wrong and self.how == "killed":
            raise Killed
        self.calls.append(f"{host} {function}")
        if host == "*":
            return {each: self.ask(each, function)[each] for each in self.hosts}
        if host in self.mute:
            return {host: False}
        if number == self.wrong and self.how == "before":
            return {host: {"ret": "ERROR: it broke", "retcode": 1}}
        if function.startswith("geats.") and function != "geats.candidate":
            assert named.pop("verbose"), function  # what is read of the answer
        said = self.run(host, function, args, named)
        if number == self.wrong:
            return {host: self.how != "silent" and {"ret": "ERROR: late", "retcode": 1}}
        return {host: {"ret": said, "retcode": 0}}

    def run(
        self, host: str, function: str, args: tuple[object, ...], named: dict[str, Any]
    ) -> object:
        match function:
            case "geats.shutdown":
                assert named == {"to_run": True}
                assert self.hosts[host] in (RUNNING, TO_RUN)
                self.hosts[host] = TO_RUN
                return {"done": [], "notes": list(self.notes)}
            case "geats.export":
                assert self.hosts[host] in (STOPPED, TO_RUN)
                self.files.add(f"{host} {PATH}")
                return {"path": PATH, "sha256": "5a", "bytes": self.bytes}
            case "cp.push":
                assert args == (PATH,)
                assert f"{host} {PATH}" in self.files
                self.files.add(f"master {PATH}")
                return True
            case "geats.import_":
                assert (args, named.pop("sha256")) == ((f"salt://a{PATH}",), "5a")
                assert f"master {PATH}" in self.files
                assert self.hosts[host] == NOTHING
                assert named.pop("arriving") == "a"
                self.hosts[host] = replace(ARRIVED, **named)
            case "geats.accept":
                self.hosts[host] = replace(self.hosts[host], copy_of="")
            case "geats.undefine":
                self.hosts[host] = BARE
            case "geats.start":
                assert self.hosts[host] in (STOPPED, TO_RUN, RUNNING)
                self.hosts[host] = RUNNING
            case "geats.apply":
                assert args == ("web", "deprovisioned")
                self.hosts[host] = NOTHING
            case "geats.candidate":
                here = self.hosts[host]
                return encode(Candidate(observations={"web": here} if here.exists else {}))
            case "file.remove":
                self.files.discard(f"{host} {args[0]}")
            case _:
                raise AssertionError(function)
        return None

    def forget(self, host: str, path: str) -> None:
        assert host == "a"
        self.files.discard(f"master {path}")

    def move(self, move: Migration = MOVE) -> Report:
        return Mover(move, self.ask, self.forget).carry_out()


def test_a_move_leaves_nothing_behind() -> None:
    hosts = TwoHosts()
    assert hosts.move() == {
        "name": "web",
        "source": "a",
        "target": "b",
        "counts": "b",
        "done": ["shutdown", "export", "copy", "import", "hand over", "accept", "start", "remove"],
        "failed": None,
        "left": [],
        "notes": [],
    }
    assert (hosts.hosts, hosts.files) == ({"a": NOTHING, "b": RUNNING}, set())


def test_a_person_is_told_which_phase_is_under_way(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts, told = TwoHosts(), list[str]()
    Mover(MOVE, hosts.ask, hosts.forget, tell=told.append).carry_out()
    assert (told[0], told[-1]) == ("web: shutdown (1 of 8)", "web: remove (8 of 8)")
    to_a_person("to a program")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    to_a_person("to a person")
    assert capsys.readouterr() == ("", "to a person\n")


def test_a_vm_that_is_off_stays_off() -> None:
    hosts = TwoHosts(hosts={"a": STOPPED, "b": NOTHING})
    hosts.move(replace(MOVE, running=False))
    assert hosts.hosts == {"a": NOTHING, "b": STOPPED}
    assert {"a geats.shutdown", "b geats.start"}.isdisjoint(hosts.calls)


CALLS = len((_plain := TwoHosts()).move()) and len(_plain.calls)


@pytest.mark.parametrize("how", ["before", "after", "silent"])
@pytest.mark.parametrize("wrong", range(CALLS))
def test_whatever_call_fails_one_copy_counts_and_the_other_never_runs(wrong: int, how: str) -> None:
    hosts = TwoHosts(wrong, how)
    report = hosts.move()
    counts = report["counts"]
    assert report["failed"]["error"] != ""
    assert hosts.hosts[counts].recorded is not None
    other = hosts.hosts["b" if counts == "a" else "a"]
    off = (NOTHING, replace(ARRIVED, to_run=True))
    assert other in (off if counts == "a" else (NOTHING, BARE))
    if counts == "a":
        assert hosts.hosts["a"] == RUNNING
        assert other == NOTHING or report["left"] != []


@pytest.mark.parametrize("how", ["before", "after", "silent"])
@pytest.mark.parametrize("wrong", range(CALLS))
def test_what_is_left_is_told(wrong: int, how: str) -> None:
    """But for a copy of which nobody knows, since its host did not say that it made it."""
    hosts = TwoHosts(wrong, how)
    report = hosts.move()
    known = "export" in report["done"] or hosts.files == set()
    assert known or report["failed"]["phase"] == "export"


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("wrong", range(CALLS))
def test_a_move_that_is_killed_is_finished_by_the_same_again(wrong: int, running: bool) -> None:
    """Meanwhile, at most one host can start the VM; and nobody moves it anywhere else."""
    hosts = TwoHosts(wrong, "killed", {"a": RUNNING if running else STOPPED, "b": NOTHING})
    with suppress(Killed):
        hosts.move(replace(MOVE, running=running))
    able = [host for host, have in hosts.hosts.items() if starts(have)]
    assert len(able) <= 1
    assert not running or all(hosts.hosts[each] in (RUNNING, TO_RUN) for each in able)
    was_accepted = "b geats.accept" in hosts.calls
    assert not was_accepted or able == ["b"]
    hosts.wrong = -1
    with suppress(Refused):  # nothing is left but volumes on the source, which it tells
        hosts.move(Fleet.asked(hosts.ask, "*").migration("web", "b", None))
    assert hosts.hosts["b"] == (RUNNING if running else STOPPED)
    assert hosts.hosts["a"] in ((BARE, NOTHING) if was_accepted else (NOTHING,))


def starts(have: Observation) -> bool:
    """Whether a plan of its host starts it, or leaves it on."""
    goal = Goal(name="web", target=Target.RUNNING, spec=WEB)
    made = plan(goal, have) if have.recorded else Failure(())
    return isinstance(made, Success)


def test_an_archive_that_the_master_would_not_take_is_not_sent() -> None:
    hosts = TwoHosts(bytes=100 * 2**20 + 1)
    report = hosts.move()
    assert report["failed"] == {
        "phase": "export",
        "error": "the archive has 101 MiB, and file_recv_max_size of the master is 100",
    }
    assert (hosts.hosts, hosts.files) == ({"a": RUNNING, "b": NOTHING}, set())


def test_a_guest_that_had_to_be_powered_off_is_told() -> None:
    hosts = TwoHosts(notes=("web: it did not shut down within 60 s, and was powered off",))
    report = hosts.move()
    assert report["failed"] is None
    assert report["notes"] == ["a: web: it did not shut down within 60 s, and was powered off"]


def test_a_source_that_no_longer_answers_leaves_the_question_open() -> None:
    """Nobody may start a copy then: the answer says what decides."""
    hosts = TwoHosts(mute={"a"})
    report = hosts.move()
    assert report["counts"] == "that of a if it defines web, else that of b"
    assert report["left"] == ["a does not answer: nothing was undone"]


def test_a_master_has_to_pass_files_on() -> None:
    assert wrong_with_master({"file_recv": True, "fileserver_backend": ["minionfs"]}) == []
    problems = wrong_with_master({"file_recv": False, "fileserver_backend": ["roots"]})
    assert [each.partition(":")[0] for each in problems] == ["file_recv", "fileserver_backend"]
