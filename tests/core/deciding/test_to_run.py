"""A VM that a plan powers off to start it again: wherever that is cut, the next plan starts it."""

from dataclasses import replace
from functools import reduce

import pytest
from returns.result import Failure, Success

from geats_core import (
    DataLoss,
    Goal,
    HostFacts,
    Observation,
    PoolFacts,
    Power,
    PowerOff,
    Restart,
    Target,
    VMSpec,
    after,
    describe,
    explain,
    parse_vm,
    plan,
    plan_restore,
    plan_snapshot,
    reverse,
)
from geats_core.hostwide.host_planner import boot_goals, halt_goals
from geats_core.planning.actions import KeepOff, Lock, Repair, Shutdown, Stop, Unfreeze
from geats_core.planning.steps import Plan
from geats_core.planning.then import Then
from geats_core.planning.verbs import VERBS, goal_of
from geats_core.plans.observation_changes import host_differences
from geats_core.vm.observation import Stage

SNAPSHOTS = HostFacts(pools={"default": PoolFacts(snapshots=True)})


def web(**changed: object) -> VMSpec:
    return parse_vm("web", {"template": "debian", "autostart": False, **changed}).unwrap()


def follow(made: Plan, have: Observation, cut: int | None = None) -> Observation:
    return reduce(lambda state, each: after(each.action, state).unwrap(), made.steps[:cut], have)


def planned(target: Target, have: Observation, spec: VMSpec | None = None) -> Plan:
    goal = Goal(name="web", target=target, spec=spec or web(), data_loss=DataLoss.ALLOWED)
    return plan(goal, have).unwrap()


RUNNING = follow(planned(Target.RUNNING, Observation()), Observation())
OFF = replace(RUNNING, power=Power.STOPPED, in_effect=None)
TO_RUN = replace(OFF, to_run=True)
LEFT_OFF = "because an interrupted plan powered it off, to start it again"


def asked(verb: str, have: Observation, declared: VMSpec | None = None) -> Plan:
    return plan(goal_of(VERBS[verb], "web", declared or web(), have).unwrap(), have).unwrap()


@pytest.mark.parametrize("verb", ["reboot", "reinit"])
def test_a_verb_that_was_cut_and_is_asked_again_has_the_vm_running(verb: str) -> None:
    made = asked(verb, RUNNING)
    for cut in range(len(made.steps) + 1):
        left = follow(made, RUNNING, cut)
        assert (left.power is Power.STOPPED) is left.to_run
        assert follow(asked(verb, left), left).power is Power.RUNNING


@pytest.mark.parametrize("verb", ["start", "reboot", "provision", "reinit", "unfreeze", "freeze"])
def test_whatever_is_asked_next_has_it_on_and_forgets_that_it_was_to_run(verb: str) -> None:
    end = follow(asked(verb, TO_RUN), TO_RUN)

    assert end.power is (Power.FROZEN if verb == "freeze" else Power.RUNNING)
    assert not end.to_run


@pytest.mark.parametrize("verb", ["stop", "shutdown", "undefine", "deprovision"])
def test_who_asks_for_it_to_be_off_or_gone_has_it_so_for_good(verb: str) -> None:
    end = follow(asked(verb, TO_RUN), TO_RUN)

    assert (end.power, end.to_run) == (Power.STOPPED, False)


def test_to_be_off_is_a_step_of_its_own_where_the_vm_is_off_already() -> None:
    off = "web should be off, and an interrupted plan had powered it off to start it again"

    assert explain(planned(Target.OFF, TO_RUN)) == f"1. keep web off because {off} (impact: none)"
    stopped = planned(Target.STOPPED, TO_RUN)
    assert [step.action for step in stopped.steps] == [KeepOff()]
    assert planned(Target.OFF, OFF).steps == ()


def test_a_provision_that_finds_it_off_starts_it_and_says_why() -> None:
    assert explain(planned(Target.PROVISIONED, TO_RUN)) == f"1. start web {LEFT_OFF} (impact: none)"
    assert planned(Target.PROVISIONED, OFF).steps == ()


def test_a_frozen_vm_that_was_cut_is_frozen_again_by_the_same_verb_and_by_a_provision() -> None:
    frozen = replace(RUNNING, power=Power.FROZEN)
    made = asked("reinit", frozen)
    off = next(at for at, step in enumerate(made.steps) if isinstance(step.action, Shutdown))
    for cut in range(off + 1, len(made.steps) + 1):
        left = follow(made, frozen, cut)
        assert left.to_freeze is (left.power is not Power.FROZEN)
        for verb in ("reinit", "provision"):
            end = follow(asked(verb, left), left)
            assert (end.power, end.to_run, end.to_freeze) == (Power.FROZEN, False, False)
        for verb, power in (("unfreeze", Power.RUNNING), ("stop", Power.STOPPED)):
            end = follow(asked(verb, left), left)
            assert (end.power, end.to_run, end.to_freeze) == (power, False, False)


def test_a_lock_or_a_definition_leaves_it_as_it_is() -> None:
    assert [step.action for step in planned(Target.LOCKED, TO_RUN).steps] == [Lock()]
    end = follow(planned(Target.DEFINED, TO_RUN, web(memory="1GiB")), TO_RUN)
    assert (end.power, end.to_run) == (Power.STOPPED, True)


@pytest.mark.parametrize(
    ("power", "power_off", "action"),
    [
        (Power.RUNNING, PowerOff.SHUTDOWN, Shutdown(60, Then.ON)),
        (Power.RUNNING, PowerOff.STOP, Stop(Then.ON)),
        (Power.STUCK, PowerOff.STOP, Repair(Then.ON)),
    ],
)
def test_every_restart_says_that_the_vm_is_to_run(
    power: Power, power_off: PowerOff, action: Shutdown | Stop | Repair
) -> None:
    have = replace(RUNNING, power=power)
    changed = web(hostname="other")
    for target in (Target.RUNNING, Target.FROZEN, Target.REBOOTED, Target.REINITIALISED):
        made = plan(Goal(name="web", target=target, spec=changed, power_off=power_off), have)
        then = Then.FROZEN if target is Target.FROZEN else Then.ON
        assert replace(action, then=then) in [step.action for step in made.unwrap().steps]
    for target in (Target.OFF, Target.STOPPED, Target.UNDEFINED, Target.DEPROVISIONED):
        made = plan(Goal(name="web", target=target, spec=changed, power_off=power_off), have)
        offs = [step.action for step in made.unwrap().steps]
        assert replace(action, then=Then.OFF) in offs


def test_the_host_starts_what_was_to_run_when_it_is_on_again_and_halts_nothing_for_it() -> None:
    (goal,) = boot_goals({"web": TO_RUN})

    assert (goal.name, goal.target) == ("web", Target.RUNNING)
    assert boot_goals({"web": OFF}) == ()
    assert halt_goals({"web": TO_RUN}) == ()


def test_a_restore_that_was_cut_and_is_asked_again_has_the_vm_running() -> None:
    taken = follow(plan_snapshot("web", "monday", 1, RUNNING, SNAPSHOTS).unwrap(), RUNNING)

    def restored(have: Observation) -> Plan:
        return plan_restore("web", "monday", have, SNAPSHOTS, DataLoss.ALLOWED).unwrap()

    made = restored(taken)
    for cut in range(len(made.steps) + 1):
        left = follow(made, taken, cut)
        assert follow(restored(left), left) == follow(made, taken)
        assert follow(planned(Target.RUNNING, left), left).power is Power.RUNNING
    left = follow(made, taken, 1)
    assert explain(restored(left)).splitlines()[-1].startswith(f"2. start web {LEFT_OFF}")


def test_a_way_back_that_is_cut_leaves_the_vm_to_run_again() -> None:
    taken = follow(plan_snapshot("web", "monday", 1, RUNNING, SNAPSHOTS).unwrap(), RUNNING)
    made = plan_snapshot("web", "tuesday", 2, taken, SNAPSHOTS).unwrap()
    back = reverse(made, taken, SNAPSHOTS).unwrap().plan

    assert Shutdown(60, Then.ON) in [step.action for step in back.steps]
    for cut in range(len(back.steps) + 1):
        left = follow(back, follow(made, taken), cut)
        assert (left.power is Power.STOPPED) is left.to_run


def test_the_way_back_to_a_vm_that_was_to_run_is_to_run_it() -> None:
    made = planned(Target.OFF, TO_RUN)
    back = reverse(made, TO_RUN).unwrap()

    assert follow(back.plan, follow(made, TO_RUN)).power is Power.RUNNING
    assert host_differences({"web": TO_RUN}, {"web": OFF}) == ("web.to run: was yes, is no",)


def test_nothing_is_kept_off_that_nobody_was_to_start() -> None:
    assert after(KeepOff(), OFF) == Failure("it is not to be started again")
    assert after(KeepOff(), TO_RUN) == Success(OFF)


def test_what_nobody_knows_how_to_start_is_not_to_run() -> None:
    unknown = Observation(power=Power.RUNNING)

    assert after(Stop(Then.ON), unknown) == Success(Observation())


@pytest.mark.parametrize("target", [Target.DEFINED, Target.PROVISIONED, Target.RUNNING])
def test_what_a_vm_may_still_use_is_not_forgotten_while_it_is_on(target: Target) -> None:
    nics = [{"name": "eth0", "bridge": "br0", "addresses": ["10.0.0.2/24"]}]
    old, new = web(nics=nics), web(nics=[])
    unknown = replace(RUNNING, recorded=old, defined=old, in_effect=None)
    goal = Goal(name="web", target=target, spec=new, restart=Restart.NEVER)

    assert [str(each) for each in plan(goal, unknown).failure()] == [
        "web.restart: it is not known what the VM was started with, and a new definition would "
        "lose track of what it may still use: restart it, or power it off first"
    ]
    kept = replace(goal, spec=replace(old, hostname="other"))
    assert isinstance(plan(kept, unknown), Success)


def test_a_vm_is_off_before_what_it_may_still_use_is_forgotten() -> None:
    old, new = web(memory="1GiB"), web()
    unknown = replace(RUNNING, recorded=old, defined=old, in_effect=None)
    made = planned(Target.RUNNING, unknown, new)

    assert explain(made).splitlines() == [
        "1. shut down web (power off after 60 s) because it is not known what it was started with "
        "(impact: restart)",
        "2. define web because memory changed 1GiB → (not set) (impact: none)",
        "3. start web because web should be running (impact: none)",
    ]


def test_a_stuck_vm_is_not_said_to_be_provisioned_where_it_is_not() -> None:
    stuck = replace(RUNNING, power=Power.STUCK, in_effect=None)
    root = replace(stuck.volumes[0], stage=Stage.FILLING, template=None, guest=None)
    goal = Goal(name="web", target=Target.PROVISIONED, spec=web())
    renamed = replace(goal, spec=web(hostname="other"))
    said = ["web.restart: its monitor is stuck, and repairing it would restart the VM"]

    for wish, have in ((goal, replace(stuck, volumes=(root,))), (renamed, stuck)):
        assert [str(each) for each in plan(wish, have).failure()] == said
    assert plan(goal, stuck).unwrap().steps == ()


def test_a_vm_to_freeze_that_an_operation_left_frozen_runs_again_if_that_is_asked() -> None:
    left = replace(RUNNING, power=Power.HELD, to_freeze=True)
    made = planned(Target.RUNNING, left)
    assert [(type(step.action), step.reason) for step in made.steps] == [
        (Unfreeze, "an interrupted operation left it frozen"),
        (Unfreeze, "web should be running"),
    ]
    end = follow(made, left)
    assert (end.power, end.to_freeze) == (Power.RUNNING, False)


def test_a_limit_that_the_driver_cannot_change_live_waits_for_the_next_start() -> None:
    made = planned(Target.DEFINED, RUNNING, web(memory="2GiB"))
    assert [describe(step.action, step.vm) for step in made.steps] == ["define web"]
    assert [change.field for change in made.pending] == ["memory"]


def test_to_freeze_is_told_among_what_differs() -> None:
    assert host_differences({"web": RUNNING}, {"web": replace(RUNNING, to_freeze=True)}) == (
        "web.to freeze: was no, is yes",
    )
    assert host_differences({"web": RUNNING}, {}) == ("web: is gone",)
