"""Where a host has its VMs and pools, held against what its machine and its registry remember."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import chain, permutations
from pathlib import Path

from geats_core.declared.config import HostConfig, StackLayer
from geats_core.planning.actions import Moved
from geats_core.planning.plugin_facts import DriverFacts, PoolFacts
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Observation
from geats_core.vm.unseen import DRIVERS, POOLS
from geats_host.drivers import Driver
from geats_host.errors import HostError
from geats_host.observing import known_places
from geats_host.observing.known_places import Machine, Place, PoolPlace
from geats_host.observing.known_volumes import remembered
from geats_host.plugins.entry_points import DEFAULT_DRIVERS, open_registry, pools_of, wrong_of
from geats_host.plugins.opened import Opened
from geats_host.registry import Registry
from geats_host.storage import Pool

BEFORE_NAMES = "{vm}"  # a pool's location is up to here that of the pool itself


@dataclass(frozen=True, slots=True)
class Places:
    """Those of one host; ``observe_all`` looks at all its VMs."""

    config: HostConfig
    registry: Registry
    drivers: Opened[Driver]
    pools: Opened[Pool]
    observe_all: Callable[[], Mapping[str, Observation]]

    def held_against_memory(
        self, facts: Mapping[str, PoolFacts]
    ) -> tuple[dict[str, str], tuple[Moved, ...]]:
        """Where VMs are that this host does not look for; and what is elsewhere than remembered.

        The first is by the names of the VMs. The second has with each pool or driver the VMs that
        are left there. *facts* are those of the pools. What is remembered is read once.
        """
        known = known_places.known()
        elsewhere = known_places.elsewhere(known, self._of_drivers())
        if self.config.unsound:
            return elsewhere, ()  # who knows where it has them?
        return elsewhere, (*self._drivers_moved(known), *self._pools_moved(known, facts))

    def remember(self) -> None:
        """Note what was not known; nothing by a configuration of which whole keys are wrong."""
        if not self.config.unsound:
            known_places.remember(self._now(), self._defined)

    def note(self, moved: tuple[Moved, ...]) -> None:
        """Note what has moved."""
        known_places.note(self._now(), {each.what for each in moved}, self._defined)

    def _now(self) -> Machine:
        facts = self.pools.asked(lambda pool: pool.facts)
        return Machine(self._of_drivers(), tuple(self._of_pools(facts)))

    def _of_drivers(self) -> tuple[Place, ...]:
        """Where this configuration has its VMs, by each of its drivers."""
        plugins = {**DEFAULT_DRIVERS, **self.config.drivers}
        wrong = wrong_of(DRIVERS, self.config.wrong)
        right = {name: plugins[name] for name in self.drivers if name not in wrong}
        return known_places.places(self.config.state_dir, right)

    def _of_pools(self, facts: Mapping[str, PoolFacts]) -> Iterator[PoolPlace]:
        """Where its pools are; without those that do not answer, or do not say it."""
        for name, layer in pools_of(self.config).items():
            if name in facts and (location := facts[name].location) is not None:
                at = location.partition(BEFORE_NAMES)[0].rstrip("/")
                yield PoolPlace(self.config.state_dir, name, _kind(layer), at, facts[name].identity)

    def _defined(self) -> frozenset[str]:
        seen = self.drivers.asked(lambda driver: driver.observe()).values()
        return frozenset(chain.from_iterable(seen))

    def _drivers_moved(self, known: Machine) -> Iterator[Moved]:
        for place in self._of_drivers():
            if others := known_places.moved_from(place, known):
                left = {name for each in others for name in self._only_in(each)}
                was, now = " and ".join(map(str, others)), f"{place}"
                if len(others) == 1:
                    was, now = others[0].beside(place), place.beside(others[0])
                yield Moved(f"{DRIVERS}.{place.driver}", was, now, tuple(sorted(left)))

    def _only_in(self, place: Place) -> frozenset[str]:
        """The VMs that are run, or recorded, there and not here."""
        run = frozenset(known_places.vms_in(place) or ()) - self._defined()
        if place.state_dir == self.config.state_dir:
            return run
        there = open_registry(self.config.registry, Path(place.state_dir))
        with suppress(HostError):  # what cannot be read says nothing
            return run | (there.definitions().keys() - self.registry.definitions().keys())
        return run

    def _pools_moved(self, known: Machine, facts: Mapping[str, PoolFacts]) -> Iterator[Moved]:
        noted = self._noted_identities()
        for pool in self._of_pools(facts):
            was = known_places.remembered_as(pool, known) or replace(pool, identity=None)
            with_volumes = noted.get(pool.name, frozenset())
            if was.identity is None and with_volumes and pool.identity not in with_volumes:
                was = replace(was, identity=min(with_volumes))
            if known_places.is_another(was, pool):
                marked = was.identity not in (None, pool.identity)
                texts = (was.marked, pool.marked) if marked else (f"{was}", f"{pool}")
                left = self._left_in(pool.name, retyped=was.kind != pool.kind)
                yield Moved(f"{POOLS}.{pool.name}", *texts, left)

    def _noted_identities(self) -> dict[str, frozenset[str]]:
        """The identities of pools that volumes are remembered in."""
        found: dict[str, frozenset[str]] = {}
        if self.registry.outdated() is not None:
            return found  # an older geats knew of none
        for each in chain.from_iterable(remembered(self.registry).values()):
            if each.identity is not None:
                found[each.pool] = found.get(each.pool, frozenset()) | {each.identity}
        return found

    def _left_in(self, pool: str, *, retyped: bool) -> tuple[str, ...]:
        """The VMs whose volumes are not in the pool as it is now, or are of another type."""
        return tuple(
            name
            for name, have in sorted(self.observe_all().items())
            if any(each.pool == pool for each in have.missing)
            or any(s.pool == pool and (s.unreadable or retyped) for s in have.volumes)
        )


def pools_at_one_place(facts: Mapping[str, PoolFacts]) -> dict[str, str]:
    """Why some pools cannot be used: each is where another is, in it or around it."""
    return _at_one_place("pool", {n: (_base(f.location), f.part) for n, f in facts.items()})


def drivers_at_one_place(facts: Mapping[str, DriverFacts]) -> dict[str, str]:
    """The same of drivers."""
    return _at_one_place("driver", {n: (_base(f.location), "") for n, f in facts.items()})


def _base(location: str | None) -> str | None:
    """Where a pool is that has its volumes at such a *location*, by whatever path it is reached."""
    if location is None:
        return None
    base, names, _ = location.partition(BEFORE_NAMES)
    is_path = base.startswith("/") and (base.endswith("/") or not names)
    return os.path.realpath(base) if is_path else base


def _at_one_place(kind: str, places: Mapping[str, tuple[str | None, str]]) -> dict[str, str]:
    """The same of any *kind*, by where each is, and which part of that place is its own."""
    found: dict[str, str] = {}
    for (one, (here, part)), (other, (there, other_part)) in permutations(places.items(), 2):
        if here is not None and there is not None and _overlap(here, part, there, other_part):
            where = "as well" if here == there else f"at {there}, and one is in the other"
            found[one] = (
                f"{kind} {one!r} is at {here}, and {kind} {other!r} is {where}: each would take"
                " what is the other's: give each a path of its own, or leave one out"
            )
    return found


def _overlap(here: str, part: str, there: str, other_part: str) -> bool:
    if here == there:
        return part == other_part
    return f"{here}/".startswith(f"{there}/") or f"{there}/".startswith(f"{here}/")


def _kind(layer: StackLayer) -> str:
    """The plugins of a pool, from the top down."""
    return f"{layer.type} on {_kind(layer.on)}" if layer.on else layer.type
