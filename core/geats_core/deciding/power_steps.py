"""How a VM is powered off and on along a plan: its goal asks for it, or a change does."""

from geats_core.deciding.goal_draft import GoalDraft
from geats_core.deciding.restarts import changes_that_restart, in_words, why_restart
from geats_core.planning.actions import Freeze, KeepOff, Repair, Shutdown, Stop, Unfreeze
from geats_core.planning.draft import LEFT_HELD, THEN, again
from geats_core.planning.goal import Goal, PowerOff, Restart, Target
from geats_core.planning.model import ON, SUSPENDED
from geats_core.planning.spec_changes import Change
from geats_core.planning.then import Then
from geats_core.vm.observation import Observation, Power
from geats_core.vm.spec import VMSpec


def final_power(goal: Goal, want: VMSpec, have: Observation) -> Power:
    match goal.target:
        case Target.REINITIALISED if not want.enabled:
            return Power.STOPPED
        case Target.FROZEN:
            return Power.FROZEN
        case Target.STOPPED:
            return Power.STOPPED
        case Target.REINITIALISED if have.power is Power.STOPPED and not have.to_run:
            return Power.STOPPED
        case Target.REINITIALISED:
            return again(have)
        case _:
            return Power.RUNNING


def power_off_if_needed(draft: GoalDraft, want: VMSpec, final: Power) -> None:
    """Power off if the goal asks for it, or if a change of a running VM does."""
    goal = draft.goal
    then = THEN[final]
    match goal.target:
        case Target.REBOOTED:
            power_off(draft, "a reboot was asked for", then=then)
        case Target.REINITIALISED:
            power_off(draft, "it should be recreated", then=then)
        case Target.STOPPED:
            power_off(draft, f"{goal.name} should be stopped")
            keep_off(draft, f"{goal.name} should be stopped")
        case Target.RUNNING | Target.FROZEN if goal.restart is not Restart.NEVER:
            because = changes_that_restart(want, draft.state, draft.facts, goal.restart)
            reason = "" if because else why_restart(want, draft.state)
            if because or reason:
                reason = reason or in_words(because, want, draft.state, draft.facts)
                power_off(draft, reason, because, then)
        case _:
            pass  # the power stays as it is


def power_off(
    draft: GoalDraft, reason: str, because: tuple[Change, ...] = (), then: Then = Then.OFF
) -> None:
    """Power off from wherever the VM is; a stuck monitor is repaired, whatever the reason.

    A copy that came here as it ran is never let go on: the VM itself may run elsewhere.
    """
    if draft.state.power is Power.STUCK:
        draft.add(Repair(then), "its monitor does not answer")
    elif draft.state.power not in ON:
        return
    elif draft.state.copy_of or draft.goal.power_off is PowerOff.STOP:
        draft.add(Stop(then), reason, because)
    else:
        if draft.state.power in SUSPENDED:
            again_frozen = Then.FROZEN if then is Then.FROZEN else Then.ON
            draft.add(Unfreeze(again_frozen), "a frozen VM cannot shut down")
        known = draft.state.in_effect or draft.state.recorded or draft.goal.spec
        draft.add(Shutdown(known.shutdown_timeout_s if known else 60, then), reason, because)


def keep_off(draft: GoalDraft, reason: str) -> None:
    """Let no later plan start what one that was interrupted was to start again, or what ended."""
    if draft.state.to_run:
        draft.add(
            KeepOff(), (f"{reason}, and an interrupted plan had powered it off to start it again")
        )
    elif draft.state.ended:
        draft.add(KeepOff(), f"{reason}, and it ended by itself and would be started again")


def power_to(draft: GoalDraft, power: Power, reason: str) -> None:
    if power is Power.STOPPED:
        return
    if draft.state.power is Power.STOPPED:
        draft.start(reason, power)
    if draft.state.power in (Power.RUNNING, Power.HELD) and power is Power.FROZEN:
        draft.add(Freeze(), reason)
    if power is Power.RUNNING:
        if draft.state.power is Power.HELD and draft.state.to_freeze:
            draft.add(Unfreeze(), LEFT_HELD)
        if draft.state.power is Power.FROZEN or draft.state.to_freeze:
            draft.add(Unfreeze(), reason)
