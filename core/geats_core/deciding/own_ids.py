"""Ids that geats allocates for one VM: kept as long as it is defined, and those of no other.

Theory of operation
-------------------
A VM with ``idmap: auto`` says how many ids it needs, and not which. These are settled before
anything else is planned: they are those that it is defined with, or else the lowest that are free.
So its definition is the record of what is allocated, and what is no longer defined is free. What
any other VM has, or ran with when it was looked at, is taken; so are the ids of all VMs that say
nothing of ids, and the holes of the VM itself. Two plans that are made at once can settle the same
ids: the later one is refused before it is applied (see ``recheck``).
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias

from returns.result import Success

from geats_core.planning.host_facts import HostFacts
from geats_core.planning.plugin_facts import SubordinateIds
from geats_core.planning.spec_changes import keeping_ids
from geats_core.reading.checked import Checked, Code, problem
from geats_core.vm.idmap import HIGHEST
from geats_core.vm.observation import Observation
from geats_core.vm.spec import VMSpec

Block: TypeAlias = tuple[int, int]  # the first id, and how many there are

UNKNOWN = SubordinateIds(ranges=((1_000_000, 1_000_000_000),))
ROUND = 65_536
MORE = 100 * ROUND


def with_own_ids(
    want: VMSpec, have: Observation, taken: Iterable[Block], facts: HostFacts
) -> Checked[VMSpec]:
    """*want* with the ids that it has already, or else with others than those that are *taken*."""
    want = keeping_ids(want, have)
    own = want.own_ids
    if own is None or own.first is not None:
        return Success(want)
    ids = facts.driver(want.driver).ids or UNKNOWN
    holes = [(hole.host, hole.count) for hole in own.through]
    used = [*taken, *holes, *([ids.shared] if ids.shared else ())]
    first = lowest_free(own.count, ids.ranges, used)
    if first is None:
        return problem("idmap", _exhausted(own.count, ids, used), Code.REFUSED)
    return Success(replace(want, own_ids=replace(own, first=first)))


def lowest_free(count: int, ranges: Iterable[Block], taken: Iterable[Block]) -> int | None:
    """The lowest id from which on *count* ids are in one of *ranges* and not *taken*."""
    used = sorted(taken)
    for start, length in sorted(ranges):
        at = start
        for first, many in used:
            if first < at + count and at < first + many:
                at = first + many
        if at + count <= start + length:
            return at
    return None


def blocks(spec: VMSpec) -> Iterable[Block]:
    """The ids of the host that a VM has; nothing of what the host has for all.

    What is allocated for it is so as a whole, with the ids that it does not use for its holes.
    """
    own = spec.own_ids
    if own and own.first is not None:
        yield own.first, own.count
    for each in own.through if own else spec.idmap:
        yield each.host, each.count


def _exhausted(count: int, ids: SubordinateIds, used: Iterable[Block]) -> str:
    ends = [first + many for first, many in (*ids.ranges, *used)]
    start = -(-max(ends, default=1_000_000) // ROUND) * ROUND
    line = f"root:{start}:{max(MORE, count)}"
    has = ", ".join(f"{first}:{many}" for first, many in ids.ranges) or "none"
    why = f"no {count} ids are free among those that root has for users and groups ({has})"
    if ids.shared and ids.shared[1] > ROUND:
        shared = f"VMs without idmap have {ids.shared[0]}:{ids.shared[1]}"
        return f"{why}: {shared}; give the driver idmap_first and idmap_count, to leave them fewer"
    if start + max(MORE, count) > HIGHEST:
        return f"{why}: deprovision VMs that have some, or give them a smaller count"
    return f"{why}: add the line {line} to /etc/subuid and to /etc/subgid"
