"""Several real containers, one of which is broken: the others start and stop in their order."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from returns.result import Success

from geats_core.planning.action_words import describe
from geats_core.planning.steps import Step
from geats_core.plans.plan_files import SavedPlan
from geats_core.vm.observation import Power
from geats_host.engine.apply_plan import apply_plan
from geats_host.engine.outcomes import Interrupted
from geats_host.host import Host
from geats_host.planning.goals import wishes
from geats_host.planning.plans import plan_boot, plan_halt, plan_wishes
from geats_host.registry import Outcome
from tests.real.conftest import sh

FIRST, BROKEN, LAST, NEEDY = (f"geats-test-go{number}" for number in range(4))
ALL = (FIRST, BROKEN, LAST, NEEDY)


@dataclass
class Operator:
    """Someone with four VMs in three priorities, of which the last comes after the second."""

    directory: Path

    @property
    def host(self) -> Host:
        keys = {"profile": "small", "shutdown_timeout": 1}
        priorities = {FIRST: 9, BROKEN: 5, LAST: 0, NEEDY: 0}
        vms: dict[str, object] = {
            name: {**keys, "autostart": {"enabled": True, "priority": priority}}
            for name, priority in priorities.items()
        }
        vms[NEEDY] = {**keys, "autostart": True, "after": [BROKEN]}
        return Host.from_config(
            {
                "state_dir": f"{self.directory}/state",
                "run_dir": f"{self.directory}/run",
                "drivers": {"lxc": {"settle": 0.3, "path": f"{self.directory}/lxc"}},
                "pools": {"default": {"type": "directory", "path": f"{self.directory}/pool"}},
                "templates": {"busybox": {"path": f"{self.directory}/root"}},
                "profiles": {"small": {"template": "busybox", "init": "busybox"}},
                "vms": vms,
            }
        )

    def apply(self, target: str) -> None:
        words: dict[object, object] = {"target": target, "power_off": "stop", "at_most": len(ALL)}
        made = plan_wishes(self.host, wishes(words))
        assert apply_plan(self.host, made) == Success(made.plan.steps)

    def carry_out(
        self, made: SavedPlan, before: Callable[[Step], None] = lambda step: None
    ) -> tuple[list[str], Interrupted]:
        """What was done, in its order, and how far it came; *before* each step something else."""
        told: list[str] = []

        def progress(step: Step, outcome: Outcome, _: str) -> None:
            if outcome is Outcome.INTENT:
                before(step)
            elif outcome is Outcome.DONE:
                told.append(describe(step.action, step.vm))

        return told, apply_plan(self.host, made, progress).failure()

    def on(self) -> set[str]:
        seen = self.host.observe_all()
        return {name for name, have in seen.items() if have.power is Power.RUNNING}


@pytest.fixture
def operator(own_namespaces: None, busybox_rootfs: Path, tmp_path: Path) -> Iterator[Operator]:
    """That person; no VM is left afterwards."""
    someone = Operator(tmp_path)
    yield someone
    someone.apply("deprovisioned")
    assert not list((tmp_path / "pool").glob("geats-test-*"))


def break_root(operator: Operator) -> None:
    """Take away what the guest starts with."""
    (root,) = operator.directory.glob(f"pool/**/{BROKEN}/**/bin")
    shutil.rmtree(root)


def break_config(operator: Operator) -> None:
    config = operator.directory / "lxc" / BROKEN / "config"
    config.write_text(config.read_text() + "lxc.hook.pre-start = /bin/false\n")


@pytest.mark.parametrize("break_it", [break_root, break_config])
def test_at_boot_the_others_start_in_their_order(
    operator: Operator, break_it: Callable[[Operator], None]
) -> None:
    operator.apply("stopped")
    break_it(operator)

    started, how_far = operator.carry_out(plan_boot(operator.host))

    assert [word for word in started if word.startswith("start")] == [
        f"start {FIRST}",
        f"start {LAST}",
    ]
    assert [each.step.vm for each in how_far.failed] == [BROKEN]
    untried = [(each.step.vm, each.because_of.vm) for each in how_far.not_tried]
    assert untried == [(NEEDY, BROKEN)]
    assert operator.on() == {FIRST, LAST}


def test_at_halt_the_others_stop_though_one_hangs(operator: Operator) -> None:
    operator.apply("running")
    made = plan_halt(operator.host)
    monitor = int(sh("pgrep", "-f", f"lxc monitor.* {operator.directory}/lxc {BROKEN}$"))

    def hang(step: Step) -> None:
        if step.vm == BROKEN:
            os.kill(monitor, signal.SIGSTOP)

    try:
        _, how_far = operator.carry_out(made, hang)
        assert [each.step.vm for each in how_far.failed] == [BROKEN]
        assert how_far.not_tried == ()
        assert operator.on() == set()
    finally:
        os.kill(monitor, signal.SIGCONT)
