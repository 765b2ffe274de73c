"""The claims of a fleet, in the cache of its Salt master: see ``geats_core.fleet.claiming``.

The master's own cache holds one entry for each claim, in whatever store ``cache`` of its
configuration names, and one for each VM: the keys that may be held for it, at least those that are.
What changes claims has a lock of that master meanwhile: so of two that want the same, one gets it,
and the other is told who has it. What asks hosts as well has a lock for that VM.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import salt.cache

from geats_core.fleet.claiming import Holder, held_by_others, keys_of
from geats_core.fleet.placement import Candidate
from geats_core.vm.claims import running_spec
from geats_core.vm.observation import Observation
from geats_core.vm.spec import VMSpec
from geats_host.errors import Busy, HostError, Refused
from geats_host.for_salt.fleet import Ask, said_by
from geats_host.locks import file_locks

BANK = "geats/claims"
OF_VMS = "geats/claims_of_vms"
REMEMBER = "geats.claimed"  # by which a host is told what it holds


class Claims:
    """Which host holds what for which VM."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self.cache = salt.cache.factory(opts)
        self.run_dir = Path(opts["cachedir"]) / "geats-locks"

    def of(self, vm: str | None = None, host: str | None = None) -> dict[str, Holder]:
        """All that is held, or what is held for a VM, or by a host."""
        keys = self.cache.list(BANK) if vm is None else self._keys(vm)
        found = {key: self.holder(key) for key in sorted(keys)}
        return {
            key: holder
            for key, holder in found.items()
            if holder is not None and vm in (None, holder.vm) and host in (None, holder.host)
        }

    def holder(self, key: str) -> Holder | None:
        """Who holds it."""
        kept = self.cache.fetch(BANK, key)
        return Holder(vm=kept["vm"], host=kept["host"]) if kept else None

    def claim(self, wanted: Holder, keys: Collection[str]) -> None:
        """Hold *keys*. Raises ``Refused``, with nothing changed, if others hold some of them."""
        with self._alone():
            self.check(wanted, keys)
            self._store(wanted, keys)

    def check(self, wanted: Holder, keys: Collection[str]) -> None:
        """Raise ``Refused`` if others hold some of *keys*."""
        known = ((key, self.holder(key)) for key in keys)
        holders = {key: holder for key, holder in known if holder is not None}
        problems = tuple(held_by_others(wanted, keys, holders))
        if problems:
            raise Refused(*problems)

    def move(self, vm: str, source: str, target: str) -> None:
        """What *source* held for a VM, *target* holds from now on."""
        with self._alone():
            self._store(Holder(vm=vm, host=target), self.of(vm, source))

    def release(self, holder: Holder, keys: Collection[str]) -> None:
        """Hold these no longer; those that another one has stay its own."""
        with self._alone():
            for key in keys:
                if self.holder(key) == holder:
                    self.cache.flush(BANK, key)
            left = [key for key in self._keys(holder.vm) if self.holder(key) is not None]
            self._remember_keys(holder.vm, left)

    def find_again(self, held: Mapping[str, Holder]) -> None:
        """Remember by VM what is held, should that have been lost, as in a store from before."""
        by_vm: dict[str, set[str]] = {}
        for key, holder in held.items():
            by_vm.setdefault(holder.vm, set()).add(key)
        for vm, keys in by_vm.items():
            if not keys <= {*self._keys(vm)}:
                with self._alone():
                    self._remember_keys(vm, keys.union(self._keys(vm)))

    @contextmanager
    def working_on(self, vm: str) -> Iterator[None]:
        """Raise ``Busy`` if another call of this master works on what is held for a VM."""
        with file_locks.passing(self.run_dir, "vms", vm, partial(_take, vm)):
            yield

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with file_locks.opened(self.run_dir, "claims", "lock") as descriptor:
            file_locks.take(descriptor, "the claims of this master")
            yield

    def _store(self, holder: Holder, keys: Collection[str]) -> None:
        self._remember_keys(holder.vm, {*keys, *self._keys(holder.vm)})
        for key in keys:
            self.cache.store(BANK, key, {"vm": holder.vm, "host": holder.host})

    def _keys(self, vm: str) -> list[str]:
        """What is held for a VM, and maybe more: whoever is interrupted leaves too many."""
        return list(self.cache.fetch(OF_VMS, vm) or ())

    def _remember_keys(self, vm: str, keys: Collection[str]) -> None:
        if keys:
            self.cache.store(OF_VMS, vm, sorted(keys))
        else:
            self.cache.flush(OF_VMS, vm)


def _take(vm: str, descriptor: int) -> None:
    if not file_locks.is_taken(descriptor):
        raise Busy(vm, file_locks.holders_of(descriptor))


def wanted_keys(candidate: Candidate, name: str, spec: VMSpec | None = None) -> tuple[str, ...]:
    """What a VM needs as it is to be, and what it still uses. ``Refused`` if nobody knows it."""
    have = candidate.observations.get(name, Observation())
    goals = (goal.spec for goal in candidate.goals if goal.name == name)
    specs = [spec or next(goals, None) or have.recorded, running_spec(have)]
    keys = [key for each in specs if each is not None for key in keys_of(each)]
    if not keys:
        raise Refused(f"{name}: is neither declared nor defined there")
    return tuple(dict.fromkeys(keys))


def would_hold(claims: Claims, ask: Ask, wanted: Holder, keys: Collection[str]) -> None:
    """Raise what ``hold`` would raise, as far as it is known; nothing is changed."""
    own = claims.of(wanted.vm)
    claims.check(wanted, [key for key in keys if key not in own])
    for host in sorted({each.host for each in own.values()} - {wanted.host}):
        said_by(ask, host, REMEMBER, {wanted.vm: []}, test=True)


def hold(claims: Claims, ask: Ask, wanted: Holder, keys: Collection[str]) -> None:
    """Claim *keys*, tell the host, and give back what it held for that VM and needs no longer.

    Another host that held something for this VM lets go, unless it has the VM on. Who calls this
    has ``working_on`` the VM.
    """
    own = claims.of(wanted.vm)
    claims.check(wanted, [key for key in keys if key not in own])
    for host in sorted({each.host for each in own.values()} - {wanted.host}):
        said_by(ask, host, REMEMBER, {wanted.vm: []})
        claims.move(wanted.vm, host, wanted.host)
    claims.claim(wanted, keys)
    said_by(ask, wanted.host, REMEMBER, {wanted.vm: [*keys]})
    claims.release(wanted, own.keys() - set(keys))


def give_back(claims: Claims, ask: Ask, holder: Holder, *, fenced: bool) -> list[str]:
    """Release all that is held for a VM: first by the host, unless it is *fenced*."""
    with claims.working_on(holder.vm):
        keys = [*claims.of(holder.vm, holder.host)]
        if not fenced:
            said_by(ask, holder.host, REMEMBER, {holder.vm: []})
        claims.release(holder, keys)
        return keys


@dataclass(slots=True)
class Moving:
    """What is held for a VM that moves: by its source, until the VM has arrived."""

    claims: Claims
    ask: Ask
    vm: str
    source: str
    target: str
    keys: Collection[str]

    def end(self, counts: str) -> list[str]:
        """Only the host whose copy *counts* holds it from now on; none lets go if that is unclear.

        The answer is what is still to do, if the other one could not be told.
        """
        if not self.keys or self.source == self.target or counts not in (self.source, self.target):
            return []
        if counts == self.target:
            self.claims.move(self.vm, self.source, self.target)
        other = self.source if counts == self.target else self.target
        try:
            said_by(self.ask, other, REMEMBER, {self.vm: []})
        except HostError as error:
            do = f"`salt {other} {REMEMBER} '{{{self.vm}: []}}'`"
            return [f"{other} would still start {self.vm}, until {do} is done: {error}"]
        return []


@contextmanager
def moving(claims: Claims, ask: Ask, vm: str, source: str, target: str) -> Iterator[Moving]:
    """A move during which the target may start the VM: it knows already what it will hold.

    The VM itself is never on both, so both may know it. If an earlier try brought the VM to the
    target already, and nobody says from where, that is known from who holds it.
    """
    with claims.working_on(vm):
        if source == target:
            others = {each.host for each in claims.of(vm).values()} - {target}
            source = next(iter(sorted(others)), source)
        keys = [*claims.of(vm, source)]
        if keys:
            said_by(ask, target, REMEMBER, {vm: keys})
        yield Moving(claims, ask, vm, source, target, keys)
