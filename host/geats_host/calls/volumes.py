"""Single volumes of the VMs of a host: the plans for what people ask of one, by its name."""

from dataclasses import replace

from geats_core.jobs import volume_moves
from geats_core.jobs.left_volumes import plan_removal
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading import fields
from geats_core.reading.checked import unknown
from geats_core.reading.mappings import options
from geats_core.vm.observation import VolumeSeen
from geats_host.errors import Refused, accepted
from geats_host.host import Host
from geats_host.planning.facts import facts_of
from geats_host.planning.plans import saved_alone
from geats_host.planning.sources import check_sources

NO_POOL: str | None = None


def left(host: Host, name: str, volume: str, pool: str | None = None) -> VolumeSeen:
    """The volume of that name which the VM is no longer defined with; refused if there is not one.

    *pool* says which, if there are several.
    """
    have = host.whole(name)
    spec = have.recorded
    wanted = {(each.pool, each.name) for each in spec.volumes} if spec else set()
    there = [each for each in have.volumes if (each.pool, each.name) not in wanted]
    found = [each for each in there if each.name == volume and pool in (None, each.pool)]
    if not found:
        names = {f"{each.name} in pool {each.pool}" for each in there}
        raise Refused(unknown(f"{name}.volumes", "volume that is left over", volume, names))
    if len(found) > 1:
        raise Refused(f"{name}.volumes[{volume}]: is in several pools: say which pool")
    return found[0]


def remove(host: Host, name: str, volume: object, pool: object = None) -> SavedPlan:
    """The plan that destroys a volume which its VM is neither defined nor declared with.

    *pool* says which, if there is one of this name in several pools.
    """
    read = options({"volume": volume, "pool": pool})
    called = read.need("volume", fields.name, "")
    where = read.take("pool", fields.name, NO_POOL)
    accepted(read.done(None))
    have = host.known(name)
    seen = {**host.observe_all(), name: have}
    declared, facts = host.declared(name), facts_of(host, [])
    made = accepted(plan_removal(name, called, seen, facts, pool=where, declared=declared))
    check_sources(host, made.steps, seen)
    return saved_alone(host, have, made)


def move(host: Host, name: str, volume: object, pool: object) -> SavedPlan:
    """The plan that moves a volume of a VM that is off to another *pool*.

    Asked for again, it ends what an interruption left; and there is nothing to do once it is done.
    """
    read = options({"volume": volume, "pool": pool})
    called = read.need("volume", fields.name, "")
    where = read.need("pool", fields.name, "")
    accepted(read.done(None))
    have = host.known(name)
    seen = {**host.observe_all(), name: have}
    drivers = [have.recorded.driver] if have.recorded else []
    facts = facts_of(host, drivers)
    made = accepted(volume_moves.plan_volume_move(name, called, where, seen, facts))
    check_sources(host, made.steps, seen)
    planned = saved_alone(host, have, made)
    warnings = () if made.is_empty else _declared_elsewhere(host, name, called, where)
    return replace(planned, warnings=(*planned.warnings, *warnings))


def _declared_elsewhere(host: Host, name: str, volume: str, pool: str) -> tuple[str, ...]:
    """What is declared is for the next plan: it must not stand in the way of this one."""
    try:
        return volume_moves.notes(name, volume, pool, host.declared(name))
    except Refused:
        return ()
