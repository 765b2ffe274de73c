"""Why a VM that is on has to restart, or a volume has to be recreated."""

from collections.abc import Iterator
from dataclasses import replace

from geats_core.deciding.losses import missing_volumes, outdated_volumes
from geats_core.planning.costs import COST, Costs, Impact
from geats_core.planning.goal import Restart
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.spec_changes import Change, at_least, changes
from geats_core.reading.sizes import format_size
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.observation import Observation, Power, Stage, VolumeSeen
from geats_core.vm.spec import ROOT, VMSpec, Volume

SIZES = "volume sizes"  # a field of COST


def changes_that_restart(
    want: VMSpec, have: Observation, facts: HostFacts, restart: Restart
) -> tuple[Change, ...]:
    """The changes for which a VM that is not off restarts, to become *want*."""
    anew = rebuilds(want, have)
    if anew or have.in_effect is None:
        return anew
    costs = Impact.NONE if restart is Restart.ALWAYS else Impact.RESTART
    found = at_least(costs, changes(have.in_effect, want, facts.driver(want.driver).all_costs))
    return (*found, *growth_while_off(want, have, facts))


def why_restart(want: VMSpec, have: Observation) -> str:
    """Why else a restart is needed, if no change needs one; empty if it is not."""
    if have.power is Power.STUCK:
        return "its monitor does not answer"
    if have.power is Power.STOPPED:
        return ""
    if missing_volumes(want, have):
        return "one of its volumes is not found, and should be recreated"
    if have.in_effect is None:
        return "it is not known what it was started with"
    root = have.volume(want.root.pool, ROOT)
    if root is None or root.stage is not Stage.INSTALLED:
        return "its root volume has no template installed"
    so_far = replace(want, dns=have.in_effect.dns)  # which alone may change while it runs
    told = root.guest in (guest_digest(want), guest_digest(so_far))
    return "" if told else "its guest is not configured as described"


def rebuilds(want: VMSpec, have: Observation) -> tuple[Change, ...]:
    """The changes that make volumes of *have* outdated, as they are on the host."""
    pools = {volume.name: volume.pool for volume in want.volumes}

    def change(field_name: str, old: object, new: object) -> Change:
        return Change(field_name, old, new, COST[field_name])

    return tuple(
        change("volume pools", {seen.name: seen.pool}, {seen.name: pools[seen.name]})
        if seen.pool != pools[seen.name]
        else change("template", seen.template, want.template)
        for seen in outdated_volumes(want, have)
    )


def growth_while_off(want: VMSpec, have: Observation, facts: HostFacts) -> tuple[Change, ...]:
    """The volumes that must grow, and cannot while the VM is on."""
    return tuple(change for change, _ in _growths_while_off(want, have, facts))


def _growths_while_off(
    want: VMSpec, have: Observation, facts: HostFacts
) -> Iterator[tuple[Change, str]]:
    """Each with why."""
    for volume in want.volumes:
        seen = have.volume(volume.pool, volume.name)
        why = facts.cannot_grow_online(want.driver, volume)
        if why and seen is not None and must_grow(volume, seen):
            old, new = {volume.name: _size(seen)}, {volume.name: _size(volume)}
            yield Change(SIZES, old, new, Impact.RESTART), why


def in_words(because: tuple[Change, ...], want: VMSpec, have: Observation, facts: HostFacts) -> str:
    """The changes for which a VM restarts; of a volume that grows, why that takes a restart."""
    whys = {f"{change}": why for change, why in _growths_while_off(want, have, facts)}
    words = map(str, because)
    return "; ".join(f"{each} ({whys[each]})" if each in whys else each for each in words)


def waiting(now: VMSpec, then: VMSpec, have: Observation, costs: Costs) -> tuple[Change, ...]:
    """What of *then* is not in effect in a VM that runs with *now*.

    Nobody waits for what costs nothing, nor for the size of a volume that has it by now.
    """
    seen = ((each, have.volume(each.pool, each.name)) for each in then.volumes)
    grow = any(volume is not None and must_grow(each, volume) for each, volume in seen)
    found = at_least(Impact.LIVE, changes(now, then, costs))
    return tuple(each for each in found if grow or each.field != SIZES)


def must_grow(volume: Volume, seen: VolumeSeen) -> bool:
    return volume.size_bytes is not None and (seen.size_bytes or 0) < volume.size_bytes


def _size(volume: Volume | VolumeSeen) -> str | None:
    return None if volume.size_bytes is None else format_size(volume.size_bytes)
