"""A whole VM, or its root, as a file: plans to export one and to publish a template.

A running VM is frozen while its volumes are read, or only until they are cloned, if their pools
can do that in no time.
"""

from collections.abc import Callable, Collection
from functools import partial

from returns.result import Failure

from geats_core.deciding.refusals import only_while_off
from geats_core.jobs.copies import not_there
from geats_core.planning.actions import (
    ActivateVolume,
    Export,
    Hold,
    OfOneGuest,
    Publish,
    Reading,
    Unfreeze,
)
from geats_core.planning.draft import LEFT_HELD, Draft, held_as
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.steps import Plan
from geats_core.reading.checked import Checked, Code, problem
from geats_core.vm.observation import Observation, Power
from geats_core.vm.spec import RootKind, VMSpec


def plan_export(
    name: str, archive: str, have: Observation, facts: HostFacts | None = None
) -> Checked[Plan]:
    """Write the VM to an archive at this path. A running VM is frozen for as short as possible."""
    make = partial(Export, archive)
    return _read_at_once(name, have, facts or HostFacts(), make, "an export was asked for")


def plan_publish(
    name: str,
    file: str,
    have: Observation,
    facts: HostFacts,
    keep: Collection[OfOneGuest] | None = None,
) -> Checked[Plan]:
    """Write the root volume of the VM to a file that can be declared as a template.

    A tree has none of what others must not have, but for what is to *keep*. Of a disk, in which
    nobody looks, all is kept; refused if another choice is made.
    """
    root = None if have.recorded is None else have.recorded.root
    offers = None if root is None else facts.pool(root.pool).offers
    is_tree = offers is None or offers.takes(RootKind.TREE)
    if keep is not None and not is_tree:
        message = "no disk of a guest is opened: what it has is kept; clean it in the guest"
        return problem(f"{name}.keep", message, Code.REFUSED)
    without = tuple(each for each in OfOneGuest if is_tree and each not in (keep or ()))
    kept = [each for each in OfOneGuest if each not in without]
    has = f", with its {', '.join(kept)}" if kept else ""
    reason = f"a template was asked for{has}"
    return _read_at_once(name, have, facts, partial(Publish, file, without), reason)


def _read_at_once(
    name: str,
    have: Observation,
    facts: HostFacts,
    make: Callable[[Reading], Export | Publish],
    reason: str,
) -> Checked[Plan]:
    """What *make* makes, of volumes as they are at one moment: a VM that is on is frozen."""
    found = [*not_there(name, have), *only_while_off(name, have, facts)]
    if found or have.recorded is None:
        return Failure(tuple(found))
    draft = Draft(name, have)
    for volume in have.recorded.volumes:
        seen = have.volume(volume.pool, volume.name)
        if seen is not None and not seen.active:
            draft.add(ActivateVolume(seen.pool, seen.name), "it is not active")
    able = _can_clone(have.recorded, facts)
    if have.power is Power.HELD and able:
        draft.add(Unfreeze(), LEFT_HELD)
    if draft.state.power is Power.RUNNING and able:
        draft.add(make(Reading.CLONES), reason)
        return draft.finished()
    if have.power is Power.RUNNING:
        at_once = "its volumes must be read as they are at one moment"
        draft.add(Hold(), held_as(at_once, have.recorded, facts))
    draft.add(make(Reading.VOLUMES), reason)
    if have.power is Power.RUNNING:
        draft.add(Unfreeze(), "it ran before")
    return draft.finished()


def _can_clone(spec: VMSpec, facts: HostFacts) -> bool:
    """Whether every volume can be cloned in no time."""
    pools = [facts.pool(volume.pool) for volume in spec.volumes]
    return all(pool.snapshots and pool.clones for pool in pools)
