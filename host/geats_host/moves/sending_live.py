"""What this host answers another one that takes a VM over as it runs: see ``sending`` for the rest.

Theory of operation
-------------------
``meet`` makes room for sockets that lead to the other host, and ``move`` sends the VM over them,
until it stands still there and is off here, which is noted; then this host forgets it. What was
interrupted in between is told from that by ``let go``: if the VM is off because it was sent, it is
forgotten now; if it runs on here, what came there is stale. A hypervisor whose daemon is killed
meanwhile may end the move alone: then the VM stands still here, or is off, and nobody wanted that.
As it goes on nowhere else before this host forgets it, ``settle`` lets it go on here before it is
offered again; if its memory is lost here, it is started, unless the other host says that it has all
of it: then it counts as sent. If it is off for another reason, a person has to say. Each offer of a
VM that runs has a mark of its own, so that what came of one is never taken for what came of
another. A mark is only true while nothing else is done to the VM, and all is done under its
operation lock.
"""

import secrets
from dataclasses import replace
from functools import partial

from geats_core.jobs.moves import Offer, cannot_leave
from geats_core.plans.plan_files import SavedPlan
from geats_core.reading.checked import Code, Problem, Problems
from geats_core.vm.observation import Observation, Power
from geats_core.vm.spec import ROOT, VMSpec
from geats_host.calls.lifecycle import plan_verb
from geats_host.calls.reports import error_of
from geats_host.drivers.abilities import LiveMoving
from geats_host.engine.apply_plan import apply_plan
from geats_host.errors import HostError, Refused
from geats_host.host import Host
from geats_host.observing import kept_memories, known_volumes, offers
from geats_host.peers.arriving import STALE, UUID
from geats_host.peers.fetching import KEPT
from geats_host.peers.passed_on import is_passed_on, pass_on, wanted
from geats_host.peers.peer import Answer, Request

OFF = "is off: leave out `live`"
UNKNOWN = (
    "is off, and nobody knows whether all of it was sent: start it there, and move it again; "
    "or stop what came here, and move it without `live`"
)
GIVEN = "is not here any more, but its volumes are: move it without `live`, which copies them again"


def settle(host: Host, name: str, whole: str) -> bool:
    """Let a VM go on here whose move was cut; *whole* is the mark under which the other has it all.

    Whether anything was done.
    """
    noted, have = offers.noted(host.registry, name), host.observe(name)
    if noted is None or not _is_cut(host, noted, have):
        return False
    if _is_whole_there(noted, have, whole):
        offers.note_sent(host.registry, noted)
        return True
    verb = "unfreeze" if have.power is Power.FROZEN else "start"
    done(host, plan_verb(host, verb, name))
    return True


def _is_cut(host: Host, noted: Offer, have: Observation) -> bool:
    """Whether a move of it, as it ran, was cut where the hypervisor ended it alone."""
    spec = noted.manifest.spec
    if not (noted.machine and have.recorded and have.power in (Power.FROZEN, Power.STOPPED)):
        return False
    driver = _driver(host, spec)
    if is_passed_on(host.pools, spec) or _is_sent(host, noted, have, driver):
        return False
    return driver.was_cut(spec.name)


def _is_whole_there(noted: Offer, have: Observation, whole: str) -> bool:
    return have.power is Power.STOPPED and bool(whole) and whole == noted.mark


def offered(host: Host, now: Offer, have: Observation, *, test: bool) -> Offer:
    """The offer of a VM as it runs, noted unless it is a *test*; else ``Refused``, with why."""
    if test:
        noted = offers.noted(host.registry, now.manifest.spec.name)
        if noted is not None and _is_cut(host, noted, have):
            return replace(now, machine=noted.machine, mark="", cached=noted.cached)
        return _as_it_is(host, now, have, "")
    name = now.manifest.spec.name
    with host.locks.operation(name):
        made = _as_it_is(host, now, host.observe(name), secrets.token_hex(32))
        if not made.is_given:
            offers.note(host.registry, made)
        return made


def _as_it_is(host: Host, now: Offer, have: Observation, mark: str) -> Offer:
    """The offer with that mark; what was sent already is offered as it was."""
    name = now.manifest.spec.name
    noted, driver = offers.noted(host.registry, name), _driver(host, now.manifest.spec)
    if noted is not None and _is_sent(host, noted, have, driver):
        return replace(noted, is_given=not have.is_recorded)
    if problems := _cannot_leave(have, driver):
        raise Refused(*(replace(each, path=f"{name}.{each.path}".rstrip(".")) for each in problems))
    cached = tuple(sorted({*driver.cached(name)} & now.shared.keys())) if now.shared else ()
    return replace(now, machine=driver.machine(name), mark=mark, cached=cached)


def _is_sent(host: Host, noted: Offer, have: Observation, driver: LiveMoving) -> bool:
    """Whether it is off because it was sent to its end; if the driver does not know, a note says.

    So the note does not count for a VM that somebody started since, without geats.
    """
    if have.power is not Power.STOPPED:
        return False
    sent = driver.was_sent(noted.manifest.spec.name) if have.is_recorded else None
    return offers.was_sent(host.registry, noted) if sent is None else sent


def _driver(host: Host, spec: VMSpec) -> LiveMoving:
    driver = host.driver_of("", spec)
    if not isinstance(driver, LiveMoving):
        raise Refused("its driver cannot move a VM as it runs: leave out `live`")
    return driver


def _cannot_leave(have: Observation, driver: LiveMoving) -> Problems:
    if have.power is not Power.RUNNING:
        is_off = have.power is Power.STOPPED
        return (Problem("", OFF if is_off else f"is {have.power}: let it run", Code.REFUSED),)
    if have.in_effect is None or not have.in_effect == have.defined == have.recorded:
        pending = "has changes that take effect when it restarts: restart it first"
        return (Problem("", pending, Code.REFUSED),)
    return driver.cannot_send(have.in_effect)


def check(host: Host, name: str) -> None:
    """``Refused`` if the VM is to stay here."""
    problems = cannot_leave(name, host.whole(name), is_declared=name in host.config.vms)
    if problems:
        raise Refused(*problems)


def meet(host: Host, request: Request) -> Answer:
    """Make room for the sockets of a move."""
    name, noted, have, driver = _as_offered(host, request)
    if not have.is_recorded:
        raise Refused(f"{name}: {GIVEN}")
    if have.power is not Power.RUNNING:
        raise _not_running(name, have)
    spec = noted.manifest.spec
    wanted(host.pools, spec, request)
    return {
        UUID: driver.meet(name),
        KEPT: kept_memories.all_noted(host.registry, name, spec.root.pool),
    }


def move(host: Host, request: Request) -> Answer:
    """Send it; then forget it. If it cannot be sent, it runs on."""
    name, _, _, driver = _as_offered(host, request)
    try:
        with host.locks.operation(name):
            _, noted, have, _ = _as_offered(host, request)
            if have.power is not Power.RUNNING:
                raise _not_running(name, have)
            check(host, name)
            along = wanted(host.pools, noted.manifest.spec, request)
            driver.send(name, f"{request.get('domain')}", [volume for volume, *_ in along])
            offers.note_sent(host.registry, noted)
    finally:
        driver.part(name)
    return let_go(host, request)


def _not_running(name: str, have: Observation) -> Refused:
    """Why it is not sent, before anything is dropped on the other host."""
    off, why = have.power is Power.STOPPED, f"is {have.power}: let it run there"
    return Refused(f"{name}: {UNKNOWN if off else why}")


def let_go(host: Host, request: Request) -> Answer:
    """Forget it, if it was sent to its end; from then on, it is that of the host that asks."""
    name, noted, have, driver = _as_offered(host, request)
    driver.part(name)
    if not have.is_recorded:
        return {}
    if have.power is Power.RUNNING:
        return {STALE: True}
    if not _is_sent(host, noted, have, driver):
        raise _not_running(name, have)
    spec = noted.manifest.spec
    with host.locks.operation(name):
        _as_offered(host, request)
        if not is_passed_on(host.pools, spec):
            check(host, name)
        pass_on(spec, wanted(host.pools, spec, request), partial(forget_volume, host, name))
    planned = plan_verb(host, "undefine", name)
    _as_offered(host, request)
    done(host, planned)
    return {}


def forget_volume(host: Host, name: str, pool: str, volume: str) -> None:
    """It is passed on, with its snapshots: what is kept with those is of no snapshot here."""
    known_volumes.forget(host.registry, name, pool, volume)
    if volume == ROOT:
        kept_memories.forget_all(host.registry, name, pool)


def done(host: Host, planned: SavedPlan) -> None:
    """Carry a plan out; ``HostError`` says why it is not."""
    why = error_of(apply_plan(host, planned))
    if why is not None:
        raise HostError(why)


def _as_offered(host: Host, request: Request) -> tuple[str, Offer, Observation, LiveMoving]:
    name = f"{request['vm']}"
    noted, have = offers.noted(host.registry, name), host.observe(name)
    if noted is None or not noted.mark or noted.mark != request.get("mark"):
        raise Refused(f"{name}: something was done to it since it was offered: ask for it again")
    return name, noted, have, _driver(host, noted.manifest.spec)
