"""Volumes in pools that both hosts use: passed on by the host that has them, by name.

Theory of operation
-------------------
The host that asks says who it is, for each volume, and writes a *token* into the pool. The other
one passes the VM on only if it sees that there: so both look at the same files, and now. Whatever
is cut, each pool has one owner of the VM, and asking again goes on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

from geats_core.declared.shared_pools import Owner, owner_from_json, owner_to_json
from geats_core.vm.observation import VolumeSeen
from geats_core.vm.spec import VMSpec
from geats_host.errors import HostError, Refused
from geats_host.storage import Pool, VolumeId
from geats_host.storage.shared import SharedPool

ALONG = "along"
NOT_SHARED = "is not shared on this host: say `shared: true` of its pool on both"
Pools: TypeAlias = Mapping[str, Pool]
Wanted: TypeAlias = Sequence[tuple[str, SharedPool, Owner]]  # volume, where it is, who wants it


@contextmanager
def asked_for(pools: Pools, volumes: Iterable[VolumeSeen]) -> Iterator[dict[str, object]]:
    """What a request says of the *volumes* that are to come along."""
    with ExitStack() as tokens:
        said: list[object] = []
        for each in volumes:
            pool = pools[each.pool]
            if not isinstance(pool, SharedPool):
                raise HostError(f"volume {each.name}: {NOT_SHARED}")
            us, token = pool.us.made(), tokens.enter_context(pool.owners.token())
            said.append({"volume": each.name, "owner": owner_to_json(us), "token": token})
        yield {ALONG: said}


def wanted(pools: Pools, spec: VMSpec, request: Mapping[str, object]) -> Wanted:
    """Which volumes of the VM are asked for, by whom; ``Refused`` if one cannot be passed on."""
    said = request.get(ALONG, [])
    where = {each.name: each.pool for each in spec.volumes}
    return [
        _wanted(pools, spec.name, where, each) for each in (said if isinstance(said, list) else [])
    ]


def _wanted(
    pools: Pools, vm: str, where: Mapping[str, str], said: object
) -> tuple[str, SharedPool, Owner]:
    match said:
        case {"volume": str(volume), "owner": str(owner), "token": str(token)} if volume in where:
            pool, to = pools[where[volume]], owner_from_json(owner)
        case _:
            raise Refused(f"{vm}: what is to come along cannot be read: both need the same geats")
    if not isinstance(pool, SharedPool):
        raise Refused(f"{vm}/{volume}: {NOT_SHARED}")
    if not to.identity:
        raise Refused(f"{vm}/{volume}: it cannot be read who is to have it")
    if not pool.owners.has_token(token):
        at = f"{pool.owners.root}: a file that the other host wrote there is not seen here"
        raise Refused(f"{at}: is it on NFS or a cluster filesystem, and the same on both hosts?")
    return volume, pool, to


def is_passed_on(pools: Pools, spec: VMSpec) -> bool:
    """Whether another host has the VM in one of its pools already: it was asked for before."""
    of = {each.pool: pools[each.pool] for each in spec.volumes if each.pool in pools}
    return any(isinstance(pool, SharedPool) and pool.is_anothers(spec.name) for pool in of.values())


def pass_on(spec: VMSpec, asked: Wanted, forget: Callable[[str, str], None]) -> None:
    """Let those that want them have them; *forget* sees that nobody misses one here."""
    where = {each.name: each.pool for each in spec.volumes}
    for volume, pool, _ in asked:
        pool.deactivate(VolumeId(spec.name, volume))
    for volume, pool, to in asked:
        pool.pass_on(spec.name, to)
        forget(where[volume], volume)
