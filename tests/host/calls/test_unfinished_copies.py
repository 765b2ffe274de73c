"""A clone or an import that was killed: known as such from its first step on."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from returns.result import Success

from geats_core.planning.actions import InstallTemplate
from geats_core.planning.goal import Goal, Target
from geats_core.planning.then import Then
from geats_core.plans.plan_files import SavedPlan
from geats_core.vm.observation import Power, Stage
from geats_host.calls import copies, repair
from geats_host.calls.inventory import list_report
from geats_host.cli.tables import vm_rows
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.observing import unfinished_copies
from geats_host.planning.plans import plan_vm
from tests.faults import Fault, Killed, Manner, Moment
from tests.memory_host import memory_host

MOST_CALLS = 64  # of the registry, the driver and the pool, while a copy is made
WEB: Mapping[object, object] = {
    "profile": "small",
    "volumes": [{"name": "root"}, {"name": "data", "mount": "/data"}],
}
Copying = Callable[[Host], SavedPlan]


def reach(host: Host, name: str, target: Target) -> None:
    apply_plan(host, reaching(host, name, target)).unwrap()


def reaching(host: Host, name: str, target: Target) -> SavedPlan:
    return plan_vm(host, Goal(name=name, target=target, spec=host.observe(name).recorded))


def host_at(directory: Path) -> Host:
    """web01 is made, and is off; and there is an archive of it."""
    host = memory_host(directory, {"vms": {}})
    spec = host.declared("web01", WEB)
    apply_plan(host, plan_vm(host, Goal(name="web01", target=Target.STOPPED, spec=spec))).unwrap()
    copies.apply_export(host, copies.export(host, "web01", archive(host))).unwrap()
    return host


def archive(host: Host) -> str:
    return f"{Path(host.config.state_dir).parent}/web01.tar"


def clone(host: Host) -> SavedPlan:
    return copies.clone(host, "web01", "web02")


def import_(host: Host) -> SavedPlan:
    return copies.import_(host, archive(host), "web02")


def killed(host: Host, copying: Copying, at: int) -> None:
    with suppress(Killed):
        apply_plan(Fault(at, Moment.BEFORE, Manner.DIES).host(host), copying(host))


def arrive(host: Host) -> SavedPlan:
    return copies.import_(host, archive(host), "web02", arriving="minion1", to_run=True)


def test_a_vm_that_arrives_is_started_by_nobody_before_it_is_accepted(tmp_path: Path) -> None:
    for at in range(1, MOST_CALLS, 2):
        host = host_at(tmp_path / f"{at}")
        killed(host, arrive, at)
        assert_left_alone(host)
        apply_plan(host, arrive(host)).unwrap()
        apply_plan(host, repair.plan(host)).unwrap()
        assert_left_alone(host)
        apply_plan(host, copies.accept(host, "web02")).unwrap()
        apply_plan(host, repair.plan(host)).unwrap()
        assert host.observe("web02").power is Power.RUNNING


@pytest.mark.parametrize("copying", [clone, import_])
def test_what_is_killed_gets_no_template_and_the_same_call_finishes_it(
    tmp_path: Path, copying: Copying
) -> None:
    for at in range(1, MOST_CALLS):
        host = host_at(tmp_path / f"{at}")
        killed(host, copying, at)
        assert_left_alone(host)
        with suppress(Refused):  # it is complete
            apply_plan(host, copying(host)).unwrap()
        have = host.observe("web02")
        assert (have.copy_of, have.is_unfinished_copy) == ("", False), at
        assert [seen.stage for seen in have.volumes] == [Stage.FORMATTED, Stage.INSTALLED]
        reach(host, "web02", Target.RUNNING)


def test_what_nobody_finishes_is_repaired_away(tmp_path: Path) -> None:
    for at in range(1, MOST_CALLS, 3):
        host = host_at(tmp_path / f"{at}")
        killed(host, clone, at)
        apply_plan(host, repair.plan(host)).unwrap()
        have = host.observe("web02")
        if have.exists:  # all of it was copied
            with suppress(Refused):  # and it was completed
                apply_plan(host, clone(host)).unwrap()
            reach(host, "web02", Target.RUNNING)
            assert host.observe("web02").copy_of == ""
        assert unfinished_copies.noted(host.registry, host.observe_all()) == {}


def assert_left_alone(host: Host) -> None:
    have = host.observe("web02")
    if have.recorded is None:
        return
    if have.copy_of:
        for target in (Target.RUNNING, Target.PROVISIONED, Target.REINITIALISED):
            with pytest.raises(Refused, match="or deprovision it"):
                reaching(host, "web02", target)
    else:
        steps = reaching(host, "web02", Target.RUNNING).plan.steps
        assert not [step for step in steps if isinstance(step.action, InstallTemplate)]
    assert have.power is Power.STOPPED


def test_the_faults_are_enough_to_strike_every_call(tmp_path: Path) -> None:
    for copying in (clone, import_):
        host = host_at(tmp_path / copying.__name__)
        fault = Fault(10_000, Moment.BEFORE, Manner.FAILS)
        assert isinstance(apply_plan(fault.host(host), copying(host)), Success)
        assert MOST_CALLS - 10 < fault.calls < MOST_CALLS


def test_a_copy_that_was_killed_before_it_was_defined_is_forgotten(tmp_path: Path) -> None:
    """A VM of its name that is made otherwise is a VM like all others."""
    host = host_at(tmp_path)
    unfinished_copies.before_define(host.registry, "web02", "the VM web01", Then.ON)
    assert not host.observe("web02").exists
    spec = host.declared("web02", WEB)
    apply_plan(host, plan_vm(host, Goal(name="web02", target=Target.RUNNING, spec=spec))).unwrap()
    assert host.observe("web02").power is Power.RUNNING
    assert host.registry.notes(unfinished_copies.KIND) == {}


def test_whoever_lists_vms_sees_that_it_is_an_unfinished_copy(tmp_path: Path) -> None:
    host = host_at(tmp_path)
    killed(host, clone, 10)
    powers = [str(row["power"]) for row in vm_rows(list_report(host)) if row["copy_of"]]
    assert [each.partition(" ")[2] for each in powers] == ["(unfinished copy)"]
