"""What a plan changes of a VM that is on: as far as its driver can."""

from collections.abc import Collection
from dataclasses import replace

from geats_core.containers import cgroups
from geats_core.deciding.goal_draft import GoalDraft
from geats_core.planning.actions import SetDevices, SetDns, SetLimits
from geats_core.planning.costs import Impact
from geats_core.planning.model import ON, are_usable
from geats_core.planning.spec_changes import Change
from geats_core.vm.devices import differences, is_device, with_devices
from geats_core.vm.spec import Limits, VMSpec

DNS = "dns"
LIMITS = {"memory": "memory_bytes", "cpus": "cpus", "processes": "processes"}  # field: attribute


def set_limits(draft: GoalDraft, want: VMSpec) -> None:
    """Change what the driver can change while the VM is on."""
    runs = draft.state.in_effect
    if runs is None or runs.limits == want.limits:
        return
    if found := _changed_live(draft, runs, want, (*LIMITS, *cgroups.FIELDS)):
        draft.add(SetLimits(_with(found, runs.limits, want.limits)), "", found)


def set_dns(draft: GoalDraft, want: VMSpec) -> None:
    """Write what the guest asks for names, if the driver can while the VM is on."""
    runs = draft.state.in_effect
    if runs is None or runs.dns == want.dns:
        return
    found = _changed_live(draft, runs, want, (DNS,))
    if found and are_usable([runs.root], draft.state):
        draft.add(SetDns(want.dns), "", found)


def set_devices(draft: GoalDraft, want: VMSpec) -> None:
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


def _changed_live(
    draft: GoalDraft, runs: VMSpec, want: VMSpec, fields: Collection[str]
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
