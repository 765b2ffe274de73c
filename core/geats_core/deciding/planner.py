"""The planner: from a goal and an observation to the steps between them.

Theory of operation
-------------------
A draft starts at the observation. Each phase looks at where the draft stands now, and adds the
steps that are still missing; every step is followed in the model (``after``) at once, so that no
phase has to know what an earlier one did, and so that a plan resumed from any point of an earlier
one is just a shorter plan. A step that the model refuses (a locked VM's data, say) makes the whole
plan a refusal: that rule is written once, in the model.
"""

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass, replace

from returns.result import Failure, Success

from geats_core.containers import cgroups
from geats_core.deciding.losses import lost, missing_volumes, outdated_volumes, torn_down
from geats_core.deciding.only_named import unnamed
from geats_core.deciding.own_ids import with_own_ids
from geats_core.deciding.refusals import (
    elsewhere,
    foreign,
    out_of_reach,
    refusals,
    unreliable,
    without_start,
)
from geats_core.deciding.restarts import (
    changes_that_restart,
    growth_while_off,
    in_words,
    must_grow,
    rebuilds,
    why_restart,
)
from geats_core.planning.actions import (
    ActivateVolume,
    AllocateVolume,
    ConfigureGuest,
    Define,
    DestroyVolume,
    ForgetVolume,
    FormatVolume,
    Freeze,
    GrowVolume,
    InstallTemplate,
    KeepOff,
    Lock,
    Repair,
    SetDevices,
    SetDns,
    SetLimits,
    Shutdown,
    Stop,
    Undefine,
    Unfreeze,
    Unlock,
)
from geats_core.planning.costs import Impact
from geats_core.planning.draft import LEFT_HELD, LEFT_OFF, LEFT_UNFROZEN, THEN, Draft, again, zeroed
from geats_core.planning.goal import ByHand, DataLoss, Goal, PowerOff, Restart, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.model import ON, SUSPENDED, allocated, are_usable
from geats_core.planning.spec_changes import Change, at_least, changes
from geats_core.planning.steps import Plan
from geats_core.planning.then import Then
from geats_core.reading.checked import Checked, Code, Problem, problem, within
from geats_core.reading.shown_lines import shown_lines
from geats_core.vm.claims import would_forget
from geats_core.vm.devices import differences, is_device, with_devices
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.observation import Observation, Power, Stage, VolumeMissing, VolumeSeen
from geats_core.vm.spec import ROOT, Limits, VMSpec, Volume

DNS = "dns"
HALF_LOCKED = "protection from deletion is not recorded in every place"
LIMITS = {"memory": "memory_bytes", "cpus": "cpus", "processes": "processes"}  # field: attribute


def plan(goal: Goal, have: Observation, facts: HostFacts | None = None) -> Checked[Plan]:
    """The steps that bring *have* to *goal*, or every reason why there is no plan. Never raises."""
    wish, goal = goal, goal.settled
    most, facts = goal.max_impact, facts or HostFacts()
    draft = _Draft(goal.name, have, most, wish=wish, goal=goal, have=have, facts=facts)
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
                _power_off(draft, f"{goal.name} should be off")
                _keep_off(draft, f"{goal.name} should be off")
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


@dataclass(slots=True)
class _Draft(Draft):
    """A draft of a plan that brings a VM from ``have`` to its goal; ``wish`` is what was asked."""

    _: KW_ONLY
    wish: Goal
    goal: Goal
    have: Observation
    facts: HostFacts
    changes: tuple[Change, ...] = ()

    def changed(self, old: VMSpec | None, want: VMSpec) -> tuple[Change, ...]:
        """What differs from *old* to what is wanted, at the cost that its driver says.

        Of a new VM, what its driver knows nothing of says nothing.
        """
        able = self.facts.driver(want.driver)
        found = changes(old, want, able.all_costs)
        return tuple(each for each in found if old is not None or each.field not in able.lacks)

    def finished(self) -> Checked[Plan]:
        match super(_Draft, self).finished():
            case Success(drafted):
                made = replace(drafted, changes=self.changes, pending=self._pending())
                found = (
                    *unnamed(self.wish, made, self.have),
                    *without_start(self.goal, made, self.have, self.facts),
                )
                return Failure(found) if found else Success(made)
            case Failure() as refused:
                return refused

    def _pending(self) -> tuple[Change, ...]:
        want, have = self.goal.spec, self.state
        if want is None or have.power not in ON or have.in_effect is None:
            return ()
        found = at_least(Impact.RESTART, self.changed(have.in_effect, want))
        return (*found, *growth_while_off(want, have, self.facts))


def _converge(draft: _Draft, want: VMSpec) -> None:
    goal = draft.goal
    final = _final_power(goal, want, draft.state)
    if would_forget(want, draft.state):
        _power_off_if_needed(draft, want, final)
    _define(draft, want)
    if goal.target is Target.DEFINED:
        _set_limits(draft, want)
        _set_dns(draft, want)
        if are_usable(want.volumes, draft.state):
            _set_devices(draft, want)
        return
    anew = draft.state.roots if goal.target is Target.REINITIALISED else ()
    if final is not Power.STOPPED and draft.state.power in ON:
        for volume in want.volumes:  # so that the VM is off as late, and as little, as can be
            if volume is not want.root or _root_stays(draft, want, anew):
                _prepare_volume(draft, want, volume)
    _power_off_if_needed(draft, want, final)
    _destroy(draft, anew, f"{goal.name} should be recreated")
    outdated = outdated_volumes(want, draft.state)
    if outdated and draft.state.power is Power.STOPPED and goal.data_loss is DataLoss.ALLOWED:
        _destroy(draft, outdated, because=rebuilds(want, draft.state))
    _give_up(draft, missing_volumes(want, draft.state))
    for volume in want.volumes:
        sized = _with_room(draft, want) if volume is want.root else volume
        _prepare_volume(draft, want, sized)
    _fill_root(draft, want)
    _set_limits(draft, want)
    _set_dns(draft, want)
    _set_devices(draft, want)
    if draft.state.power is Power.STOPPED and not want.enabled:
        _keep_off(draft, f"{goal.name} is not enabled")
    elif goal.target.says_power or goal.target in (Target.REBOOTED, Target.REINITIALISED):
        _power_to(draft, final, f"{goal.name} should be {final}")
    elif draft.state.to_run and want.is_to_be_off:
        _keep_off(draft, f"{goal.name} is declared off")
    elif draft.state.to_run:
        _power_to(draft, again(draft.state), LEFT_OFF)
    elif draft.state.to_freeze:
        _power_to(draft, again(draft.state), LEFT_UNFROZEN)


def _root_stays(draft: _Draft, want: VMSpec, anew: tuple[VolumeSeen, ...]) -> bool:
    """Whether the root is there already, and the plan neither recreates it nor destroys one."""
    have = draft.state
    replaced = (*anew, *outdated_volumes(want, have))
    seen = have.volume(want.root.pool, ROOT)
    return seen is not None and seen not in replaced and not have.missing_of([ROOT])


def _final_power(goal: Goal, want: VMSpec, have: Observation) -> Power:
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


def _define(draft: _Draft, want: VMSpec) -> None:
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


def _too_late(draft: _Draft, want: VMSpec) -> str:
    """What a person should know who changes what the guest does not look at any more."""
    root = draft.state.volume(want.root.pool, ROOT)
    is_there = root is not None and root.stage is Stage.INSTALLED
    if not is_there or draft.goal.target is Target.REINITIALISED:
        return ""
    once = draft.facts.driver(want.driver).at_first_start
    found = [change.field for change in draft.changes if change.field in once]
    return f" (a guest that has booted takes {', '.join(found)} after a reinit)" if found else ""


def _power_off_if_needed(draft: _Draft, want: VMSpec, final: Power) -> None:
    """Power off if the goal asks for it, or if a change of a running VM does."""
    goal = draft.goal
    then = THEN[final]
    match goal.target:
        case Target.REBOOTED:
            _power_off(draft, "a reboot was asked for", then=then)
        case Target.REINITIALISED:
            _power_off(draft, "it should be recreated", then=then)
        case Target.STOPPED:
            _power_off(draft, f"{goal.name} should be stopped")
            _keep_off(draft, f"{goal.name} should be stopped")
        case Target.RUNNING | Target.FROZEN if goal.restart is not Restart.NEVER:
            because = changes_that_restart(want, draft.state, draft.facts, goal.restart)
            reason = "" if because else why_restart(want, draft.state)
            if because or reason:
                reason = reason or in_words(because, want, draft.state, draft.facts)
                _power_off(draft, reason, because, then)
        case _:
            pass  # the power stays as it is


def _power_off(
    draft: _Draft, reason: str, because: tuple[Change, ...] = (), then: Then = Then.OFF
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


def _keep_off(draft: _Draft, reason: str) -> None:
    """Let no later plan start what one that was interrupted was to start again, or what ended."""
    if draft.state.to_run:
        draft.add(
            KeepOff(), (f"{reason}, and an interrupted plan had powered it off to start it again")
        )
    elif draft.state.ended:
        draft.add(KeepOff(), f"{reason}, and it ended by itself and would be started again")


def _destroy(
    draft: _Draft,
    volumes: tuple[VolumeSeen, ...],
    reason: str = "",
    because: tuple[Change, ...] = (),
) -> None:
    """Destroy each, for one reason, or for the change of the same position in *because*."""
    for position, seen in enumerate(volumes):
        draft.add(DestroyVolume(seen.pool, seen.name), reason, because[position : position + 1])


def _give_up(draft: _Draft, missing: tuple[VolumeMissing, ...]) -> None:
    """Forget each: ``refusals`` has checked that this is allowed."""
    for each in missing:
        draft.add(ForgetVolume(each.pool, each.name), f"it was {each}, and is not found there")


def _prepare_volume(draft: _Draft, want: VMSpec, volume: Volume) -> None:
    """Bring one volume to the point where files can be put on it."""
    where = (volume.pool, volume.name)
    seen = draft.state.volume(*where)
    if seen is None:
        allocation = AllocateVolume(*where, volume.size_bytes)
        draft.add(allocation, f"it does not exist{_not_enforced(draft, volume)}")
        seen = allocated(allocation)
    if seen.stage is Stage.ALLOCATED:
        draft.add(FormatVolume(*where), f"it is not formatted{zeroed(draft.facts, volume.pool)}")
    if not seen.active:
        draft.add(ActivateVolume(*where), "it is not active")
    is_off = draft.state.power is Power.STOPPED
    can_grow = is_off or not draft.facts.cannot_grow_online(want.driver, volume)
    if volume.size_bytes is not None and must_grow(volume, seen) and can_grow:
        also = zeroed(draft.facts, volume.pool)
        reason = f"it is smaller than described{_not_enforced(draft, volume)}{also}"
        draft.add(GrowVolume(*where, volume.size_bytes), reason)


def _with_room(draft: _Draft, want: VMSpec) -> Volume:
    """The root: if no size is given, as large as a pool makes it, or as its disk image needs."""
    root, image_bytes = want.root, draft.facts.disks.get(want.template)
    seen = draft.state.volume(root.pool, root.name)
    is_filled = seen is not None and seen.stage is Stage.INSTALLED
    default_bytes = draft.facts.pool(root.pool).default_bytes
    if root.size_bytes is not None or is_filled or image_bytes is None or default_bytes is None:
        return root
    there_bytes = default_bytes if seen is None else seen.size_bytes or default_bytes
    return replace(root, size_bytes=max(image_bytes, there_bytes))


def _not_enforced(draft: _Draft, volume: Volume) -> str:
    """What a person should know who gives a volume a size that nothing enforces."""
    if volume.size_bytes is None or draft.facts.pool(volume.pool).enforces_size:
        return ""
    return f" (pool {volume.pool} does not enforce its size)"


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
    if seen.guest != guest_digest(want):
        draft.add(ConfigureGuest(*where, want), "its files in the guest are not as described")


def _set_limits(draft: _Draft, want: VMSpec) -> None:
    """Change what the driver can change while the VM is on."""
    runs = draft.state.in_effect
    if runs is None or runs.limits == want.limits:
        return
    if found := _changed_live(draft, runs, want, (*LIMITS, *cgroups.FIELDS)):
        draft.add(SetLimits(_with(found, runs.limits, want.limits)), "", found)


def _set_dns(draft: _Draft, want: VMSpec) -> None:
    """Write what the guest asks for names, if the driver can while the VM is on."""
    runs = draft.state.in_effect
    if runs is None or runs.dns == want.dns:
        return
    found = _changed_live(draft, runs, want, (DNS,))
    if found and are_usable([runs.root], draft.state):
        draft.add(SetDns(want.dns), "", found)


def _changed_live(
    draft: _Draft, runs: VMSpec, want: VMSpec, fields: Collection[str]
) -> tuple[Change, ...]:
    """The changes of these fields that the driver can make as the VM is on."""
    found = draft.changed(runs, want) if draft.state.power in ON else ()
    return tuple(each for each in found if each.field in fields and each.impact <= Impact.LIVE)


def _with(found: tuple[Change, ...], old: Limits, new: Limits) -> Limits:
    """The *old* limits, with what was *found* to change as in the *new* ones."""
    names = [each.field for each in found]
    own = {LIMITS[name]: getattr(new, LIMITS[name]) for name in names if name in LIMITS}
    files = [cgroups.FIELDS[name] for name in names if name in cgroups.FIELDS]
    cgroup = replace(old.cgroup, **{file: getattr(new.cgroup, file) for file in files})
    return replace(old, cgroup=cgroup, **own)


def _set_devices(draft: _Draft, want: VMSpec) -> None:
    """Attach, detach and change devices, as far as the driver can while the VM is on."""
    have = draft.state
    if have.power not in ON or have.in_effect is None:
        return
    found = tuple(
        change
        for change in draft.changed(have.in_effect, want)
        if is_device(change.field) and change.impact is Impact.LIVE
    )
    if found:
        runs = with_devices(have.in_effect, want, {each.field for each in found})
        configured = draft.facts.driver(want.driver).configures_nics
        tells = tuple(differences(have.in_effect, runs, configured=configured))
        draft.add(SetDevices(runs, tells), "", found)


def _power_to(draft: _Draft, power: Power, reason: str) -> None:
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


def _tear_down(draft: _Draft) -> None:
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
        _power_off(draft, gone)
    if torn_down(goal, have):
        of_target = goal.target is Target.DEPROVISIONED
        _destroy(draft, have.volumes, gone if of_target else f"{goal.name} is transient")
        _give_up(draft, draft.state.missing)
    if is_known:
        left = "; ".join(f"its volume {each.name}, {each}, is not found" for each in have.missing)
        kept = f" ({left}: its record is kept)" if draft.state.missing else ""
        draft.add(Undefine(keep), f"{gone}{kept}")
