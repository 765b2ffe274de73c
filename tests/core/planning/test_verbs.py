"""The lifecycle verbs: what each asks of the planner."""

import pytest
from returns.result import Failure, Success

from geats_core import (
    DataLoss,
    Goal,
    Observation,
    Power,
    PowerOff,
    Problem,
    Restart,
    Target,
    parse_vm,
)
from geats_core.planning.verbs import VERBS, goal_of

DECLARED = parse_vm("web", {"template": "alpine"}).unwrap()
DEFINED = parse_vm("web", {"template": "debian"}).unwrap()
RUNNING = Observation(recorded=DEFINED, power=Power.RUNNING)


def test_every_target_has_a_verb() -> None:
    assert {verb.target for verb in VERBS.values()} == set(Target) - {
        *(Target.STOPPED, Target.DECLARED)
    }


def test_starting_a_vm_changes_nothing_of_its_definition() -> None:
    assert goal_of(VERBS["start"], "web", DECLARED, RUNNING) == Success(
        Goal(name="web", target=Target.RUNNING, spec=DEFINED, restart=Restart.NEVER)
    )


def test_a_vm_that_is_only_declared_starts_as_declared() -> None:
    assert goal_of(VERBS["start"], "web", DECLARED, Observation()) == Success(
        Goal(name="web", target=Target.RUNNING, spec=DECLARED, restart=Restart.NEVER)
    )


def test_a_vm_is_made_anew_as_declared() -> None:
    assert goal_of(VERBS["reinit"], "web", DECLARED, RUNNING, DataLoss.ALLOWED) == Success(
        Goal(
            name="web",
            target=Target.REINITIALISED,
            spec=DECLARED,
            data_loss=DataLoss.ALLOWED,
        )
    )


def test_stop_is_at_once() -> None:
    stop = goal_of(VERBS["stop"], "web", None, RUNNING).unwrap()

    assert (stop.target, stop.power_off) == (Target.OFF, PowerOff.STOP)


@pytest.mark.parametrize("name", ["reboot", "freeze", "unfreeze"])
@pytest.mark.parametrize(
    ("have", "state"),
    [
        (Observation(), "not defined"),
        (Observation(recorded=DEFINED), "stopped"),
        (Observation(defined=DEFINED), "stopped"),
        (Observation(foreign=True), "stopped"),
    ],
)
def test_what_is_off_cannot_be_rebooted_frozen_or_thawed(
    name: str, have: Observation, state: str
) -> None:
    assert goal_of(VERBS[name], "web", DECLARED, have) == Failure(
        (Problem("web", f"cannot {name} it: it is {state}"),)
    )
