"""A VM that moves to another host, which copies its volumes from there and then takes it over.

Theory of operation
-------------------
The host that has the VM *offers* it: it notes a mark, and forgets that as soon as anything is done
to the VM there. So what is copied under a mark is still true. The copy on the target is
an unfinished one (see ``copies``) until its root has arrived, the last of its volumes: only then
the source is asked to forget the VM, and does so only if the mark is still noted. As long as the
source defines the VM, it alone can run; from then on the target alone. Wherever that is
interrupted, the same request goes on: what was copied is compared, and only what differs is copied
again.

A VM that moves *live* is offered while it runs, and its mark is forgotten as soon as any other
operation begins on it. Its volumes and then its memory are copied by the hypervisors, until it
stands still there and is off here: only then the source forgets it. Then the target notes that the
VM is its own, and only after that it goes on there. So no moment has two that run, and what was
interrupted before is dropped there, while it goes on here.

What is in a pool that both hosts use is not copied, but passed on: the source gives it to the
target by name before it forgets the VM, and so has nothing left that it could start or destroy.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import field, replace

from returns.result import Failure, Success

from geats_core.jobs.copies import complete, not_there, not_whole, read_in, room_for
from geats_core.jobs.manifests import Manifest, PackedVolume, template_of
from geats_core.planning.actions import ActivateVolume, TakeOver, TakeVolumes, Unfreeze
from geats_core.planning.draft import Draft
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.steps import Plan
from geats_core.planning.then import Then
from geats_core.plans.codec import decode, encode
from geats_core.reading.checked import Checked, Code, Problem, Problems, problem
from geats_core.reading.sizes import format_size
from geats_core.reading.values import dataclass
from geats_core.vm.observation import Observation, Power, VolumeSeen
from geats_core.vm.spec import ROOT, VMSpec, Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a host says of a VM that another host asks for.

    ``mark`` identifies the content of the VM now; it is empty if it was only asked what there is.
    ``is_running``: it shall run. ``is_given``: the host has forgotten it already, for this move.
    ``machine`` is what it runs on, such as ``pc-q35-7.2``, if it is to move as it runs. ``pools``
    are the identities of the pools of its volumes, by the volumes' names; empty if one has none.
    ``shared`` are the volumes in pools that several hosts use, as they are there; those that are
    ``cached`` may be on the host's memory only, as far as other hosts see.
    """

    manifest: Manifest
    mark: str = ""
    is_running: bool = False
    is_given: bool = False
    machine: str = ""
    pools: Mapping[str, str] = field(default_factory=dict)
    shared: Mapping[str, VolumeSeen] = field(default_factory=dict)
    cached: tuple[str, ...] = ()


def offer_to_plain(offer: Offer) -> object:
    """As plain data: ``offer_from_plain`` reads it."""
    return encode(offer)


def offer_from_plain(raw: object) -> Checked[Offer]:
    """Read an offer; it may be one of another version of geats."""
    return decode(Offer, "offer", raw)


def cannot_leave(name: str, have: Observation, *, is_declared: bool) -> Problems:
    """Why the VM stays on its host."""
    found = [*not_there(name, have), *not_whole(name, have)]
    if have.locked:
        found.append(Problem(name, "is locked, and so stays where it is", Code.LOCKED))
    if is_declared:
        why = "is declared here, which would recreate it: move its declaration to the target first"
        found.append(Problem(name, why, Code.REFUSED))
    return tuple(found)


def plan_to_read(name: str, have: Observation) -> Checked[Plan]:
    """Make the volumes of a VM that is off readable."""
    draft = Draft(name, have)
    for seen in have.volumes:
        if not seen.active:
            draft.add(ActivateVolume(seen.pool, seen.name), "it is to be read")
    return draft.finished()


def plan_fetch(
    source: str,
    offer: Offer,
    spec: VMSpec,
    have: Observation,
    facts: HostFacts,
    others: Mapping[str, VMSpec],
) -> Checked[Plan]:
    """Copy the VM *spec* from the host that *source* names, take it over, and let it run if it did.

    Refused as an import is. What an earlier try left is finished.
    """
    if offer.is_given and _is_here(spec, have):
        return _ended(Draft(spec.name, have), spec, offer)
    if have.copy_of and have.power is not Power.STOPPED:
        half = "came here as it ran, but not whole: move it with `live`, or stop what came here"
        return problem(spec.name, half, Code.REFUSED)
    along = _along(offer, spec, facts)
    if same := tuple(_on_same_storage(offer, spec, facts, along)):
        return Failure(same)
    manifest = replace(offer.manifest, volumes=tuple(_in_order(offer)))
    copy_of, then = _copy_of(source, spec), Then.ON if offer.is_running else Then.OFF
    names = [each.name for each in along]
    match read_in(source, copy_of, then, manifest, spec, have, facts, others, names):
        case Success(draft):
            if along:
                why = f"{source.partition('?')[0]} has the same pool: nothing of that is copied"
                draft.add(TakeVolumes(source, offer.mark, along), why)
            return _ended(draft, spec, offer)
        case Failure() as refused:
            return refused


def plan_take_over(
    source: str,
    offer: Offer,
    spec: VMSpec,
    have: Observation,
    facts: HostFacts,
    others: Mapping[str, VMSpec],
) -> Checked[Plan]:
    """Move the VM *spec* here as it runs; it is offered for that.

    Refused as an import is. What of it came here in an earlier try is off, for this plan.
    """
    if offer.is_given and _is_here(spec, have):
        return _ended(Draft(spec.name, have), spec, offer)
    along = _along(offer, spec, facts)
    same = (*_on_same_storage(offer, spec, facts, along), *_cached(offer, spec, along))
    if same:
        return Failure(same)
    still = replace(have, power=Power.STOPPED, in_effect=None) if have.copy_of else have
    manifest, copy_of = offer.manifest, _copy_of(source, spec)
    names = [each.name for each in along]
    match room_for(copy_of, Then.ON, manifest, spec, still, facts, others, names):
        case Success(draft):
            taken = TakeOver(source, offer.mark, template_of(spec, manifest), along)
            draft.add(taken, _why_live(spec, manifest, names))
            return draft.finished()
        case Failure() as refused:
            return refused


def _along(offer: Offer, spec: VMSpec, facts: HostFacts) -> tuple[VolumeSeen, ...]:
    """The volumes that are in a pool that both hosts use and know for that: they stay there."""
    return tuple(
        replace(offer.shared[volume.name], pool=volume.pool)
        for volume in spec.volumes
        if volume.name in offer.shared
        and facts.pool(volume.pool).shared
        and _is_same(offer, volume, facts)
    )


def _is_same(offer: Offer, volume: Volume, facts: HostFacts) -> bool:
    identity = offer.pools.get(volume.name)
    return bool(identity) and identity == facts.pool(volume.pool).identity


def _on_same_storage(
    offer: Offer, spec: VMSpec, facts: HostFacts, along: Collection[VolumeSeen]
) -> Iterable[Problem]:
    """Volumes whose pool is one for both hosts, but not known for that: a copy would be written
    over what is copied. And those that would be torn from others in it.
    """
    names = {each.name for each in along}
    there = {each.name: each.pool for each in offer.manifest.spec.volumes}
    both = {there.get(name) for name in names}
    for volume in spec.volumes:
        path = f"{spec.name}.volumes[{volume.name}].pool"
        if volume.name in names:
            continue
        if _is_same(offer, volume, facts):
            pool = f"{volume.pool!r} is the pool {offer.pools[volume.name]} on both hosts"
            advice = "say `shared: true` of it on both, or give each host a pool of its own"
            yield Problem(path, f"{pool}: {advice}", Code.REFUSED)
        elif there.get(volume.name) in both:
            why = "is to leave a pool that others of the VM stay in: move it to another pool first"
            yield Problem(path, why, Code.REFUSED)


def _cached(offer: Offer, spec: VMSpec, along: Iterable[VolumeSeen]) -> Iterable[Problem]:
    """Disks that both hosts have at the end of a live move, each with a cache of its own."""
    for name in sorted({each.name for each in along} & {*offer.cached}):
        why = "may be in the memory of its host when the other one reads it"
        advice = "say `cache: none` and restart it, or move it without `live`"
        path = f"{spec.name}.hardware.disks.{name}.cache"
        yield Problem(path, f"what was written to it {why}: {advice}", Code.REFUSED)


def _why_live(spec: VMSpec, manifest: Manifest, along: Collection[str]) -> str:
    copies = [each.size_bytes for each in manifest.volumes if each.name not in along]
    size, memory = sum(copies), spec.limits.memory_bytes
    also = "" if memory is None else f" and {format_size(memory)} of memory"
    stay = f" ({', '.join(along)} stay where they are)" if along else ""
    copied = f"{format_size(size)} of its volumes{also} are copied, at most{stay}"
    return f"{copied}; it stands still for the last of it only, about a second"


def _copy_of(source: str, spec: VMSpec) -> str:
    return f"{spec.name} from {source.partition('?')[0]}"


def _is_here(spec: VMSpec, have: Observation) -> bool:
    """Whether it was taken over already."""
    return have.recorded == spec and bool(have.roots) and not have.copy_of


def _in_order(offer: Offer) -> Iterable[PackedVolume]:
    """The root last: with it, the VM is taken over."""
    marked = [replace(each, sha256=offer.mark) for each in offer.manifest.volumes]
    return sorted(marked, key=lambda each: each.name == ROOT)


def _ended(draft: Draft, spec: VMSpec, offer: Offer) -> Checked[Plan]:
    root = draft.state.volume(spec.root.pool, ROOT)
    if root is not None and root.is_copy:
        complete(draft, spec)
    if offer.is_running and draft.state.power is Power.STOPPED:
        draft.start("it ran before", Power.RUNNING)
    if offer.is_running and draft.state.power is Power.FROZEN:
        draft.add(Unfreeze(), "it ran before, and came here suspended")
    return draft.finished()
