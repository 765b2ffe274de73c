"""Templates that are put on many volumes at once: unpacked by turns, cloned all together."""

import threading
from pathlib import Path

import pytest
from returns.result import Success

from geats_core import HostPlan, saved
from geats_core.planning.actions import AllocateVolume, InstallTemplate
from geats_core.planning.steps import Step
from geats_host.engine import apply
from geats_host.engine.apply import apply_steps
from geats_host.engine.locked_plan import unpacks
from geats_host.registry.memory import MemoryRegistry
from tests.memory_host import memory_host

PATIENCE_S = 20


def test_clones_wait_for_no_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "INSTALLS_AT_ONCE", 1)
    together = threading.Barrier(8, timeout=PATIENCE_S)
    clones = tuple(
        Step(
            vm=f"vm{number}",
            action=InstallTemplate("default", "root", "debian"),
            reason="new",
        )
        for number in range(8)
    )

    def perform(step: Step) -> None:
        together.wait()

    done = apply_steps(clones, perform, MemoryRegistry(), unpacks=lambda _: False)
    assert done == Success(clones)


def test_the_pool_says_whether_a_template_is_cloned(tmp_path: Path) -> None:
    kinds = {"clones": "qcow2", "copies": "directory"}
    pools = {name: {"type": kind, "path": f"{tmp_path}/{name}"} for name, kind in kinds.items()}
    steps = (
        *(
            Step(vm="vm", action=InstallTemplate(name, "root", "debian"), reason="")
            for name in pools
        ),
        Step(vm="vm", action=AllocateVolume("copies", "root", None), reason=""),
    )

    is_unpacked = unpacks(memory_host(tmp_path, {"pools": pools}), saved(HostPlan(steps=steps), {}))

    assert [is_unpacked(step) for step in steps] == [False, True, False]
