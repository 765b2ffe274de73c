"""Copies of a whole VM: plans to read one from an archive.

Theory of operation
-------------------
A VM that is read from an archive is defined first, as a copy (``Observation.copy_of``); then its
volumes are made and *reserved*, all of them; only then is any of them filled, and last the guest is
configured. So what an interruption leaves is never treated as a complete VM: it cannot be started,
and no template can be installed on it. Reading the same archive again finishes it, and
deprovisioning removes it.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from returns.result import Failure, Success

from geats_core.deciding.losses import incomplete
from geats_core.deciding.refusals import foreign, refusals, undefined
from geats_core.guests.minion import minion_to_plain
from geats_core.jobs import machine_memory
from geats_core.jobs.arrivals import Arrival
from geats_core.jobs.manifests import (
    Manifest,
    PackedVolume,
    digest_of,
    other_kinds,
    other_volumes,
    template_of,
)
from geats_core.planning.actions import (
    ActivateVolume,
    AllocateVolume,
    ConfigureGuest,
    Define,
    FormatVolume,
    Identity,
    ReserveVolume,
    UnpackVolume,
)
from geats_core.planning.draft import Draft, zeroed
from geats_core.planning.goal import Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.model import is_ready
from geats_core.planning.steps import Plan
from geats_core.planning.then import Then
from geats_core.reading.checked import Checked, Code, Problem, Problems
from geats_core.reading.fields import hostname_of
from geats_core.reading.shown_lines import shown_lines
from geats_core.reading.sizes import format_size
from geats_core.vm.claims import claims, name_claim
from geats_core.vm.idmap import own_to_plain
from geats_core.vm.observation import Observation, Power, Stage
from geats_core.vm.parse import parse_vm, to_plain
from geats_core.vm.spec import ROOT, VMSpec, Volume

# What the host knows one VM by: two cannot have the same.
OF_ONE_VM = re.compile(
    r"\s*lxc\.net\.[0-9]+\.(veth\.pair|hwaddr)\s*="
    r"|<os><nvram|<genid|<sysinfo|<devices><(interface|hostdev|disk(?! part=))"
)


def copied(spec: VMSpec, name: str, changes: Mapping[str, object]) -> Checked[VMSpec]:
    """*spec* for a VM called *name*, with some keys changed by *changes*; None removes a key.

    Under another name, MAC addresses and names of NICs on the host are derived again, the hostname
    changes if it was the old name, and its Salt minion is called as it is. Ids that were allocated
    are not those of the copy, see ``with_own_ids``. ``pools`` in *changes* is the name of the pool
    of all volumes, or maps names of volumes to names of pools.
    """
    given = dict(changes)
    pools = given.pop("pools", {})
    raw = to_plain(spec)
    if name != spec.name:
        raw["hostname"] = hostname_under(spec, name)
        raw["nics"] = [_without_identity(nic) for nic in _mappings(raw["nics"])]
        if spec.minion:  # another minion, whose keys are its own
            raw["minion"] = minion_to_plain(replace(spec.minion, id=""))
    if spec.own_ids:  # the ids are those of a VM of this host: a copy gets others
        raw["idmap"] = own_to_plain(replace(spec.own_ids, first=None))
    raw["volumes"] = [_in_pool(volume, pools) for volume in _mappings(raw["volumes"])]
    wrong = list(_wrong_pools(spec, pools))
    match parse_vm(name, {**raw, **given}):
        case Success(made) if not wrong:
            return Success(made)
        case Success():
            return Failure(tuple(wrong))
        case Failure(found):
            return Failure((*found, *wrong))


def hostname_under(spec: VMSpec, name: str) -> str:
    """The hostname of the same VM under another name: it changes if it was the old name."""
    own, new = hostname_of(spec.name), hostname_of(name)
    if spec.hostname == own or spec.hostname.startswith(f"{own}."):
        return f"{new}{spec.hostname.removeprefix(own)}"
    return spec.hostname


def plan_import(
    archive: str,
    manifest: Manifest,
    spec: VMSpec,
    have: Observation,
    facts: HostFacts,
    others: Mapping[str, VMSpec],
    arrival: Arrival | None = None,
) -> Checked[Plan]:
    """Create the VM *spec* from an archive; *others* are the VMs of the host by name. It is off.

    With an *arrival*, it is not completed: see ``plan_accept``.

    Refused if there is a VM of this name (unless it is left from the same import), or if another VM
    has one of its addresses.
    """
    copy_of, then = _copy_of(manifest, arrival), arrival.then if arrival else Then.OFF
    match read_in(archive, copy_of, then, manifest, spec, have, facts, others):
        case Success(draft):
            return (draft if arrival else complete(draft, spec)).finished()
        case Failure() as refused:
            return refused


def read_in(
    source: str,
    copy_of: str,
    then: Then,
    manifest: Manifest,
    spec: VMSpec,
    have: Observation,
    facts: HostFacts,
    others: Mapping[str, VMSpec],
    along: Collection[str] = (),
) -> Checked[Draft]:
    """The steps of an import, from an archive or from another host: what *source* says.

    But for the last one: see ``complete``. The volumes *along* are where they are to be already.
    """
    match room_for(copy_of, then, manifest, spec, have, facts, others, along):
        case Success(draft):
            _unpack(draft, source, manifest, spec, waits=bool(along))
            return Success(draft)
        case Failure() as refused:
            return refused


def room_for(
    copy_of: str,
    then: Then,
    manifest: Manifest,
    spec: VMSpec,
    have: Observation,
    facts: HostFacts,
    others: Mapping[str, VMSpec],
    along: Collection[str] = (),
) -> Checked[Draft]:
    """The first steps of an import: all volumes are reserved, and still to be filled.

    But for those that come *along*, by their names.
    """
    goal = Goal(name=spec.name, target=Target.DEFINED, spec=spec)
    found = (
        *in_the_way(spec, have, copy_of),
        *other_volumes(spec, manifest),
        *other_kinds(spec, manifest, facts),
        *refusals(goal, spec, Observation(), facts),
        *claimed(spec, others),
        *_on_shared_pools(spec, facts, along),
    )
    if found:
        return Failure(found)
    draft, identity = Draft(spec.name, have), _identity(spec, manifest)
    disks = {packed.name: packed.disk_bytes for packed in manifest.volumes}
    made = tuple(volume for volume in spec.volumes if volume.name not in along)
    make_room(
        *(draft, spec, copy_of, manifest.by_hand, identity, then),
        sizes=disks,
        facts=facts,
        volumes=made,
    )
    return Success(draft)


def _on_shared_pools(spec: VMSpec, facts: HostFacts, along: Collection[str]) -> Iterable[Problem]:
    """A VM of this name that another host has in a shared pool: a copy would be beside it."""
    for volume in spec.volumes:
        host = facts.pool(volume.pool).elsewhere.get(spec.name)
        if host is not None and volume.name not in along:
            why = f"{volume.pool!r} is shared, and {host} has {spec.name} there"
            advice = "move it from there by ssh (geats fetch, salt-run geats.migrate ... via)"
            path = f"{spec.name}.volumes[{volume.name}].pool"
            yield Problem(path, f"{why}: {advice}", Code.CONFLICT)


def _identity(spec: VMSpec, manifest: Manifest) -> Identity:
    return Identity.KEPT if spec.name == manifest.spec.name else Identity.NEW


def _unpack(draft: Draft, source: str, manifest: Manifest, spec: VMSpec, *, waits: bool) -> None:
    for packed in manifest.volumes:
        volume = next(each for each in spec.volumes if each.name == packed.name)
        seen = draft.state.volume(volume.pool, volume.name)
        if seen is not None and seen.is_reserved:
            of_root = template_of(spec, manifest) if volume.name == ROOT else None
            where = (volume.pool, volume.name, source)
            identity = _identity(spec, manifest)
            action = UnpackVolume(*where, packed.sha256, of_root, identity, waits)
            draft.add(action, _why(action, packed, manifest, spec))


def complete(draft: Draft, spec: VMSpec) -> Draft:
    """The same with the last step of an import: with it, the copy is complete."""
    reason = "its files in the guest are those of another host or name"
    draft.add(ConfigureGuest(spec.root.pool, ROOT, spec), reason)
    return draft


def _why(action: UnpackVolume, packed: PackedVolume, manifest: Manifest, spec: VMSpec) -> str:
    parts = machine_memory.remembering(spec)
    if action.is_from_host:
        why = f"{format_size(packed.size_bytes)} of it are data there, at most"
    else:
        why, there = "it should be as in the archive", machine_memory.kinds(manifest.remembered)
        parts = [part for part in parts if part in there]
    return machine_memory.told(why, parts if action.volume == ROOT else (), action.identity)


def claimed(spec: VMSpec, others: Mapping[str, VMSpec]) -> Problems:
    """What of *spec* another VM has as well, on or off: addresses, or a name too much like its."""
    owners = {
        claim: f"{name}.{path}"
        for name, other in others.items()
        if name != spec.name
        for claim, path in (name_claim(name), *claims(name, other))
    }
    return tuple(
        Problem(
            f"{spec.name}.{path}",
            f"{claim[0]} {claim[1]} is also that of {owners[claim]}",
            Code.CONFLICT,
        )
        for claim, path in (name_claim(spec.name), *claims(spec.name, spec))
        if claim in owners
    )


def _copy_of(manifest: Manifest, arrival: Arrival | None) -> str:
    """What the VM is a copy of: of this archive, wherever that is."""
    digest, name = digest_of(manifest)[:12], manifest.spec.name
    return f"an archive of {name} ({digest})" if arrival is None else arrival.copy_of(name, digest)


def make_room(
    draft: Draft,
    spec: VMSpec,
    copy_of: str,
    by_hand: tuple[str, ...],
    identity: Identity,
    then: Then = Then.OFF,
    *,
    sizes: Mapping[str, int | None],
    facts: HostFacts,
    volumes: Collection[Volume] | None = None,
) -> None:
    """Define the VM as a copy; make its *volumes*, and reserve those that are not filled.

    A volume for which no size is given has that of *sizes*, by its name. The lines that were added
    *by_hand* to what it is a copy of come with it: but not, if it is a VM of its own, those that no
    two VMs of a host can have.

    The root is reserved before any other volume is made. So another volume beside a root that is
    not reserved was not made for the copy (see ``in_the_way``).
    """
    have = draft.state
    left = [line for line in by_hand if identity is Identity.NEW and OF_ONE_VM.match(line)]
    keep = tuple(line for line in by_hand if line not in left)
    is_known = have.recorded == have.defined == spec
    if not is_known or have.by_hand != keep or have.copy_of != copy_of:
        only = (
            f", without lines that are of one VM only: {'; '.join(shown_lines(left))}"
            if left
            else ""
        )
        draft.add(Define(spec, keep, copy_of, then), f"{spec.name} is not defined{only}")
    filled = _filled(spec, draft.state)
    made = spec.volumes if volumes is None else volumes
    roots = tuple(volume for volume in made if volume is spec.root)
    others = tuple(volume for volume in made if volume is not spec.root)
    for of_kind in (roots, others):
        for volume in of_kind:
            size_bytes = volume.size_bytes or sizes.get(volume.name)
            _make_volume(draft, volume, size_bytes, zeroed(facts, volume.pool))
        for volume in of_kind:
            seen = draft.state.volume(volume.pool, volume.name)
            if seen is not None and seen.stage is Stage.FORMATTED and volume.name not in filled:
                draft.add(ReserveVolume(seen.pool, seen.name), "a copy will be written to it")


def _filled(spec: VMSpec, have: Observation) -> frozenset[str]:
    """The volumes that an earlier try filled: all that can be, once the root is a copy."""
    root = have.volume(spec.root.pool, ROOT)
    if root is None or not root.is_copy:
        return frozenset()
    return frozenset(seen.name for seen in have.volumes if seen.stage >= Stage.FORMATTED)


def in_the_way(spec: VMSpec, have: Observation, copy_of: str) -> Iterable[Problem]:
    """A VM of this name, unless it is what is left of the same import.

    A reinit that was interrupted leaves a VM without a root too, but with volumes that contain
    data.
    """
    if have.copy_of not in ("", copy_of):
        message = f"is an unfinished copy of {have.copy_of}, and not of {copy_of}: deprovision it"
        yield Problem(spec.name, message, Code.CONFLICT)
        return
    is_left = (
        have.recorded == spec
        and have.power is Power.STOPPED
        and not (have.to_run and not have.copy_of)
        and not have.foreign
        and not have.missing
        and _is_for_a_copy(spec, have)
    )
    if have.exists and not is_left:
        message = "there is a VM of this name, or a volume of one: give another name"
        yield Problem(spec.name, message, Code.CONFLICT)
    yield from incomplete(spec.name, have)


def _is_for_a_copy(spec: VMSpec, have: Observation) -> bool:
    """Whether nothing has been made of the VM but what ``make_room`` makes.

    Copies that an older geats began are known by their volumes only.
    """
    if have.copy_of:
        return True
    if any(seen.is_reserved or (seen.is_copy and seen.name == ROOT) for seen in have.volumes):
        return True
    return all(
        (seen.pool, seen.name) == (spec.root.pool, ROOT) and seen.stage < Stage.FILLING
        for seen in have.volumes
    )


def not_there(name: str, have: Observation) -> Iterable[Problem]:
    yield from foreign(Goal(name=name, target=Target.OFF), have)
    yield from undefined(name, have)
    if have.power is Power.STUCK:
        message = "its monitor is stuck, so that it cannot be frozen: stop it first"
        yield Problem(name, message, Code.REFUSED)
    yield from incomplete(name, have)


def not_whole(name: str, have: Observation) -> Iterable[Problem]:
    """Volumes that are missing or not ready; whether they are active does not matter."""
    active = replace(have, volumes=tuple(replace(seen, active=True) for seen in have.volumes))
    if have.recorded is not None and not is_ready(have.recorded, active):
        yield Problem(name, "some of its volumes are missing or not ready", Code.REFUSED)


def _make_volume(draft: Draft, volume: Volume, size_bytes: int | None, also: str) -> None:
    where = (volume.pool, volume.name)
    seen = draft.state.volume(*where)
    if seen is None:
        draft.add(AllocateVolume(*where, size_bytes), "it does not exist")
    if seen is None or seen.stage is Stage.ALLOCATED:
        draft.add(FormatVolume(*where), f"it is not formatted{also}")
    if seen is None or not seen.active:
        draft.add(ActivateVolume(*where), "it is not active")


def _mappings(raw: object) -> Iterable[Mapping[str, object]]:
    """The items of a list of mappings, as ``to_plain`` makes it."""
    return (item for item in raw if isinstance(item, Mapping)) if isinstance(raw, list) else ()


def _without_identity(nic: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in nic.items() if key not in ("mac", "host_name")}


def _in_pool(volume: Mapping[str, object], pools: object) -> dict[str, object]:
    pool = pools.get(volume["name"]) if isinstance(pools, Mapping) else pools
    return {**volume, **({} if pool is None else {"pool": pool})}


def _wrong_pools(spec: VMSpec, pools: object) -> Iterable[Problem]:
    """Names in *pools* that are those of no volume."""
    names = {volume.name for volume in spec.volumes}
    for name in pools if isinstance(pools, Mapping) else ():
        if name not in names:
            yield Problem(
                "pools", (f"{name!r} is not a volume of the VM ({', '.join(sorted(names))})")
            )
