"""A pool that several hosts use, as one of them sees it: only what is of its own VMs.

Theory of operation
-------------------
It stands between geats and the pool that is configured as ``shared``. For each VM that has volumes
there, ``owners`` says which host has it. What is of others is not seen, and never touched; what
nobody has is seen, and left alone. A host that makes the first volume of a VM has the VM from then
on, and until its last volume is destroyed, or it is passed on, which costs one small file however
large the volumes are. Unpacked templates, and the clones that exports read, are each host's own,
by the end of their names: so no host removes what another one uses.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from geats_core.declared.shared_pools import Owner, Whose, whose
from geats_core.planning.plugin_facts import Leftover, PoolFacts
from geats_core.vm.observation import VolumeSeen
from geats_host.errors import HostError, Refused
from geats_host.leftovers import Clearing, Left
from geats_host.storage import ForeseeingPool, IdentifiedPool, Offer, Pool, VolumeId, check_names
from geats_host.storage.owners import Owners, Us

CLAIMED = "its VM was never made: other hosts take the name for one of this host"
NOBODYS = "no host has this VM in the shared pool: let one take it (`geats take NAME`)"


@runtime_checkable
class SharablePool(Protocol):
    """A pool that can be shared: all that it knows is in files, in one directory."""

    @property
    def shared_root(self) -> Path:
        """That directory."""
        ...

    def make_root(self) -> None:
        """Make it, if it is not there."""
        ...


def shared(pool: Pool, lowest: Pool, us: Us, records: Callable[[str], bool]) -> "SharedPool":
    """*pool*, as *us* sees it; it is on *lowest*. *records*: whether this host records the VM."""
    if not isinstance(lowest, SharablePool):
        raise Refused("shared: only pools of files in a directory can be, such as sparsefile")
    return SharedPool(pool, lowest, us, records)


@dataclass(frozen=True, slots=True)
class SharedPool:
    """See the module."""

    pool: Pool
    lowest: SharablePool
    us: Us
    records: Callable[[str], bool]

    @property
    def owners(self) -> Owners:
        """Which host has which VM."""
        return Owners(self.lowest.shared_root)

    @property
    def offers(self) -> Offer:
        """What the pool offers."""
        return self.pool.offers

    @property
    def facts(self) -> PoolFacts:
        """Those of the pool, and which host has which VM that is another's.

        A volume is not handed over to another name: others would not know of it.
        """
        us = self.us.known()
        others = {
            vm: owner.host
            for vm, owner in self.owners.all().items()
            if us is None or owner.identity != us.identity
        }
        return replace(self.pool.facts, renames=False, elsewhere=others, shared=True)

    def identify(self) -> None:
        """Give the pool an identity: all hosts see the same."""
        if isinstance(self.pool, IdentifiedPool):
            self.pool.identify()

    def observe(self, only: VolumeId | None = None) -> Mapping[VolumeId, VolumeSeen]:
        """What is of this host's VMs; and what no host has, which is left alone."""
        us, owners = self.us.known(), self.owners.all()
        found: dict[VolumeId, VolumeSeen] = {}
        for volume, seen in self.pool.observe(only and self._inner(only)).items():
            if not volume.is_of_vm:
                if us is not None and volume.volume.endswith(f"-{us.identity}"):
                    found[_outer(volume, us)] = replace(seen, name=_outer(volume, us).volume)
                continue
            match self._whose(volume.vm, owners.get(volume.vm), us):
                case Whose.OURS:
                    found[volume] = seen
                case Whose.NOBODYS:
                    found[volume] = replace(seen, unreadable=seen.unreadable or NOBODYS)
                case Whose.OTHERS:
                    pass
        return found

    def path(self, volume: VolumeId) -> Path:
        """Where it is, whoever has it."""
        return self.pool.path(self._inner(volume))

    def allocate(self, volume: VolumeId, size_bytes: int | None) -> None:
        """Have the VM from now on; then make the volume. If there is no room for its first one,
        other hosts can have a VM of that name.
        """
        if volume.is_of_vm:
            self._claim(volume)
        try:
            self.pool.allocate(self._own_name(volume), size_bytes)
        except HostError:
            with suppress(HostError):  # the other one says why
                self._release(volume)
            raise

    def format(self, volume: VolumeId) -> None:
        """As the pool does it."""
        self.pool.format(self._ours(volume))

    def activate(self, volume: VolumeId) -> None:
        """As the pool does it."""
        self.pool.activate(self._ours(volume))

    def deactivate(self, volume: VolumeId) -> None:
        """As the pool does it; nothing, if another host has the VM."""
        if not self._is_anothers(volume):
            self.pool.deactivate(self._inner(volume))

    def grow(self, volume: VolumeId, size_bytes: int) -> None:
        """As the pool does it."""
        self.pool.grow(self._ours(volume), size_bytes)

    def destroy(self, volume: VolumeId) -> None:
        """As the pool does it, and nothing if another host has the VM; with its last volume, this
        host has it no more.
        """
        if self._is_anothers(volume):
            return
        self.pool.destroy(self._ours(volume) if self.observe(volume) else self._inner(volume))
        self._release(volume)

    def snapshot(self, volume: VolumeId, name: str, taken_s: int) -> None:
        """As the pool does it."""
        self.pool.snapshot(self._ours(volume), name, taken_s)

    def rollback(self, volume: VolumeId, name: str) -> None:
        """As the pool does it."""
        self.pool.rollback(self._ours(volume), name)

    def delete_snapshot(self, volume: VolumeId, name: str) -> None:
        """As the pool does it; nothing, if another host has the VM."""
        if not self._is_anothers(volume):
            self.pool.delete_snapshot(self._inner(volume), name)

    def clone(self, source: VolumeId, target: VolumeId) -> None:
        """As the pool does it; both are of this host."""
        self.pool.clone(self._ours(source), self._ours(target))

    def used_bytes(self, volume: VolumeId) -> int:
        """As the pool says."""
        return self.pool.used_bytes(self._inner(volume))

    def mark(self, volume: VolumeId, seen: VolumeSeen) -> None:
        """As the pool does it."""
        inner = self._ours(volume)
        self.pool.mark(inner, replace(seen, name=inner.volume))

    def set_locked(self, volume: VolumeId, *, locked: bool) -> None:
        """As the pool does it."""
        self.pool.set_locked(self._ours(volume), locked=locked)

    def cannot_destroy(self, volume: VolumeId) -> str:
        """What the pool foresees: see ``ForeseeingPool``."""
        if not isinstance(self.pool, ForeseeingPool):
            return ""
        return self.pool.cannot_destroy(self._inner(volume))

    def owner_of(self, vm: str) -> Owner | None:
        """Which host has the VM; None if none has it."""
        return self.owners.of(vm)

    def pass_on(self, vm: str, to: Owner) -> None:
        """Have another host have the VM, which must be this host's. It is off here, or sent."""
        us = self.us.made()
        if self._whose(vm, self.owners.of(vm), us) is Whose.OURS:
            self.owners.claim(vm, us)
        self.owners.pass_on(vm, us, to)

    def take(self, vm: str, from_: Owner | None) -> None:
        """Have the VM from now on, which *from_* had, or nobody.

        The caller knows that it runs nowhere, and never will there: see the module. ``HostError``
        if another host was first.
        """
        us = self.us.made()
        if from_ is not None:
            self.owners.pass_on(vm, from_, us)
            return
        has = self.owners.claim(vm, us)
        if has.identity != us.identity:
            raise HostError(f"{self.owners.root}: {has.host} has {vm} there")

    def give_back(self, vm: str, to: Owner | None) -> None:
        """Have it no more, as before it was taken: *to* has it again, or nobody."""
        us = self.us.made()
        if to is None:
            self.owners.release(vm, us)
        else:
            self.owners.pass_on(vm, us, to)

    def vms(self) -> Mapping[str, Owner | None]:
        """Every VM that has volumes in the pool, whoever has it, and which host that is."""
        owners = self.owners.all()
        there = {volume.vm for volume in self.pool.observe() if volume.is_of_vm}
        return {vm: owners.get(vm) for vm in sorted(there)}

    def leftovers(self, vms: Collection[str]) -> Iterator[Left]:
        """What the pool has; and claims of this host on VMs without volumes, which it never made.

        They are left if it was killed after the claim, and the same command was not repeated.
        """
        if isinstance(self.pool, Clearing):
            yield from self.pool.leftovers(vms)
        us = self.us.known()
        if us is None:
            return
        ours = {vm for vm, owner in self.owners.all().items() if owner.identity == us.identity}
        for vm in sorted(ours - {*vms} - {volume.vm for volume in self.pool.observe()}):
            remove = partial(self._release_claim, vm, us)
            yield Left(kind=Leftover.OWNER, name=vm, reason=CLAIMED, remove=remove, vm=vm)

    def _release_claim(self, vm: str, us: Owner) -> None:
        if not self._has_more(vm):
            self.owners.release(vm, us)

    def _whose(self, vm: str, owner: Owner | None, us: Owner | None) -> Whose:
        return whose(owner, us, is_recorded=owner is None and self.records(vm))

    def is_anothers(self, vm: str) -> bool:
        """Whether another host has the VM."""
        owner, us = self.owners.of(vm), self.us.known()
        return owner is not None and (us is None or owner.identity != us.identity)

    def _is_anothers(self, volume: VolumeId) -> bool:
        check_names(volume)
        return volume.is_of_vm and self.is_anothers(volume.vm)

    def _release(self, volume: VolumeId) -> None:
        """With its last volume, this host has the VM no more."""
        us = self.us.known()
        if us is not None and volume.is_of_vm and not self._has_more(volume.vm):
            self.owners.release(volume.vm, us)

    def _claim(self, volume: VolumeId) -> None:
        check_names(volume)
        us = self.us.made()
        owner = self.owners.of(volume.vm)
        if owner is None:
            is_new = self.records(volume.vm) or not self._has_more(volume.vm)
            if not is_new:
                raise HostError(f"{self.path(volume)}: {NOBODYS}")
            self.lowest.make_root()
            owner = self.owners.claim(volume.vm, us)
        if owner.identity != us.identity:
            raise HostError(f"{self.path(volume)}: {owner.host} has {volume.vm} there")

    def _ours(self, volume: VolumeId) -> VolumeId:
        """Its name in the pool; ``HostError`` if it is not this host's to change."""
        if volume.is_of_vm:
            self._claim(volume)
        return self._own_name(volume)

    def _own_name(self, volume: VolumeId) -> VolumeId:
        return volume if volume.is_of_vm else _named(volume, self.us.made())

    def _inner(self, volume: VolumeId) -> VolumeId:
        us = None if volume.is_of_vm else self.us.known()
        return volume if us is None else _named(volume, us)

    def _has_more(self, vm: str) -> bool:
        return any(volume.vm == vm for volume in self.pool.observe())


def _named(volume: VolumeId, us: Owner) -> VolumeId:
    """A template's volume, or one of an export, in the pool."""
    return VolumeId(volume.vm, f"{volume.volume}-{us.identity}")


def _outer(volume: VolumeId, us: Owner) -> VolumeId:
    return VolumeId(volume.vm, volume.volume.removesuffix(f"-{us.identity}"))
