"""A new VM with the content of another one, in the same pools: a plan about both.

The new one is made as an import makes it (see ``copies``): reserved first, then filled. A source
that runs is frozen while it is copied, and one that is off is held off: nothing else changes of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from returns.result import Failure, Success

from geats_core.deciding.refusals import only_while_off, refusals
from geats_core.declared.policy import HostPolicy
from geats_core.hostwide.host_planner import HostPlan, Setting, arranged
from geats_core.jobs import machine_memory
from geats_core.jobs.copies import claimed, in_the_way, make_room, not_there, not_whole
from geats_core.planning.actions import (
    CloneVolume,
    ConfigureGuest,
    Hold,
    Identity,
    Pause,
    Unfreeze,
)
from geats_core.planning.draft import LEFT_HELD, Draft, held_as
from geats_core.planning.goal import Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.steps import Plan, Step
from geats_core.reading.checked import Checked, Problem
from geats_core.reading.sizes import format_size
from geats_core.vm.observation import Observation, Power
from geats_core.vm.spec import ROOT, VMSpec


def plan_clone(
    source: str,
    spec: VMSpec,
    observations: Mapping[str, Observation],
    facts: HostFacts | None = None,
    policy: HostPolicy | None = None,
) -> Checked[HostPlan]:
    """Create the VM *spec* as a copy of *source*. The new VM is off.

    Refused if there is a VM of this name (unless it is left from the same clone), if another VM has
    one of its addresses, or if its volumes are not those of *source*. *observations* is everything
    on the host, by the names of the VMs.
    """
    facts = facts or HostFacts()
    from_ = observations.get(source, Observation())
    have = observations.get(spec.name, Observation())
    others = {
        name: known
        for name, seen in observations.items()
        if (known := seen.recorded or seen.defined) is not None
    }
    goal = Goal(name=spec.name, target=Target.DEFINED, spec=spec)
    found = (
        *not_there(source, from_),
        *only_while_off(source, from_, facts),
        *not_whole(source, from_),
        *in_the_way(spec, have, _of(source)),
        *_other_volumes(spec, from_),
        *refusals(goal, spec, Observation(), facts),
        *claimed(spec, others),
    )
    if found:
        return Failure(found)
    made = _copy(source, from_, spec, have, facts)
    host = Setting({**others, spec.name: spec}, observations, facts, policy or HostPolicy())
    alone = arranged([made.unwrap()], host) if isinstance(made, Success) else made
    match alone:
        case Success(plan):
            return Success(_with_source(plan, source, from_, facts))
        case Failure() as refused:
            return refused


def _copy(
    source: str, from_: Observation, spec: VMSpec, have: Observation, facts: HostFacts
) -> Checked[Plan]:
    """The steps of the new VM."""
    draft = Draft(spec.name, have)
    sizes = {seen.name: seen.size_bytes for seen in from_.volumes}
    make_room(draft, spec, _of(source), from_.by_hand, Identity.NEW, sizes=sizes, facts=facts)
    for volume in spec.volumes:
        where = (volume.pool, volume.name)
        seen, old = draft.state.volume(*where), from_.volume(*where)
        if seen is not None and seen.is_reserved and old is not None:
            template = _template(spec, from_, old.template) if volume.name == ROOT else None
            draft.add(CloneVolume(*where, source, template), _why(source, volume.name, spec))
    reason = "its files in the guest are those of another VM"
    draft.add(ConfigureGuest(spec.root.pool, ROOT, spec), reason)
    return draft.finished()


def _why(source: str, volume: str, spec: VMSpec) -> str:
    parts = machine_memory.remembering(spec) if volume == ROOT else ()
    return machine_memory.told(f"it should be as that of {source}", parts, Identity.NEW)


def _of(source: str) -> str:
    """What the new VM is a copy of."""
    return f"the VM {source}"


def _template(spec: VMSpec, from_: Observation, installed: str | None) -> str | None:
    """What the root was once installed from, unless the copy says otherwise."""
    same = from_.recorded is not None and from_.recorded.template == spec.template
    return installed if same else spec.template


def _with_source(alone: HostPlan, source: str, from_: Observation, facts: HostFacts) -> HostPlan:
    """The plan of the new VM, and before and after it fills volumes, what the source does."""
    kinds = [type(step.action) for step in alone.steps]
    if CloneVolume not in kinds and from_.power is not Power.HELD:
        return alone  # an earlier try came so far
    first = kinds.index(CloneVolume) if CloneVolume in kinds else len(kinds)
    hold = Step(
        vm=source,
        action=Hold() if from_.power is Power.RUNNING else Pause(),
        reason=held_as("it must be copied as it is at one moment", from_.recorded, facts),
        needs=tuple(range(first)),
    )
    steps = [*alone.steps[:first], hold, *_later(alone.steps, first)]
    own = [hold]
    if from_.power in (Power.RUNNING, Power.HELD):
        copied = tuple(at for at, step in enumerate(steps) if isinstance(step.action, CloneVolume))
        reason = "it ran before" if from_.power is Power.RUNNING else LEFT_HELD
        own.append(Step(vm=source, action=Unfreeze(), reason=reason, after=copied))
        steps.append(own[1])
    of_source = Plan(name=source, steps=tuple(replace(s, needs=(), after=()) for s in own))
    return replace(alone, plans=(*alone.plans, of_source), steps=tuple(steps))


def _later(steps: Sequence[Step], first: int) -> Iterable[Step]:
    """The steps from the position *first* on, moved back by one; fills wait for that one."""
    for step in steps[first:]:
        needs, after = (
            tuple(at + (at >= first) for at in positions) for positions in (step.needs, step.after)
        )
        held = (first,) if isinstance(step.action, CloneVolume) else ()
        yield step.waiting((*needs, *held), after)


def _other_volumes(spec: VMSpec, from_: Observation) -> Iterable[Problem]:
    """Volumes that are not the source's, in another pool than those, or smaller."""
    theirs = {} if from_.recorded is None else {v.name: v for v in from_.recorded.volumes}
    if theirs and theirs.keys() != {volume.name for volume in spec.volumes}:
        message = f"must be those of the source ({', '.join(sorted(theirs))})"
        yield Problem(f"{spec.name}.volumes", message)
        return
    for volume in spec.volumes if theirs else ():
        path, old = f"{spec.name}.volumes[{volume.name}]", theirs[volume.name]
        seen = from_.volume(volume.pool, volume.name)
        if volume.pool != old.pool:
            message = (
                f"must be {old.pool!r}, as in the source: to use another pool, export and import"
            )
            yield Problem(f"{path}.pool", message)
        elif seen is not None and (volume.size_bytes or seen.size_bytes or 0) < (
            seen.size_bytes or 0
        ):
            smallest = format_size(seen.size_bytes or 0)
            yield Problem(f"{path}.size", f"must be that of the source, {smallest}, or more")
