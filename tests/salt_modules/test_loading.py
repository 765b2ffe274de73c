"""What is loaded with our modules: a call of Salt's is often a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.memory_host import memory_config

REPO = Path(__file__).parents[2]
LOADED = """
import json, sys
import salt.minion, salt.state
from importlib.util import module_from_spec, spec_from_file_location

before = set(sys.modules)
spec = spec_from_file_location("loaded", sys.argv[1])
module = module_from_spec(spec)
spec.loader.exec_module(module)
if len(sys.argv) > 2:
    module.__opts__ = {"cachedir": "", "geats": json.loads(sys.argv[2])}
    module.__pillar__ = {}
    module.apply_host(test=False)
print(json.dumps(sorted(set(sys.modules) - before)))
"""
NEEDS = ["geats_host", "geats_host.lazy"]
RARE = {
    "geats_core.on_demand",
    "geats_core.requests.guest_requests",
    "geats_core.foreign.legacy",
    "geats_core.declared.pillar_schema",
    "geats_host.calls.copies",
    "geats_host.calls.doctor",
    "geats_host.calls.guest",
    "geats_host.engine.perform",
    "geats_host.calls.snapshots",
    "geats_host.templates",
    "geats_host.archives.vm_archives",
    "geats_host.calls.waiting",
}


def loaded(*words: str) -> list[str]:
    """The modules that a fresh process loads, which has Salt's already."""
    argv = [sys.executable, "-W", "ignore", "-c", LOADED, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    names: list[str] = json.loads(done.stdout.splitlines()[-1])
    return names


@pytest.mark.parametrize(
    ("kind", "needs"),
    [
        ("modules", NEEDS),
        ("states", [NEEDS[0], "geats_host.for_salt", "geats_host.for_salt.aggregation", NEEDS[1]]),
    ],
)
def test_our_modules_are_loaded_without_what_they_stand_on(kind, needs):
    assert loaded(str(REPO / f"salt/_{kind}/geats.py")) == needs


def test_a_run_that_has_nothing_to_do_loads_nothing_that_few_calls_use(tmp_path):
    config = {**memory_config(tmp_path), "vms": {}}
    names = loaded(str(REPO / "salt/_modules/geats.py"), json.dumps(config))

    assert "geats_core.planning.planner" in names
    assert RARE.intersection(names) == set()
