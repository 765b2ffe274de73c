"""What is told of a step; whether it arrives is tested with a real minion."""

from pathlib import Path
from typing import get_args

from geats_core.declared.config import Events
from geats_core.planning.action_words import word_of
from geats_core.planning.actions import Action
from geats_host.calls import lifecycle
from geats_host.for_salt.events import event_data, told_of_steps
from geats_host.registry import Outcome
from geats_host.step_listeners import silent
from tests.memory_host import memory_host

SECRET = "correct horse"


def test_each_kind_of_action_has_a_word_of_its_own() -> None:
    words = {word_of(object.__new__(kind)) for kind in get_args(Action)}
    assert len(words) == len(get_args(Action))
    assert {"start", "allocate_volume", "delete_snapshot"} <= words
    assert all(word.replace("_", "").islower() for word in words)


def test_a_step_is_told_in_words_and_nothing_secret_is_in_them(tmp_path: Path) -> None:
    raw: dict[object, object] = {
        "driver": "memory",
        "template": "debian",
        "metadata": {"password": SECRET},
    }
    steps = lifecycle.plan_to(memory_host(tmp_path), "web02", raw=raw).plan.steps
    told = [event_data(step, Outcome.DONE, step.reason) for step in steps]
    assert told[-1] == {
        "vm": "web02",
        "step": "start",
        "action": "start web02",
        "reason": "web02 should be running",
        "impact": "none",
        "outcome": "done",
        "error": None,
    }
    assert SECRET not in str(told)
    failed = event_data(steps[-1], Outcome.FAILED, "no such luck")
    assert (failed["outcome"], failed["error"]) == ("failed", "no such luck")


def test_where_there_is_no_bus_or_it_is_not_wanted_nobody_is_told(tmp_path: Path) -> None:
    opts = {"sock_dir": str(tmp_path)}
    with told_of_steps(opts, Events.MASTER, "somebody") as told:
        assert told is silent
    (tmp_path / "minion_event_1_pull.ipc").touch()
    with told_of_steps(opts, Events.NONE, "somebody") as told:
        assert told is silent
