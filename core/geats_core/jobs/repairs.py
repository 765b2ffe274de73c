"""One plan that ends what interrupted operations left on a host: of its VMs, and beside them.

Theory of operation
-------------------
An interrupted plan is finished if the same plan is made again. If nobody asks for it again,
something stays: a VM that is frozen or stuck; a volume that was never filled, or that was partly
destroyed; an unfinished copy; a VM that was powered off only to be started again. The observation
of the VM shows these. Everything else that is left is *found* on the host by the caller. Nothing is
removed that anybody could miss: no volume with any content except an unfinished copy, and nothing
of a VM that is locked, that geats did not make, or that is not completely known.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace

from returns.result import Success

from geats_core.declared.policy import HostPolicy
from geats_core.hostwide.host_planner import HostPlan, Setting, arranged
from geats_core.planning.actions import (
    DestroyVolume,
    Freeze,
    RemoveLeftover,
    Repair,
    Start,
    Undefine,
)
from geats_core.planning.draft import LEFT_OFF, LEFT_UNFROZEN, Draft, again
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.model import after
from geats_core.planning.steps import Plan
from geats_core.planning.then import Then
from geats_core.reading.checked import Checked
from geats_core.vm.observation import Observation, Power, Stage, VolumeSeen, definitions
from geats_core.vm.unseen import out_of_sight

UNFINISHED = "a copy to it was interrupted, and nobody ever used it"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLeftover:
    """What an interrupted operation left on a host besides VMs, and why geats knows that.

    ``vm`` is the VM that the operation was about; empty if it was about none, or about several.
    """

    action: RemoveLeftover
    reason: str
    vm: str = ""


def plan_repair(
    found: Iterable[FoundLeftover],
    observations: Mapping[str, Observation],
    facts: HostFacts | None = None,
    policy: HostPolicy | None = None,
    at_work: Container[str] = (),
) -> Checked[HostPlan]:
    """The steps that clean up everything that is left over. They do not wait for other VMs.

    If a VM has to be powered off for it, it is started again if possible. *observations* is
    everything on the host, by the names of the VMs. VMs in *at_work* are left alone, because an
    operation is in progress there.
    """
    facts = facts or HostFacts()
    setting = Setting(definitions(observations), observations, facts, policy or HostPolicy())
    of_vm: dict[str, list[FoundLeftover]] = {
        name: [] for name in observations if name not in at_work
    }
    for each in (each for each in found if each.vm not in at_work):
        of_vm.setdefault(each.vm, []).append(each)

    going = _unfinished(setting, of_vm)

    def made(*, restarting: bool) -> Checked[HostPlan]:
        of_each = (
            _of_vm(name, left, setting, going, restarting=restarting)
            for name, left in of_vm.items()
        )
        return arranged([plan for plan in of_each if plan.steps], setting)

    whole = made(restarting=True)
    return whole if isinstance(whole, Success) else made(restarting=False)


def kept_locked(observations: Mapping[str, Observation]) -> Iterable[str]:
    """What would go if its VM were not locked, and that the lock can be removed."""
    for name, have in observations.items():
        unlocked = replace(have, locked=False, half_locked=False)
        left = [seen for seen in have.volumes if _is_left(seen)]
        if have.locked and left and not have.foreign and _may_lose_volumes(_ended(unlocked)):
            what = "unfinished copy" if left[0].is_reserved else "empty volume"
            volumes = ", ".join(f"{seen.name} in pool {seen.pool}" for seen in left)
            yield f"{name}: the {what} stays, as the VM is locked: unlock it first ({volumes})"


def _is_left(seen: VolumeSeen) -> bool:
    return seen.is_reserved or seen.stage is Stage.ALLOCATED


def _of_vm(
    name: str, left: list[FoundLeftover], host: Setting, going: frozenset[str], *, restarting: bool
) -> Plan:
    have = host.observations.get(name, Observation())
    draft = Draft(name, have)
    for each in left:
        draft.add(each.action, each.reason)
    if not have.foreign and not out_of_sight(name, have, host.facts.unavailable):
        _power_on(draft, restarting=restarting)
        _take_away_volumes(draft, going)
    return draft.finished().value_or(Plan(name=name))


def _power_on(draft: Draft, *, restarting: bool) -> None:
    """End what is stuck, and start what is to be on; what is held goes on in the end."""
    have = draft.state
    off = replace(have, power=Power.STOPPED)
    known = have.recorded or have.defined
    may_start = restarting and (known is None or not known.is_to_be_off)
    starts = may_start and isinstance(after(Start(), off), Success)
    if have.power is Power.STUCK:
        starts = starts and have.in_effect is not None
        repair = Repair(Then.ON if starts else Then.OFF)
        draft.add(repair, "its monitor does not answer, or is gone")
        if starts:
            draft.start("it was on", again(have))
    elif have.to_run and starts:
        draft.start(LEFT_OFF, again(have))
    if draft.state.to_freeze and draft.state.power in (Power.RUNNING, Power.HELD):
        draft.add(Freeze(), LEFT_UNFROZEN)


def _take_away_volumes(draft: Draft, going: Container[str]) -> None:
    have = draft.state
    if not _may_lose_volumes(have):
        return
    if have.is_unfinished_copy:
        if draft.name in going:
            _destroy(draft, have.volumes, UNFINISHED)
            draft.add(Undefine(), UNFINISHED)
        return
    empty = [seen for seen in have.volumes if seen.stage is Stage.ALLOCATED]
    _destroy(draft, empty, "its creation or destruction was interrupted, and it is empty")


def _destroy(draft: Draft, volumes: Iterable[VolumeSeen], reason: str) -> None:
    for seen in volumes:
        draft.add(DestroyVolume(seen.pool, seen.name), reason)


def _may_lose_volumes(have: Observation) -> bool:
    """Whether all of the VM is known, and it is off and not locked."""
    unknown = any(seen.unreadable for seen in have.volumes) or have.unreliable or have.missing
    kept = have.locked or have.renaming
    return not (kept or unknown or have.power is not Power.STOPPED)


def _ended(have: Observation) -> Observation:
    """The VM once it is off, if it is stuck."""
    return replace(have, power=Power.STOPPED) if have.power is Power.STUCK else have


def _unfinished(host: Setting, names: Container[str]) -> frozenset[str]:
    """The unfinished copies among *names* that can go: no VM that stays mounts their volumes."""
    going = {
        name
        for name, have in host.observations.items()
        if name in names
        and not (have.foreign or out_of_sight(name, have, host.facts.unavailable))
        and _may_lose_volumes(_ended(have))
        and have.is_unfinished_copy
    }
    while True:
        staying = {name: spec for name, spec in host.specs.items() if name not in going}
        mounted = {each.vm for spec in staying.values() for each in spec.shared_volumes} & going
        if not mounted:
            return frozenset(going)
        going -= mounted
