"""One action of a plan, performed: each is a call or two of a driver, a pool or the registry."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, assert_never

from geats_core.foreign.lxc_lines import root_of
from geats_core.planning.actions import (
    Action,
    ActivateVolume,
    Adopt,
    AwaitReady,
    ConfigureGuest,
    Define,
    Export,
    ForgetVolume,
    Freeze,
    Hold,
    Identity,
    KeepOff,
    Lock,
    MoveVolume,
    NotePlaces,
    OnVolume,
    Pause,
    PowerOffAction,
    Publish,
    Reading,
    RemoveLeftover,
    Rename,
    RenameVolume,
    Repair,
    SetDevices,
    SetDns,
    SetLimits,
    Shutdown,
    Start,
    Stop,
    TakeOver,
    TakeVolumes,
    Undefine,
    Unfreeze,
    Unlock,
    UpgradeRegistry,
)
from geats_core.planning.model import ON, SUSPENDED
from geats_core.planning.then import Then
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Power, Renaming
from geats_core.vm.spec import Restarts, VMSpec, Volume
from geats_host.drivers.abilities import (
    AdoptingDriver,
    DomainAdopting,
    HotPlugging,
    LiveMoving,
    RenamingDriver,
)
from geats_host.engine import guest_dns, on_volumes
from geats_host.engine.ground import Ground
from geats_host.errors import HostError
from geats_host.guest_trees.guest_names import finish_guest
from geats_host.guest_trees.mount_points import check_mount_points
from geats_host.lazy import later
from geats_host.observing import (
    lines_by_hand,
    offers,
    unfinished_copies,
    unfinished_moves,
    unfinished_renames,
    unfinished_restarts,
)
from geats_host.observing.known_volumes import forget, upgrade_registry
from geats_host.planning import allowed
from geats_host.registry import kept_up
from geats_host.storage import Offer, Pool, VolumeId

if TYPE_CHECKING:
    from geats_host.archives import export_clones, published, vm_archives
    from geats_host.drivers import machine_memory, readiness
    from geats_host.engine import volume_moves
    from geats_host.peers import arriving, fetching, passed_on
else:  # most VMs say nothing of it
    export_clones = later("geats_host.archives.export_clones")
    published = later("geats_host.archives.published")
    vm_archives = later("geats_host.archives.vm_archives")
    machine_memory = later("geats_host.drivers.machine_memory")
    volume_moves = later("geats_host.engine.volume_moves")
    arriving, fetching, passed_on = (
        later(f"geats_host.peers.{each}") for each in ("arriving", "fetching", "passed_on")
    )
    readiness = later("geats_host.drivers.readiness")

AS_OFFERED = (Undefine, ActivateVolume)  # what another host was offered is still so
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Performer(Ground):
    """Performs actions on one VM. Raises ``HostError`` if the host fails."""

    def perform(self, action: Action) -> str | None:
        """Carry out one action on the VM; the answer is what is to be known of how that went."""
        if not isinstance(action, AS_OFFERED):
            offers.forget(self.registry, self.name)
        match action:
            case Define(spec, keep, copy_of, then):
                unfinished_moves.before_define(self.registry, self.name)
                unfinished_copies.before_define(self.registry, self.name, copy_of, then)
                self._define(spec, keep)
                self._note_kept(spec)
            case Adopt():
                self._adopt(action)
            case Undefine(keep):
                kept_up.forget(self.registry, self.name)
                unfinished_restarts.forget(self.registry, [self.name])
                unfinished_moves.forget_all(self.registry, self.name)
                on_volumes.forget_memories_of_anothers(self)
                lines_by_hand.note(self.registry, self.name, keep)
                self.driver.undefine(self.name)
                self.registry.forget(self.name)
                unfinished_copies.forget(self.registry, self.name)
            case Rename():
                self._rename(action)
            case Pause(seconds):
                self.over.wait(seconds)
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
            case Publish():
                self._publish(action)
            case Lock():
                self._lock()
            case Unlock():
                return self._unlock()
            case KeepOff():
                unfinished_restarts.forget(self.registry, [self.name])
                kept_up.before_power_off(self.registry, self.name)
            case Shutdown() | Stop() | Repair():
                unfinished_restarts.before_power_off(self.registry, self.name, action.then)
                kept_up.before_power_off(self.registry, self.name)
                return None if self._is_off() else self._power_off(action)
            case Start():
                self._check_mounts()
                left = self._finish_guest()
                self._follow_root()
                self.driver.start(self.name)
                self._note_started()
                with suppress(HostError):  # it is on: the next plan removes the note
                    unfinished_restarts.started(self.registry, self.name)
                return "; ".join(left) or None
            case AwaitReady(ready):
                readiness.await_ready(self.driver, self.name, ready, self.over)
            case TakeOver():
                self._take_over(action)
            case TakeVolumes():
                self._take_volumes(action)
            case SetLimits(limits):
                self.driver.set_limits(self.name, limits)
            case SetDevices():
                self._set_devices(action)
            case SetDns(dns):
                guest_dns.set_dns(self, dns)
            case Freeze():
                self.driver.freeze(self.name)
                with suppress(HostError):  # the same
                    unfinished_restarts.forget(self.registry, [self.name])
            case Hold():
                return self.driver.hold(self.name)
            case Unfreeze(then):
                self._unfreeze(then)
            case RenameVolume():
                on_volumes.hand_over(self, action)
            case MoveVolume(spec=spec):
                volume_moves.move_volume(self, action, lambda: self._define(spec, self.by_hand()))
            case ConfigureGuest():
                left = on_volumes.configure(self, action)
                unfinished_copies.forget(self.registry, self.name)
                return "; ".join(left) or None
            case OnVolume():
                on_volumes.perform_on_volume(self, action)
            case _:
                assert_never(action)
        return None

    def _define(self, spec: VMSpec, keep: tuple[str, ...]) -> None:
        """Record it, and write it; a lock kept in one place is kept in all from now on."""
        self.registry.record(spec)
        self.driver.define(spec, self.places(spec), keep)
        lines_by_hand.note(self.registry, self.name, ())
        if self.locked:
            self._lock()

    def _rename(self, action: Rename) -> None:
        """Under the new name first, with its lock: only then is the old one forgotten."""
        this, driver = Renaming(self.name, action.spec.name), self.driver
        unfinished_renames.note(self.registry, this)
        unfinished_copies.before_define(self.registry, this.new_name, "", Then.OFF)
        if isinstance(driver, RenamingDriver):
            lines_by_hand.note(self.registry, this.new_name, action.keep)
            driver.rename(this.old_name, this.new_name)
        replace(self, name=this.new_name, spec=action.spec)._define(action.spec, action.keep)
        lines_by_hand.note(self.registry, self.name, ())
        self.driver.undefine(self.name)
        unfinished_moves.forget_all(self.registry, self.name)
        kept_up.forget(self.registry, self.name)
        self.registry.forget(self.name)
        unfinished_renames.forget(self.registry, this)

    def _lock(self) -> None:
        """In the registry first, which is enough if the driver or a pool is not available.

        Once it is again, the VM is seen as half locked.
        """
        self.registry.set_locked(self.name, locked=True)
        driver = _available(self.driver_of)
        if driver is not None:
            driver.set_locked(self.name, locked=True)
        for pool, name in self._own_volumes():
            if _available(partial(self.look, pool, name)) is not None:
                self.mark_locked(pool, name)

    def _unlock(self) -> str | None:
        """In the registry last: it stays locked until nothing says so any more.

        The marks on volumes of a pool that is not available stay, which the answer says.
        """
        unseen: list[str] = []
        for pool, name in self._own_volumes():
            try:
                seen = self.look(pool, name)
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
        driver.adopt(action, self.places(action.spec))
        lines_by_hand.note(self.registry, self.name, ())

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

    def _note_started(self) -> None:
        spec = self.registry.definitions().get(self.name)
        if spec is not None:
            with suppress(HostError):  # it is on all the same
                kept_up.after_start(self.registry, spec, int(time.time()))

    def _note_kept(self, spec: VMSpec) -> None:
        """One that is on when its description begins to say so is kept up from then on; one that is
        off, and described so, does not come back if that changes.
        """
        if spec.restart is Restarts.NO:
            kept_up.forget(self.registry, self.name)
            return
        is_on = self._power_now() in ON
        if spec.is_to_be_off and not is_on:
            kept_up.before_power_off(self.registry, self.name)
        elif is_on and self.name not in kept_up.noted(self.registry):
            kept_up.after_start(self.registry, spec, int(time.time()))

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
            each.name: self.place(self.pools[each.pool], VolumeId(self.name, each.name))
            for each in action.spec.volumes
        }
        driver.set_devices(self.name, action, places)

    def _take_over(self, action: TakeOver) -> None:
        """It goes on as the last that is done: so nothing takes what runs for an unfinished copy.

        What is interrupted before is one that stands still, until it is let go on.
        """
        spec, driver = self.spec, self.driver
        if spec is None or not isinstance(driver, LiveMoving):
            raise HostError(f"{self.name}: its driver cannot take over a VM that runs")
        came_as = unfinished_copies.came_as(self.registry, self.name)
        comes_as = partial(unfinished_copies.note_mark, self.registry, self.name)
        places = self.places(spec)
        with passed_on.asked_for(self.pools, action.along) as along:
            keep = partial(on_volumes.keep_memories, self, action.along)
            arriving.take_over(action, driver, spec, places, along, came_as, comes_as, keep)
        for each in action.along:
            on_volumes.came_along(self, each)
        on_volumes.arrived(self, spec, action.template)
        unfinished_copies.forget(self.registry, self.name)
        comes_as("")
        unfinished_restarts.forget(self.registry, [self.name])
        self._note_started()
        self._unfreeze(Then.ON)

    def _take_volumes(self, action: TakeVolumes) -> None:
        """What came along is a copy whose guest is not configured, until it is."""
        remember = partial(on_volumes.remember_machine, self, identity=Identity.KEPT)
        with passed_on.asked_for(self.pools, action.volumes) as along:
            keep = partial(on_volumes.keep_memories, self, action.volumes)
            fetching.take(action, along, remember, keep)
        for each in action.volumes:
            on_volumes.came_along(self, each)
        unfinished_copies.forget(self.registry, self.name)

    def _check_mounts(self) -> None:
        """Once more, as the steps before may have taken long; and the guest is off now."""
        spec = self.spec
        if spec is None or self.pools[spec.root.pool].offers is Offer.NOTHING:
            return
        wrong = list(allowed.problems(spec, self.config))
        if wrong:
            raise HostError("; ".join(map(str, wrong)))
        if self.pools[spec.root.pool].offers is not Offer.DIRECTORY:
            return  # nothing of such a guest is mounted on the host
        paths = {name: place.path for name, place in self.places(spec).items()}
        check_mount_points(spec, paths)

    def _finish_guest(self) -> tuple[str, ...]:
        """What is done in a container's tree; a virtual machine's driver does that itself."""
        spec = self.spec
        if spec is None or self.pools[spec.root.pool].offers is not Offer.DIRECTORY:
            return ()
        place = self.place(self.pools[spec.root.pool], VolumeId(self.name, spec.root.name))
        return finish_guest(place.path, spec, owner=place.shifted_by)

    def _follow_root(self) -> None:
        """One that was adopted, and was recreated since, is not where the definition says."""
        spec, driver = self.spec, self.driver
        if spec is None or not isinstance(driver, AdoptingDriver):
            return
        config, places = driver.config_text(self.name), self.places(spec)
        if config is not None and root_of(config.text) != f"{places[spec.root.name].path}":
            driver.define(spec, places, self.by_hand())

    def _publish(self, action: Publish) -> None:
        """Write the root volume, or a clone of it, made while the VM is held."""
        root = self._defined().root
        volumes: export_clones.Volumes = {root.name: self._place(root)}
        with ExitStack() as stack:
            if action.reading is Reading.CLONES:
                held = partial(self._held, {})
                volumes = stack.enter_context(export_clones.clones(volumes, held))
            file = Path(action.file)
            content = vm_archives.content_of(*volumes[root.name], file.parent)
            published.write(file, content, action.without, done_with_volume=stack.close)

    def _defined(self) -> VMSpec:
        if self.spec is None:
            raise HostError(f"{self.name} is not defined")
        return self.spec

    def _place(self, volume: Volume) -> tuple[Pool, VolumeId]:
        return self.pools[volume.pool], VolumeId(self.name, volume.name)

    def _export(self, archive: Path, reading: Reading) -> None:
        """Read the volumes; or clones, made while the VM is held."""
        spec = self._defined()
        volumes: export_clones.Volumes = {each.name: self._place(each) for each in spec.volumes}
        pool, root = volumes[spec.root.name]
        template = self.seen(pool, root).template or spec.template
        remembered: dict[str, str] = {}
        with ExitStack() as stack:
            taken_s = int(time.time())
            if reading is Reading.CLONES:
                held = partial(self._held, remembered)
                volumes = stack.enter_context(export_clones.clones(volumes, held))
            else:
                remembered.update(machine_memory.remembered_by(self.driver, self.name))
            contents = {
                n: vm_archives.content_of(*where, archive.parent) for n, where in volumes.items()
            }
            written = (archive, spec, template, contents, taken_s, self.by_hand())
            vm_archives.write(*written, done_with_volumes=stack.close, remembered=remembered)

    @contextmanager
    def _held(self, remembered: dict[str, str]) -> Iterator[None]:
        """The VM stands still; what its machine remembers then is put into *remembered*."""
        self.driver.hold(self.name)
        try:
            remembered.update(machine_memory.remembered_by(self.driver, self.name))
            yield
        finally:
            self.driver.unfreeze(self.name)


def _available(asked: Callable[[], Answer]) -> Answer | None:
    """What a driver or a pool answers; None if it cannot."""
    try:
        return asked()
    except HostError:
        return None
