"""``script/demo --vm`` tells its story to the end, and leaves nothing."""

import os
import subprocess
import sys
from pathlib import Path

from tests.real.conftest import DEFAULT_DEBIAN
from tests.real.machines.libvirt_daemon import a_daemon

REPO = Path(__file__).parents[2]


def test_a_container_and_a_virtual_machine_are_of_one_pillar(tmp_path: Path) -> None:
    template = os.environ.get("GEATS_TEST_DEBIAN", DEFAULT_DEBIAN)
    argv = [sys.executable, f"{REPO}/script/demo_vm.py", template]
    with a_daemon(tmp_path):
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert "\nCleaned up: " in done.stdout
