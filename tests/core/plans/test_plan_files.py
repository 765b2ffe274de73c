"""Plans and observations in files: what is refused, and in which words."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from returns.result import Failure

from geats_core import (
    DriverFacts,
    Goal,
    HostFacts,
    Observation,
    Power,
    Recorded,
    SavedPlan,
    Target,
    moved,
    parse_vm,
    plan_from_json,
    plan_host,
    recorded_from_json,
    saved,
    to_json,
)
from geats_core.planning.actions import Action, Freeze, Stop, Undefine
from geats_core.planning.model import after
from geats_core.planning.steps import Plan, Step
from geats_core.plans.plan_files import alone, fingerprint
from geats_core.reading import file_formats
from geats_core.reading.checked import Problem
from tests.core.hosts import VM_RULE

SPEC = parse_vm("web", {"template": "debian", "memory": "1GiB"}).unwrap()
HAVE = {"web": Observation(), "db": Observation(recorded=SPEC, power=Power.RUNNING)}


def kept() -> SavedPlan:
    goal = Goal(name="web", target=Target.RUNNING, spec=SPEC)
    facts = HostFacts(declared=frozenset({"db"}))
    return saved(plan_host([goal], HAVE, facts).unwrap(), HAVE)


def refused(change: Callable[[dict[str, object]], None]) -> list[str]:
    """What is wrong with a plan that was changed, and given the fingerprint that it then has."""
    raw = json.loads(to_json(kept()))
    change(raw)
    return said_of({**raw, "fingerprint": fingerprint(_without_fingerprint(raw))})


def _without_fingerprint(raw: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in raw.items() if key != "fingerprint"}


def said_of(raw: dict[str, object]) -> list[str]:
    match plan_from_json(json.dumps(raw)):
        case Failure(problems):
            return [str(each) for each in problems]
        case _:
            return []


def test_a_host_that_has_moved_is_told_apart_field_by_field() -> None:
    now = {
        "web": Observation(locked=True),
        "new": Observation(recorded=SPEC),
        "db": replace(
            HAVE["db"], recorded=replace(SPEC, hostname="other"), defined=SPEC, power=Power.STOPPED
        ),
    }

    assert [str(each) for each in moved(kept(), now)] == [
        "db.power: was running, is stopped: plan again",
        "db.recorded: hostname changed web → other: plan again",
        "db.defined: was not there, and is: plan again",
        "new: is new on the host: plan again",
        "web.locked: was no, is yes: plan again",
    ]
    assert moved(kept(), HAVE) == ()


def test_a_vm_that_is_off_already_is_as_well_only_if_the_other_steps_fit_that() -> None:
    on = Observation(recorded=SPEC, defined=SPEC, in_effect=SPEC, power=Power.RUNNING)
    off = after(Stop(), on).unwrap()

    def steps(*actions: Action) -> SavedPlan:
        made = tuple(Step(vm="web", action=action, reason="it is asked for") for action in actions)
        return SavedPlan(plan=alone(Plan(name="web", steps=made)), observations={"web": on})

    assert moved(steps(Stop(), Undefine()), {"web": off}) == ()
    told = [str(each) for each in moved(steps(Stop(), Freeze()), {"web": off})]
    assert "web.power: was running, is stopped: plan again" in told


def test_a_definition_that_went_is_told() -> None:
    plan = saved(kept().plan, {"db": HAVE["db"]})

    assert [str(each) for each in moved(plan, {"db": replace(HAVE["db"], recorded=None)})] == [
        "db.recorded: was there, and is not: plan again"
    ]


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000])
def test_what_is_not_json_is_refused(text: str) -> None:
    problem = plan_from_json(text).failure()[0]
    assert str(problem).startswith("is not JSON")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1", "is missing: geats did not write this file"),
        ("{}", "is missing: geats did not write this file"),
        ('{"version": 99}', "was written by a newer geats (format 99, and this one knows {known})"),
        ('{"version": "1"}', "has a format number that geats never used: '1'"),
        ('{"version": null}', "is missing: geats did not write this file"),
    ],
)
def test_another_format_is_refused(text: str, said: str) -> None:
    for read, known in (
        (recorded_from_json, file_formats.RECORDED),
        (plan_from_json, file_formats.PLAN),
    ):
        assert read(text).failure() == (Problem("version", said.format(known=known)),)


def test_a_plan_of_the_format_that_could_be_changed_unseen_is_refused() -> None:
    old = {**json.loads(to_json(kept())), "version": 1}

    assert said_of(old)[0].startswith("version: is 1, of an older geats, and from 2 on it is read")


def without_a_step(raw: Any) -> None:
    del raw["plan"]["steps"][-1]


def without_needs(raw: Any) -> None:
    raw["plan"]["steps"][1]["needs"] = []


def with_another_reason(raw: Any) -> None:
    raw["plan"]["steps"][0]["reason"] = "because"


def without_a_plan(raw: Any) -> None:
    raw["plan"]["plans"] = []


def without_strays(raw: Any) -> None:
    raw["plan"]["strays"] = [{"name": "x", "power": "running", "defined": True, "policy": "stop"}]


def without_warnings(raw: Any) -> None:
    raw["warnings"] = []


def with_another_power(raw: Any) -> None:
    raw["observations"]["db"]["power"] = "stopped"


def without_a_fingerprint(raw: Any) -> None:
    del raw["fingerprint"]


def in_another_order(raw: Any) -> None:
    raw["plan"]["steps"][1:3] = raw["plan"]["steps"][2:0:-1]


@pytest.mark.parametrize(
    "change",
    [
        without_a_step,
        without_needs,
        with_another_reason,
        without_a_plan,
        without_strays,
        without_warnings,
        with_another_power,
        without_a_fingerprint,
        in_another_order,
    ],
)
def test_a_file_that_was_changed_anywhere_is_refused(change: Callable[[Any], None]) -> None:
    raw = json.loads(to_json(replace(kept(), warnings=("mind the gap",))))
    assert said_of(raw) == []
    change(raw)

    assert said_of(raw) == [
        "fingerprint: is not that of this plan: the file was changed: plan again"
    ]


def test_the_plan_of_a_vm_has_the_steps_that_the_host_has_for_it() -> None:
    for change in (without_a_step, with_another_reason):
        assert refused(change) == ["plan.plans[0]: has other steps of 'web' than plan.steps"]
    assert refused(without_needs) == []


def step(number: int, **changed: object) -> Callable[[dict[str, object]], None]:
    def change(raw: dict[str, object]) -> None:
        steps = raw["plan"]["steps"]  # type: ignore[index]
        for key, value in changed.items():
            (steps[number]["action"] if key in steps[number]["action"] else steps[number])[key] = (
                value
            )

    return change


def test_names_that_could_lead_elsewhere_are_refused() -> None:
    wanted = "must be 1 to 63 lower-case letters, digits and inner hyphens"

    assert refused(step(1, volume="../../etc")) == [
        f"plan.steps[1].action.volume: {wanted}, got '../../etc'"
    ]
    assert refused(step(1, vm="..", pool="/")) == [
        f"plan.steps[1].action.pool: {wanted}, got '/'",
        f"plan.steps[1].vm: must be {VM_RULE}, got '..'",
    ]


def test_a_plan_that_does_not_hold_is_refused() -> None:
    assert refused(step(0, do="Freeze", vm="web")) != []
    assert refused(step(2, volume="other")) == [
        "plan.steps[2]: cannot be done: the volume does not exist"
    ]
    for needs in ([6], [1], [-1]):
        said = "plan.steps[1]: waits for a step that is not before it"
        assert refused(step(1, needs=needs)) == [said]


def test_every_step_is_of_a_vm_of_the_plan_and_fit_for_it() -> None:
    def no_plans(raw: dict[str, object]) -> None:
        raw["plan"]["plans"] = []  # type: ignore[index]

    def more(**action: object) -> Callable[[dict[str, object]], None]:
        def change(raw: dict[str, object]) -> None:
            last = {"vm": "", "reason": "", "action": action}
            raw["plan"]["steps"].append(last)  # type: ignore[index]

        return change

    assert "plan.steps[0].vm: 'web' is not a VM of the plan" in refused(no_plans)
    assert refused(more(do="Pause")) == []
    assert refused(more(do="Unlock")) == ["plan.steps[7].vm: '' is not a VM of the plan"]
    for seconds in (-1, 10**30):
        assert (
            "plan.steps[7].action.seconds: must be" in refused(more(do="Pause", seconds=seconds))[0]
        )


def test_a_definition_is_that_of_its_vm() -> None:
    def other(raw: dict[str, object]) -> None:
        raw["plan"]["steps"][0]["action"]["spec"]["name"] = "db"  # type: ignore[index]

    assert refused(other) == ["plan.steps[0].action.spec: is that of 'db', and the step of 'web'"]


def test_every_mistake_in_a_file_is_reported_at_once() -> None:
    raw = {"version": 1, "observations": {"web": {"power": "on", "x": 1}}, "facts": {"cpus": "2"}}

    assert [str(each) for each in recorded_from_json(json.dumps(raw)).failure()] == [
        "observations.web.power: unknown power 'on' (there is: frozen, held, running, stopped, "
        "stuck)",
        "observations.web.x: unknown key 'x' (there is: by_hand, copy_of, defined, drivers, "
        "ended, foreign, foreign_nics, half_locked, in_effect, locked, missing, power, recorded, "
        "renaming, to_freeze, to_run, unreliable, volumes)",
        "facts.cpus: must be a number, got '2'",
    ]


def test_a_recorded_host_is_read_as_it_was() -> None:
    recorded = Recorded(observations=HAVE, facts=HostFacts(cpus=2.0))

    assert recorded_from_json(to_json(recorded)).unwrap() == recorded


def test_a_host_that_was_recorded_when_drivers_were_only_named_is_read() -> None:
    facts = HostFacts(drivers={"lxc": DriverFacts(), "memory": DriverFacts()})
    raw = json.loads(to_json(Recorded(observations=HAVE, facts=facts)))
    raw["version"], raw["facts"]["drivers"] = 2, ["lxc", "memory"]
    assert recorded_from_json(json.dumps(raw)).unwrap().facts == facts
