"""Jobs of a real master that are killed on the minion at random moments, and then given twice."""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from salt.payload import loads

from tests.real.minions.conftest import PATIENCE_S, Master, Minion, SaltError, remove_vms

SEED = 11
LONGEST_S = 0.6  # about as long as one of these jobs takes
THEN = {
    "geats.start": "running",
    "geats.reinit": "running",
    "geats.export": "running",
    "geats.stop": "stopped",
}
TOLD = ("operation", "plan again", "is there", "exists")  # by whom a job gave way to its double


def test_what_a_killed_job_left_is_done_by_the_same_job_given_twice(salt: Master) -> None:
    a, choose = salt.minions["a"], random.Random(SEED)
    for function, power in THEN.items():
        killed = salt.begin("a", function, a.vm)
        pid = job_of(a, function)
        time.sleep(choose.random() * LONGEST_S)
        end(pid)
        killed.kill()
        killed.communicate()
        twice = [salt.begin("a", function, a.vm) for _ in range(2)]
        told = [told_by(salt, asked) for asked in twice]
        assert all(any(each in text for each in TOLD) for text in told if text), (function, told)
        assert a.power() == power, (function, told)
    assert salt.cmd("a", "geats.apply", a.vm)["error"] is None
    assert a.power() == "running"
    remove_vms(a)


def told_by(salt: Master, asked: subprocess.Popen[str]) -> str:
    """What a job was refused for; nothing if it did what it was to."""
    try:
        return salt.answer(asked, "a").get("error") or ""
    except SaltError as refused:
        return str(refused)


def job_of(minion: Minion, function: str) -> int:
    """The process that runs it, as soon as there is one."""
    jobs = minion.directory / "salt/var/cache/salt/minion/proc"
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for file in jobs.glob("*"):
            with suppress(FileNotFoundError, ValueError):
                if pid := pid_in(file, function):
                    return pid
        time.sleep(0.005)
    raise AssertionError(f"{function} does not run")


def pid_in(file: Path, function: str) -> int | None:
    text = file.read_bytes()
    match loads(text) if text else {}:
        case {"fun": str(name), "pid": int(pid)} if name == function:
            return pid
        case _:
            return None


def end(pid: int) -> None:
    """It may have ended meanwhile."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
