"""What of a VM cannot be seen, or relied on, now; and why."""

from collections.abc import Iterable, Mapping

from geats_core.reading.checked import Code, Problem, within
from geats_core.vm.observation import Observation
from geats_core.vm.spec import VMSpec

DRIVERS, POOLS, TEMPLATES = "drivers", "pools", "templates"


def unavailable(kind: str, name: str, away: Mapping[str, str]) -> str | None:
    """Why this driver, pool or template is not available; None if it is, as far as is known.

    *kind* is one of DRIVERS, POOLS and TEMPLATES.
    """
    why = away.get(f"{kind}.{name}")
    return None if why is None else f"the {kind[:-1]} {name!r} is not available: {why}"


def without_driver(specs: Iterable[VMSpec], away: Mapping[str, str]) -> Iterable[Problem]:
    """Nothing is done to a VM, described in any of *specs*, whose driver is not available."""
    for driver in dict.fromkeys(spec.driver for spec in specs):
        if why := unavailable(DRIVERS, driver, away):
            yield Problem("driver", why, Code.UNAVAILABLE)


def without_pools(specs: Iterable[VMSpec], away: Mapping[str, str]) -> Iterable[Problem]:
    """Nothing is done to volumes of a VM, described in any of *specs*, if a pool is away."""
    needed: dict[tuple[str, str], None] = {}
    for spec in specs:
        needed |= {(f"volumes[{each.name}]", each.pool): None for each in spec.volumes}
        needed |= {(f"shared_volumes.{each.name}", each.pool): None for each in spec.shared_volumes}
    for path, pool in needed:
        if why := unavailable(POOLS, pool, away):
            yield Problem(f"{path}.pool", why, Code.UNAVAILABLE)


def out_of_sight(name: str, have: Observation, away: Mapping[str, str]) -> tuple[Problem, ...]:
    """Why not everything of the VM *name* is known now: its driver, or a pool, is not available."""
    specs = [spec for spec in (have.recorded, have.defined) if spec]
    found = (*without_driver(specs, away), *without_pools(specs, away))
    return within(name, found)


def unreliable_parts(name: str, have: Observation) -> Iterable[Problem]:
    """What is known of the VM, and cannot be relied on: why, and what to do."""
    yield from two_of_a_name(name, have)
    if have.unreliable:
        message = f"its definition cannot be relied on: {have.unreliable}"
        yield Problem(name, f"{message}, or define it again as it is described", Code.REFUSED)
    for seen in have.volumes:
        if seen.unreadable:
            path = f"{name}.volumes[{seen.pool}/{seen.name}]"
            yield Problem(path, f"is left alone: {seen.unreadable}", Code.REFUSED)
    if have.renaming:
        both = f"{have.renaming.old_name} {have.renaming.new_name}"
        message = f"the renaming of {have.renaming} was interrupted: geats rename {both} ends it"
        yield Problem(f"{name}.name", message, Code.REFUSED)


def two_of_a_name(name: str, have: Observation) -> Iterable[Problem]:
    """Nobody can tell which of two VMs is meant."""
    if have.drivers:
        known = " and ".join(map(repr, have.drivers))
        message = (
            f"the drivers {known} each have a VM of this name, and nobody can tell which is meant:"
            " rename or remove one of them with its own tools"
        )
        yield Problem(name, message, Code.REFUSED)
