"""The planner: from a goal and an observation to the steps between them.

Theory of operation
-------------------
A draft starts at the observation. Each phase looks at where the draft stands now, and adds the
steps that are still missing; every step is followed in the model (``after``) at once, so that no
phase has to know what an earlier one did, and so that a plan resumed from any point of an earlier
one is just a shorter plan. A step that the model refuses (a locked VM's data, say) makes the whole
plan a refusal: that rule is written once, in the model.
"""

from collections.abc import Iterable
from dataclasses import replace

from returns.result import Failure

from geats_core.deciding.goal_draft import GoalDraft
from geats_core.deciding.live_steps import set_devices, set_dns, set_limits
from geats_core.deciding.losses import lost, missing_volumes, outdated_volumes, torn_down
from geats_core.deciding.own_ids import with_own_ids
from geats_core.deciding.power_steps import (
    final_power,
    keep_off,
    power_off,
    power_off_if_needed,
    power_to,
)
from geats_core.deciding.refusals import elsewhere, foreign, out_of_reach, refusals, unreliable
from geats_core.deciding.restarts import rebuilds
from geats_core.deciding.volume_steps import (
    destroy,
    fill_root,
    give_up,
    prepare_volume,
    root_stays,
    with_room,
)
from geats_core.planning.actions import Define, Lock, Undefine, Unlock
from geats_core.planning.draft import LEFT_OFF, LEFT_UNFROZEN, again
from geats_core.planning.goal import ByHand, DataLoss, Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.model import ON, are_usable
from geats_core.planning.spec_changes import Change
from geats_core.planning.steps import Plan
from geats_core.reading.checked import Checked, Code, Problem, problem, within
from geats_core.reading.shown_lines import shown_lines
from geats_core.vm.claims import would_forget
from geats_core.vm.observation import Observation, Power, Stage
from geats_core.vm.spec import ROOT, VMSpec

FIRMWARE, BIOS = "hardware.firmware", "bios"  # which is the default
HALF_LOCKED = "protection from deletion is not recorded in every place"


def plan(goal: Goal, have: Observation, facts: HostFacts | None = None) -> Checked[Plan]:
    """The steps that bring *have* to *goal*, or every reason why there is no plan. Never raises."""
    wish, goal = goal, goal.settled
    most, facts = goal.max_impact, facts or HostFacts()
    draft = GoalDraft(goal.name, have, most, wish=wish, goal=goal, have=have, facts=facts)
    found = (
        *foreign(goal, have),
        *elsewhere(goal, have, draft.facts),
        *unreliable(goal, have),
    )
    if found:
        return Failure(found)
    match goal.target:
        case Target.LOCKED:
            if not have.locked:
                draft.add(Lock(), "protection from deletion is wanted")
            elif have.half_locked:
                draft.add(Lock(), HALF_LOCKED)
        case Target.UNLOCKED:
            if have.locked:
                draft.add(Unlock(), "protection from deletion is no longer wanted")
        case Target.UNDEFINED | Target.DEPROVISIONED | Target.OFF:
            found = (*out_of_reach(goal, have, draft.facts), *lost(goal, have))
            if found:
                return Failure(found)
            if goal.target is not Target.OFF:
                _tear_down(draft)
            elif have.exists:
                power_off(draft, f"{goal.name} should be off")
                keep_off(draft, f"{goal.name} should be off")
            else:
                return problem(goal.name, "is not defined", Code.REFUSED)
        case _:
            if goal.spec is None:
                return problem(goal.name, "is not defined, and nothing describes it", Code.REFUSED)
            settled = with_own_ids(goal.spec, have, (), draft.facts)
            if isinstance(settled, Failure):
                return Failure(within(goal.name, settled.failure()))
            want = settled.unwrap()
            if want is not goal.spec:
                draft.goal = replace(goal, spec=want)
            found = refusals(goal, want, have, draft.facts)
            if found:
                return Failure(found)
            _converge(draft, want)
            if draft.state.half_locked:  # a volume that it got may not say so yet
                draft.add(Lock(), HALF_LOCKED)
    return draft.finished()


def _converge(draft: GoalDraft, want: VMSpec) -> None:
    goal = draft.goal
    final = final_power(goal, want, draft.state)
    if would_forget(want, draft.state):
        power_off_if_needed(draft, want, final)
    _define(draft, want)
    if goal.target is Target.DEFINED:
        set_limits(draft, want)
        set_dns(draft, want)
        if are_usable(want.volumes, draft.state):
            set_devices(draft, want)
        return
    anew = draft.state.roots if goal.target is Target.REINITIALISED else ()
    if final is not Power.STOPPED and draft.state.power in ON:
        for volume in want.volumes:  # so that the VM is off as late, and as little, as can be
            if volume is not want.root or root_stays(draft, want, anew):
                prepare_volume(draft, want, volume)
    power_off_if_needed(draft, want, final)
    destroy(draft, anew, f"{goal.name} should be recreated")
    outdated = outdated_volumes(want, draft.state)
    if outdated and draft.state.power is Power.STOPPED and goal.data_loss is DataLoss.ALLOWED:
        destroy(draft, outdated, because=rebuilds(want, draft.state))
    give_up(draft, missing_volumes(want, draft.state))
    for volume in want.volumes:
        sized = with_room(draft, want) if volume is want.root else volume
        prepare_volume(draft, want, sized)
    fill_root(draft, want)
    set_limits(draft, want)
    set_dns(draft, want)
    set_devices(draft, want)
    if draft.state.power is Power.STOPPED and not want.enabled:
        keep_off(draft, f"{goal.name} is not enabled")
    elif goal.target.says_power or goal.target in (Target.REBOOTED, Target.REINITIALISED):
        power_to(draft, final, f"{goal.name} should be {final}")
    elif draft.state.to_run and want.is_to_be_off:
        keep_off(draft, f"{goal.name} is declared off")
    elif draft.state.to_run:
        power_to(draft, again(draft.state), LEFT_OFF)
    elif draft.state.to_freeze:
        power_to(draft, again(draft.state), LEFT_UNFROZEN)


def _define(draft: GoalDraft, want: VMSpec) -> None:
    have = draft.state
    keep = have.by_hand if draft.goal.by_hand is ByHand.KEPT else ()
    as_wanted = have.recorded == want and have.defined == want and have.by_hand == keep
    if as_wanted and not have.unreliable:
        return
    draft.changes = draft.changed(have.recorded, want)
    reason = ""
    if have.unreliable:
        reason = f"its definition cannot be relied on ({have.unreliable})"
    elif have.recorded is None and have.defined is not None:
        reason = "its driver has it, but the registry does not: the registry may have lost it"
    elif have.recorded is None:
        reason = f"{want.name} is not defined"
    elif have.recorded == want and have.defined != want:
        reason = "what the driver has differs from what is recorded"
    elif have.recorded == want:
        reason = f"lines added by hand should be removed: {'; '.join(shown_lines(have.by_hand))}"
    reason = reason or "; ".join(map(str, draft.changes))
    said = f"{reason}{_too_late(draft, want)}{_new_ids(want, have)}{_of_image(want, have)}"
    draft.add(Define(want, keep), said, draft.changes)


def _new_ids(want: VMSpec, have: Observation) -> str:
    """Which ids it is given."""
    own, old = want.own_ids, have.recorded.own_ids if have.recorded else None
    if own is None or own.first is None or (old and old.first == own.first):
        return ""
    return f" (its ids on the host are {own.first} to {own.first + own.count - 1})"


def _of_image(want: VMSpec, have: Observation) -> str:
    """What runs in it because its image says so; values of variables may be secret."""
    image = want.from_image
    if image is None or (have.recorded and have.recorded.from_image == image):
        return ""
    runs = want.runs
    variables = ", ".join(name for name, _ in image.environment)
    parts = (
        f"it runs {' '.join(runs.command)}",
        "" if runs.user is None else f" as user {runs.user}",
        f" in {runs.cwd}" if runs.cwd else "",
        f", with {variables} of its image" if variables else "",
    )
    return f" ({''.join(parts)})"


def _too_late(draft: GoalDraft, want: VMSpec) -> str:
    """What a person should know who changes what the guest does not look at any more."""
    root = draft.state.volume(want.root.pool, ROOT)
    is_there = root is not None and root.stage is Stage.INSTALLED
    if not is_there or draft.goal.target is Target.REINITIALISED:
        return ""
    once = draft.facts.driver(want.driver).at_first_start
    found = [change.field for change in draft.changes if change.field in once]
    late = f" (a guest that has booted takes {', '.join(found)} after a reinit)" if found else ""
    return f"{late}{_other_firmware(draft.changes)}"


def _other_firmware(found: Iterable[Change]) -> str:
    """What a person should know who takes UEFI in place of a BIOS, or the other way round."""
    kinds = ({each.old or BIOS, each.new or BIOS} for each in found if each.field == FIRMWARE)
    if any(BIOS in kind and len(kind) > 1 for kind in kinds):
        return " (most guests boot only with the kind of firmware that they were installed with)"
    return ""


def _tear_down(draft: GoalDraft) -> None:
    goal, have = draft.goal, draft.state
    known = have.recorded or have.defined
    stays = goal.target is Target.UNDEFINED and not torn_down(goal, have)
    keep = have.by_hand if stays else ()
    is_known = known is not None or have.by_hand != keep
    gone = f"{goal.name} should be {goal.target}"
    if have.locked and have.exists:
        message = f"is locked, and so cannot be {goal.target}"
        draft.problems.append(Problem(goal.name, message, Code.LOCKED))
        return
    if goal.target is Target.DEPROVISIONED or is_known:
        power_off(draft, gone)
    if torn_down(goal, have):
        of_target = goal.target is Target.DEPROVISIONED
        destroy(draft, have.volumes, gone if of_target else f"{goal.name} is transient")
        give_up(draft, draft.state.missing)
    if is_known:
        left = "; ".join(f"its volume {each.name}, {each}, is not found" for each in have.missing)
        kept = f" ({left}: its record is kept)" if draft.state.missing else ""
        draft.add(Undefine(keep), f"{gone}{kept}")
