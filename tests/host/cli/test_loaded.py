"""What short commands load: it is most of their time."""

import json
import subprocess
import sys
from pathlib import Path

LOADED = """
import json, sys
from geats_host.cli.main import cli
cli(["--config", sys.argv[1], "list"], standalone_mode=False)
print(json.dumps(sorted(sys.modules)))
"""
PLANS = {"geats_core.deciding.planner", "geats_core.planning.actions", "geats_host.engine.apply"}


def test_a_list_of_no_vms_loads_nothing_that_plans(tmp_path: Path) -> None:
    file = tmp_path / "geats.yaml"
    places = f"state_dir: {tmp_path}/state, run_dir: {tmp_path}/run"
    file.write_text(f"geats: {{{places}, drivers: {{lxc: {{path: {tmp_path}/lxc}}}}}}\n")

    argv = [sys.executable, "-c", LOADED, str(file)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)

    assert not {*PLANS, "hashlib"} & {*json.loads(done.stdout.splitlines()[-1])}
