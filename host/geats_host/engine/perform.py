"""One action of a plan, performed: each is a call or two of a driver, a pool or the registry."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar, assert_never

from geats_core.declared.template import Template
from geats_core.foreign.lxc_lines import root_of
from geats_core.planning.actions import (
    Action,
    ActivateVolume,
    Adopt,
    AdoptVolume,
    AllocateVolume,
    CloneVolume,
    ConfigureGuest,
    Define,
    DeleteSnapshot,
    DestroyVolume,
    Export,
    ForgetVolume,
    FormatVolume,
    Freeze,
    GrowVolume,
    Hold,
    Identity,
    InstallTemplate,
    KeepOff,
    Lock,
    NotePlaces,
    OnVolume,
    Pause,
    PowerOffAction,
    Reading,
    RemoveLeftover,
    Rename,
    RenameVolume,
    Repair,
    ReserveVolume,
    RollbackVolume,
    SetDevices,
    SetLimits,
    Shutdown,
    SnapshotVolume,
    Start,
    Stop,
    Undefine,
    Unfreeze,
    Unlock,
    UnpackVolume,
    UpgradeRegistry,
    VolumeAction,
)
from geats_core.planning.model import SUSPENDED, adopted
from geats_core.planning.then import Then
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.observation import UNFINISHED_COPY, Power, Renaming, Stage, VolumeSeen
from geats_core.vm.spec import RootKind, SharedVolume, VMSpec, Volume
from geats_host import templates
from geats_host.archives import export_clones
from geats_host.archives.vm_archives import content_of, unpack_volume, write
from geats_host.drivers import (
    AdoptingDriver,
    DiskGrowing,
    DomainAdopting,
    Driver,
    GuestConfiguring,
    HotPlugging,
    Place,
)
from geats_host.errors import HostError
from geats_host.guest_trees.guest_names import configure_guest, seed_guest
from geats_host.guest_trees.mount_points import check_mount_points
from geats_host.observing import (
    lines_by_hand,
    offers,
    unfinished_copies,
    unfinished_renames,
    unfinished_restarts,
)
from geats_host.observing.known_volumes import (
    forget,
    is_filled,
    remember,
    tells_of_locks,
    upgrade_registry,
)
from geats_host.peers import fetching
from geats_host.planning import binds
from geats_host.registry import Registry
from geats_host.storage import (
    AdoptingPool,
    DiskAdoptingPool,
    Offer,
    Pool,
    RenamingPool,
    VolumeId,
    ZeroingPool,
)
from geats_host.templates.cache import unpacked
from geats_host.templates.layers import renew_machine_id
from geats_host.templates.store import Store

EMPTYING = (DestroyVolume, RollbackVolume)
AS_OFFERED = (Undefine, ActivateVolume)  # what another host was offered is still so
Answer = TypeVar("Answer")
FILLING = (
    *(FormatVolume, InstallTemplate, UnpackVolume),
    *(CloneVolume, AdoptVolume, RollbackVolume),
)


@dataclass(frozen=True, slots=True)
class Performer:
    """Performs actions on one VM. Raises ``HostError`` if the host fails.

    ``driver_of`` gives the driver that runs it, and is only called by what needs one. ``spec`` is
    what the VM is started with, ``bind_sources`` are what it may bind, and ``locked`` says whether
    it was protected from deletion when it was last looked at; ``volumes`` are those that it had
    then, each with its pool.
    """

    name: str
    registry: Registry
    driver_of: Callable[[], Driver]
    pools: Mapping[str, Pool]
    templates: Mapping[str, Template]
    store: Store
    spec: VMSpec | None = None
    bind_sources: tuple[str, ...] = ()
    locked: bool = False
    volumes: tuple[tuple[str, str], ...] = ()

    @property
    def driver(self) -> Driver:
        """The driver that runs the VM."""
        return self.driver_of()

    def perform(self, action: Action) -> str | None:
        """Carry out one action on the VM; the answer is what is to be known of how that went."""
        if not isinstance(action, AS_OFFERED):
            offers.forget(self.registry, self.name)
        match action:
            case Define(spec, keep, copy_of, then):
                unfinished_copies.before_define(self.registry, self.name, copy_of, then)
                self._define(spec, keep)
            case Adopt():
                self._adopt(action)
            case Undefine(keep):
                unfinished_restarts.forget(self.registry, [self.name])
                lines_by_hand.note(self.registry, self.name, keep)
                self.driver.undefine(self.name)
                self.registry.forget(self.name)
                unfinished_copies.forget(self.registry, self.name)
            case Rename():
                self._rename(action)
            case Pause(seconds):
                time.sleep(seconds)
            case UpgradeRegistry():
                upgrade_registry(self.registry, action)
            case RemoveLeftover():
                raise AssertionError("what is left over is removed for the host, see interrupted")
            case NotePlaces():
                raise HostError("the places of a host are noted by the host, not for one VM")
            case ForgetVolume(pool, volume):
                forget(self.registry, self.name, pool, volume)
            case Export(archive, reading):
                self._export(Path(archive), reading)
            case Lock():
                self._lock()
            case Unlock():
                return self._unlock()
            case KeepOff():
                unfinished_restarts.forget(self.registry, [self.name])
            case Shutdown() | Stop() | Repair():
                unfinished_restarts.before_power_off(self.registry, self.name, action.then)
                return None if self._is_off() else self._power_off(action)
            case Start():
                self._check_mounts()
                self._seed()
                self._follow_root()
                self.driver.start(self.name)
                with suppress(HostError):  # it is on: the next plan removes the note
                    unfinished_restarts.started(self.registry, self.name)
            case SetLimits(limits):
                self.driver.set_limits(self.name, limits)
            case SetDevices():
                self._set_devices(action)
            case Freeze():
                self.driver.freeze(self.name)
                with suppress(HostError):  # the same
                    unfinished_restarts.forget(self.registry, [self.name])
            case Hold():
                return self.driver.hold(self.name)
            case Unfreeze(then):
                self._unfreeze(then)
            case RenameVolume():
                self._hand_over(action)
            case ConfigureGuest():
                self._remembering(action)
                unfinished_copies.forget(self.registry, self.name)
            case OnVolume():
                self._remembering(action)
            case _:
                assert_never(action)
        return None

    def _define(self, spec: VMSpec, keep: tuple[str, ...]) -> None:
        """Record it, and write it; a lock kept in one place is kept in all from now on."""
        self.registry.record(spec)
        self.driver.define(spec, self._places(spec), keep)
        lines_by_hand.note(self.registry, self.name, ())
        if self.locked:
            self._lock()

    def _rename(self, action: Rename) -> None:
        """Under the new name first, with its lock: only then is the old one forgotten."""
        this = Renaming(self.name, action.spec.name)
        unfinished_renames.note(self.registry, this)
        unfinished_copies.before_define(self.registry, this.new_name, "", Then.OFF)
        replace(self, name=this.new_name, spec=action.spec)._define(action.spec, action.keep)
        lines_by_hand.note(self.registry, self.name, ())
        self.driver.undefine(self.name)
        self.registry.forget(self.name)
        unfinished_renames.forget(self.registry, this)

    def _hand_over(self, action: RenameVolume) -> None:
        """Let the volume be the new name's, as active as it was; nobody misses it under the old."""
        pool, volume = self.pools[action.pool], VolumeId(self.name, action.volume)
        new = VolumeId(action.new_name, action.volume)
        if not isinstance(pool, RenamingPool):
            raise HostError(f"{volume}: the pool {action.pool} cannot give it another name")
        unfinished_renames.note(self.registry, Renaming(self.name, action.new_name))
        before = pool.observe(volume).get(volume)
        pool.rename(volume, new)
        if before is not None and before.active:
            pool.activate(new)
        seen = pool.observe(new)[new]
        if is_filled(seen):
            place, identity = pool.path(new), pool.facts.identity
            remember(self.registry, new.vm, replace(seen, pool=action.pool), place, identity)
        forget(self.registry, self.name, action.pool, action.volume)

    def _lock(self) -> None:
        """In the registry first, which is enough if the driver or a pool is not available.

        Once it is again, the VM is seen as half locked.
        """
        self.registry.set_locked(self.name, locked=True)
        driver = _available(self.driver_of)
        if driver is not None:
            driver.set_locked(self.name, locked=True)
        for pool, name in self._own_volumes():
            if _available(partial(self._look, pool, name)) is not None:
                self._mark_locked(pool, name)

    def _unlock(self) -> str | None:
        """In the registry last: it stays locked until nothing says so any more.

        The marks on volumes of a pool that is not available stay, which the answer says.
        """
        unseen: list[str] = []
        for pool, name in self._own_volumes():
            try:
                seen = self._look(pool, name)
            except HostError:
                unseen.append(f"volume {self.name}/{name} in pool {pool}")
                continue
            if seen is not None and seen.locked:
                self.pools[pool].set_locked(VolumeId(self.name, name), locked=False)
        self.driver.set_locked(self.name, locked=False)
        self.registry.set_locked(self.name, locked=False)
        if not unseen:
            return None
        return f"unlock again once the pool is back: the mark on {', '.join(unseen)} is still there"

    def _mark_locked(self, pool: str, name: str) -> None:
        """Mark a volume, unless it is marked, or contains nothing."""
        seen = self._look(pool, name)
        if seen is not None and tells_of_locks(seen) and not seen.locked:
            self.pools[pool].set_locked(VolumeId(self.name, name), locked=True)

    def _look(self, pool: str, name: str) -> VolumeSeen | None:
        volume = VolumeId(self.name, name)
        return self.pools[pool].observe(volume).get(volume)

    def _own_volumes(self) -> Iterable[tuple[str, str]]:
        """Those that it had, and those that it is to have; each with its pool."""
        wanted = () if self.spec is None else self.spec.volumes
        return dict.fromkeys((*self.volumes, *((each.pool, each.name) for each in wanted)))

    def _adopt(self, action: Adopt) -> None:
        """The registry first: until the driver has done its part, the VM is not of geats."""
        driver = self.driver
        if not isinstance(driver, AdoptingDriver | DomainAdopting):
            raise HostError(f"{self.name}: its driver cannot adopt VMs")
        unfinished_copies.before_define(self.registry, self.name, "", Then.OFF)
        self.registry.record(action.spec)
        driver.adopt(action, self._places(action.spec))
        lines_by_hand.note(self.registry, self.name, ())

    def _check_root(self, action: AdoptVolume) -> None:
        """Once more, as a plan may come from a file: is that of the VM that is adopted."""
        name, tree = action.called or self.name, action.tree
        if tree not in self._trees(name):
            raise HostError(f"{tree}: is no root filesystem or disk of {name}")

    def _trees(self, name: str) -> Collection[str]:
        """Where the volumes of a VM are that geats did not make."""
        match self.driver:
            case AdoptingDriver() as driver:
                old = driver.config_text(name)
                return () if old is None else (root_of(old.text),)
            case DomainAdopting() as driver:
                text = driver.domain_text(name)
                return () if text is None else text.disks
            case _:
                return ()

    def _unfreeze(self, then: Then) -> None:
        """Resume it, unless it runs and was only to be frozen again; one that was held still is.

        Its goal is noted first, so that it is known if this is interrupted.
        """
        power = self._power_now()
        if then is Then.FROZEN and power in SUSPENDED:
            unfinished_restarts.before_power_off(self.registry, self.name, then)
        elif then is not Then.FROZEN and power in (Power.FROZEN, Power.RUNNING):
            unfinished_restarts.forget(self.registry, [self.name])
        if power is not Power.RUNNING:
            self.driver.unfreeze(self.name)

    def _power_now(self) -> Power | None:
        seen = self.driver.observe(self.name).get(self.name)
        return None if seen is None else seen.power

    def _is_off(self) -> bool:
        """Whether it went off by itself, for example because it was shutting down already."""
        return self._power_now() is Power.STOPPED

    def _power_off(self, action: PowerOffAction) -> str | None:
        match action:
            case Shutdown(timeout_s, _):
                return self.driver.shutdown(self.name, timeout_s)
            case Stop():
                self.driver.stop(self.name)
            case Repair():
                self.driver.repair(self.name)
            case _:
                assert_never(action)
        return None

    def _set_devices(self, action: SetDevices) -> None:
        driver = self.driver
        if not isinstance(driver, HotPlugging):
            raise HostError(f"{self.name}: its driver cannot change devices of a VM that is on")
        places = {
            each.name: self._place(self.pools[each.pool], VolumeId(self.name, each.name))
            for each in action.spec.volumes
        }
        driver.set_devices(self.name, action, places)

    def _check_mounts(self) -> None:
        """Once more, as the steps before may have taken long; and the guest is off now."""
        spec = self.spec
        if spec is None or self.pools[spec.root.pool].offers is Offer.NOTHING:
            return
        wrong = list(binds.problems(spec, self.bind_sources))
        if wrong:
            raise HostError("; ".join(map(str, wrong)))
        if self.pools[spec.root.pool].offers is not Offer.DIRECTORY:
            return  # nothing of such a guest is mounted on the host
        paths = {name: place.path for name, place in self._places(spec).items()}
        check_mount_points(spec, paths)

    def _seed(self) -> None:
        """What cloud-init reads in a container; a virtual machine gets it from its driver."""
        spec = self.spec
        if spec is not None and self.pools[spec.root.pool].offers is Offer.DIRECTORY:
            place = self._place(self.pools[spec.root.pool], VolumeId(self.name, spec.root.name))
            seed_guest(place.path, spec, owner=place.shifted_by)

    def _follow_root(self) -> None:
        """One that was adopted, and was recreated since, is not where the definition says."""
        spec, driver = self.spec, self.driver
        if spec is None or not isinstance(driver, AdoptingDriver):
            return
        config, places = driver.config_text(self.name), self._places(spec)
        if config is not None and root_of(config.text) != f"{places[spec.root.name].path}":
            driver.define(spec, places, self._by_hand())

    def _by_hand(self) -> tuple[str, ...]:
        """The lines that a person added to what the driver holds."""
        seen = self.driver.observe(self.name).get(self.name)
        return () if seen is None else seen.by_hand

    def _remembering(self, action: VolumeAction) -> None:
        """What is there is forgotten before it is destroyed; what is filled is remembered after."""
        pool, volume = self.pools[action.pool], VolumeId(self.name, action.volume)
        if isinstance(action, EMPTYING) and pool.observe(volume):
            forget(self.registry, self.name, action.pool, action.volume)
        try:
            self._volume(action)
        finally:  # what could not be rolled back is as it was
            seen = pool.observe(volume).get(volume) if isinstance(action, FILLING) else None
            if seen is not None and is_filled(seen):
                own = replace(seen, pool=action.pool)
                place, identity = pool.path(volume), pool.facts.identity
                remember(self.registry, self.name, own, place, identity)
        if isinstance(action, FILLING) and self.locked:
            self._mark_locked(action.pool, action.volume)

    def _volume(self, action: VolumeAction) -> None:
        pool, volume = self.pools[action.pool], VolumeId(self.name, action.volume)
        match action:
            case AllocateVolume(_, _, size_bytes):
                pool.allocate(volume, size_bytes)
            case FormatVolume():
                if isinstance(pool, ZeroingPool):
                    pool.zero(volume)
                pool.format(volume)
            case ActivateVolume():
                pool.activate(volume)
            case GrowVolume(_, _, size_bytes):
                if isinstance(pool, ZeroingPool):
                    pool.grow_zeroed(volume, size_bytes)
                else:
                    pool.grow(volume, size_bytes)
                self._grown(self._place(pool, volume), size_bytes)
            case DestroyVolume():
                export_clones.destroy_clone(pool, volume)
                pool.deactivate(volume)
                pool.destroy(volume)
            case SnapshotVolume(_, _, snapshot, taken_s):
                pool.snapshot(volume, snapshot, taken_s)
            case RollbackVolume(_, _, snapshot):
                pool.rollback(volume, snapshot)
            case DeleteSnapshot(_, _, snapshot):
                pool.delete_snapshot(volume, snapshot)
            case InstallTemplate(_, _, template):
                self._install(pool, volume, self.templates[template])
            case ConfigureGuest(_, _, spec):
                seen = self._seen(pool, volume)
                self._configure(spec, self._place(pool, volume), new=seen.guest is None)
                pool.mark(volume, replace(seen, guest=guest_digest(spec)))
            case ReserveVolume():
                seen = replace(self._seen(pool, volume), stage=Stage.FILLING)
                pool.mark(volume, replace(seen, template=UNFINISHED_COPY))
            case UnpackVolume(_, _, archive, sha256, template, identity):
                content = content_of(pool, volume, self.store.root.parent)
                if action.is_from_host:
                    fetching.fetch(action, content)
                else:
                    unpack_volume(Path(archive), action.volume, sha256, content)
                self._filled(pool, volume, template, identity)
                if action.takes_over:
                    unfinished_copies.forget(self.registry, self.name)
            case CloneVolume(_, _, source, template):
                pool.clone(VolumeId(source, action.volume), volume)
                self._filled(pool, volume, template, Identity.NEW)
            case AdoptVolume(tree=tree):
                self._check_root(action)
                match pool:
                    case AdoptingPool():
                        pool.adopt(volume, Path(tree), adopted(action))
                    case DiskAdoptingPool():
                        pool.adopt_disk(volume, Path(tree), adopted(action))
                    case _:
                        raise HostError(f"{tree}: the pool {action.pool} cannot have it")
            case RenameVolume():
                raise AssertionError("it is handed over, see _hand_over")
            case _:
                assert_never(action)

    def _grown(self, place: Place, size_bytes: int) -> None:
        """Tell a guest that has the disk itself, and is on, of its new size."""
        is_disk = place.offers.takes(RootKind.DISK) and place.offers is not Offer.NOTHING
        if is_disk and isinstance(driver := self.driver, DiskGrowing):
            driver.volume_grown(self.name, place, size_bytes)

    def _configure(self, spec: VMSpec, place: Place, *, new: bool) -> None:
        """Write files into a tree; what the guest of a disk has to know is for its driver."""
        if place.offers is Offer.DIRECTORY:
            configure_guest(place.path, spec, owner=place.shifted_by, new=new)
        elif isinstance(driver := self.driver, GuestConfiguring):
            driver.configure_guest(spec, place)

    def _install(self, pool: Pool, volume: VolumeId, template: Template) -> None:
        """Mark the volume as being filled, fill it, mark it as filled: so an interruption is
        seen."""
        seen = replace(self._seen(pool, volume), stage=Stage.FILLING)
        pool.mark(volume, seen)
        if pool.facts.clones:
            with unpacked(pool, template, self.store) as source:
                pool.clone(source, volume)
        else:
            templates.make_ready(template, self.store)
            templates.fill(template, pool, volume, self.store)
        pool.mark(volume, replace(seen, stage=Stage.INSTALLED, template=template.name))

    def _filled(
        self, pool: Pool, volume: VolumeId, template: str | None, identity: Identity
    ) -> None:
        """A copy is on the volume: from now on it is not reserved any more."""
        is_root = template is not None
        if pool.offers is Offer.DIRECTORY and is_root and identity is Identity.NEW:
            renew_machine_id(pool.path(volume), owner=pool.facts.shifted_by)
        stage = Stage.FORMATTED if template is None else Stage.INSTALLED
        guest = None if template is None else UNFINISHED_COPY  # until it is configured
        seen = self._seen(pool, volume)
        pool.mark(volume, replace(seen, stage=stage, template=template, guest=guest))

    def _export(self, archive: Path, reading: Reading) -> None:
        """Read the volumes; or clones, made while the VM is held."""
        spec = self.spec
        if spec is None:
            raise HostError(f"{self.name} is not defined")
        volumes: export_clones.Volumes = {
            volume.name: (self.pools[volume.pool], VolumeId(self.name, volume.name))
            for volume in spec.volumes
        }
        pool, root = volumes[spec.root.name]
        template = self._seen(pool, root).template or spec.template
        with ExitStack() as stack:
            taken_s = int(time.time())
            if reading is Reading.CLONES:
                volumes = stack.enter_context(export_clones.clones(volumes, self._held))
            contents = {n: content_of(*where, archive.parent) for n, where in volumes.items()}
            written = (archive, spec, template, contents, taken_s, self._by_hand())
            write(*written, done_with_volumes=stack.close)

    @contextmanager
    def _held(self) -> Iterator[None]:
        self.driver.hold(self.name)
        try:
            yield
        finally:
            self.driver.unfreeze(self.name)

    def _seen(self, pool: Pool, volume: VolumeId) -> VolumeSeen:
        seen = pool.observe(volume).get(volume)
        if seen is None:
            raise HostError(f"volume {volume} does not exist")
        return seen

    def _places(self, spec: VMSpec) -> Mapping[str, Place]:
        """Where each volume will be, and each that another VM shares: known before it is there."""
        return {
            name: self._place(self.pools[volume.pool], volume_id)
            for name, volume, volume_id in self._mounted(spec)
        }

    def _place(self, pool: Pool, volume: VolumeId) -> Place:
        return Place(pool.path(volume), pool.offers, pool.facts.shifted_by)

    def _mounted(self, spec: VMSpec) -> Iterator[tuple[str, Volume | SharedVolume, VolumeId]]:
        for own in spec.volumes:
            yield own.name, own, VolumeId(self.name, own.name)
        for other in spec.shared_volumes:
            yield other.name, other, VolumeId(other.vm, other.volume)


def _available(asked: Callable[[], Answer]) -> Answer | None:
    """What a driver or a pool answers; None if it cannot."""
    try:
        return asked()
    except HostError:
        return None
