"""Applying plans on a host in memory: order, failures, cuts, journal and operation lock."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from returns.result import Failure, Success

from geats_core import HostPlan, saved
from geats_core.planning.action_words import describe, word_of
from geats_core.planning.actions import ActivateVolume, AwaitReady, Pause, SetDns
from geats_core.planning.costs import LIVE_DNS
from geats_core.planning.steps import Plan, Step
from geats_core.plans.plan_files import SavedPlan
from geats_core.vm.observation import Observation, Power
from geats_core.vm.readiness import Ready, TcpProbe
from geats_core.vm.spec import Dns, RootKind
from geats_host.calls import lifecycle
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply import apply_steps
from geats_host.engine.apply_plan import apply_plan
from geats_host.engine.locked_plan import performing
from geats_host.engine.outcomes import Failed, Interrupted, NotTried
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.locks.operation_lock import operation_lock
from geats_host.planning.facts import places_of
from geats_host.registry import Outcome
from geats_host.registry.memory import MemoryRegistry
from geats_host.registry.sqlite import open_registry
from tests.memory_host import memory_config, memory_host


def applied(host: Host, planned: SavedPlan) -> None:
    assert apply_plan(host, planned) == Success(planned.plan.steps)


def test_a_vm_is_run_and_a_second_apply_has_nothing_to_do(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    applied(host, lifecycle.plan_to(host, "web01"))
    assert host.observe("web01").power is Power.RUNNING
    assert lifecycle.plan_to(host, "web01").of_vm == Plan(name="web01")


def test_a_plan_is_refused_where_the_host_has_moved(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    stale = lifecycle.plan_to(host, "web01")
    applied(host, lifecycle.plan_verb(host, "define", "web01"))
    with pytest.raises(Refused, match="web01: is new on the host: plan again"):
        apply_plan(host, stale)


def test_two_operations_on_one_vm_never_run_at_once(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    planned = lifecycle.plan_to(host, "web01")
    held = operation_lock(Path(host.config.run_dir), "web01")
    with held, pytest.raises(Refused, match=rf"another operation .* \(process {os.getpid()}\)"):
        apply_plan(host, planned)
    applied(host, planned)


def test_an_operation_lock_is_kept_where_only_its_owner_can_enter(tmp_path: Path) -> None:
    with operation_lock(tmp_path / "run", "web01"):
        assert (tmp_path / "run" / "operations").stat().st_mode & 0o777 == 0o700


def test_a_lock_file_that_is_a_symlink_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "operations").mkdir()
    (tmp_path / "operations" / "web01").symlink_to(tmp_path / "victim")
    with pytest.raises(HostError), operation_lock(tmp_path, "web01"):
        pytest.fail("the symlink was followed")
    assert not (tmp_path / "victim").exists()


def test_a_failure_stops_what_waits_for_it_and_says_how_far_it_came(tmp_path: Path) -> None:
    plan = lifecycle.plan_to(memory_host(tmp_path), "web01").plan
    performed: list[Step] = []
    registry = MemoryRegistry()

    def perform(step: Step) -> None:
        if isinstance(step.action, ActivateVolume):
            raise HostError("no space left on device")
        performed.append(step)

    failing = next(step for step in plan.steps if isinstance(step.action, ActivateVolume))
    at = plan.steps.index(failing)
    expected = Interrupted(
        plan.steps[:at],
        (Failed(failing, "no space left on device"),),
        tuple(NotTried(step, failing) for step in plan.steps[at + 1 :]),
    )
    assert apply_steps(plan.steps, perform, registry) == Failure(expected)
    assert set(map(str, performed)) == set(map(str, plan.steps[:at]))
    last = registry.journal("web01")[-1]
    assert (last.action, last.outcome, last.detail) == (
        "activate volume web01/root in pool default",
        Outcome.FAILED,
        "no space left on device",
    )


def test_an_error_that_names_a_file_of_any_bytes_is_journaled(tmp_path: Path) -> None:
    """As guests make them; text with such bytes can be written nowhere."""
    step, *_ = lifecycle.plan_to(memory_host(tmp_path), "web01").plan.steps
    registry = open_registry({}, tmp_path)

    def perform(_: Step) -> None:
        raise HostError("a\udcff: not permitted")

    failed = apply_steps([step], perform, registry).failure().failed
    assert [each.error for each in failed] == [r"a\udcff: not permitted"]
    assert registry.journal("web01")[-1].detail == r"a\udcff: not permitted"


def test_every_step_is_journaled_before_and_after(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    planned = lifecycle.plan_to(host, "web01")
    applied(host, planned)
    entries = [(entry.action, entry.outcome) for entry in host.journal("web01")]
    for step in planned.plan.steps:
        action = describe(step.action, "web01")
        intent = entries.index((action, Outcome.INTENT))
        assert intent < entries.index((action, Outcome.DONE))


def test_an_interruption_ends_what_only_waits(tmp_path: Path) -> None:
    """A probe may take an hour."""
    host = memory_host(tmp_path)
    applied(host, lifecycle.plan_to(host, "web01"))
    have, over = host.observe("web01"), Event()
    waiting = Step(
        vm="web01", action=AwaitReady(Ready(probe=TcpProbe(80), timeout_s=3600)), reason="a test"
    )
    interrupting = Step(vm="", action=Pause(), reason="a test")
    plans = (Plan(name="web01", steps=(waiting,)),)
    made = saved(HostPlan(plans=plans, steps=(waiting, interrupting)), {"web01": have})
    carry_out = performing(host, made, places_of(host), over)

    def interrupted(step: Step) -> str | None:
        if step is interrupting:
            raise KeyboardInterrupt
        return carry_out(step)

    with pytest.raises(KeyboardInterrupt):
        apply_steps(made.plan.steps, interrupted, host.registry, over=over)

    (last,) = (each for each in host.journal("web01") if each.outcome is Outcome.FAILED)
    assert last.detail == "interrupted: port 80: Connection refused"


def test_no_step_starts_before_those_that_it_needs(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    plan = lifecycle.plan_to(host, "web01").plan
    position = {id(step): at for at, step in enumerate(plan.steps)}
    done: set[int] = set()
    early: list[str] = []

    def progress(step: object, outcome: Outcome, _: str) -> None:
        at = position[id(step)]
        if outcome is Outcome.INTENT and not set(plan.steps[at].waits_for) <= done:
            early.append(plan.steps[at].reason)
        if outcome is Outcome.DONE:
            done.add(at)

    assert apply_steps(plan.steps, lambda step: None, MemoryRegistry(), progress) == Success(
        plan.steps
    )
    assert early == []


def test_a_bug_in_an_adapter_is_not_mistaken_for_trouble_with_the_host(tmp_path: Path) -> None:
    plan = lifecycle.plan_to(memory_host(tmp_path), "web01").plan

    def perform(step: Step) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        apply_steps(plan.steps, perform, MemoryRegistry())


@pytest.mark.parametrize("cut", range(7))
def test_a_plan_that_was_cut_is_finished_by_the_next(tmp_path: Path, cut: int) -> None:
    host = memory_host(tmp_path)
    first = lifecycle.plan_to(host, "web01")
    kept = replace(first.plan, steps=first.plan.steps[:cut])
    assert apply_plan(host, replace(first, plan=kept)) == Success(kept.steps)
    applied(host, lifecycle.plan_to(host, "web01"))
    assert lifecycle.plan_to(host, "web01").plan.is_empty


def test_dns_is_told_to_a_container_that_runs(tmp_path: Path) -> None:
    before = memory_host(tmp_path, {"vms": {"web01": {"profile": "small"}}})
    applied(before, lifecycle.plan_to(before, "web01"))
    web01: dict[str, object] = {"profile": "small", "dns": {"search": ["lan"]}}
    host = memory_host(tmp_path, {"vms": {"web01": web01}})

    made = lifecycle.plan_to(host, "web01")
    assert [word_of(step.action) for step in made.plan.steps] == ["define", "set_dns"]
    applied(host, made)

    in_effect = host.observe("web01").in_effect
    assert in_effect is not None
    assert in_effect.dns == Dns(search=("lan",))
    assert lifecycle.plan_to(host, "web01").plan.is_empty


def test_nothing_is_written_into_a_virtual_machine_that_runs() -> None:
    assert not LIVE_DNS.keys() & MemoryDriver(root_kind=RootKind.DISK).facts.costs.keys()


def test_what_runs_is_told_nothing_by_a_driver_that_cannot(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    made = lifecycle.plan_to(host, "web01")
    carry_out = performing(host, made, places_of(host), Event())
    with pytest.raises(HostError, match="web01: it is not known what it runs with"):
        carry_out(Step(vm="web01", action=SetDns(Dns()), reason="a test"))


def test_a_deprovisioned_vm_leaves_nothing(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    applied(host, lifecycle.plan_to(host, "web01"))
    applied(host, lifecycle.plan_verb(host, "deprovision", "web01"))
    assert host.observe_all() == {}


def test_a_plan_is_bound_by_the_policies_of_its_caller(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    applied(host, lifecycle.plan_to(host, "web01"))
    spec = host.registry.definitions()["web01"]
    host.drivers["memory"].define(spec, {}, ("by = hand",))
    kept = lifecycle.plan_to(host, "web01", by_hand="kept", max_impact="none").of_vm
    assert kept == Plan(name="web01", by_hand=("by = hand",))
    applied(host, lifecycle.plan_to(host, "web01", by_hand="removed"))
    assert host.observe("web01").by_hand == ()
    with pytest.raises(Refused, match="live is the most that is allowed"):
        lifecycle.plan_to(host, "web01", "rebooted", max_impact="live")
    with pytest.raises(Refused, match=r"by_hand.*'lost'.*kept, removed"):
        lifecycle.plan_to(host, "web01", by_hand="lost")
    with pytest.raises(Refused, match=r"max_impact.*'pain'.*data_loss.*none"):
        lifecycle.plan_to(host, "web01", max_impact="pain")


def test_a_missing_template_is_refused_before_anything_changes(tmp_path: Path) -> None:
    pools = {"default": {"type": "directory", "path": str(tmp_path / "pool")}}
    host = memory_host(tmp_path, {"pools": pools})
    with pytest.raises(Refused, match=r"/nowhere/debian\.tar"):
        lifecycle.plan_to(host, "web01")
    assert host.observe("web01") == Observation()


def bad_configurations() -> Mapping[str, tuple[Mapping[str, object], str]]:
    return {
        "registry": ({"registry": "postgres"}, r"geats\.registry: unknown registry .*sqlite"),
        "key": ({"pols": {}}, r"geats\.pols: unknown key 'pols', did you mean 'pools'"),
    }


@pytest.mark.parametrize("mistake", bad_configurations())
def test_a_wrong_configuration_is_refused_with_what_there_is(tmp_path: Path, mistake: str) -> None:
    change, said = bad_configurations()[mistake]
    with pytest.raises(Refused, match=said):
        Host.from_config({**memory_config(tmp_path), **change})


def test_a_vm_that_was_undefined_starts_again_with_the_data_it_left(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    for verb in ("start", "undefine"):
        applied(host, lifecycle.plan_verb(host, verb, "web01"))
    planned = lifecycle.plan_verb(host, "start", "web01")
    actions = [describe(step.action, "web01") for step in planned.plan.steps]
    assert actions == ["define web01", "start web01"]
    applied(host, planned)


def test_a_transient_vm_leaves_no_data_when_it_is_undefined(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    spec: dict[object, object] = {
        "driver": "memory",
        "template": "debian",
        "transient": True,
    }
    applied(host, lifecycle.plan_verb(host, "start", "brief", spec))
    applied(host, lifecycle.plan_verb(host, "undefine", "brief"))
    assert host.observe_all() == {}


def test_a_vm_whose_driver_or_pool_is_no_longer_configured_is_not_forgotten(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    applied(host, lifecycle.plan_verb(host, "start", "web01"))
    other = {"type": "memory", "path": str(tmp_path / "other")}
    for change, said in (
        ({"pools": {"other": other}}, r"web01\.volumes\[root\]\.pool: unknown pool 'default'"),
        ({"drivers": {"lxc": {"path": str(tmp_path / "lxc")}}}, "unknown driver 'memory'"),
    ):
        with pytest.raises(Refused, match=said):
            lifecycle.plan_verb(memory_host(tmp_path, change), "deprovision", "web01")
    assert host.observe("web01").power is Power.RUNNING
