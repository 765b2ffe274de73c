"""Repairing a host: what interrupted operations left becomes one plan (see ``interrupted``)."""

from collections.abc import Iterable

from geats_core.jobs.repairs import Found, plan_repair
from geats_core.plans.plan_files import SavedPlan
from geats_host.engine import interrupted
from geats_host.errors import accepted
from geats_host.host import Host
from geats_host.planning.facts import facts_of
from geats_host.planning.obstacles import obstacles
from geats_host.planning.plans import saved


def plan(host: Host) -> SavedPlan:
    """The plan that ends all that is left over on a host; warnings name what is of others."""
    seen = host.observe_all()
    everything = dict(interrupted.everything(host, seen))
    at_work = _at_work(host, {*seen, *(each.vm for each in everything.values())})
    found = [
        Found(action=action, reason=each.reason, vm=each.vm)
        for (_, action), each in everything.items()
        if not each.owner and each.vm not in at_work
    ]
    facts, policy = facts_of(host, host.drivers), host.config.policy
    whole = accepted(plan_repair(found, seen, facts, policy, at_work.keys()))
    used = {
        each.name: tuple(obstacles(each.steps, seen, host.drivers, host.pools))
        for each in whole.plans
    }
    stay = {name for name, why in used.items() if why}
    made = accepted(plan_repair(found, seen, facts, policy, {*at_work, *stay})) if stay else whole
    about = {each.name: seen[each.name] for each in made.plans if each.name in seen}
    warnings = (
        *(f"{name} is left as it is: {who} works on it" for name, who in at_work.items()),
        *(f"{each}" for why in used.values() for each in why),
        *(
            f"the {each.kind} {each.name} stays: {each.owner}"
            for each in everything.values()
            if each.owner
        ),
    )
    return saved(host, made, about, warnings)


def _at_work(host: Host, names: Iterable[str]) -> dict[str, str]:
    """The VMs that some other process works on, and which one does."""
    found = {name: host.locks.at_work(name) for name in sorted(names) if name}
    return {name: who for name, who in found.items() if who}
