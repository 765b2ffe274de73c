"""What short commands load: it is most of their time."""

import json
import subprocess
import sys
from pathlib import Path

LOADED = """
import json, sys
from geats_host.cli.main import cli
cli(["--config", *sys.argv[1:]], standalone_mode=False)
print(json.dumps(sorted(sys.modules)))
"""
PLANS = {"geats_core.deciding.planner", "geats_core.planning.actions", "geats_host.engine.apply"}


def test_a_list_of_no_vms_loads_nothing_that_plans(tmp_path: Path) -> None:
    assert not {*PLANS, "hashlib", "csv"} & loaded_by(tmp_path, "list")


def test_a_plan_in_a_pipe_loads_nothing_that_draws(tmp_path: Path) -> None:
    loaded = loaded_by(tmp_path, "halt", "--dry-run")
    drawing = {"rich", "geats_core.plans.diagrams", "geats_core.plans.reverse_host"}
    assert not {*drawing, "geats_host.calls.guests.keeping_up"} & loaded


def loaded_by(tmp_path: Path, *words: str) -> set[str]:
    """The modules that a command has loaded at its end, on a host whose VM is not there."""
    file = tmp_path / "geats.yaml"
    places = f"state_dir: {tmp_path}/state, run_dir: {tmp_path}/run"
    drivers = f"drivers: {{lxc: {{path: {tmp_path}/lxc}}}}"
    file.write_text(f"geats: {{{places}, {drivers}}}\n")

    argv = [sys.executable, "-c", LOADED, str(file), *words]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return {*json.loads(done.stdout.splitlines()[-1])}
