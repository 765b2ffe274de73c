"""What steps use of the host: asked when a plan is made, and once more before it is applied."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from geats_core.declared.policy import Claims
from geats_core.planning.actions import Adopt, Define, InstallTemplate, SetDevices, Start
from geats_core.planning.steps import Step
from geats_core.reading.checked import Code, Problem, Problems, within
from geats_core.vm.hardware import HARDWARE
from geats_core.vm.observation import Observation
from geats_core.vm.spec import VMSpec
from geats_host.drivers import Driver
from geats_host.drivers.abilities import AdoptingDriver, CheckingDriver, ForeseeingHotPlugging
from geats_host.errors import Refused
from geats_host.host import Host
from geats_host.lazy import later
from geats_host.observing import held_claims, other_hosts
from geats_host.observing.other_hosts import Told, twins
from geats_host.planning import allowed, time_zones
from geats_host.planning.obstacles import obstacles
from geats_host.storage import Offer

if TYPE_CHECKING:
    from geats_core.fleet import claiming
    from geats_host import templates
else:
    claiming = later("geats_core.fleet.claiming")
    templates = later("geats_host.templates")


def check_sources(
    host: Host, steps: Iterable[Step], seen: Mapping[str, Observation], told: Told | None = None
) -> None:
    """Whether the files of the host that *steps* use are as they should be, and unused; and no VM
    that another host has is created: the registry is asked, unless it has *told* that already."""
    steps = list(steps)
    elsewhere = tuple(twins(told or other_hosts.told(host.registry), steps, seen))
    if elsewhere:
        raise Refused(*elsewhere)
    if host.config.policy.claims is Claims.REQUIRED:
        unheld = tuple(claiming.unclaimed(steps, seen, held_claims.held(host.registry)))
        if unheld:
            raise Refused(*unheld)
    _verify_templates(host, steps)
    in_the_way = obstacles(steps, seen, host.drivers, host.pools)
    if in_the_way:
        raise Refused(*in_the_way, *_others_at_work(host, {step.vm for step in steps}))
    specs = {name: have.recorded for name, have in seen.items()}
    specs |= {s.vm: s.action.spec for s in steps if isinstance(s.action, Define | Adopt)}
    using = {step.vm for step in steps if isinstance(step.action, Define | Adopt | Start)}
    problems = [
        each
        for name in sorted(using)
        if (spec := specs.get(name)) and _holds_files(host, spec.root.pool)
        for each in within(name, allowed.problems(spec, host.config))
    ]
    problems += [
        each
        for name in sorted(using)
        if (spec := specs.get(name))
        for each in within(name, host.drivers.ask(spec.driver, partial(_of_driver, spec)) or ())
    ]
    problems += [
        Problem(f"{step.vm}.{HARDWARE}.hotplug_ports", why, Code.REFUSED)
        for step in steps
        if isinstance(step.action, SetDevices) and (spec := specs.get(step.vm))
        for why in [host.drivers.ask(spec.driver, partial(_unplugged, step.vm, step.action))]
        if why
    ]
    problems += [
        Problem(step.vm, f"nothing starts with the line {line!r}: correct it, or take it out")
        for step in steps
        if isinstance(step.action, Adopt)
        for line in host.drivers.ask(step.action.spec.driver, partial(_unread, step.action)) or ()
    ]
    problems += time_zones.problems(steps, seen, host.pools)
    if problems:
        raise Refused(*problems)


def _others_at_work(host: Host, names: Iterable[str]) -> Iterable[Problem]:
    """What is in the way may be another operation that has not ended yet."""
    for name in sorted(filter(None, names)):
        if who := host.locks.at_work(name):
            message = f"another operation ({who}) works on it now: plan again when that has ended"
            yield Problem(name, message, Code.CHANGED)


def _of_driver(spec: VMSpec, driver: Driver) -> Problems:
    return driver.cannot_define(spec) if isinstance(driver, CheckingDriver) else ()


def _unplugged(name: str, devices: SetDevices, driver: Driver) -> str:
    if not isinstance(driver, ForeseeingHotPlugging):
        return ""
    return driver.cannot_set_devices(name, devices)


def _unread(adopt: Adopt, driver: Driver) -> tuple[str, ...]:
    includes = (f"lxc.include = {path}" for path in adopt.running.includes or ())
    types = (f"lxc.net.{number}.type = veth" for number, _ in enumerate(adopt.running.nics))
    lines = (*includes, *types, *adopt.keep)
    return driver.cannot_read(lines) if isinstance(driver, AdoptingDriver) else ()


def _verify_templates(host: Host, steps: Iterable[Step]) -> None:
    needed = {
        step.action.template
        for step in steps
        if isinstance(step.action, InstallTemplate) and _holds_files(host, step.action.pool)
    }
    for name in sorted(needed):
        templates.verify(host.config.templates[name], host.store)


def _holds_files(host: Host, pool: str) -> bool:
    """Whether files are put on its volumes; not that of a pool that is not available."""
    return host.pools.ask(pool, lambda each: each.offers) not in (None, Offer.NOTHING)
