"""A VM that is on the host where its configuration does not look is neither made again nor gone."""

from dataclasses import replace

import pytest

from geats_core.deciding.planner import plan
from geats_core.planning.goal import DataLoss, Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.reading.checked import Problem
from geats_core.vm.observation import Observation, Power, Stage, VolumeSeen
from geats_core.vm.parse import parse_vm

SPEC = parse_vm("web01", {"template": "debian"}).unwrap()
LOST = HostFacts(elsewhere={"web01": 'with state_dir: /srv and drivers: {"lxc": {}}'})
ROOT = VolumeSeen(name="root", pool="default", stage=Stage.INSTALLED, template="debian")
PROBLEM = Problem(
    "web01",
    'is on this host already, with state_dir: /srv and drivers: {"lxc": {}}, and this configuration'
    " does not look there: has it lost state_dir or options of drivers? Put them back. If you no"
    " longer want that VM, remove it with the configuration that has them",
)


def goal(target: Target, name: str = "web01") -> Goal:
    return Goal(name=name, target=target, spec=SPEC, data_loss=DataLoss.ALLOWED)


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize(
    "have",
    [Observation(), Observation(recorded=SPEC), Observation(volumes=(ROOT,))],
    ids=["nothing is here", "it is recorded here", "its volume is here"],
)
def test_whatever_is_wanted_of_it_is_refused(target: Target, have: Observation) -> None:
    assert plan(goal(target), have, LOST).failure() == (PROBLEM,)


@pytest.mark.parametrize("target", [Target.LOCKED, Target.OFF])
@pytest.mark.parametrize(
    "have",
    [Observation(recorded=SPEC, defined=SPEC), Observation(power=Power.RUNNING, in_effect=SPEC)],
    ids=["it is defined here", "it runs here"],
)
def test_one_that_is_here_as_well_is_that_which_is_meant(target: Target, have: Observation) -> None:
    assert plan(goal(target), have, LOST) == plan(goal(target), have)


def test_no_other_vm_is_concerned() -> None:
    alone = Observation(recorded=replace(SPEC, name="db01"))
    assert len(plan(goal(Target.LOCKED, "db01"), alone, LOST).unwrap().steps) == 1
