"""``script/demo`` tells its story to the end: without root, on VMs in memory."""

import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[2]


def test_what_newcomers_run_first_ends_well():
    argv = [sys.executable, f"{REPO}/script/demo.py"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    assert "\nCleaned up: " in done.stdout
