"""The code of a refusal says what kind it is; texts may change."""

from dataclasses import replace

import pytest

from geats_core import DataLoss, Goal, Impact, Observation, Target, follow, parse_vm, plan
from geats_core.planning.host_facts import HostFacts
from geats_core.reading.checked import Code

SPEC = parse_vm("web", {"template": "debian"}).unwrap()
ON = Goal(name="web", target=Target.RUNNING, spec=SPEC)
RUNNING = follow(plan(ON, Observation()).unwrap(), Observation()).unwrap()
LOCKED = replace(RUNNING, locked=True)
FOREIGN = replace(Observation(), defined=SPEC, foreign=True)
ANOTHER = replace(ON, spec=replace(SPEC, template="alpine"))
AWAY = Goal(name="web", target=Target.DEPROVISIONED)


@pytest.mark.parametrize(
    ("goal", "have", "code"),
    [
        (AWAY, LOCKED, Code.LOCKED),
        (replace(ON, target=Target.REINITIALISED), LOCKED, Code.LOCKED),
        (ANOTHER, RUNNING, Code.DATA_LOSS),
        (replace(ANOTHER, data_loss=DataLoss.ALLOWED), LOCKED, Code.LOCKED),
        (replace(AWAY, max_impact=Impact.LIVE), RUNNING, Code.IMPACT),
        (replace(ON, spec=replace(SPEC, driver="other")), RUNNING, Code.REFUSED),
        (ON, FOREIGN, Code.REFUSED),
        (Goal(name="web", target=Target.LOCKED), Observation(), Code.REFUSED),
    ],
)
def test_a_refused_plan_says_of_what_kind_it_is(goal: Goal, have: Observation, code: Code) -> None:
    assert {each.code for each in plan(goal, have).failure()} == {code}


def test_a_template_that_is_not_there_is_unknown() -> None:
    (found,) = plan(ON, Observation(), HostFacts(templates=frozenset())).failure()
    assert found.code is Code.UNKNOWN
