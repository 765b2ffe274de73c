"""VMs of a host that is lost, taken over with the volumes that they have in shared pools.

Theory of operation
-------------------
What makes a VM that of a host is an owner in each shared pool. Nothing else has to be copied: so a
VM is taken over by a write there, and defined here. All that it has must be there already: whatever
would be made anew or destroyed is a reason to leave the VM as it was.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from geats_core.declared.shared_pools import Owner
from geats_core.planning.action_words import describe
from geats_core.planning.actions import AllocateVolume, DestroyVolume, FormatVolume, InstallTemplate
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading.checked import Code, Problem, unknown
from geats_core.reading.mappings import Raw
from geats_core.vm.observation import Stage
from geats_core.vm.spec import VMSpec, Volume
from geats_host.calls import lifecycle
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.storage import VolumeId
from geats_host.storage.shared import SharedPool

FENCED = (
    "fenced: must be true: say so only if {} is off, and does not come back by itself, or the VM "
    "runs twice"
)
ANEW = (AllocateVolume, DestroyVolume, FormatVolume, InstallTemplate)


@dataclass(frozen=True, slots=True)
class Taking:
    """A VM that can be taken over: from which owner, in each pool; it may be ours there already."""

    name: str
    raw: Raw | None
    owners: dict[str, Owner | None]

    @property
    def told(self) -> list[str]:
        """What is done, for people."""
        return [
            f"take {self.name} in the shared pool {pool} from {owner.host if owner else 'nobody'}"
            for pool, owner in self.owners.items()
        ]


def shared_vms(host: Host) -> dict[str, dict[str, object]]:
    """By pool that is shared: what this host is there, and which host has each VM."""
    found: dict[str, dict[str, object]] = {}
    for name, pool in _shared(host):
        vms = {vm: _plain(owner) for vm, owner in pool.vms().items() if owner is not None}
        us = pool.us.known()
        found[name] = {"us": _plain(us) if us else None, "vms": vms}
    return found


def taking(
    host: Host, name: str, from_: str | None, raw: Raw | None = None, *, fenced: object
) -> Taking:
    """What is to be taken over; ``Refused`` with every reason why it cannot be.

    *from_* is what the lost host is called in the pools, and *raw* a spec to use instead of the
    configuration's. That nothing of the VM runs any more is the word of the caller, *fenced*.
    """
    spec = host.declared(name, raw)
    if spec is None:
        raise Refused(unknown("name", "VM", name, host.config.vms))
    have = host.observe(name)
    if have.is_recorded:
        raise Refused(Problem(name, "is defined on this host already", Code.REFUSED))
    pools = dict(_shared(host))
    problems = [each for volume in spec.volumes for each in _wrong(spec, volume, pools)]
    owners = {each.pool: pools[each.pool].owner_of(name) for each in spec.volumes if not problems}
    problems += [
        each
        for pool, owner in owners.items()
        for each in _not_lost(name, pool, owner, pools[pool].us.known(), from_)
    ]
    if problems:
        raise Refused(*problems)
    if fenced is not True:
        raise Refused(FENCED.format(from_ or "whatever host had it"))
    return Taking(name, raw, owners)


def take_over(host: Host, found: Taking) -> SavedPlan:
    """Take it, and make the plan that defines it; ``Refused``, with all as before, if it would
    have to be made anew.
    """
    pools = {name: pool for name, pool in _shared(host) if name in found.owners}
    taken: list[str] = []
    try:
        for name, pool in pools.items():
            pool.take(found.name, found.owners[name])
            taken.append(name)
        _check_is_whole(lifecycle.plan_verb(host, "start", found.name, found.raw))
        return lifecycle.plan_verb(host, "define", found.name, found.raw)
    except BaseException:
        for name in taken:
            pools[name].give_back(found.name, found.owners[name])
        raise


def _check_is_whole(made: SavedPlan) -> None:
    anew = [step.action for step in made.plan.steps if isinstance(step.action, ANEW)]
    if anew:
        name = made.plan.plans[0].name
        why = "is not taken over: for that, geats would have to"
        raise Refused(
            *(Problem(name, f"{why} {describe(each, name)}", Code.REFUSED) for each in anew)
        )


def _shared(host: Host) -> Iterator[tuple[str, SharedPool]]:
    for name in sorted(host.pools):
        pool = host.pools.ask(name, lambda each: each)
        if isinstance(pool, SharedPool):
            yield name, pool


def _wrong(spec: VMSpec, volume: Volume, pools: dict[str, SharedPool]) -> Iterable[Problem]:
    """Why a volume is not there as it has to be."""
    path = f"volumes[{volume.name}].pool"
    if volume.pool not in pools:
        yield Problem(path, f"{volume.pool!r} is not shared: nothing of it is here", Code.REFUSED)
        return
    where = VolumeId(spec.name, volume.name)
    seen = pools[volume.pool].pool.observe(where).get(where)
    least = Stage.INSTALLED if volume is spec.root else Stage.FORMATTED
    if seen is None or seen.stage < least:
        state = "is not there" if seen is None else f"is only {seen.stage.name.lower()}"
        yield Problem(path, f"{volume.pool!r}: {volume.name} {state}", Code.REFUSED)


def _not_lost(
    name: str, pool: str, owner: Owner | None, us: Owner | None, from_: str | None
) -> Iterable[Problem]:
    """Why the owner is not the lost host; nobody and this host itself lose nothing."""
    ours = owner is None or (us is not None and owner.identity == us.identity)
    if owner is not None and not ours and owner.host != from_:
        why = f"is that of {owner.host} in the pool {pool}, and not of {from_ or 'nobody'}"
        yield Problem(name, why, Code.REFUSED)


def _plain(owner: Owner) -> dict[str, str]:
    return {"host": owner.host, "identity": owner.identity}
