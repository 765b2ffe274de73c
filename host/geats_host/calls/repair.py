"""Repairing a host: what interrupted operations left becomes one plan (see ``interrupted``)."""

from collections.abc import Collection, Iterable

from geats_core.jobs.repairs import FoundLeftover, kept_locked, plan_repair
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading.checked import unknown
from geats_host.engine import interrupted
from geats_host.errors import Refused, accepted
from geats_host.host import Host
from geats_host.planning.facts import facts_of
from geats_host.planning.obstacles import obstacles
from geats_host.planning.plans import saved


def plan(host: Host, names: Iterable[str] = ()) -> SavedPlan:
    """The plan that ends all that is left over on a host, or of the VMs that are named.

    Warnings say what stays: what others have, and what a locked VM keeps.
    """
    seen, only = host.observe_all(), frozenset(names)
    everything = dict(interrupted.everything(host, seen))
    about = {*seen, *(each.vm for each in everything.values())}
    wanted = _wanted(only, {*about, *host.config.vms}) if only else about
    at_work = _at_work(host, about & wanted)
    aside = {*at_work, *(about - wanted)}
    found = [
        FoundLeftover(action=action, reason=each.reason, vm=each.vm)
        for (_, action), each in everything.items()
        if not each.owner and each.vm not in aside
    ]
    facts, policy = facts_of(host, host.drivers), host.config.policy
    whole = accepted(plan_repair(found, seen, facts, policy, aside))
    used = {
        each.name: obstacles(each.steps, seen, host.drivers, host.pools) for each in whole.plans
    }
    stay = {name for name, why in used.items() if why}
    made = accepted(plan_repair(found, seen, facts, policy, {*aside, *stay})) if stay else whole
    before = {each.name: seen[each.name] for each in made.plans if each.name in seen}
    warnings = (
        *(f"{name} is left as it is: {who} works on it" for name, who in at_work.items()),
        *(f"{each}" for why in used.values() for each in why),
        *(
            f"the {each.kind} {each.name} stays: {each.owner}"
            for each in everything.values()
            if each.owner and each.vm in wanted
        ),
        *kept_locked({name: have for name, have in seen.items() if name in wanted}),
    )
    return saved(host, made, before, warnings)


def _wanted(names: frozenset[str], there: Collection[str]) -> frozenset[str]:
    problems = [
        unknown("names", "VM", name, sorted(filter(None, there)))
        for name in sorted(names)
        if name not in there or not name
    ]
    if problems:
        raise Refused(*problems)
    return names


def _at_work(host: Host, names: Iterable[str]) -> dict[str, str]:
    """The VMs that some other process works on, and which one does."""
    found = {name: host.locks.at_work(name) for name in sorted(names) if name}
    return {name: who for name, who in found.items() if who}
