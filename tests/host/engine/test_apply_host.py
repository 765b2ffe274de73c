"""Applying the plan of several VMs on a host in memory: side by side, and as far as it can go."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Failure, Success

from geats_core.hostwide.host_planner import HostPlan
from geats_core.planning.action_words import describe
from geats_core.planning.actions import DestroyVolume, InstallTemplate, Pause, Start, Undefine
from geats_core.planning.goal import Goal, Target
from geats_core.planning.steps import Plan, Step
from geats_core.plans.plan_files import SavedPlan, saved
from geats_core.vm.observation import Observation, Power
from geats_core.vm.parse import parse_vm
from geats_host.calls.reports import failure_text
from geats_host.drivers import DriverSeen
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine import apply
from geats_host.engine.apply import Onlooker, apply_steps
from geats_host.engine.apply_plan import apply_plan
from geats_host.engine.outcomes import Failed, Interrupted, NotTried
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.locks.operation_lock import operation_lock
from geats_host.planning.goals import Scope
from geats_host.planning.plans import plan_vms
from geats_host.registry import Outcome
from geats_host.registry.memory import MemoryRegistry
from geats_host.storage import VolumeId
from geats_host.storage.memory import MemoryPool
from tests.memory_host import memory_host

PATIENCE_S = 20


def goal(name: str, target: Target = Target.RUNNING, **raw: object) -> Goal:
    spec = parse_vm(name, {"driver": "memory", "template": "debian", **raw}).unwrap()
    return Goal(name=name, target=target, spec=spec)


def planned(host: Host, *goals: Goal) -> SavedPlan:
    return plan_vms(host, goals, host.observe_all(), Scope.SOME)


def powers(host: Host) -> dict[str, Power]:
    return {name: have.power for name, have in host.observe_all().items()}


def steps(
    *actions: tuple[str, Start | Undefine | InstallTemplate, tuple[int, ...]],
) -> tuple[Step, ...]:
    return tuple(Step(vm=vm, action=does, reason="", needs=needs) for vm, does, needs in actions)


def in_words(step: Step) -> str:
    return describe(step.action, step.vm)


def test_all_vms_of_a_plan_come_to_their_goals_and_then_rest(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    both = goal("db01", autostart={"priority": 1, "delay": 0}), goal("web01", after=["db01"])
    first = planned(host, *both)
    assert apply_plan(host, first) == Success(first.plan.steps)
    assert powers(host) == {"db01": Power.RUNNING, "web01": Power.RUNNING}
    assert planned(host, *both).plan.is_empty
    assert apply_plan(host, planned(host, *both)) == Success(())
    started = [entry.action for entry in host.journal("web01")]
    assert started.count("start web01") == 2  # what was intended, and that it was done


def test_one_vm_is_seen_as_it_is_among_all_and_asks_about_no_other(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    apply_plan(host, planned(host, goal("db01"), goal("web01"), goal("old", Target.DEFINED)))
    everything = host.observe_all()
    driver = host.drivers["memory"]

    assert {name: host.observe(name) for name in everything} == everything
    assert host.observe("nobody") == Observation()
    assert driver.observe("web01") == {"web01": driver.observe()["web01"]}
    assert driver.observe("nobody") == {}


def test_a_plan_made_of_what_is_no_more_is_refused_with_what_moved(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    stale = planned(host, goal("web01"), goal("db01"))
    apply_plan(host, planned(host, goal("db01", Target.DEFINED)))
    with pytest.raises(Refused) as refused:
        apply_plan(host, stale)
    assert refused.value.problems == ("db01: is new on the host: plan again",)
    assert powers(host) == {"db01": Power.STOPPED}


def test_what_is_left_of_a_definition_that_was_cut_is_no_vm(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    driver = host.drivers["memory"]
    assert isinstance(driver, MemoryDriver)
    driver.vms["web01"] = driver.vms["stranger"] = DriverSeen()  # as of an empty directory
    assert host.observe_all() == {}
    made = planned(host, goal("web01"))
    assert apply_plan(host, made) == Success(made.plan.steps)
    assert powers(host) == {"web01": Power.RUNNING}


def test_what_moves_elsewhere_does_not_stand_in_the_way(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    apply_plan(host, planned(host, goal("db01", Target.DEFINED)))
    mine = planned(host, goal("web01"))
    apply_plan(host, planned(host, goal("db01")))
    assert apply_plan(host, mine) == Success(mine.plan.steps)


def test_an_operation_on_any_vm_of_a_plan_keeps_all_of_it_from_being_applied(
    tmp_path: Path,
) -> None:
    host = memory_host(tmp_path)
    both = planned(host, goal("web01"), goal("db01"))
    with (
        operation_lock(Path(host.config.run_dir), "web01"),
        pytest.raises(Refused, match="web01: another operation"),
    ):
        apply_plan(host, both)
    assert powers(host) == {}
    with operation_lock(Path(host.config.run_dir), "db01"):  # it did not stay locked
        pass


def test_a_vm_that_fails_keeps_no_other_from_its_goal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = memory_host(tmp_path)
    start = MemoryDriver.start

    def fails(driver: MemoryDriver, name: str) -> None:
        if name == "db01":
            raise HostError("no init")
        start(driver, name)

    monkeypatch.setattr(MemoryDriver, "start", fails)
    three = planned(host, goal("db01"), goal("web01", after=["db01"]), goal("mail"))
    interrupted = apply_plan(host, three).failure()
    assert [(each.step.vm, each.error) for each in interrupted.failed] == [("db01", "no init")]
    waited = [tuple(map(in_words, (each.step, each.because_of))) for each in interrupted.not_tried]
    assert waited == [("start web01", "start db01")]
    assert len(interrupted.done) == len(three.plan.steps) - 2
    assert powers(host) == {
        "db01": Power.STOPPED,
        "mail": Power.RUNNING,
        "web01": Power.STOPPED,
    }
    assert interrupted.of_plan(Plan(name="web01")).failed == ()
    assert list(host.journal("db01"))[-1].outcome is Outcome.FAILED


def test_what_waits_for_a_failure_through_others_is_not_tried() -> None:
    chain = steps(
        ("a", Start(), ()), ("b", Start(), (0,)), ("c", Start(), (1,)), ("d", Start(), ())
    )

    def perform(step: Step) -> None:
        if step.vm == "a":
            raise HostError("broken")

    assert apply_steps(chain, perform, MemoryRegistry()) == Failure(
        Interrupted(
            (chain[3],),
            (Failed(chain[0], "broken"),),
            tuple(NotTried(step, chain[0]) for step in chain[1:3]),
        )
    )


def reinit(host: Host) -> SavedPlan:
    apply_plan(host, planned(host, goal("web01")))
    return planned(host, replace(goal("web01"), target=Target.REINITIALISED))


def test_a_vm_whose_root_is_in_use_starts_again_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = memory_host(tmp_path)
    made = reinit(host)

    def is_busy(pool: MemoryPool, volume: VolumeId) -> None:
        raise HostError("in use by /dev/loop2")

    monkeypatch.setattr(MemoryPool, "deactivate", is_busy)
    interrupted = apply_plan(host, made).failure()
    assert [each.error for each in interrupted.failed] == ["in use by /dev/loop2"]
    assert [in_words(step) for step in interrupted.done][-1] == "start web01"
    assert powers(host) == {"web01": Power.RUNNING}
    assert "not tried: install template debian on volume web01/root, because geats could not " in (
        failure_text(interrupted)
    )


def test_a_vm_of_which_nothing_can_be_seen_after_a_failure_is_not_started_again(
    tmp_path: Path,
) -> None:
    made = reinit(memory_host(tmp_path))

    def perform(step: Step) -> None:
        if isinstance(step.action, DestroyVolume):
            raise HostError("in use")

    def look(name: str) -> Observation:
        raise HostError("the pool is gone")

    onlooker = Onlooker(made.observations, look)
    answer = apply_steps(made.plan.steps, perform, MemoryRegistry(), onlooker=onlooker)
    assert in_words(answer.failure().not_tried[-1].step) == "start web01"


def test_what_only_comes_after_a_failure_goes_on_once_that_has_ended() -> None:
    first, second = steps(("a", Start(), ()), ("b", Start(), ()))
    both = (first, replace(second, after=(0,)))
    ended: list[str] = []

    def perform(step: Step) -> None:
        ended.append(step.vm)
        if step.vm == "a":
            raise HostError("broken")

    assert apply_steps(both, perform, MemoryRegistry()) == Failure(
        Interrupted((both[1],), (Failed(first, "broken"),), ())
    )
    assert ended == ["a", "b"]


def test_a_hundred_vms_start_at_once() -> None:
    starts = steps(*((f"vm{number}", Start(), ()) for number in range(100)))
    together = threading.Barrier(100, timeout=PATIENCE_S)

    def perform(step: Step) -> None:
        together.wait()

    assert apply_steps(starts, perform, MemoryRegistry()) == Success(starts)


def test_a_start_makes_way_for_what_other_vms_still_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "LONGEST_HOLD_S", PATIENCE_S)
    both = steps(("web01", Start(), ()), ("db01", Undefine(), ()), ("mail", Start(), (1,)))
    order: list[str] = []

    def perform(step: Step) -> None:
        time.sleep(0 if isinstance(step.action, Start) else 0.05)
        order.append(step.vm)

    assert apply_steps(both, perform, MemoryRegistry()) == Success(both)
    assert order[0] == "db01"


def test_a_start_does_not_wait_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "LONGEST_HOLD_S", 0.05)
    both = steps(("web01", Start(), ()), ("db01", Undefine(), ()))
    started = threading.Event()

    def perform(step: Step) -> None:
        if isinstance(step.action, Start):
            started.set()
        elif not started.wait(PATIENCE_S):
            raise HostError("the start waits for this step")

    assert apply_steps(both, perform, MemoryRegistry()) == Success(both)


def test_a_start_does_not_wait_for_other_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is watched for a while."""
    monkeypatch.setattr(apply, "LONGEST_HOLD_S", 0.01)
    both = steps(("web01", Start(), ()), ("db01", Undefine(), ()), ("db01", Start(), (1,)))
    together = threading.Barrier(2, timeout=PATIENCE_S)
    first = threading.Event()

    def perform(step: Step) -> None:
        if isinstance(step.action, Undefine):
            assert first.wait(PATIENCE_S)
            monkeypatch.setattr(apply, "LONGEST_HOLD_S", 10 * PATIENCE_S)
        else:
            first.set()
            together.wait()

    assert apply_steps(both, perform, MemoryRegistry()) == Success(both)


def test_templates_are_unpacked_on_no_more_processors_than_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(apply, "INSTALLS_AT_ONCE", 2)
    installs = tuple(
        (f"vm{number}", InstallTemplate("default", "root", "debian"), ()) for number in range(8)
    )
    lock, now, most = threading.Lock(), 0, 0

    def perform(step: Step) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1

    assert isinstance(apply_steps(steps(*installs), perform, MemoryRegistry()), Success)
    assert most == 2


def test_a_bug_leaves_what_has_not_begun_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "INSTALLS_AT_ONCE", 1)
    installs = tuple(
        (f"vm{number}", InstallTemplate("default", "root", "debian"), ()) for number in range(50)
    )
    begun: list[str] = []

    def perform(step: Step) -> None:
        begun.append(step.vm)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        apply_steps(steps(*installs), perform, MemoryRegistry())
    assert len(begun) < 50


def test_the_host_pauses_where_the_plan_says_so_and_no_journal_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = memory_host(tmp_path)
    slept: list[float | None] = []

    class Over(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            slept.append(timeout)
            return False

    monkeypatch.setattr("geats_host.engine.apply_plan.Event", Over)
    pause = Step(vm="", action=Pause(7), reason="db01 is given that time before others start")
    made = HostPlan(plans=(Plan(name="web01"),), steps=(pause,))
    assert apply_plan(host, saved(made, {})) == Success((pause,))
    assert slept == [7]
    assert host.registry.journal("") == []


def test_a_plan_whose_pool_is_no_longer_configured_is_refused(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    made = planned(host, goal("web01"))
    other = {"other": {"type": "memory", "path": str(tmp_path / "other")}}
    with pytest.raises(Refused, match="web01: pool 'default'"):
        apply_plan(memory_host(tmp_path, {"pools": other}), made)
    with pytest.raises(Refused, match="web01: template 'debian'"):
        apply_plan(memory_host(tmp_path, {"templates": {}}), made)
    assert host.observe_all() == {}
