"""A plan that is about to be carried out: its VMs locked, and held against what there is.

Theory of operation
-------------------
A plan may be old, or come from a file. So first its VMs are locked and observed again: if one is
not as it was when the plan was made, the plan is refused before the first step. A plan that takes
what other VMs could want (memory, addresses, space) looks at all of them, and reserves what it
takes until it ends; any other plan looks only at its own VMs.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from threading import Event
from typing import TYPE_CHECKING

from geats_core.hostwide import recheck
from geats_core.hostwide.recheck import no_longer, takes
from geats_core.planning.actions import (
    Action,
    Adopt,
    Define,
    InstallTemplate,
    MoveVolume,
    NotePlaces,
    Pause,
    RemoveLeftover,
    Rename,
    UpgradeRegistry,
    VolumeAction,
)
from geats_core.planning.model import ON
from geats_core.planning.steps import Plan, Step
from geats_core.plans.plan_files import SavedPlan, moved
from geats_core.vm.observation import Observation
from geats_host.engine import perform
from geats_host.engine.apply import Perform
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.lazy import later
from geats_host.observing import unfinished_restarts
from geats_host.observing.known_volumes import keep, learn_identities, upgrade_registry
from geats_host.observing.place_checks import Places
from geats_host.planning.facts import facts_of
from geats_host.planning.sources import check_sources
from geats_host.plugins.opened import guarded
from geats_host.storage import VolumeId

if TYPE_CHECKING:
    from geats_host.engine import interrupted
else:  # few plans remove what is left over
    interrupted = later("geats_host.engine.interrupted")

DAY_S = 86_400


@contextmanager
def locked(host: Host, planned: SavedPlan) -> Iterator[None]:
    """Lock the VMs of a plan; refused if one is not what the plan was made from."""
    made = planned.plan
    with ExitStack() as locks:
        for name in sorted(set(_to_lock(made.steps))):  # in one order for all
            locks.enter_context(host.locks.operation(name))
        with host.registry.read_at_once():
            seen = _reserve(host, planned, locks)
            _check_configured(host, made.steps)
            check_sources(host, made.steps, planned.observations)  # they may have changed too
            if host.registry.outdated() is None:
                _remember(host, planned, seen)
        yield


def performing(host: Host, planned: SavedPlan, places: Places, over: Event) -> Perform:
    """What carries a step of the plan out; *places* are those of the host.

    Once *over* is set, no step waits any more.
    """
    seen = planned.observations
    performers = {each.name: _performer(host, each, seen, over) for each in planned.plan.plans}
    removal = cache(lambda: interrupted.Removal(host))

    def carry_out(step: Step) -> str | None:
        match step.action:
            case Pause(seconds):
                over.wait(seconds)
            case UpgradeRegistry() as upgrade:
                upgrade_registry(host.registry, upgrade)
                _remember(host, planned, _look_at(host, _about(planned)))
            case RemoveLeftover() as left:
                with guarded(step.vm):
                    removal().remove(step.vm, left)
            case NotePlaces() as noting:
                places.note(noting.moved)
            case action:
                with guarded(step.vm):
                    return performers[step.vm].perform(action)
        return None

    return carry_out


def unpacks(host: Host, planned: SavedPlan) -> Callable[[Step], bool]:
    """Whether a step unpacks a template into its volume, instead of cloning one that is unpacked.

    The first that clones it may have to unpack it: the others wait for that.
    """
    actions = [step.action for step in planned.plan.steps]
    pools = {each.pool for each in actions if isinstance(each, InstallTemplate)}
    clones = host.pools.asked(lambda pool: pool.facts.clones, sorted(pools))

    def is_unpacked(step: Step) -> bool:
        action = step.action
        return isinstance(action, InstallTemplate) and not clones.get(action.pool, False)

    return is_unpacked


def bound_journal(host: Host) -> None:
    """Forget what is older, or more, than the policy keeps."""
    bounds = host.config.policy.journal
    with suppress(HostError):  # what was done is done: the next plan forgets it
        host.registry.prune(time.time() - bounds.days * DAY_S, bounds.entries)


def _reserve(host: Host, planned: SavedPlan, locks: ExitStack) -> Mapping[str, Observation]:
    """Check that all is as the plan wants it, and keep the locks that it takes until *locks* end.

    The answer is what was seen of its VMs, and perhaps of others.
    """
    made, shared = planned.plan, host.locks
    if not any(map(takes, made.plans)):
        seen = _look_at(host, _about(planned))
        _check_unmoved(host, planned, seen)
        return seen
    with shared.deciding():
        others = shared.reservations()  # before the look: one that ends is seen then
        seen = host.observe_all()
        _check_unmoved(host, planned, seen)
        wanted = recheck.reservations(made.plans, seen)
        facts = facts_of(host, [each.spec.driver for each in wanted.values()])
        problems = no_longer(made.plans, seen, facts, host.config.policy, others)
        if problems:
            raise Refused(*problems)
        locks.enter_context(shared.reserved(wanted))
        return seen


def _to_lock(steps: Iterable[Step]) -> Iterable[str]:
    """The VMs that the steps are about, and the names that they give."""
    for step in steps:
        if step.vm:
            yield step.vm
        if isinstance(step.action, Rename):
            yield step.action.spec.name


def _about(planned: SavedPlan) -> set[str]:
    """The VMs that the plan is about, and those that it was saved with."""
    return {*planned.observations, *(each.name for each in planned.plan.plans)} - {""}


def _look_at(host: Host, names: set[str]) -> Mapping[str, Observation]:
    """What these VMs are now: one is looked at alone, several in one pass over the host."""
    match sorted(names):
        case []:
            return {}  # it concerns the host, and no VM
        case [name]:
            have = host.observe(name)
            return {name: have} if have.exists else {}
        case _:
            return host.observe_all()


def _check_unmoved(host: Host, planned: SavedPlan, seen: Mapping[str, Observation]) -> None:
    """Compare the VMs that the plan is about, and what it was saved with."""
    about = _about(planned)
    problems = moved(planned, {name: have for name, have in seen.items() if name in about})
    if problems:  # what is not available has not moved
        away = [f"not available: {why}" for why in host.unavailable.values()]
        was_away = {**host.drivers.was_away, **host.pools.was_away}.values()
        before = [f"was not available when it was planned: {why}" for why in was_away]
        raise Refused(*problems, *(away or before))


def _check_configured(host: Host, steps: Iterable[Step]) -> None:
    """A plan may have been saved, and the configuration changed since."""
    problems = {
        f"{step.vm}: {what} is no longer configured"
        for step in steps
        for what in _unknown(host, step.action)
    }
    if problems:
        raise Refused(*sorted(problems))


def _unknown(host: Host, action: Action) -> Iterable[str]:
    pools: set[str] = set()
    match action:
        case Define(spec) | Adopt(spec) | Rename(spec) | MoveVolume(spec=spec):
            pools = {volume.pool for volume in spec.all_volumes}
            if spec.driver not in host.drivers:
                yield f"driver {spec.driver!r}"
        case InstallTemplate(_, _, template) if template not in host.config.templates:
            yield f"template {template!r}"
        case _:
            pass
    if isinstance(action, VolumeAction):
        pools |= {action.pool}
    yield from (f"pool {pool!r}" for pool in pools - host.pools.keys())


def _remember(host: Host, planned: SavedPlan, now: Mapping[str, Observation]) -> None:
    """What an older geats did not remember of the VMs that the plan is about, and was there.

    *now* is what they are. Those that are on, nobody has to start. A pool that an older geats
    filled gets its identity.
    """
    learn_identities(host.registry, host.pools)
    locked = {step.vm for step in planned.plan.steps}  # others may be about to be powered off
    on = [vm for vm in locked & now.keys() if now[vm].power in ON and not now[vm].to_freeze]
    unfinished_restarts.forget(host.registry, on)
    for each in planned.plan.plans:
        have = planned.observations.get(each.name, Observation())
        places = {
            (seen.pool, seen.name): host.pools[seen.pool].path(VolumeId(each.name, seen.name))
            for seen in have.volumes
        }
        pools = {seen.pool for seen in have.volumes}
        identities = host.pools.asked(lambda pool: pool.facts.identity, pools)
        keep(host.registry, each.name, have, places, identities)


def _performer(
    host: Host, made: Plan, seen: Mapping[str, Observation], over: Event
) -> perform.Performer:
    giving = (Define, Adopt, Rename, MoveVolume)
    specs = [s.action.spec for s in made.steps if isinstance(s.action, giving)]
    have = seen.get(made.name, Observation())
    spec = specs[0] if specs else have.recorded
    return perform.Performer(
        made.name,
        host.registry,
        cache(lambda: host.driver_of(made.name, spec)),
        host.pools,
        host.config.templates,
        host.store,
        spec,
        host.config,
        have.locked,
        tuple((seen.pool, seen.name) for seen in have.volumes),
        over,
    )
