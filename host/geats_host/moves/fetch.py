"""VMs fetched from another host: copied from there, taken over, started if they ran."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from returns.result import Failure, Success

from geats_core.declared.policy import Claims
from geats_core.fleet import claiming
from geats_core.hostwide.own_ids import settled_alone
from geats_core.jobs.copies import copied
from geats_core.jobs.moves import Offer, offer_from_plain, plan_fetch, plan_take_over
from geats_core.planning.steps import Plan
from geats_core.plans.plan_files import SavedPlan, alone
from geats_core.reading import fields
from geats_core.reading.checked import Code, Problem
from geats_core.vm.observation import Observation, definitions
from geats_core.vm.spec import VMSpec
from geats_host.drivers.abilities import Arrived, LiveMoving
from geats_host.engine.apply_plan import apply_plan
from geats_host.engine.outcomes import Applied
from geats_host.errors import HostError, Refused, accepted
from geats_host.host import Host
from geats_host.moves.sending import ABSENT
from geats_host.observing import unfinished_copies
from geats_host.observing.held_claims import held
from geats_host.peers.arriving import WHOLE
from geats_host.peers.peer import peer_of
from geats_host.planning.facts import facts_of
from geats_host.planning.plans import saved, saved_with_others
from geats_host.step_listeners import Progress, silent


@dataclass(frozen=True, slots=True)
class Fetched:
    """A VM that is, or would be, fetched; *offer* is None if it is here, and nothing is there."""

    source: str
    planned: SavedPlan
    offer: Offer | None = None

    @property
    def bytes(self) -> int:
        """What the volumes take at the source: at most so much is copied."""
        return sum(each.size_bytes for each in self.offer.manifest.volumes) if self.offer else 0


def fetch(
    host: Host,
    source: object,
    changes: Mapping[str, object] | None = None,
    *,
    shutdown: object = False,
    live: object = False,
    test: bool = False,
) -> Fetched:
    """The plan that takes a VM over from the host and under the name that *source* says.

    *changes* are as for an import. Nothing is done there with *test*, nor before it is known that
    this host can take the VM. Then, with *shutdown*, it is shut down if it runs; with *live*, it
    moves as it runs. Raises ``Refused`` if there is no such plan.
    """
    url = accepted(fields.text("source", source))
    off = accepted(fields.boolean("shutdown", shutdown))
    as_it_runs = accepted(fields.boolean("live", live))
    if off and as_it_runs:
        raise Refused("live: what moves as it runs is not shut down: say one of both")
    found = _planned(host, url, changes or {}, {"live": as_it_runs, "test": True})
    if test or found.offer is None:
        return found
    return _planned(host, url, changes or {}, {"live": as_it_runs, "shutdown": off})


def apply_fetch(host: Host, found: Fetched, progress: Progress = silent) -> tuple[Applied, str]:
    """Carry it out, and have the other host destroy what is left there; or say why it did not.

    What fails stays, so that the same request goes on.
    """
    applied = apply_plan(host, found.planned, progress)
    match applied:
        case Success() if found.offer is not None:
            return applied, _left(found.source, found.offer)
        case _:
            return applied, ""


def _planned(
    host: Host, url: str, changes: Mapping[str, object], how: Mapping[str, object]
) -> Fetched:
    peer, vm = peer_of(url)
    accepted(fields.vm_name("source", vm))
    whole = {WHOLE: _whole(host, vm)} if how["live"] else {}
    with peer.asked({"do": "offer", "vm": vm, **whole, **how}) as (answer, _):
        if answer.get(ABSENT):
            return Fetched(url, _here(host, vm, url))
        offer = _read(url, answer)
    spec = accepted(copied(offer.manifest.spec, vm, changes), vm)
    _check_claims(host, spec, offer)
    seen = host.observe_all()
    have, facts = seen.get(vm, Observation()), facts_of(host, [spec.driver])
    spec = accepted(settled_alone(spec, seen, facts))
    planning = plan_fetch
    if how["live"]:
        _check_can_arrive(host, spec, offer)
        planning = plan_take_over
    made = accepted(planning(url, offer, spec, have, facts, definitions(seen)))
    about = {vm: have} if have.exists else {}
    return Fetched(url, saved_with_others(host, made, spec, seen, facts, about), offer)


def _whole(host: Host, vm: str) -> str:
    """The mark under which it came here to its end, and stands still; empty if it did not."""
    have = host.observe(vm)
    if have.recorded is None or not have.copy_of:
        return ""
    driver = host.driver_of(vm, have.recorded)
    came = isinstance(driver, LiveMoving) and driver.arrived(vm) is Arrived.WHOLE
    return unfinished_copies.came_as(host.registry, vm) if came else ""


def _check_claims(host: Host, spec: VMSpec, offer: Offer) -> None:
    """What it has is held where it comes from; what is new in it, nobody holds."""
    if host.config.policy.claims is not Claims.REQUIRED or not offer.is_running:
        return
    known = {*claiming.keys_of(offer.manifest.spec), *held(host.registry).get(spec.name, ())}
    new = [key for key in claiming.keys_of(spec) if key not in known]
    if new:
        why = f"this host does not hold {', '.join(new)} for it: move it as it is, then change it"
        raise Refused(Problem(spec.name, why, Code.REFUSED))


def _check_can_arrive(host: Host, spec: VMSpec, offer: Offer) -> None:
    driver = host.driver_of(spec.name, spec)
    if not isinstance(driver, LiveMoving):
        raise Refused(f"{spec.name}.driver: {spec.driver!r} moves no VM as it runs: without `live`")
    try:
        problems = driver.cannot_receive(spec, offer.machine)
    except HostError as error:
        raise Refused(f"{spec.name}.driver: cannot be asked here: {error}") from None
    if problems:
        raise Refused(*(replace(each, path=f"{spec.name}.{each.path}") for each in problems))


def _here(host: Host, vm: str, url: str) -> SavedPlan:
    """Nothing to do, if the VM came over already."""
    have = host.observe(vm)
    if have.recorded is None or have.copy_of:
        raise Refused(f"{vm}: is not on {url}")
    return saved(host, alone(Plan(name=vm)), {vm: have})


def _read(url: str, answer: Mapping[str, object]) -> Offer:
    match offer_from_plain(answer.get("offer")):
        case Success(offer):
            return offer
        case Failure(problems):
            raise Refused(f"{url}: is of another version of geats: {problems[0]}")


def _left(url: str, offer: Offer) -> str:
    peer, vm = peer_of(url)
    try:
        with peer.asked({"do": "forget", "vm": vm, "mark": offer.mark}):
            return ""
    except (HostError, Refused) as error:
        return f"what is left of {vm} stays there: {error}"
