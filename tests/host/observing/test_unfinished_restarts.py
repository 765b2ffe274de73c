"""What a host notes of a VM that is powered off to be started again, and for how long."""

from contextlib import suppress
from pathlib import Path

import pytest
from returns.result import Failure, Success

from geats_core.planning.actions import Freeze, Shutdown, Start
from geats_core.planning.then import Then
from geats_core.vm.observation import Power
from geats_host.calls import lifecycle, repair
from geats_host.calls.inventory import list_report
from geats_host.cli.tables import vm_rows
from geats_host.drivers.memory import MemoryDriver
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.observing import unfinished_restarts
from geats_host.observing.unfinished_restarts import noted
from tests.faults import Fault, Killed, Manner, Moment
from tests.memory_host import memory_host


def use(host: Host, verb: str) -> None:
    planned = lifecycle.plan_verb(host, verb, "web01")
    assert apply_plan(host, planned) == Success(planned.plan.steps)


def is_seen(host: Host) -> tuple[Power, bool]:
    have = host.observe("web01")
    return have.power, have.to_run


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host on which a reboot came no further than to power the VM off."""
    host = memory_host(tmp_path)
    use(host, "start")

    def fail(driver: MemoryDriver, name: str) -> None:
        raise HostError("it does not start")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryDriver, "start", fail)
        applied = apply_plan(host, lifecycle.plan_verb(host, "reboot", "web01"))
    assert isinstance(applied, Failure)
    assert is_seen(host) == (Power.STOPPED, True)
    return host


def test_whoever_lists_vms_sees_that_it_is_to_run(interrupted: Host) -> None:
    rows = list_report(interrupted)

    assert {name: row["to_run"] for name, row in rows.items()} == {"db01": False, "web01": True}
    assert "stopped (to run)" in {row["power"] for row in vm_rows(rows)}


@pytest.mark.parametrize("verb", ["reboot", "start", "provision"])
def test_it_is_noted_until_the_vm_is_on(interrupted: Host, verb: str) -> None:
    use(interrupted, verb)

    assert is_seen(interrupted) == (Power.RUNNING, False)
    assert noted(interrupted.registry) == {}


@pytest.mark.parametrize("verb", ["stop", "shutdown", "undefine", "deprovision"])
def test_it_is_noted_until_the_vm_is_to_be_off(interrupted: Host, verb: str) -> None:
    use(interrupted, verb)

    assert is_seen(interrupted) == (Power.STOPPED, False)
    assert noted(interrupted.registry) == {}


def test_it_is_noted_before_the_vm_is_powered_off(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    use(host, "start")
    seen: list[tuple[Power, bool]] = []

    def fail(driver: MemoryDriver, name: str, timeout_s: int) -> None:
        seen.append((is_seen(host)[0], "web01" in noted(host.registry)))
        raise HostError("it does not answer")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(MemoryDriver, "shutdown", fail)
        planned = lifecycle.plan_verb(host, "reboot", "web01")
        assert [step.action for step in planned.plan.steps] == [Shutdown(60, Then.ON), Start()]
        assert isinstance(apply_plan(host, planned), Failure)

    assert seen == [(Power.RUNNING, True)]
    assert is_seen(host) == (Power.RUNNING, False)  # it never was off


def test_what_is_noted_of_a_vm_that_is_on_is_forgotten_with_the_next_plan(tmp_path: Path) -> None:
    """So that nothing starts it, should it end by itself later."""
    host = memory_host(tmp_path)
    use(host, "start")
    host.registry.note("to run", "web01", "")
    host.registry.note("to run", "db01", "")

    use(host, "freeze")

    assert noted(host.registry) == {"db01": Then.ON}


@pytest.mark.parametrize("noted_before", [True, False])
@pytest.mark.parametrize("verb", ["reboot", "reinit", "shutdown", "stop", "deprovision"])
def test_a_guest_that_goes_off_before_the_plan_is_applied_changes_nothing(
    tmp_path: Path, verb: str, noted_before: bool
) -> None:
    """As one does that was shutting down already when a reboot was asked for again."""
    host = memory_host(tmp_path)
    use(host, "start")
    planned = lifecycle.plan_verb(host, verb, "web01", allow_data_loss=True)
    if noted_before:
        host.registry.note("to run", "web01", "")
    host.driver("web01").shutdown("web01", 1)

    assert apply_plan(host, planned) == Success(planned.plan.steps)
    on = verb in ("reboot", "reinit")
    assert is_seen(host) == (Power.RUNNING if on else Power.STOPPED, False)
    assert noted(host.registry) == {}


def test_a_guest_that_goes_off_before_something_that_needs_it_on_has_to_be_planned_again(
    tmp_path: Path,
) -> None:
    host = memory_host(tmp_path)
    use(host, "start")
    planned = lifecycle.plan_verb(host, "freeze", "web01")
    host.driver("web01").shutdown("web01", 1)

    with pytest.raises(Refused, match="was running, is stopped: plan again"):
        apply_plan(host, planned)


def test_a_shutdown_for_a_while_is_noted_like_a_restart(tmp_path: Path) -> None:
    """As the move to another host is, which may be interrupted."""
    host = memory_host(tmp_path)
    use(host, "start")
    apply_plan(host, lifecycle.plan_shutdown(host, "web01", to_run=True)).unwrap()
    assert is_seen(host) == (Power.STOPPED, True)
    assert lifecycle.plan_shutdown(host, "web01", to_run=True).plan.steps == ()
    use(host, "provision")
    assert is_seen(host) == (Power.RUNNING, False)
    apply_plan(host, lifecycle.plan_shutdown(host, "web01")).unwrap()
    assert is_seen(host) == (Power.STOPPED, False)
    with pytest.raises(Refused, match="to_run: must be"):
        lifecycle.plan_shutdown(host, "web01", to_run="perhaps")


@pytest.fixture
def unfrozen(tmp_path: Path) -> Host:
    """A host on which the reinit of a frozen VM came no further than to power the VM off."""
    host = memory_host(tmp_path)
    for verb in ("start", "freeze"):
        use(host, verb)

    def fail(driver: MemoryDriver, name: str) -> None:
        raise HostError("it does not start")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(MemoryDriver, "start", fail)
        applied = apply_plan(host, lifecycle.plan_verb(host, "reinit", "web01"))
    assert isinstance(applied, Failure)
    have = host.observe("web01")
    assert (have.power, have.to_run, have.to_freeze) == (Power.STOPPED, True, True)
    return host


MOST_CALLS = 64  # of the registry, the driver and the pool, in a reinit of a frozen VM
ENDS = [
    *(("reinit", Power.FROZEN), ("provision", Power.FROZEN), ("freeze", Power.FROZEN)),
    *(("start", Power.RUNNING), ("reboot", Power.RUNNING), ("unfreeze", Power.RUNNING)),
    *(("stop", Power.STOPPED), ("shutdown", Power.STOPPED)),
]


@pytest.mark.parametrize(("verb", "power"), ENDS)
def test_a_vm_that_was_frozen_is_frozen_again_unless_something_else_is_asked_for(
    unfrozen: Host, verb: str, power: Power
) -> None:
    use(unfrozen, verb)

    have = unfrozen.observe("web01")
    assert (have.power, have.to_run, have.to_freeze) == (power, False, False)
    assert noted(unfrozen.registry) == {}


@pytest.mark.parametrize(("verb", "power"), ENDS)
def test_it_is_also_if_it_was_started_and_the_plan_was_interrupted_then(
    unfrozen: Host, verb: str, power: Power
) -> None:
    unfrozen.driver("web01").start("web01")
    have = unfrozen.observe("web01")
    assert (have.power, have.to_run, have.to_freeze) == (Power.RUNNING, False, True)
    use(unfrozen, verb)

    assert unfrozen.observe("web01").power is power
    assert noted(unfrozen.registry) == {}


def test_whoever_lists_vms_sees_that_it_is_to_freeze(unfrozen: Host) -> None:
    (power,) = {row["power"] for row in vm_rows(list_report(unfrozen)) if row["to_freeze"]}
    assert str(power).endswith(" (to freeze)")


def test_a_repair_freezes_it_again(unfrozen: Host) -> None:
    applied = apply_plan(unfrozen, repair.plan(unfrozen))
    assert [type(step.action) for step in applied.unwrap()] == [Start, Freeze]
    assert unfrozen.observe("web01").power is Power.FROZEN
    unfrozen.registry.note("to run", "web01", "frozen")
    unfrozen.driver("web01").unfreeze("web01")
    applied = apply_plan(unfrozen, repair.plan(unfrozen))
    assert [type(step.action) for step in applied.unwrap()] == [Freeze]
    assert unfrozen.observe("web01").power is Power.FROZEN


def test_what_nobody_can_start_is_not_to_run(tmp_path: Path) -> None:
    host = memory_host(tmp_path)
    host.registry.note("to run", "web01", "")

    assert not host.observe("web01").exists


def test_wherever_the_reinit_of_a_frozen_vm_is_killed_the_next_plan_leaves_it_frozen(
    tmp_path: Path,
) -> None:
    for at in range(1, MOST_CALLS):
        host, fault = frozen(tmp_path / f"{at}"), Fault(at, Moment.BEFORE, Manner.DIES)
        with suppress(Killed):
            apply_plan(fault.host(host), lifecycle.plan_verb(host, "reinit", "web01"))
        if not fault.dead:  # there are no more calls
            return
        use(host, "provision")
        assert host.observe("web01").power is Power.FROZEN, at
    pytest.fail(f"a reinit has {MOST_CALLS} calls or more")


def test_wherever_an_unfreeze_is_killed_the_vm_is_frozen_as_it_was_or_stays_unfrozen(
    tmp_path: Path,
) -> None:
    for at in range(1, MOST_CALLS):
        host, fault = frozen(tmp_path / f"{at}"), Fault(at, Moment.BEFORE, Manner.DIES)
        unfinished_restarts.before_power_off(host.registry, "web01", Then.FROZEN)  # of old
        with suppress(Killed):
            apply_plan(fault.host(host), lifecycle.plan_verb(host, "unfreeze", "web01"))
        if not fault.dead:
            return
        power = host.observe("web01").power
        use(host, "provision")
        assert host.observe("web01").power is power
    pytest.fail(f"an unfreeze has {MOST_CALLS} calls or more")


def frozen(directory: Path) -> Host:
    host = memory_host(directory)
    for verb in ("start", "freeze"):
        use(host, verb)
    return host
