"""Law 8: no VM is powered off or undefined, and no data is lost, unless somebody named the VM.

Theory of operation
-------------------
A VM is *named* by a verb or a state with its name, in a list of names, or under ``gone``; it is
*swept* if a request is for every VM of a host. If its description changed, a swept VM may be
restarted, or lose data if that is allowed; the reasons of the steps say so. If its description says
that it be off or frozen, it is; but one line that many descriptions share must not stop a fleet, so
this is done for at most ``at_most`` swept VMs of one plan, else for none. Nothing else takes
anything away from a swept VM, so that a missing, empty or broken description is not taken as a
request. If the request itself takes something away ("all off"), it is carried out for at most
``at_most`` swept VMs, and only if most VMs of the host are described.
"""

from collections.abc import Collection, Iterable, Mapping

from geats_core.declared.policy import HostPolicy
from geats_core.planning.action_words import describe
from geats_core.planning.actions import (
    Action,
    Freeze,
    KeepOff,
    Repair,
    Shutdown,
    Start,
    Stop,
    Undefine,
    Unlock,
    impact_of,
)
from geats_core.planning.costs import Impact
from geats_core.planning.goal import Asked, Goal
from geats_core.planning.steps import Plan, Step
from geats_core.reading.checked import Code, Problem, Problems, some_of
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.observation import Observation, Power, Stage
from geats_core.vm.spec import PowerWish, VMSpec

NAMES = "vms"  # where problems stand that are about all VMs which nobody named


def takes_away(made: Plan, want: VMSpec | None, have: Observation) -> tuple[Step, ...]:
    """The steps that take from a VM what no change of its description does.

    They power it off or keep it off, freeze it, undefine it, lose its data, or unlock it.
    """
    starts = any(isinstance(step.action, Start) for step in made.steps)
    changed = want is not None and _guest_changed(want, have)
    return tuple(
        step
        for step in made.steps
        if not step.changes
        and _lowers(step.action, starts=starts)
        and not (want is not None and _is_described(step.action, want, starts=starts))
        and not (changed and starts and isinstance(step.action, Shutdown | Stop))
    )


def _lowers(action: Action, *, starts: bool) -> bool:
    match action:
        case Shutdown() | Stop() | KeepOff() | Freeze() | Undefine() | Unlock():
            return True
        case Repair():  # nothing was running that anybody could reach
            return not starts
        case _:
            return impact_of(action) is Impact.DATA_LOSS


def _is_described(action: Action, want: VMSpec, *, starts: bool) -> bool:
    """Whether the description itself says so: that the VM be off, or frozen."""
    match action:
        case Shutdown() | Stop() | Repair() | KeepOff():
            return want.is_to_be_off and not starts  # that would be a restart
        case Freeze():
            return want.power is PowerWish.FROZEN
        case _:
            return False


def _guest_changed(want: VMSpec, have: Observation) -> bool:
    """Whether what is described of the guest's files is not what they were made from."""
    root = have.volume(want.root.pool, want.root.name)
    if have.in_effect is None or root is None or root.stage is not Stage.INSTALLED:
        return False
    return root.guest != guest_digest(want)


def unnamed(goal: Goal, made: Plan, have: Observation) -> Problems:
    """Why this plan is refused for a VM that nobody named; empty if it was named."""
    if goal.asked is Asked.NAMED:
        return ()
    return tuple(
        Problem(
            goal.name,
            f"would {describe(step.action, goal.name)}, because {step.reason}, and no change of "
            "its description needs that: name the VM if you want that",
            Code.UNNAMED,
        )
        for step in takes_away(made, goal.spec if goal.target.is_as_described else None, have)
    )


def too_many(
    goals: Mapping[str, Goal],
    plans: Iterable[Plan],
    observations: Mapping[str, Observation],
    declared: Collection[str],
    policy: HostPolicy,
) -> Problems:
    """Why a wish that takes something away is not carried out for all the VMs of a host."""
    swept = [plan for plan in plans if is_sweep(goals[plan.name])]
    concerned = [
        plan.name
        for plan in swept
        if takes_away(plan, None, observations.get(plan.name, Observation()))
    ]
    if not concerned:
        return ()
    few = too_few_declared(observations, declared)
    if few:
        return (Problem(NAMES, few, Code.UNNAMED),)
    if len(concerned) <= policy.at_most:
        return ()
    count, target = len(concerned), goals[concerned[0]].target
    return (
        Problem(
            NAMES,
            f"{count} of {len(swept)} VMs would be {target} although nobody named them "
            f"({some_of(concerned)}), and at_most {policy.at_most} may be: name the VMs that "
            f"you mean, or write at_most: {count}",
            Code.UNNAMED,
        ),
    )


def too_many_down(
    goals: Mapping[str, Goal],
    plans: Iterable[Plan],
    observations: Mapping[str, Observation],
    policy: HostPolicy,
) -> Problems:
    """Why VMs that nobody named are not powered off or frozen although their descriptions say so.

    There is a problem for each of them, if they are more than may be.
    """
    ends = {
        plan.name: end
        for plan in plans
        if goals[plan.name].asked is Asked.SWEPT
        and (end := _described_end(goals[plan.name], plan, observations.get(plan.name)))
    }
    if len(ends) <= policy.at_most:
        return ()
    count = len(ends)
    return tuple(
        Problem(
            name,
            f"would be {end} by its description, as one of {count} VMs that nobody named, and "
            f"at_most {policy.at_most} may be: name the VMs that you mean, or write at_most: "
            f"{count}",
            Code.UNNAMED,
        )
        for name, end in ends.items()
    )


def _described_end(goal: Goal, made: Plan, have: Observation | None) -> str:
    """What a VM is at the end that is taken down because it is described so; else empty."""
    if goal.spec is None or have is None or not goal.target.is_as_described:
        return ""
    starts = any(isinstance(step.action, Start) for step in made.steps)
    for step in made.steps:
        if not _is_described(step.action, goal.spec, starts=starts):
            continue
        if not isinstance(step.action, Freeze):
            return "off"
        if have.power is Power.RUNNING:  # else it is started, or thawed, to be frozen again
            return "frozen"
    return ""


def is_sweep(goal: Goal) -> bool:
    """Whether the goal is part of a request for all VMs that takes something away."""
    return goal.asked is Asked.SWEPT and not goal.target.is_as_described


def too_few_declared(observations: Mapping[str, Observation], declared: Collection[str]) -> str:
    """Why nothing is taken from VMs that nobody named: the configuration is probably broken.

    Empty if at least half of the VMs that geats defined are declared.
    """
    known = [name for name, have in observations.items() if have.was_described]
    vanished = [name for name in known if name not in declared]
    if declared and 2 * len(vanished) <= len(known):
        return ""
    gone = f" (the description of {some_of(vanished)} is gone)" if vanished else ""
    return (
        f"{len(known) - len(vanished)} of the {len(known)} VMs that geats defined here are "
        f"described{gone}, so nothing is done to VMs that nobody named: correct the "
        "configuration, or write gone: {NAME: stopped} for those that should be removed"
    )
