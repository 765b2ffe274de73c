"""VMs that come from another host, told as stories."""

from dataclasses import replace

import pytest
from returns.result import Success

from geats_core import HostFacts, Observation, Plan, Power, Target, follow, plan_accept, plan_import
from geats_core.deciding.planner import plan
from geats_core.jobs.arrivals import Arrival, comes_from
from geats_core.planning.actions import ConfigureGuest
from geats_core.planning.goal import Goal
from geats_core.planning.then import Then
from tests.core.jobs.test_copies import at, lines, manifest, vm

SOURCE = Arrival("rack1-host2", Then.ON)


def arriving(arrival: Arrival = SOURCE, have: Observation | None = None) -> Plan:
    have = have or Observation()
    return plan_import("/a.tar", manifest(), vm(), have, HostFacts(), {}, arrival).unwrap()


def arrived(arrival: Arrival = SOURCE, cut: int | None = None) -> Observation:
    made = arriving(arrival)
    return follow(replace(made, steps=made.steps[:cut]), Observation()).unwrap()


def test_a_vm_that_arrives_is_not_configured_and_to_run() -> None:
    have = arrived()
    assert (have.to_run, have.power, comes_from("web", have)) == (
        True,
        Power.STOPPED,
        "rack1-host2",
    )
    assert not [s for s in arriving().steps if isinstance(s.action, ConfigureGuest)]
    assert not arrived(Arrival("rack1-host2")).to_run
    assert comes_from("mail", have) is None
    assert comes_from("web", at(Target.RUNNING, vm())) is None


@pytest.mark.parametrize("cut", range(1, 12))
def test_nobody_starts_it_before_it_is_accepted_and_the_same_import_goes_on(cut: int) -> None:
    have = arrived(cut=cut)
    for target in (Target.RUNNING, Target.FROZEN, Target.PROVISIONED, Target.REBOOTED):
        said = lines(plan(Goal(name="web", target=target, spec=vm()), have))
        assert said[0].startswith("web.volumes: is an unfinished copy of the VM web of the host")
    assert follow(arriving(have=have), have).unwrap() == arrived()


def test_once_it_is_accepted_the_next_plan_starts_it() -> None:
    have = arrived()
    assert lines(plan_accept("web", have)) == [
        "1. configure the guest on volume web/root because it is no longer "
        f"{have.copy_of}, but of this host"
    ]
    accepted = follow(plan_accept("web", have).unwrap(), have).unwrap()
    assert accepted == replace(at(Target.STOPPED, vm()), to_run=True)
    assert plan_accept("web", accepted) == Success(Plan(name="web"))
    next_ = plan(Goal(name="web", target=Target.PROVISIONED, spec=vm()), accepted).unwrap()
    assert follow(next_, accepted).unwrap() == at(Target.RUNNING, vm())


def test_what_is_not_whole_or_not_there_is_not_accepted() -> None:
    advice = "repeat the command that copies it, or deprovision it"
    assert lines(plan_accept("web", arrived(cut=10))) == [f"web: is not whole: {advice}"]
    assert lines(plan_accept("web", Observation())) == ["web: is not defined"]
