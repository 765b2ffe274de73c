"""Direct moves, as the master has them done: what it asks, and what it makes of the answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from geats_core import Candidate, Observation, Target
from geats_core.plans.codec import encode
from geats_host.errors import Refused
from geats_host.for_salt.direct_moves import DirectMove, direct_source
from geats_host.for_salt.fleet import Fleet
from tests.core.hosts import at, vm

WEB = vm("web")
RUNNING, STOPPED = at(Target.RUNNING, WEB)["web"], at(Target.STOPPED, WEB)["web"]
TO_RUN, BARE = replace(STOPPED, to_run=True), replace(STOPPED, recorded=None, defined=None)
URL = "ssh://root@10.0.0.5/web?command=%2Fopt%2Fgeats+send"


@dataclass
class TwoHosts:
    """What the source has, whether the fetch fails, and who does not answer at the end."""

    source: Observation = RUNNING
    fails: bool = False
    mute: bool = False
    asked: list[str] = field(default_factory=list)

    def ask(self, host: str, function: str, *args: object, **named: object) -> Mapping[str, Any]:
        self.asked.append(f"{host} {function}")
        match function:
            case "geats.send_command":
                said: object = {"command": "/opt/geats send"}
            case "geats.fetch":
                assert (args, named["shutdown"], named["verbose"]) == ((URL,), True, True)
                if self.fails:
                    return {host: {"ret": "ERROR: cut", "retcode": 1}}
                said = {"text": ["copy"], "bytes": 7, "left": ""}
            case "geats.candidate":
                if self.mute:
                    return {host: False}
                said = encode(Candidate(observations={"web": self.source}))
            case "geats.start":
                said = self.source = RUNNING
            case _:
                raise AssertionError(function)
        return {host: {"ret": said, "retcode": 0}}

    @property
    def move(self) -> DirectMove:
        return DirectMove("web", "a", "b", "ssh://root@10.0.0.5", False, self.ask)


NAMES = {"name": "web", "source": "a", "target": "b"}


def test_the_target_fetches_it_and_has_it_then() -> None:
    hosts = TwoHosts()
    done: dict[str, object] = {**NAMES, "counts": "b", "failed": None, "left": [], "bytes": 7}
    assert hosts.move.carry_out() == done
    assert hosts.asked == ["a geats.send_command", "b geats.fetch"]


def test_what_would_be_done_is_told_with_its_bytes() -> None:
    assert TwoHosts().move.planned() == {**NAMES, "would": ["copy"], "bytes": 7}
    with pytest.raises(Refused, match="cut"):
        TwoHosts(fails=True).move.planned()


def test_if_it_fails_the_vm_runs_again_where_it_was() -> None:
    hosts = TwoHosts(source=TO_RUN, fails=True)
    report = hosts.move.carry_out()
    assert (report["counts"], report["left"], hosts.source) == ("a", [], RUNNING)
    assert report["failed"] == "b: geats.fetch: cut"


def test_if_it_fails_after_the_vm_was_taken_over_it_is_not_started_where_it_was() -> None:
    hosts = TwoHosts(source=BARE, fails=True)
    report = hosts.move.carry_out()
    assert (report["counts"], report["left"]) == ("b", ["repeat the move"])
    assert "a geats.start" not in hosts.asked


def test_if_the_source_does_not_answer_the_question_stays_open() -> None:
    report = TwoHosts(fails=True, mute=True).move.carry_out()
    assert report["counts"] == "that of a if it defines web, else that of b"


def test_the_source_is_the_one_other_host_that_has_anything_of_it() -> None:
    seen = Candidate(observations={"web": STOPPED})
    left = Candidate(observations={"web": BARE})
    both = Fleet({"a": left, "b": seen}, {})
    assert direct_source(both, "web", "b", None) == "a"
    assert direct_source(both, "web", "b", "a") == "a"
    with pytest.raises(Refused, match="web is on none of the others"):
        direct_source(Fleet({"b": seen}, {}), "web", "b", None)
    with pytest.raises(Refused, match="c: did not answer"):
        direct_source(Fleet(both.hosts, {"c": "did not answer"}), "web", "b", None)
    with pytest.raises(Refused, match="unknown host 'c'"):
        direct_source(both, "web", "c", None)
