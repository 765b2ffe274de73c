"""The lifecycle machine on real containers, and processes that are killed while they apply a plan.

A real host has no clean cut: what a dead process started goes on for a moment. So these tests say
what must hold of it: no half-made thing is taken for whole, and the next apply reaches the goal.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from geats_core.planning.actions import Define, Start
from geats_core.planning.goal import Goal, Target
from geats_core.vm.observation import Observation
from geats_core.vm.spec import ROOT
from geats_host.drivers.lxc.driver import LxcDriver
from geats_host.drivers.lxc.process import monitors
from geats_host.errors import HostError
from geats_host.host import Host
from geats_host.linux.processes import ends_within
from tests.lifecycle_machine import Life, LifecycleMachine, World, config, left_by
from tests.real.conftest import sh

RUNNING = Goal(name="", target=Target.RUNNING)
FILES = 4000  # in the template, so that there is time to kill whoever unpacks it


class LxcWorld:
    """A host with directories as pools, and containers of busybox."""

    name = "geats-test-machine"
    driver = "lxc"

    def __init__(self, directory: Path, template: Path) -> None:
        self.directory = directory
        self.raw = {
            **config(directory, self, "directory", template),
            "drivers": {"lxc": {"settle": 0.05, "timeout": 10}},
        }

    @property
    def lxcpath(self) -> Path:
        """Where the containers are."""
        return self.directory / "state" / "lxc"

    def open(self) -> Host:
        return Host.from_config(self.raw)

    def hang(self) -> None:
        os.kill(self._monitor(), signal.SIGSTOP)

    def end(self) -> None:
        init, monitor = self.open().info(self.name).pid, self._monitor()
        assert init is not None
        os.kill(init, signal.SIGKILL)
        assert ends_within(monitor, 10)

    def take_away(self) -> None:
        self._pool.mkdir(
            mode=0o711, parents=True, exist_ok=True
        )  # it is made with its first volume
        self._pool.rename(self.directory / "away")

    def bring_back(self) -> None:
        shutil.rmtree(self._pool, ignore_errors=True)
        (self.directory / "away").rename(self._pool)

    @property
    def _pool(self) -> Path:
        return self.directory / "default"

    def close(self) -> None:
        driver = self.open().drivers["lxc"]
        assert isinstance(driver, LxcDriver)
        driver.end(self.name)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _monitor(self) -> int:
        (pid,) = (pid for name, pid in monitors(self.lxcpath) if name == self.name)
        return pid


@pytest.fixture
def template(busybox_rootfs: Path, tmp_path: Path) -> Path:
    """A tarball of the root filesystem of busybox."""
    tarball = tmp_path / "busybox.tar"
    sh("tar", "-C", str(busybox_rootfs), "-cf", str(tarball), ".")
    return tarball


@pytest.fixture
def large_template(template: Path) -> Path:
    """The same, with more files."""
    with tarfile.open(template, "a") as tarball:
        for number in range(FILES):
            tarball.addfile(tarfile.TarInfo(f"./many/{number}"))
    return template


def test_real_containers_agree_with_the_model_after_every_action(
    tmp_path: Path, template: Path
) -> None:
    numbers = count()

    class LxcMachine(LifecycleMachine):
        def new_world(self) -> World:
            return LxcWorld(tmp_path / str(next(numbers)), template)

    few = settings(
        max_examples=10,
        stateful_step_count=12,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(LxcMachine, settings=few)


def test_a_start_of_what_is_on_changes_nothing(tmp_path: Path, template: Path) -> None:
    world = LxcWorld(tmp_path / "host", template)
    life = Life(world)
    try:
        life.reach(life.goal(RUNNING, "nothing"))
        pid = life.host.info(life.name).pid
        life.do(Define(life.spec("hostname")))
        with pytest.raises(HostError, match="is on already"):
            life.performer(life.host).perform(Start())
        life.agree()
        assert life.host.info(life.name).pid == pid
    finally:
        world.close()


# A process that applies a plan and kills itself some time after a step began or ended.
APPLY = """
import json, os, signal, sys, threading
from geats_host.host import Host
from geats_host.calls.lifecycle import plan_to
from geats_host.engine.apply_plan import apply_plan

raw, name, target, at, after_s = json.loads(sys.argv[1])

def on_step(step, outcome, detail):
    if f"{outcome} {type(step.action).__name__}" == at:
        if after_s:
            threading.Timer(after_s, die).start()
        else:
            die()

def die():
    os.kill(os.getpid(), signal.SIGKILL)

host = Host.from_config(raw)
apply_plan(host, plan_to(host, name, target), on_step)
"""


@dataclass(frozen=True)
class Kill:
    """Where a process is killed: how long after a step began or ended, on the way to a target."""

    target: Target
    at: str
    after_s: float = 0.0


# In one life; each of a row is killed where the one before left off, then the target is reached.
KILLS = (
    (
        Kill(Target.PROVISIONED, "done Define"),
        Kill(Target.PROVISIONED, "intent InstallTemplate", 0.03),
        Kill(Target.PROVISIONED, "intent InstallTemplate", 0.1),
        Kill(Target.PROVISIONED, "intent ConfigureGuest"),
    ),
    (Kill(Target.RUNNING, "intent Start", 0.06),),
    (Kill(Target.STOPPED, "intent Shutdown", 0.08),),
    (Kill(Target.RUNNING, "intent Start", 0.02),),
    (Kill(Target.DEPROVISIONED, "intent DestroyVolume", 0.01),),
)


def killed_while_it_applies(world: LxcWorld, kill: Kill) -> bool:
    """Let a process apply a plan; tell whether it was killed there, or was done before."""
    job = json.dumps([world.raw, world.name, kill.target, kill.at, kill.after_s])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run([sys.executable, "-c", APPLY, job], env=environment, timeout=60)
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def test_the_next_apply_finishes_what_a_killed_process_began(
    tmp_path: Path, large_template: Path
) -> None:
    world = LxcWorld(tmp_path / "host", large_template)
    life = Life(world)
    try:
        killed = []
        for row in KILLS:
            for kill in row:
                planned = life.planned(life.goal(replace(RUNNING, target=kill.target), "nothing"))
                assert planned is not None
                killed.append(killed_while_it_applies(world, kill))
                assert unpacking(world) == []
                life.resume(left_by(planned.plan.steps, life.have))
            life.reach(life.goal(replace(RUNNING, target=row[-1].target), "nothing"))
            check_whole(world, life.have)
        assert sum(killed) > len(killed) / 2, "most were to be killed in the midst of it"
    finally:
        world.close()


def unpacking(world: LxcWorld) -> list[str]:
    """What still unpacks a template in the host of *world*, a moment after its parent's death."""
    time.sleep(0.05)
    found = (Path("/proc", pid, "cmdline") for pid in os.listdir("/proc") if pid.isdigit())
    return [
        text
        for file in found
        if (text := _read(file)).startswith("tar\0") and str(world.directory) in text
    ]


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def check_whole(world: LxcWorld, have: Observation) -> None:
    """A root that counts as installed holds the whole template."""
    if have.roots:
        files = world.directory / "default" / world.name / ROOT / "rootfs" / "many"
        assert len(list(files.iterdir())) == FILES
