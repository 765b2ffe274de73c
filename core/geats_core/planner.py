"""The planner: from a goal and an observation to the steps between them.

Theory of operation
-------------------
A draft starts at the observation. Each phase looks at where the draft stands now, and adds the
steps that are still missing; every step is followed in the model (``after``) at once, so that no
phase has to know what an earlier one did, and so that a plan resumed from any point of an earlier
one is just a shorter plan. A step that the model refuses (a locked VM's data, say) makes the whole
plan a refusal: that rule is written once, in the model.
"""

from dataclasses import dataclass, field, replace

from returns.result import Failure, Success

from geats_core import ordering
from geats_core.actions import (
    Action,
    ActivateVolume,
    AllocateVolume,
    ConfigureGuest,
    Define,
    DestroyVolume,
    FormatVolume,
    Freeze,
    GrowVolume,
    Impact,
    InstallTemplate,
    Lock,
    Repair,
    SetLimits,
    Shutdown,
    Start,
    Stop,
    Undefine,
    Unfreeze,
    Unlock,
    describe,
)
from geats_core.changes import Change, changes, impact_of_changes
from geats_core.checked import Checked, Problem, problem
from geats_core.guest import fingerprint
from geats_core.model import ON, after, allocated
from geats_core.observation import Observation, Power, Stage, VolumeSeen
from geats_core.plan import DataLoss, Goal, HostFacts, Plan, PowerOff, Restart, Step, Target
from geats_core.refusals import outdated_roots, refusals
from geats_core.spec import ROOT, VMSpec, Volume

WITH_POWER = frozenset({Target.RUNNING, Target.FROZEN, Target.STOPPED})


def plan(goal: Goal, have: Observation, facts: HostFacts | None = None) -> Checked[Plan]:
    """The steps that bring *have* to *goal*, or every reason why there is no plan. Never raises."""
    draft = _Draft(goal.name, have)
    match goal.target:
        case Target.UNDEFINED | Target.DEPROVISIONED:
            _tear_down(draft, goal)
        case Target.LOCKED:
            if not have.locked:
                draft.add(Lock(), "protection from deletion is wanted")
        case Target.UNLOCKED:
            if have.locked:
                draft.add(Unlock(), "protection from deletion is no longer wanted")
        case Target.OFF:
            if not have.exists:
                return problem(goal.name, "is not defined")
            _power_off(draft, goal, f"{goal.name} should be off")
        case _:
            if goal.spec is None:
                return problem(goal.name, "is not defined, and nothing says what it should be")
            found = refusals(goal, goal.spec, have, facts or HostFacts())
            if found:
                return Failure(found)
            _converge(draft, goal, goal.spec)
    return draft.finished(goal)


@dataclass(slots=True)
class _Draft:
    """Steps so far, and where they lead."""

    name: str
    state: Observation
    steps: list[Step] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    changes: tuple[Change, ...] = ()

    def add(self, action: Action, reason: str) -> None:
        match after(action, self.state):
            case Success(state):
                self.state = state
                self.steps.append(Step(action=action, reason=reason))
            case Failure(why):
                self.problems.append(
                    Problem(self.name, f"cannot {describe(action, self.name)}: {why}")
                )

    def finished(self, goal: Goal) -> Checked[Plan]:
        if self.problems:
            return Failure(tuple(self.problems))
        waits = ordering.needs([step.action for step in self.steps])
        steps = tuple(replace(s, needs=n) for s, n in zip(self.steps, waits, strict=True))
        pending: tuple[Change, ...] = ()
        if self.state.power in ON and self.state.in_effect and goal.spec:
            found = changes(self.state.in_effect, goal.spec)
            pending = tuple(change for change in found if change.impact >= Impact.RESTART)
        return Success(Plan(name=self.name, steps=steps, changes=self.changes, pending=pending))


def _converge(draft: _Draft, goal: Goal, want: VMSpec) -> None:
    rebooting = goal.target in (Target.REBOOTED, Target.REINITIALISED)
    final = _final_power(goal, draft.state)
    _define(draft, want)
    if goal.target is Target.DEFINED:
        _set_limits(draft, want)
        return
    _power_off_if_needed(draft, goal, want)
    if goal.target is Target.REINITIALISED:
        _destroy(draft, draft.state.roots, f"{goal.name} is to be made anew")
    elif goal.data_loss is DataLoss.ALLOWED and draft.state.power is Power.STOPPED:
        _destroy(draft, outdated_roots(want, draft.state), _why_rebuild(want, draft.state))
    for volume in want.volumes:
        _prepare_volume(draft, volume)
    _fill_root(draft, want)
    _set_limits(draft, want)
    if goal.target in WITH_POWER or rebooting:
        _power_to(draft, final, f"{goal.name} should be {final}")


def _final_power(goal: Goal, have: Observation) -> Power:
    match goal.target:
        case Target.FROZEN:
            return Power.FROZEN
        case Target.STOPPED:
            return Power.STOPPED
        case Target.REINITIALISED if have.power is not Power.STUCK:
            return have.power
        case _:
            return Power.RUNNING


def _define(draft: _Draft, want: VMSpec) -> None:
    have = draft.state
    if have.recorded == want and have.defined == want:
        return
    draft.changes = changes(have.recorded, want)
    if have.recorded is None:
        reason = f"{draft.name} is not defined"
    elif have.recorded != want:
        reason = "; ".join(map(str, draft.changes))
    else:
        reason = "what the driver holds is not what is recorded"
    draft.add(Define(want), reason)


def _power_off_if_needed(draft: _Draft, goal: Goal, want: VMSpec) -> None:
    """Power off where the goal asks for it, or where a change of a running VM does."""
    have = draft.state
    match goal.target:
        case Target.REBOOTED:
            _power_off(draft, goal, "a reboot was asked for")
        case Target.REINITIALISED:
            _power_off(draft, goal, "it is to be made anew")
        case Target.STOPPED:
            _power_off(draft, goal, f"{goal.name} should be stopped")
        case Target.RUNNING | Target.FROZEN if goal.restart is Restart.IF_NEEDED:
            reason = why_restart(want, have)
            if reason:
                _power_off(draft, goal, reason)
        case _:
            pass  # the power stays as it is


def why_restart(want: VMSpec, have: Observation) -> str:
    """Why a VM that is not off must restart to become *want*; empty where it need not."""
    if have.power is Power.STUCK:
        return "its monitor does not answer"
    if outdated_roots(want, have):
        return _why_rebuild(want, have)
    if have.in_effect is None:
        return "it is not known what it was started with"
    found = changes(have.in_effect, want)
    if impact_of_changes(found) >= Impact.RESTART:
        return "; ".join(str(change) for change in found if change.impact >= Impact.RESTART)
    root = have.volume(want.root.pool, ROOT)
    if root is None or root.stage is not Stage.INSTALLED:
        return "its root volume has no template installed"
    return "" if root.guest == fingerprint(want) else "its guest is not configured as described"


def _why_rebuild(want: VMSpec, have: Observation) -> str:
    return "; ".join(
        f"pool changed {seen.pool} → {want.root.pool}"
        if seen.pool != want.root.pool
        else f"template changed {seen.template} → {want.template}"
        for seen in outdated_roots(want, have)
    )


def _power_off(draft: _Draft, goal: Goal, reason: str) -> None:
    """Power off from wherever the VM is; a stuck monitor is repaired, whatever the reason."""
    if draft.state.power is Power.STUCK:
        draft.add(Repair(), "its monitor does not answer")
    elif draft.state.power in ON and goal.power_off is PowerOff.STOP:
        draft.add(Stop(), reason)
    elif draft.state.power in ON:
        if draft.state.power is Power.FROZEN:
            draft.add(Unfreeze(), "a frozen VM cannot shut down")
        known = draft.state.in_effect or draft.state.recorded or goal.spec
        draft.add(Shutdown(known.shutdown_timeout_s if known else 60), reason)


def _destroy(draft: _Draft, volumes: tuple[VolumeSeen, ...], reason: str) -> None:
    for seen in volumes:
        draft.add(DestroyVolume(seen.pool, seen.name), reason)


def _prepare_volume(draft: _Draft, volume: Volume) -> None:
    """Bring one volume to the point where files can be put on it."""
    where = (volume.pool, volume.name)
    seen = draft.state.volume(*where)
    if seen is None:
        allocation = AllocateVolume(*where, volume.size_bytes)
        draft.add(allocation, "it does not exist")
        seen = allocated(allocation)
    if seen.stage is Stage.ALLOCATED:
        draft.add(FormatVolume(*where), "it is not formatted")
    if not seen.active:
        draft.add(ActivateVolume(*where), "it is not active")
    if volume.size_bytes is not None and (seen.size_bytes or 0) < volume.size_bytes:
        draft.add(GrowVolume(*where, volume.size_bytes), "it is smaller than described")


def _fill_root(draft: _Draft, want: VMSpec) -> None:
    """Install the template and configure the guest: only while the VM is off."""
    where = (want.root.pool, ROOT)
    seen = draft.state.volume(*where)
    if draft.state.power is not Power.STOPPED or seen is None:
        return
    if seen.stage is not Stage.INSTALLED:
        unfinished = seen.stage is Stage.FILLING
        draft.add(
            InstallTemplate(*where, want.template),
            "an earlier install was not finished" if unfinished else "it is empty",
        )
    if seen.guest != fingerprint(want):
        draft.add(ConfigureGuest(*where, want), "its files in the guest are not as described")


def _set_limits(draft: _Draft, want: VMSpec) -> None:
    have = draft.state
    if have.power in ON and have.in_effect and have.in_effect.limits != want.limits:
        found = changes(have.in_effect, replace(have.in_effect, limits=want.limits))
        draft.add(SetLimits(want.limits), "; ".join(map(str, found)))


def _power_to(draft: _Draft, power: Power, reason: str) -> None:
    if power is Power.STOPPED:
        return
    if draft.state.power is Power.STOPPED:
        draft.add(Start(), reason)
    if draft.state.power is Power.RUNNING and power is Power.FROZEN:
        draft.add(Freeze(), reason)
    if draft.state.power is Power.FROZEN and power is Power.RUNNING:
        draft.add(Unfreeze(), reason)


def _tear_down(draft: _Draft, goal: Goal) -> None:
    have = draft.state
    known = have.recorded or have.defined
    gone = f"{goal.name} should be {goal.target}"
    if have.locked and have.exists:
        draft.problems.append(Problem(goal.name, f"is locked, and so cannot be {goal.target}"))
        return
    if goal.target is Target.DEPROVISIONED or known:
        _power_off(draft, goal, gone)
    if goal.target is Target.DEPROVISIONED:
        _destroy(draft, have.volumes, gone)
    elif known and known.transient:
        _destroy(draft, have.volumes, f"{goal.name} is transient")
    if known:
        draft.add(Undefine(), gone)
