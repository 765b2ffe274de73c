"""kill -9 of geats around each call that counts while a domain is adopted that runs."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from geats_core.planning.goal import Goal, Target
from geats_core.vm.observation import Power
from geats_core.vm.parse import to_plain
from geats_host.calls import adopt, repair
from geats_host.drivers.libvirt.daemon import Daemon
from geats_host.engine.apply_plan import apply_plan
from geats_host.host import Host
from geats_host.planning.goals import goal_by_name
from geats_host.planning.plans import plan_vm
from tests.real.machines.libvirt_daemon import a_daemon, virsh
from tests.real.machines.test_adopted_domains import NAME, host_at, made, pid, to

CHANGING = ("replace", "link")  # what comes of these alone counts


@pytest.fixture(scope="module", autouse=True)
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with a_daemon(tmp_path_factory.mktemp("libvirt")):
        yield


def test_wherever_an_adoption_is_killed_the_same_command_ends_it_and_the_domain_runs_on(
    tmp_path: Path,
) -> None:
    before = made(tmp_path, NAME, power=True)
    virsh("suspend", NAME)  # a guest that does nothing costs nothing
    runs, files = pid(NAME), everything(tmp_path)
    host, is_killed, at = host_at(tmp_path), True, 0
    while is_killed:
        at += 1
        is_killed = attempt(tmp_path, at)
        host = host_at(tmp_path, **{NAME: adopted(tmp_path)})
        to(host, NAME, Target.FROZEN)
        seen = host.observe(NAME)
        assert (pid(NAME), seen.power, seen.foreign) == (runs, Power.FROZEN, False), at
        assert seen.recorded == seen.defined == seen.in_effect, at
        assert left_over(host, tmp_path) == [], at
        if is_killed:
            forget(tmp_path, before)
            assert everything(tmp_path) == files
    assert at > 5
    virsh("resume", NAME)
    to(host, NAME, Target.DEPROVISIONED)


def attempt(folder: Path, at: int) -> bool:
    """Another process adopts the domain; whether it was killed, which is at the call of that
    number that counts."""
    pid = os.fork()
    if pid == 0:
        number = iter(count(1))

        def knife(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **keys: Any) -> Any:
                if next(number) == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **keys)

            return call

        asked = Daemon.ask

        def ask(self: Daemon, do: str, name: str | None, **more: Any) -> Any:
            if do != "adopt":
                return asked(self, do, name, **more)
            return knife(lambda answer: answer)(knife(asked)(self, do, name, **more))

        Daemon.ask = ask  # type: ignore[method-assign]
        for name in CHANGING:
            setattr(os, name, knife(getattr(os, name)))
        adopted(folder)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def adopted(folder: Path) -> object:
    """Adopt it, unless it is already; the answer is its description."""
    host = host_at(folder)
    if host.observe(NAME).foreign:
        planned, _ = adopt.adopt(host, NAME, None, "image")
        apply_plan(host, planned).unwrap()
    spec = host.observe(NAME).recorded
    assert spec is not None
    return to_plain(spec)


def left_over(host: Host, folder: Path) -> list[object]:
    """What a plan would still do, and files that are half written."""
    have = host.observe(NAME)
    goal = goal_by_name(Goal(name="", target=Target.FROZEN), NAME, host.config, {NAME: have})
    half = list(folder.glob("*/*/**/.*.new"))
    return [*plan_vm(host, goal, have).of_vm.steps, *repair.plan(host).plan.steps, *half]


def forget(folder: Path, before: str) -> None:
    """Let the domain be as it was before geats came."""
    virsh("define", "/dev/stdin", text=before)
    uri = ("--uri", "urn:geats:1", "--remove", "--live")
    virsh("metadata", NAME, *uri)
    for place in ("state", "run", "trees", "files", "images"):
        shutil.rmtree(folder / place, ignore_errors=True)


def everything(folder: Path) -> list[tuple[str, int]]:
    return sorted((f"{each}", each.stat().st_nlink) for each in folder.iterdir())
