"""A volume of a VM that is off moves to another pool of its host.

Theory of operation
-------------------
One step does it (see ``MoveVolume``): wherever that is interrupted, one volume counts, the one in
the pool that the VM is defined with. The other is worth nothing: it is the copy, and once the VM is
defined with that, the old one. So the VM can be used as ever, and the same move begins anew, or
ends. A move to the pool that counts removes what is left in the other one: it undoes a move that
was interrupted. Until either is done, no other plan changes the pool of the volume, or its VM's
name.

The description is the operator's: as long as it has the old pool, the next plan is refused.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from returns.result import Failure

from geats_core.deciding.refusals import foreign, left_of_move
from geats_core.planning.actions import ActivateVolume, MoveVolume
from geats_core.planning.draft import Draft
from geats_core.planning.goal import Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.offers import Offer
from geats_core.planning.steps import Plan
from geats_core.reading.checked import Checked, Code, Problem, Problems, unknown, within
from geats_core.vm.observation import Observation, Power, Stage, VolumeSeen, definitions
from geats_core.vm.spec import ROOT, VMSpec, Volume
from geats_core.vm.unseen import out_of_sight, unreliable_parts

LEFT = "it counts in pool {} already, so only what a move left in pool {} is destroyed"


def plan_volume_move(
    name: str,
    volume: str,
    pool: str,
    observations: Mapping[str, Observation],
    facts: HostFacts | None = None,
) -> Checked[Plan]:
    """Move the volume of the VM *name* that is called *volume* to *pool*; the VM must be off.

    Its snapshots do not move: it is refused if it has any, if another VM mounts it, or if *pool* is
    of another kind. Nothing is to be done once it is there. *observations* is everything on the
    host, by the names of the VMs.
    """
    facts = facts or HostFacts()
    have = observations.get(name, Observation())
    problems = [
        *foreign(Goal(name=name, target=Target.OFF), have),
        *unreliable_parts(name, have),
        *out_of_sight(name, have, facts.unavailable),
    ]
    own = {each.name: each for each in have.recorded.volumes} if have.recorded else {}
    if have.recorded is None:
        problems.append(Problem(name, "is not defined", Code.REFUSED))
    elif volume not in own:
        problems.append(unknown(f"{name}.volumes", "volume", volume, own))
    if facts.pools is not None and pool not in facts.pools:
        problems.append(unknown("pool", "pool", pool, facts.pools))
    if problems or have.recorded is None:
        return Failure(tuple(problems))
    return _move(have.recorded, own[volume], pool, have, observations, facts)


def _move(
    spec: VMSpec,
    volume: Volume,
    pool: str,
    have: Observation,
    observations: Mapping[str, Observation],
    facts: HostFacts,
) -> Checked[Plan]:
    draft = Draft(spec.name, have)
    is_here = volume.pool == pool
    old = (
        next(iter(_left(volume, have)), None) if is_here else have.volume(volume.pool, volume.name)
    )
    counts = have.volume(volume.pool, volume.name)
    if counts is not None and counts.is_moving:
        return Failure(within(spec.name, [left_of_move(spec.name, counts, have)]))
    if is_here and old is None:
        return draft.finished()  # and nothing is left elsewhere
    found = tuple(_in_the_way(spec, volume, pool, old, have, observations, facts))
    if found or old is None:
        return Failure(found)
    if not (old.active or is_here):
        draft.add(ActivateVolume(old.pool, old.name), "it is to be read")
    reason = LEFT.format(volume.pool, old.pool) if is_here else "another pool is asked for"
    size_bytes = max(volume.size_bytes or 0, old.size_bytes or 0) or None
    in_pool = replace(volume, pool=pool)
    moved = replace(spec, volumes=tuple(in_pool if v is volume else v for v in spec.volumes))
    draft.add(MoveVolume(pool, volume.name, old.pool, size_bytes, moved), reason)
    return draft.finished()


def _left(volume: Volume, have: Observation) -> Iterable[VolumeSeen]:
    """What does not count of it, in another pool."""
    found = (seen for seen in have.volumes if seen.name == volume.name and seen.is_moving)
    return (seen for seen in found if seen.pool != volume.pool)


def _in_the_way(
    spec: VMSpec,
    volume: Volume,
    pool: str,
    old: VolumeSeen | None,
    have: Observation,
    observations: Mapping[str, Observation],
    facts: HostFacts,
) -> Iterable[Problem]:
    name, path = spec.name, f"{spec.name}.volumes[{volume.name}]"
    if have.power is not Power.STOPPED:
        yield Problem(name, f"is {have.power}: shut it down first", Code.REFUSED)
    if have.copy_of:
        yield Problem(name, f"is an unfinished copy of {have.copy_of}", Code.REFUSED)
    for left in _left(volume, have):
        if pool not in (volume.pool, left.pool):
            yield from within(name, [left_of_move(name, left, have)])
    if volume.pool == pool:
        return
    needed = Stage.INSTALLED if volume.name == ROOT else Stage.FORMATTED
    if old is None or old.stage < needed or old.is_reserved:
        yield Problem(path, "is missing or not ready", Code.REFUSED)
    elif old.snapshots:
        names = ", ".join(each.name for each in old.snapshots)
        message = f"has snapshots, which cannot move: delete them first ({names})"
        yield Problem(path, message, Code.REFUSED)
    there = have.volume(pool, volume.name)
    if not _is_free(there):
        message = f"there is another one in pool {pool}: geats volumes remove {name} {volume.name}"
        yield Problem(path, f"{message} --pool {pool} destroys that one", Code.CONFLICT)
    if old is not None:
        yield from _of_another_kind(path, facts.pool(old.pool).offers, pool, facts)
    for other, theirs in definitions(observations).items():
        if any((each.vm, each.volume) == (name, volume.name) for each in theirs.shared_volumes):
            message = f"{other} mounts it: take it out of its shared_volumes first"
            yield Problem(path, message, Code.CONFLICT)


def _is_free(there: VolumeSeen | None) -> bool:
    return there is None or there.is_moving or there.stage is Stage.ALLOCATED


def _of_another_kind(path: str, old: Offer | None, pool: str, facts: HostFacts) -> Problems:
    """Trees are not written to disks, nor disks to directories."""
    new = facts.pool(pool).offers
    if old is None or new is None or (old is Offer.DIRECTORY) == (new is Offer.DIRECTORY):
        return ()
    message = f"is a {old}, and the pool {pool!r} offers a {new}"
    return (Problem(f"{path}.pool", message, Code.REFUSED),)


def notes(name: str, volume: str, pool: str, declared: VMSpec | None) -> tuple[str, ...]:
    """What a user should do beside: the VM is *declared* with another pool, or is not declared."""
    others = (
        [v for v in declared.volumes if v.name == volume and v.pool != pool] if declared else ()
    )
    return tuple(
        f"{name} is declared with volume {volume} in pool {each.pool}: write pool: {pool} there, or"
        " the next plan is refused"
        for each in others
    )
