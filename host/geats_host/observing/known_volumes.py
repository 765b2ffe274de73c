"""What a host remembers of the volumes of its VMs: which of them held something, from what, where.

Theory of operation
-------------------
A volume is recorded when it has content, and its record is deleted before the content is destroyed:
so after an interruption at any point, the registry never has more than exists. So if a volume is
recorded but not seen, geats did not remove it: its disk is not mounted, or the pool leads elsewhere
now. The identity of the pool is recorded with it: a volume of the same name in a pool with another
identity, or none, is another volume, and is left alone.

A registry of an older geats has only its journal: what that says was filled counts as recorded, and
is written when the registry is upgraded. Before a plan is carried out, what is seen of its VMs is
recorded; and the volumes of a running VM exist, whether or not they are recorded.
"""

import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from returns.result import Failure, Success

from geats_core.vm.observation import Observation, Stage, VolumeMissing, VolumeSeen
from geats_core.vm.spec import ROOT, VMSpec, Volume
from geats_host.lazy import later
from geats_host.plugins.opened import Opened
from geats_host.registry import Entry, Outcome, Registry
from geats_host.storage import IdentifiedPool, Pool, VolumeId

if TYPE_CHECKING:
    from geats_core.planning.actions import UpgradeRegistry
    from geats_core.plans import codec
else:
    codec = later("geats_core.plans.codec")

ADVICE = "check which disk is mounted, and whether the path of the pool is right"
KIND = "volume"  # of the registry's notes: the key of each is VM/POOL/VOLUME
# How older journals call what fills a volume; and what makes one that guests fill.
FILLING = ("install template ", "unpack volume ", "clone volume ", "adopt ")
DATA = (*FILLING, "format volume ")
EVERY_ENTRY = 1_000_000
Remembered: TypeAlias = Mapping[str, tuple[VolumeMissing, ...]]  # by VM: each would be missing
Identities: TypeAlias = Mapping[str, str | None]  # of pools, by their names, as they are now


def remembered(registry: Registry) -> Remembered:
    """Every volume that held something when geats last had to do with it, by its VM."""
    if registry.outdated() is not None:
        return {vm: _journaled(registry, spec) for vm, spec in registry.definitions().items()}
    found: dict[str, tuple[VolumeMissing, ...]] = {}
    for key, text in registry.notes(KIND).items():
        vm, pool, name = key.split("/")
        found[vm] = (*found.get(vm, ()), _volume(pool, name, text))
    return found


def upgrade_registry(registry: Registry, to: "UpgradeRegistry") -> None:
    """Upgrade the registry, and remember what only its journal tells."""
    known = remembered(registry)
    registry.upgrade(to)
    for vm, volumes in known.items():
        for volume in volumes:
            _note(registry, vm, volume)


def missing(
    known: tuple[VolumeMissing, ...],
    volumes: Iterable[VolumeSeen],
    recorded: VMSpec | None,
    *,
    is_on: bool,
    out_of_sight: Container[str],
    identities: Identities,
) -> tuple[VolumeMissing, ...]:
    """Those of the *known* that are not there, or that contain less than they did.

    A VM that *is_on* has a root volume, whether or not it is known. Pools that are *out_of_sight*
    are a problem of their own for a VM that is recorded in them: what they contain is not missed.
    """
    there = {(seen.pool, seen.name): seen for seen in volumes}
    names = {each.name for each in known} | {seen.name for seen in there.values()}
    if is_on and recorded is not None and ROOT not in names:
        root = VolumeMissing(name=ROOT, pool=recorded.root.pool, template=recorded.template)
        known = (*known, root)
    pools = {volume.pool for volume in recorded.volumes} if recorded else set()
    return tuple(
        replace(each, hint=_elsewhere(each, identities))
        for each in known
        if not _is_found(each, there.get((each.pool, each.name)))
        and not (each.pool in pools and each.pool in out_of_sight)
    )


def told_apart(
    known: Iterable[VolumeMissing], volumes: Iterable[VolumeSeen], identities: Identities
) -> list[VolumeSeen]:
    """The *volumes*; those in another pool than the *known* ones of their names are left alone."""
    why = {(each.pool, each.name): _elsewhere(each, identities) for each in known}
    return [
        replace(seen, unreadable=f"{here}: {ADVICE}")
        if (here := why.get((seen.pool, seen.name), "")) and not seen.unreadable
        else seen
        for seen in volumes
    ]


def is_filled(seen: VolumeSeen) -> bool:
    """Whether it contains what nobody could make again: a template that was used, or files."""
    return seen.stage is Stage.INSTALLED or (seen.name != ROOT and seen.stage is Stage.FORMATTED)


def tells_of_locks(seen: VolumeSeen) -> bool:
    """Whether it contains anything, and can be marked: see ``Pool.set_locked``."""
    return seen.stage >= Stage.FORMATTED and not seen.unreadable


def remember(
    registry: Registry, vm: str, seen: VolumeSeen, place: Path, identity: str | None
) -> None:
    """Remember a volume that is filled, where it is, and in which pool."""
    _note(registry, vm, _as_missing(seen, place, identity))


def learn_identities(registry: Registry, pools: Opened[Pool]) -> None:
    """Give the pools that an older geats filled an identity, and note it with their volumes.

    If none of these is found in one, it is not that pool, or not all of it: it is left as it is.
    """
    without: dict[str, dict[VolumeId, VolumeMissing]] = {}
    known = remembered(registry)
    marked = {each.pool for volumes in known.values() for each in volumes if each.identity}
    for vm, volumes in known.items():
        for each in volumes:
            if each.pool not in marked:
                without.setdefault(each.pool, {})[VolumeId(vm, each.name)] = each
    for name, volumes_ in without.items():
        found = pools.ask(name, partial(_identity_of, volumes=volumes_)) or {}
        for volume, identity in found.items():
            _note(registry, volume.vm, replace(volumes_[volume], identity=identity))


def _identity_of(pool: Pool, volumes: Container[VolumeId]) -> dict[VolumeId, str]:
    """The identity of the pool, by each of the *volumes* that it holds."""
    if not isinstance(pool, IdentifiedPool):
        return {}
    held = [each for each, seen in pool.observe().items() if each in volumes and is_filled(seen)]
    if held:
        pool.identify()
    identity = pool.facts.identity if held else None
    return {} if identity is None else dict.fromkeys(held, identity)


def forget(registry: Registry, vm: str, pool: str, volume: str) -> None:
    """Forget a volume: nobody is to look for it any more."""
    registry.forget_note(KIND, f"{vm}/{pool}/{volume}")


def keep(
    registry: Registry,
    vm: str,
    have: Observation,
    places: Mapping[tuple[str, str], Path],
    identities: Identities,
) -> None:
    """Remember all of a VM that is seen, or that it must run on; *places* are by pool and name."""
    known = remembered(registry).get(vm, ())
    of = {(each.pool, each.name): each for each in known}
    for seen in have.volumes:
        old, place = of.get((seen.pool, seen.name)), places[seen.pool, seen.name]
        if is_filled(seen) and not (old and seen.unreadable):
            identity = identities.get(seen.pool) or (old.identity if old else None)
            now = _as_missing(seen, place, identity)
            if old is None or codec.encode(old) != codec.encode(now):
                _note(registry, vm, now)
    for each in have.missing:
        if each not in known:
            _note(registry, vm, each)


def _journaled(registry: Registry, spec: VMSpec) -> tuple[VolumeMissing, ...]:
    """The volumes of a VM that were filled, and not destroyed since, as its journal tells it."""
    entries = registry.journal(spec.name, EVERY_ENTRY)
    return tuple(
        VolumeMissing(
            name=volume.name,
            pool=volume.pool,
            template=spec.template if volume is spec.root else None,
        )
        for volume in spec.volumes
        if _was_filled(entries, spec, volume)
    )


def _was_filled(entries: Iterable[Entry], spec: VMSpec, volume: Volume) -> bool:
    filling, place = FILLING if volume is spec.root else DATA, f"{spec.name}/{volume.name}"
    filled = False
    for entry in entries:  # from the oldest on
        if place not in entry.action.split(" "):
            continue
        if entry.action.startswith("destroy volume "):
            filled = False
        elif entry.outcome is Outcome.DONE and entry.action.startswith(filling):
            filled = True
    return filled


def _is_found(known: VolumeMissing, seen: VolumeSeen | None) -> bool:
    least = Stage.FORMATTED if known.template is None else Stage.FILLING
    return seen is not None and (seen.stage >= least or bool(seen.unreadable))


def _elsewhere(known: VolumeMissing, identities: Identities) -> str:
    """Why its pool is not the one that held it; empty if it is, or nobody knows."""
    if known.identity is None or identities.get(known.pool, "") in ("", known.identity):
        return ""
    now, was = identities[known.pool], f"the volume was filled in pool {known.identity}"
    if now is None:
        return f"{was}, and what is there has no mark of geats: is the disk mounted?"
    return f"{was}, and what is there is pool {now}, as on another disk"


def _as_missing(seen: VolumeSeen, place: Path, identity: str | None) -> VolumeMissing:
    return VolumeMissing(
        name=seen.name,
        pool=seen.pool,
        template=seen.template,
        place=f"{place}",
        identity=identity,
    )


def _note(registry: Registry, vm: str, volume: VolumeMissing) -> None:
    text = json.dumps(codec.encode(volume), sort_keys=True)
    registry.note(KIND, f"{vm}/{volume.pool}/{volume.name}", text)


def _volume(pool: str, name: str, text: str) -> VolumeMissing:
    """What a note says; if that makes no sense, the volume existed all the same."""
    try:
        raw = json.loads(text)
    except ValueError:
        raw = None
    match codec.decode(VolumeMissing, "", raw):
        case Success(volume) if (volume.pool, volume.name) == (pool, name):
            return volume
        case Success() | Failure():
            return VolumeMissing(name=name, pool=pool)
