"""The lock of an operation: whoever comes next is refused, or waits for what a killed one left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geats_host.errors import Refused
from geats_host.locks import operation_lock as locks
from geats_host.locks.operation_lock import operation_lock, wait_for_orphans

KILLED = """
import os, subprocess, sys
from pathlib import Path
from geats_host.locks.operation_lock import held, operation_lock
with operation_lock(Path(sys.argv[1]), "web01"):
    child = subprocess.Popen(["sleep", "600"], pass_fds=[held("web01")], start_new_session=True)
    print(child.pid, flush=True)
    sys.stdin.read()
"""


def orphan_of_a_killed_operation(run_dir: Path) -> int:
    """The pid of what an operation left that was killed."""
    argv = [sys.executable, "-c", KILLED, str(run_dir)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        argv,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        os.killpg(process.pid, signal.SIGKILL)
    return pid


def test_the_next_operation_waits_for_what_a_killed_one_left(tmp_path: Path) -> None:
    pid = orphan_of_a_killed_operation(tmp_path)
    killer = subprocess.Popen(
        [sys.executable, "-c", f"import os,time;time.sleep(.5);os.kill({pid},9)"]
    )
    with operation_lock(tmp_path, "web01"):
        assert not Path(f"/proc/{pid}/exe").exists()
    killer.wait()


def test_a_look_waits_as_well_but_only_for_the_vm_that_is_looked_at(tmp_path: Path) -> None:
    pid = orphan_of_a_killed_operation(tmp_path)
    wait_for_orphans(tmp_path, "db01")
    assert Path(f"/proc/{pid}").exists()
    killer = subprocess.Popen(
        [sys.executable, "-c", f"import os,time;time.sleep(.5);os.kill({pid},9)"]
    )
    wait_for_orphans(tmp_path, None)
    assert not Path(f"/proc/{pid}/exe").exists()
    killer.wait()


def test_no_wait_is_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "ORPHANS_S", 0.1)
    pid = orphan_of_a_killed_operation(tmp_path)
    refused = pytest.raises(Refused, match="another operation is under way")
    with refused, operation_lock(tmp_path, "web01"):
        raise AssertionError("it is locked")
    wait_for_orphans(tmp_path, "web01")
    os.kill(pid, signal.SIGKILL)


def test_one_that_is_alive_is_not_waited_for(tmp_path: Path) -> None:
    with operation_lock(tmp_path, "web01"):
        began = time.monotonic()
        wait_for_orphans(tmp_path, None)
        refused = pytest.raises(Refused, match=f"process {os.getpid()}")
        with refused, operation_lock(tmp_path, "web01"):
            raise AssertionError("it is locked")
        assert time.monotonic() - began < locks.ORPHANS_S / 2
    assert (tmp_path / "operations/web01").read_text() == ""
