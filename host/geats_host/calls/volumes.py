"""Single volumes of the VMs of a host: the plans for what people ask of one, by its name."""

from geats_core.jobs.left_volumes import plan_removal
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading import fields
from geats_core.reading.mappings import options
from geats_host.errors import accepted
from geats_host.host import Host
from geats_host.planning.facts import facts_of
from geats_host.planning.plans import saved_alone
from geats_host.planning.sources import check_sources

NO_POOL: str | None = None


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
