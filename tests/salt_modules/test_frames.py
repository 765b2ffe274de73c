"""How far it is from what somebody types to what is done: each frame is one to read on the way."""

import os
import sys
import threading
from pathlib import Path
from types import FrameType

import pytest
import salt.loader
from salt.exceptions import CommandExecutionError

from geats_core.deciding.planner import plan
from geats_core.planning.offers import Offer

REPO = Path(__file__).parents[2]
OURS = tuple(f"{REPO}/{each}/" for each in ("core", "host", "salt"))


@pytest.fixture
def testmode():
    return False


def on_the_way(frame: FrameType | None) -> list[str]:
    """The functions of ours that wait for *frame* to end, the outermost first."""
    names: list[str] = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(OURS):
            names.append(frame.f_code.co_qualname)
        frame = frame.f_back
    return names[::-1]


def test_from_a_verb_to_the_planner_it_is_not_far(modules, monkeypatch):
    found: list[list[str]] = []

    def planned(*given):
        found.append([*on_the_way(sys._getframe(1)), "plan"])
        return plan(*given)

    monkeypatch.setattr("geats_host.planning.plans.plan", planned)
    modules["geats.start"]("web01", test=True)
    assert found[0][0] == "start"
    assert len(found[0]) <= 5, found[0]


def test_from_a_verb_to_lxc_start_it_is_not_far(opts, geats_config, tmp_path, monkeypatch):
    found: list[list[str]] = []

    def spawned(program, argv, *_, **__):
        asking = sys._current_frames()[threading.main_thread().ident or 0]
        doing = on_the_way(sys._getframe(1))
        found.append([*on_the_way(asking), *doing, Path(argv[0]).name])
        raise OSError("it is not to be started here")

    monkeypatch.setattr(os, "posix_spawn", spawned)
    # The volumes of this host hold nothing, which the driver would not take.
    monkeypatch.setattr("geats_host.drivers.lxc.facts.DIRECTORIES", frozenset(Offer))
    geats_config["drivers"] = {"lxc": {"path": f"{tmp_path}/lxc"}}
    geats_config["vms"] = {"web01": {"template": "debian"}}
    modules = salt.loader.minion_mods(opts, whitelist=["geats"])
    with pytest.raises(CommandExecutionError, match="it is not to be started here"):
        modules["geats.start"]("web01")
    assert found[0][0] == "start"
    assert len(found[0]) <= 12, found[0]
