"""Actions on volumes, performed: filled, copied, configured, renamed and destroyed."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from geats_core.declared.template import Template
from geats_core.foreign.lxc_lines import root_of
from geats_core.planning.actions import (
    ActivateVolume,
    AdoptVolume,
    AllocateVolume,
    CloneVolume,
    ConfigureGuest,
    DeleteSnapshot,
    DestroyVolume,
    FormatVolume,
    GrowVolume,
    Identity,
    InstallTemplate,
    MoveVolume,
    RenameVolume,
    ReserveVolume,
    RollbackVolume,
    SnapshotVolume,
    UnpackVolume,
    VolumeAction,
)
from geats_core.planning.model import adopted, filled
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.observation import UNFINISHED_COPY, Renaming, Stage, VolumeSeen
from geats_core.vm.spec import ROOT, VMSpec
from geats_host import templates
from geats_host.drivers import Place
from geats_host.drivers.abilities import (
    AdoptingDriver,
    DiskGrowing,
    DomainAdopting,
    GuestConfiguring,
)
from geats_host.engine.ground import Ground
from geats_host.errors import HostError
from geats_host.guest_trees.guest_names import configure_guest
from geats_host.lazy import later
from geats_host.observing import (
    kept_memories,
    lines_by_hand,
    unfinished_copies,
    unfinished_moves,
    unfinished_renames,
)
from geats_host.observing.known_volumes import forget
from geats_host.storage import (
    AdoptingPool,
    DiskAdoptingPool,
    Offer,
    Pool,
    RenamingPool,
    VolumeId,
    ZeroingPool,
)
from geats_host.storage.shared import SharedPool
from geats_host.templates.cache import unpacked
from geats_host.templates.layers import renew_machine_id

if TYPE_CHECKING:
    from geats_host.archives import export_clones, vm_archives
    from geats_host.drivers import machine_memory
    from geats_host.peers import fetching
else:  # of volumes that are copied
    export_clones = later("geats_host.archives.export_clones")
    vm_archives = later("geats_host.archives.vm_archives")
    machine_memory = later("geats_host.drivers.machine_memory")
    fetching = later("geats_host.peers.fetching")

DISK_FILES = (Offer.FILE, Offer.QCOW2)
EMPTYING = (DestroyVolume, RollbackVolume)
FILLING = (
    *(FormatVolume, InstallTemplate, UnpackVolume),
    *(CloneVolume, AdoptVolume, RollbackVolume),
)


def configure(ground: Ground, action: ConfigureGuest) -> tuple[str, ...]:
    """Write the files of a guest; the answer says what is left out, and why."""
    pool, volume = ground.pools[action.pool], VolumeId(ground.name, action.volume)
    seen = ground.seen(pool, volume)
    place = ground.place(pool, volume)
    left = _configure(ground, action.spec, place, new=seen.guest is None)
    pool.mark(volume, replace(seen, guest=guest_digest(action.spec)))
    return left


def perform_on_volume(ground: Ground, action: VolumeAction) -> None:
    """What is there is forgotten before it is destroyed; what is filled is remembered after."""
    pool, volume = ground.pools[action.pool], VolumeId(ground.name, action.volume)
    if isinstance(action, EMPTYING) and pool.observe(volume):
        forget(ground.registry, ground.name, action.pool, action.volume)
    if isinstance(action, DestroyVolume):
        unfinished_moves.forget(ground.registry, ground.name, action.volume, action.pool)
    try:
        _perform(ground, action)
    finally:  # what could not be rolled back is as it was
        if isinstance(action, FILLING):
            ground.remember(action.pool, volume, ground.look(action.pool, action.volume))
    if isinstance(action, FILLING) and ground.locked:
        ground.mark_locked(action.pool, action.volume)


def arrived(ground: Ground, spec: VMSpec, template: str) -> None:
    """The volumes have all that they had on the host that the VM came from as it ran."""
    for each in spec.volumes:
        pool, volume = ground.pools[each.pool], VolumeId(ground.name, each.name)
        pool.mark(volume, filled(ground.seen(pool, volume), spec, template))
        ground.remember(each.pool, volume, ground.look(each.pool, each.name))


def came_along(ground: Ground, seen: VolumeSeen) -> None:
    """A volume that another host has passed on; the guest on a root is still to be configured."""
    pool, volume = ground.pools[seen.pool], VolumeId(ground.name, seen.name)
    if seen.name == ROOT:
        pool.mark(volume, replace(ground.seen(pool, volume), guest=UNFINISHED_COPY))
    pool.activate(volume)
    ground.remember(seen.pool, volume, ground.look(seen.pool, seen.name))


def hand_over(ground: Ground, action: RenameVolume) -> None:
    """Let the volume be the new name's, as active as it was; nobody misses it under the old."""
    pool, volume = ground.pools[action.pool], VolumeId(ground.name, action.volume)
    new = VolumeId(action.new_name, action.volume)
    if not isinstance(pool, RenamingPool):
        raise HostError(f"{volume}: the pool {action.pool} cannot give it another name")
    unfinished_renames.note(ground.registry, Renaming(ground.name, action.new_name))
    before = pool.observe(volume).get(volume)
    pool.rename(volume, new)
    if before is not None and before.active:
        pool.activate(new)
    ground.remember(action.pool, new, pool.observe(new).get(new))
    if action.volume == ROOT:
        kept_memories.hand_over(ground.registry, ground.name, action.pool, action.new_name)
    forget(ground.registry, ground.name, action.pool, action.volume)


def _perform(ground: Ground, action: VolumeAction) -> None:
    pool, volume = ground.pools[action.pool], VolumeId(ground.name, action.volume)
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
            _grow(ground, pool, volume, size_bytes)
        case DestroyVolume():
            export_clones.destroy_clone(pool, volume)
            pool.deactivate(volume)
            pool.destroy(volume)
            if action.volume == ROOT:
                kept_memories.forget_all(ground.registry, ground.name, action.pool)
        case SnapshotVolume(_, _, snapshot, taken_s):
            _keep_memory(ground, action)
            pool.snapshot(volume, snapshot, taken_s)
        case RollbackVolume(_, _, snapshot):
            _give_memory_back(ground, action)
            pool.rollback(volume, snapshot)
        case DeleteSnapshot(_, _, snapshot):
            pool.delete_snapshot(volume, snapshot)
            if action.volume == ROOT:
                kept_memories.forget(ground.registry, ground.name, action.pool, snapshot)
        case InstallTemplate(_, _, template):
            _install(ground, pool, volume, ground.templates[template])
        case ReserveVolume():
            seen = replace(ground.seen(pool, volume), stage=Stage.FILLING)
            pool.mark(volume, replace(seen, template=UNFINISHED_COPY))
        case UnpackVolume(_, _, archive, sha256, template, identity):
            content = vm_archives.content_of(pool, volume, ground.store.root.parent)
            if action.is_from_host:
                fetching.fetch(
                    action, content, partial(remember_machine, ground, identity=identity)
                )
            else:
                vm_archives.unpack_volume(Path(archive), action.volume, sha256, content)
                if action.volume == ROOT:
                    kept = vm_archives.read(Path(archive)).manifest.remembered
                    remember_machine(ground, kept, identity)
            _filled(ground, pool, volume, template, identity)
            if action.takes_over:
                unfinished_copies.forget(ground.registry, ground.name)
        case CloneVolume(_, _, source, template):
            pool.clone(VolumeId(source, action.volume), volume)
            if action.volume == ROOT:
                remember_machine(
                    ground, machine_memory.remembered_by(ground.driver, source), Identity.NEW
                )
            _filled(ground, pool, volume, template, Identity.NEW)
        case AdoptVolume(tree=tree):
            _check_root(ground, action)
            match pool:
                case AdoptingPool():
                    pool.adopt(volume, Path(tree), adopted(action))
                case DiskAdoptingPool():
                    pool.adopt_disk(volume, Path(tree), adopted(action))
                case _:
                    raise HostError(f"{tree}: the pool {action.pool} cannot have it")
        case RenameVolume() | MoveVolume() | ConfigureGuest():
            raise AssertionError("it has a function of its own: see ``Performer.perform``")
        case _:
            assert_never(action)


def remember_machine(ground: Ground, remembered: Mapping[str, str], identity: Identity) -> None:
    """Let the machine remember what goes along with the root, before that counts as filled."""
    if remembered:
        machine_memory.let_remember(ground.driver, ground.name, remembered, identity)


def _keep_memory(ground: Ground, action: SnapshotVolume) -> None:
    """What the machine remembers belongs to the content of its root."""
    if action.volume == ROOT:
        of = ground.registry, ground.name, action.pool, action.snapshot
        kept_memories.note(*of, machine_memory.remembered_by(ground.driver, ground.name))


def keep_memories(ground: Ground, along: Iterable[VolumeSeen], kept: object) -> None:
    """What another host has kept with the snapshots of a root comes with them, and no other way."""
    for each in along:
        if each.name == ROOT:
            kept_memories.came(ground.registry, ground.name, each.pool, kept)


def forget_memories_of_anothers(ground: Ground) -> None:
    """A root was to come along, and is still another host's: so are its snapshots."""
    for name in kept_memories.pools_of(ground.registry, ground.name):
        pool = ground.pools.get(name)
        if isinstance(pool, SharedPool) and pool.is_anothers(ground.name):
            kept_memories.forget_all(ground.registry, ground.name, name)


def _give_memory_back(ground: Ground, action: RollbackVolume) -> None:
    """Nothing, where nothing was kept: then the machine remembers what it does now."""
    if action.volume == ROOT:
        of = ground.registry, ground.name, action.pool, action.snapshot
        remember_machine(ground, kept_memories.noted(*of), Identity.KEPT)


def _grow(ground: Ground, pool: Pool, volume: VolumeId, size_bytes: int) -> None:
    """The pool notes the new size of a file last: until then, an interrupted step is done again."""
    place, driver = ground.place(pool, volume), ground.driver
    if place.offers in DISK_FILES and isinstance(driver, DiskGrowing):
        driver.volume_grown(ground.name, place, size_bytes)
    if isinstance(pool, ZeroingPool):
        pool.grow_zeroed(volume, size_bytes)
    else:
        pool.grow(volume, size_bytes)
    if place.offers is Offer.BLOCK_DEVICE and isinstance(driver, DiskGrowing):
        driver.volume_grown(ground.name, place, size_bytes)


def _configure(ground: Ground, spec: VMSpec, place: Place, *, new: bool) -> tuple[str, ...]:
    """Write files into a tree; what the guest of a disk has to know is for its driver."""
    if place.offers is Offer.DIRECTORY:
        return configure_guest(place.path, spec, owner=place.shifted_by, new=new)
    if isinstance(driver := ground.driver, GuestConfiguring):
        lines = ground.by_hand() if new else ()
        if lines:  # the driver may forget the VM for a moment
            lines_by_hand.note(ground.registry, ground.name, lines)
        driver.configure_guest(spec, place, new=new)
        if lines:
            lines_by_hand.note(ground.registry, ground.name, ())
    return ()


def _install(ground: Ground, pool: Pool, volume: VolumeId, template: Template) -> None:
    """Mark the volume as being filled, fill it, mark it as filled: so an interruption is
    seen."""
    seen = replace(ground.seen(pool, volume), stage=Stage.FILLING)
    pool.mark(volume, seen)
    if pool.facts.clones and not templates.is_blank(template):
        with unpacked(pool, template, ground.store) as source:
            pool.clone(source, volume)
    else:
        templates.make_ready(template, ground.store)
        templates.fill(template, pool, volume, ground.store, seen.size_bytes)
    pool.mark(volume, replace(seen, stage=Stage.INSTALLED, template=template.name))
    templates.remember_sound(template, ground.store)


def _filled(
    ground: Ground, pool: Pool, volume: VolumeId, template: str | None, identity: Identity
) -> None:
    """A copy is on the volume: from now on it is not reserved any more."""
    is_root = template is not None
    if pool.offers is Offer.DIRECTORY and is_root and identity is Identity.NEW:
        renew_machine_id(pool.path(volume), owner=pool.facts.shifted_by)
    stage = Stage.FORMATTED if template is None else Stage.INSTALLED
    guest = None if template is None else UNFINISHED_COPY  # until it is configured
    seen = ground.seen(pool, volume)
    pool.mark(volume, replace(seen, stage=stage, template=template, guest=guest))


def _check_root(ground: Ground, action: AdoptVolume) -> None:
    """Once more, as a plan may come from a file: is that of the VM that is adopted."""
    name, tree = action.called or ground.name, action.tree
    if tree not in _trees(ground, name):
        raise HostError(f"{tree}: is no root filesystem or disk of {name}")


def _trees(ground: Ground, name: str) -> Collection[str]:
    """Where the volumes of a VM are that geats did not make."""
    match ground.driver:
        case AdoptingDriver() as driver:
            old = driver.config_text(name)
            return () if old is None else (root_of(old.text),)
        case DomainAdopting() as driver:
            text = driver.domain_text(name)
            return () if text is None else text.disks
        case _:
            return ()
