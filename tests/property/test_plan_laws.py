"""The laws of planning: they hold for every goal and every observation."""

from dataclasses import replace
from functools import reduce

from hypothesis import event, given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success

from geats_core import (
    DataLoss,
    DriverFacts,
    Goal,
    HostFacts,
    Impact,
    Observation,
    Plan,
    Power,
    PowerOff,
    Restart,
    Stage,
    Step,
    Target,
    VMSpec,
    VolumeSeen,
    after,
    changes,
    explain,
    plan,
    plan_to_plain,
)
from geats_core.planning.actions import (
    Action,
    AllocateVolume,
    DestroyVolume,
    ForgetVolume,
    FormatVolume,
    InstallTemplate,
    Repair,
    Shutdown,
    Stop,
    Undefine,
    Unlock,
)
from geats_core.planning.costs import LIVE_CGROUPS, LIVE_DNS, LIVE_LIMITS
from geats_core.planning.model import are_usable
from geats_core.reading.checked import Code
from geats_core.vm.claims import claims, running_spec
from geats_core.vm.guest_files import guest_digest
from tests.property.strategies import host_facts, situations, specs

ON = (Power.RUNNING, Power.FROZEN, Power.HELD)
REQUESTS = (Target.REBOOTED, Target.REINITIALISED)
NO_SPEC = (*(Target.LOCKED, Target.UNLOCKED), Target.OFF, Target.UNDEFINED, Target.DEPROVISIONED)
KEEPS_POWER = (Target.PROVISIONED, Target.DEFINED)
POWER_OFFS = (Shutdown, Stop, Repair)

MAKING = (AllocateVolume, FormatVolume, InstallTemplate)

many = settings(max_examples=200, deadline=None)


def plan_or_none(goal: Goal, have: Observation) -> Plan | None:
    planned = plan(goal, have).value_or(None)
    event(f"{goal.target}: {'refused' if planned is None else bool(planned.steps)}")
    return planned


def follow(have: Observation, actions: list[Action]) -> Observation:
    """Where *actions* lead; raises where one is not applicable."""
    return reduce(lambda state, action: after(action, state).unwrap(), actions, have)


def carry_out(planned: Plan, have: Observation) -> Observation:
    return follow(have, [step.action for step in planned.steps])


def reached(goal: Goal, start: Observation, end: Observation) -> bool:
    """What each target promises, without a look at how the planner gets there."""
    goal = goal.settled  # what is as declared is as the description says
    if end.power is Power.HELD and not end.copy_of:  # which may run where it came from
        return False
    match goal.target, goal.spec:
        case Target.LOCKED, _:
            return end.locked and not end.half_locked
        case Target.UNLOCKED, _:
            return not end.locked
        case Target.OFF, _:
            return end.power is Power.STOPPED and not (end.to_run or end.to_freeze or end.ended)
        case Target.UNDEFINED, _:
            known = start.recorded or start.defined
            kept = () if known and known.transient else start.volumes
            return end.recorded is None and end.defined is None and end.volumes == kept
        case Target.DEPROVISIONED, _:
            return end == Observation()
        case _, VMSpec() as want:
            return (
                end.recorded == end.defined == want
                and not end.half_locked
                and power_as_wanted(goal, start, end)
                and (goal.target is Target.DEFINED or storage_ready(goal, want, start, end))
            )
        case _:
            return False


def limits_in_effect(want: VMSpec, end: Observation) -> bool:
    known = end.power in ON and end.in_effect is not None
    return not known or (
        end.in_effect is not None and live_limits(end.in_effect) == live_limits(want)
    )


def live_limits(spec: VMSpec) -> tuple[object, ...]:
    """Those of which a driver always knows how to change them."""
    own, cgroup = spec.limits, spec.limits.cgroup
    more = cgroup.cpu_weight, cgroup.soft_memory_bytes
    return own.memory_bytes, own.cpus, own.processes, *more


def kept_off(goal: Goal, start: Observation) -> bool:
    """Whether what a cut plan was to start again is off as it is described."""
    spec = goal.spec
    by_itself = goal.target is Target.PROVISIONED
    return by_itself and start.to_run and spec is not None and spec.is_to_be_off


def power_as_wanted(goal: Goal, start: Observation, end: Observation) -> bool:
    goes_on = start.power is Power.HELD and not start.copy_of
    left = Power.RUNNING if goes_on else start.power
    former = Power.RUNNING if start.power is Power.STUCK or start.to_run else left
    former = Power.FROZEN if start.to_freeze else former
    if goal.spec is not None and not goal.spec.enabled:  # nothing starts it
        former = Power.STOPPED if goal.target is Target.REINITIALISED else start.power
        former = former if start.power is not Power.HELD else left
        former = Power.FROZEN if start.to_freeze and start.power in ON else former
    if goal.target is not Target.DEFINED and (end.to_run or end.to_freeze):
        return False
    provisioned = former if start.to_run or start.to_freeze else left
    return end.power is {
        Target.RUNNING: Power.RUNNING,
        Target.FROZEN: Power.FROZEN,
        Target.STOPPED: Power.STOPPED,
        Target.REBOOTED: Power.RUNNING,
        Target.REINITIALISED: former,
        Target.PROVISIONED: Power.STOPPED if kept_off(goal, start) else provisioned,
        Target.DEFINED: left,
    }.get(goal.target)


def storage_ready(goal: Goal, want: VMSpec, start: Observation, end: Observation) -> bool:
    """Volumes are usable; the root is made and in effect, unless the VM had to be left on."""
    if not all(usable(end.volume(v.pool, v.name), v.size_bytes) for v in want.volumes):
        return False
    if left_on(goal, start):
        return True
    off = end.power in (Power.STOPPED, Power.STUCK)
    return root_is_made(want, end) and (off or is_in_effect(want, end))


def usable(seen: VolumeSeen | None, size_bytes: int | None) -> bool:
    if seen is None or not seen.active or seen.stage is Stage.ALLOCATED:
        return False
    return size_bytes is None or (seen.size_bytes is not None and seen.size_bytes >= size_bytes)


def left_on(goal: Goal, start: Observation) -> bool:
    if start.power is Power.STOPPED:
        return False
    held_on = goal.target in (Target.RUNNING, Target.FROZEN) and goal.restart is Restart.NEVER
    return held_on or (goal.target is Target.PROVISIONED and start.power in ON)


def root_is_made(want: VMSpec, end: Observation) -> bool:
    made = [(seen.pool, seen.stage, seen.template, seen.guest) for seen in end.roots]
    return made == [(want.root.pool, Stage.INSTALLED, want.template, guest_digest(want))]


def is_in_effect(want: VMSpec, end: Observation) -> bool:
    costly = [c for c in changes(end.in_effect, want) if c.impact >= Impact.RESTART]
    return end.in_effect is not None and not costly


@given(situations)
def test_to_be_as_declared_is_to_be_in_the_state_that_the_description_says(
    situation: tuple[Goal, Observation],
) -> None:
    goal, start = situation
    wish = replace(goal, target=Target.DECLARED)

    assert plan(wish, start) == plan(wish.settled, start)


@many
@given(situations)
def test_a_plan_carried_out_reaches_its_goal(situation: tuple[Goal, Observation]) -> None:
    """Law 1, Converges."""
    goal, have = situation
    planned = plan_or_none(goal, have)
    if planned is not None:
        assert reached(goal, have, carry_out(planned, have))


@many
@given(situations)
def test_limits_are_in_effect_at_once_where_the_driver_can_change_them(
    situation: tuple[Goal, Observation],
) -> None:
    goal, have = situation
    able = {"lxc": DriverFacts(costs={**LIVE_LIMITS, **LIVE_CGROUPS})}
    for planned in plan(goal, have, HostFacts(drivers=able)).map(lambda made: [made]).value_or([]):
        end = carry_out(planned, have)
        assert reached(goal, have, end)
        if goal.spec is not None and goal.target not in NO_SPEC:
            assert limits_in_effect(goal.spec, end)


@many
@given(situations)
def test_dns_is_in_effect_at_once_where_the_driver_can_write_it(
    situation: tuple[Goal, Observation],
) -> None:
    goal, have = situation
    able = {"lxc": DriverFacts(costs=LIVE_DNS)}
    for planned in plan(goal, have, HostFacts(drivers=able)).map(lambda made: [made]).value_or([]):
        end = carry_out(planned, have)
        assert reached(goal, have, end)
        runs, want = end.in_effect, goal.spec
        if want is None or runs is None or goal.target in NO_SPEC or want.driver != "lxc":
            continue
        if end.power in ON and are_usable([runs.root], end):
            assert runs.dns == want.dns
            assert all(each.field != "dns" for each in planned.pending)


@many
@given(situations)
def test_a_reinit_leaves_no_root_volume_of_before(situation: tuple[Goal, Observation]) -> None:
    goal = Goal(name="web", target=Target.REINITIALISED, spec=situation[0].spec)
    have = situation[1]
    planned = plan_or_none(goal, have)
    if planned is not None:
        destroyed = [s.action for s in planned.steps if isinstance(s.action, DestroyVolume)]
        assert destroyed == [DestroyVolume(seen.pool, seen.name) for seen in have.roots]


@many
@given(situations)
def test_a_goal_reached_needs_no_step(situation: tuple[Goal, Observation]) -> None:
    """Law 2, Idempotent; a request is done again each time it is made."""
    goal, have = situation
    planned = plan_or_none(goal, have)
    if planned is not None and goal.target not in REQUESTS:
        end = carry_out(planned, have)
        again = plan(goal, end)
        if goal.target is Target.OFF and not end.exists:
            assert isinstance(again, Failure)
        else:
            nothing = Plan(name=goal.name, pending=planned.pending, by_hand=planned.by_hand)
            assert again == Success(nothing)


@many
@given(situations, st.data())
def test_every_order_that_needs_allow_leads_to_the_same_end(
    situation: tuple[Goal, Observation], data: st.DataObject
) -> None:
    """Law 3, Applicable: ``follow`` raises where a precondition does not hold."""
    goal, have = situation
    planned = plan_or_none(goal, have)
    if planned is not None:
        order = data.draw(orders_of(planned.steps))
        assert follow(have, order) == carry_out(planned, have)


@st.composite
def orders_of(draw: st.DrawFn, steps: tuple[Step, ...]) -> list[Action]:
    """A topological order of *steps*."""
    left, done = set(range(len(steps))), list[int]()
    while left:
        ready = sorted(here for here in left if left.isdisjoint(steps[here].waits_for))
        chosen = draw(st.sampled_from(ready))
        left.remove(chosen)
        done.append(chosen)
    return [steps[here].action for here in done]


@many
@given(situations, st.data())
def test_a_plan_cut_short_is_resumed_to_its_goal(
    situation: tuple[Goal, Observation], data: st.DataObject
) -> None:
    """Law 4, Resumable: cut anywhere, in any order; where a power was kept, it may be lost."""
    goal, have = situation
    if goal.target in REQUESTS:  # made again from the start, where it may cost more than the rest
        goal = replace(goal, max_impact=Impact.DATA_LOSS)
    planned = plan_or_none(goal, have)
    if planned is None:
        return
    order = data.draw(orders_of(planned.steps))
    cut = follow(have, order[: data.draw(st.integers(0, len(order)))])
    if goal.target is Target.OFF and not cut.exists:
        return
    resumed = plan(goal, cut).unwrap()
    end = carry_out(resumed, cut)
    assert reached(goal, cut, end)
    if goal.target not in REQUESTS:
        assert end == carry_out(planned, have)


@many
@given(situations, st.data())
def test_a_vm_that_a_cut_plan_was_to_start_again_is_started_by_the_next(
    situation: tuple[Goal, Observation], data: st.DataObject
) -> None:
    """Law 4: off in the midst of a plan that ends with it on, it is to run; and whoever asks for
    it as it is described, which is not off, or for the same again, has it on. Whoever asks for it
    to be off, has not.
    """
    goal = replace(situation[0], max_impact=Impact.DATA_LOSS)
    have = situation[1]
    planned = plan_or_none(goal, have)
    was_on = have.power is not Power.STOPPED or have.to_run
    if planned is None or not was_on or carry_out(planned, have).power not in ON:
        return
    order = data.draw(orders_of(planned.steps))
    cut = follow(have, order[: data.draw(st.integers(0, len(order)))])
    assert cut.power is not Power.STOPPED or cut.to_run
    for target in (goal.target, Target.RUNNING, Target.PROVISIONED):
        wish = replace(goal, target=target)
        again = plan(wish, cut).value_or(None)
        if target is goal.target and goal.target is not Target.DEFINED:
            assert again is not None
        if again is not None:
            end = carry_out(again, cut)
            assert end.power in ON or cut.power is Power.STUCK or kept_off(wish, cut)
            assert not end.to_run
            assert target not in (Target.RUNNING, Target.PROVISIONED) or not end.to_freeze
    off = carry_out(plan(replace(goal, target=Target.OFF), cut).unwrap(), cut)
    assert (off.power, off.to_run) == (Power.STOPPED, False)


@many
@given(situations)
def test_what_a_vm_may_still_use_is_known_as_long_as_it_is_on(
    situation: tuple[Goal, Observation],
) -> None:
    """Law 6: others take what nobody uses, so it is not forgotten before it is given back."""
    goal, have = situation
    planned = plan_or_none(goal, have)
    for step in planned.steps if planned is not None else ():
        before, have = have, after(step.action, have).unwrap()
        if Power.STOPPED not in (before.power, have.power):
            assert used(before) <= used(have)


def used(have: Observation) -> set[object]:
    """The addresses and the like of a VM that is on, and what it mounts of others."""
    known = running_spec(have)
    return set() if known is None else {*claims("web", known), *known.shared_volumes}


@many
@given(situations)
def test_a_locked_vm_is_never_harmed(situation: tuple[Goal, Observation]) -> None:
    """Law 6, Safe."""
    goal, have = situation
    planned = plan_or_none(goal, have)
    if planned is None or not have.locked:
        return
    harmful = [s for s in planned.steps if isinstance(s.action, DestroyVolume | Undefine)]
    assert harmful == []
    unlocks = [s for s in planned.steps if isinstance(s.action, Unlock)]
    assert len(unlocks) == (goal.target is Target.UNLOCKED)


@many
@given(situations)
def test_no_data_is_lost_without_leave(situation: tuple[Goal, Observation]) -> None:
    """Law 6, Safe; nor is ever a data volume lost that the spec wants where it is."""
    goal, have = situation
    planned = plan_or_none(goal, have)
    if planned is None:
        return
    lost = {s.action.volume for s in planned.steps if isinstance(s.action, DestroyVolume)}
    known = have.recorded or have.defined
    transient = known is not None and known.transient
    if goal.target is Target.DEPROVISIONED or (goal.target is Target.UNDEFINED and transient):
        return
    allowed: set[str] = set()
    if goal.data_loss is DataLoss.ALLOWED and goal.spec is not None:
        moved = {(v.name, v.pool) for v in goal.spec.volumes}
        allowed = {"root"} | {v.name for v in have.volumes if (v.name, v.pool) not in moved}
    if goal.target is Target.REINITIALISED:
        allowed |= {"root"}
    elif goal.target in (Target.LOCKED, Target.UNLOCKED, Target.OFF, Target.UNDEFINED):
        allowed = set()
    assert lost <= allowed


@many
@given(situations)
def test_what_is_missing_is_not_made_anew_without_leave(
    situation: tuple[Goal, Observation],
) -> None:
    """Law 6, Safe: a root that is gone is no root to make, whatever pool it is wanted in."""
    goal, have = situation
    planned = plan_or_none(goal, have)
    if planned is None:
        return
    gone = {each.name for each in have.missing}
    given_up = {s.action.volume for s in planned.steps if isinstance(s.action, ForgetVolume)}
    made = {s.action.volume for s in planned.steps if isinstance(s.action, MAKING)}
    destroyed = {s.action.volume for s in planned.steps if isinstance(s.action, DestroyVolume)}
    assert made & gone <= given_up | destroyed
    assert given_up <= gone
    assert not given_up or (goal.data_loss is DataLoss.ALLOWED and not have.locked)


@many
@given(situations)
def test_nothing_is_powered_off_against_the_policy(
    situation: tuple[Goal, Observation],
) -> None:
    """Law 6, Safe: with restart NEVER, and for targets that leave the power as it is."""
    goal, have = situation
    planned = plan_or_none(goal, have)
    if planned is None:
        return
    offs = [s.action for s in planned.steps if isinstance(s.action, POWER_OFFS)]
    held_on = goal.target in (Target.RUNNING, Target.FROZEN) and goal.restart is Restart.NEVER
    if held_on or goal.target in (*KEEPS_POWER, Target.LOCKED, Target.UNLOCKED):
        assert offs == []
        assert planned.impact <= Impact.LIVE or have.power is Power.STOPPED
    at_once = goal.power_off is PowerOff.STOP or have.copy_of  # which is never let go on
    unasked = Shutdown if at_once else Stop
    assert not any(isinstance(action, unasked) for action in offs)


@many
@given(situations, host_facts)
def test_planning_and_explaining_never_raise(
    situation: tuple[Goal, Observation], facts: HostFacts
) -> None:
    """Law 7, Total; every step and every refusal says why."""
    goal, have = situation
    match plan(goal, have, facts):
        case Success(planned):
            assert explain(planned)
            assert plan_to_plain(planned)["name"] == goal.name
            assert all(step.reason for step in planned.steps)
        case Failure(problems):
            assert problems
            assert all(each.path and each.message for each in problems)
            assert all(each.code is not Code.INVALID for each in problems)  # the goal is valid


@given(situations)
def test_a_goal_without_a_spec_never_raises(situation: tuple[Goal, Observation]) -> None:
    goal, have = situation
    bare = Goal(name=goal.name, target=goal.target)
    planned = plan(bare, have)
    if isinstance(planned, Success):
        assert reached(bare, have, carry_out(planned.unwrap(), have))


@many
@given(specs, specs)
def test_changes_are_empty_exactly_between_equal_specs(old: VMSpec, new: VMSpec) -> None:
    assert changes(old, old) == ()
    assert bool(changes(old, new)) == (old != new)
    assert all(str(change) for change in changes(old, new))
