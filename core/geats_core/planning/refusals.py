"""Why a goal has no plan, all reasons at once.

A VM needs its driver for everything, and its pools if its volumes matter. To power it off, no pool
is needed. If a pool cannot be looked at, its content is not known, and never treated as missing.
Nothing is made in a pool or driver that is not the one that the host recorded.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TypeAlias

from geats_core.planning.actions import Moved, Start
from geats_core.planning.goal import DataLoss, Goal, Restart, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.plugin_facts import DriverFacts, Offer
from geats_core.planning.spec_changes import Impact
from geats_core.planning.steps import Plan
from geats_core.reading.checked import Code, Problem, Problems, unknown
from geats_core.reading.sizes import format_size
from geats_core.vm import hardware
from geats_core.vm.claims import would_forget
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.idmap import shift
from geats_core.vm.observation import Observation, Power, Stage, VolumeMissing, VolumeSeen
from geats_core.vm.parse import to_plain
from geats_core.vm.spec import ROOT, RootKind, VMSpec
from geats_core.vm.unseen import (
    DRIVERS,
    POOLS,
    TEMPLATES,
    two_of_a_name,
    unavailable,
    unreliable_parts,
    without_driver,
    without_pools,
)

NEEDED = ("name", "driver", "template", "hostname", "volumes")  # of every VM
CALLED = {RootKind.TREE: "a tree of files", RootKind.DISK: "a disk image"}
Named: TypeAlias = tuple[str, str, str, Collection[str] | None]  # path, kind, name, those known


def refusals(goal: Goal, want: VMSpec, have: Observation, facts: HostFacts) -> Problems:
    """Every reason not to bring *have* to *want*, with paths into the VM's spec."""
    described = [spec for spec in (want, have.recorded, have.defined) if spec]
    without = [*without_driver(described, facts.unavailable)]
    found = [
        *_unknown(_names(want, facts)),
        *without,
        *without_pools(described, facts.unavailable),
        *without_template(goal, want, have, facts),
        *_another_driver(want, have),
        *_privileged(want, facts),
        *_idmap(want, facts),
        *_unable(goal, want, have, facts),
        *_binds(want, facts),
        *_too_small(want, have, facts),
        *_shrinking(goal, want, have),
        *_data_loss(goal, want, have),
        *_missing(goal, want, have),
        *would_leave_behind(goal, want, have, facts),
        *(() if without else _stuck(goal, want, have)),  # nobody knows then
        *(() if without else _forgotten(goal, want, have)),
    ]
    return _within(goal, found)


def foreign(goal: Goal, have: Observation) -> Problems:
    """Nothing is done to a VM that geats did not make, unless the goal gives leave."""
    if not have.foreign or goal.foreign:
        return ()
    message = (
        "there is a VM of this name on the host that geats did not make: it is left alone until it"
        " is adopted"
    )
    return (Problem(goal.name, message, Code.REFUSED),)


def elsewhere(goal: Goal, have: Observation, facts: HostFacts) -> Problems:
    """A VM that exists on this host, but not where the configuration looks, is neither recreated
    nor gone.

    If there is also one where the configuration looks, that one counts.
    """
    where = facts.elsewhere.get(goal.name)
    if where is None or have.defined is not None or have.power is not Power.STOPPED:
        return ()
    message = (
        f"is on this host already, {where}, and this configuration does not look there: has it "
        "lost state_dir or options of drivers? Put them back. If you no longer want that VM, "
        "remove it with the configuration that has them"
    )
    return (Problem(goal.name, message, Code.REFUSED),)


def unreliable(goal: Goal, have: Observation) -> Problems:
    """A VM that cannot be relied on is left alone, except that it can be powered off and defined
    again."""
    if have.drivers:
        return tuple(two_of_a_name(goal.name, have))
    if goal.target in (Target.OFF, Target.LOCKED, Target.UNLOCKED):
        return ()
    anew = goal.target is Target.DEFINED and goal.spec is not None
    return tuple(
        each for each in unreliable_parts(goal.name, have) if not (anew and each.path == goal.name)
    )


def undefined(name: str, have: Observation) -> Iterable[Problem]:
    """Why there is no usable definition; empty if there is one."""
    found = tuple(unreliable_parts(name, have))
    if not found and have.recorded is None and not have.foreign:
        found = (Problem(name, "is not defined", Code.REFUSED),)
    yield from found


def out_of_reach(goal: Goal, have: Observation, facts: HostFacts) -> Problems:
    """A VM is not taken away without its driver, nor its volumes without their pools."""
    known = have.recorded
    if known is None:
        return ()
    wanted: list[Named] = [("driver", "driver", known.driver, facts.drivers)]
    away: list[Problem] = []
    if torn_down(goal, have):
        wanted += [(f"volumes[{v.name}].pool", "pool", v.pool, facts.pools) for v in known.volumes]
        away = [*without_pools([known], facts.unavailable)]
    return _within(goal, [*_unknown(wanted), *without_driver([known], facts.unavailable), *away])


def incomplete(name: str, have: Observation) -> Problems:
    """A VM is not kept, copied or put back without a volume of it that is not found.

    One that is not defined has no volume to be left out; then any that is missing counts.
    """
    known = have.recorded
    missing = have.missing if known is None else missing_volumes(known, have)
    found = (not_found(each, "then try again") for each in missing)
    return tuple(Problem(f"{name}.{path}", message, Code.REFUSED) for path, message in found)


def only_while_off(name: str, have: Observation, facts: HostFacts) -> Problems:
    """A volume that nobody else may look at while its VM is on is left alone until it is off."""
    if have.power is Power.STOPPED:
        return ()
    return tuple(
        Problem(
            f"{name}.volumes[{seen.name}]",
            f"is in use, and the pool {seen.pool!r} can do this only while the VM is off",
            Code.REFUSED,
        )
        for seen in have.volumes
        if not facts.pool(seen.pool).works_online
    )


def torn_down(goal: Goal, have: Observation) -> bool:
    """Whether *goal* removes the volumes of the VM too."""
    known = have.recorded or have.defined
    transient = known is not None and known.transient
    return goal.target is Target.DEPROVISIONED or (goal.target is Target.UNDEFINED and transient)


def lost(goal: Goal, have: Observation) -> Problems:
    """If a volume is not found, the VM is not removed with its volumes, unless data loss is
    allowed."""
    if not have.missing or not torn_down(goal, have) or goal.data_loss is DataLoss.ALLOWED:
        return ()
    advice = "allow data loss to forget it"
    return _within(
        goal, (Problem(*not_found(each, advice), Code.DATA_LOSS) for each in have.missing)
    )


def not_found(missing: VolumeMissing, advice: str) -> tuple[str, str]:
    """The path to a volume that is missing, and what to look at; then the *advice*."""
    hint = f" ({missing.hint})" if missing.hint else ""
    return f"volumes[{missing.name}]", (
        f"was {missing}, and is not found there{hint}: check whether its disk is mounted, and "
        f"whether the path of pool {missing.pool} is right; {advice}"
    )


def outdated_volumes(want: VMSpec, have: Observation) -> tuple[VolumeSeen, ...]:
    """The volumes that are in another pool than wanted, or made from another template."""
    pools = {volume.name: volume.pool for volume in want.volumes}
    return tuple(
        seen
        for seen in have.volumes
        if seen.pool != pools.get(seen.name, seen.pool)
        or (seen.name == ROOT and seen.stage is Stage.INSTALLED and seen.template != want.template)
    )


def _within(goal: Goal, found: Iterable[Problem]) -> Problems:
    """*found*, with paths that begin with the VM's name."""
    return tuple(replace(each, path=f"{goal.name}.{each.path}") for each in found)


def _names(want: VMSpec, facts: HostFacts) -> Iterable[Named]:
    yield "driver", "driver", want.driver, facts.drivers
    yield "template", "template", want.template, facts.templates
    for volume in want.volumes:
        yield f"volumes[{volume.name}].pool", "pool", volume.pool, facts.pools
    for other in want.shared_volumes:
        yield f"shared_volumes.{other.name}.pool", "pool", other.pool, facts.pools
    for nic in want.nics:
        yield f"nics[{nic.name}].bridge", "bridge", nic.bridge, facts.bridges


def _unknown(names: Iterable[Named]) -> Iterable[Problem]:
    for path, kind, name, known in names:
        if known is not None and name not in known:
            yield unknown(path, kind, name, known)


def _another_driver(want: VMSpec, have: Observation) -> Iterable[Problem]:
    for spec in (have.recorded, have.defined):
        if spec is not None and spec.driver != want.driver:
            yield Problem(
                "driver",
                f"cannot change from {spec.driver!r} to {want.driver!r}: deprovision the VM first",
                Code.REFUSED,
            )
            return


def _privileged(want: VMSpec, facts: HostFacts) -> Iterable[Problem]:
    for volume in want.volumes:
        if want.privileged and facts.pool(volume.pool).shifted_by:
            yield Problem(
                f"volumes[{volume.name}].pool",
                f"the pool {volume.pool!r} is for unprivileged VMs only, and the VM is privileged",
                Code.REFUSED,
            )


def _idmap(want: VMSpec, facts: HostFacts) -> Iterable[Problem]:
    """A pool that shows its files with ids of a range is for guests that have exactly these."""
    for volume in want.all_volumes if want.idmap else ():
        by = facts.pool(volume.pool).shifted_by
        if by and shift(want.idmap) != by:
            yield Problem(
                "idmap",
                f"the pool {volume.pool!r} of the volume {volume.name} shows files with ids that"
                f" are higher by {by}: let those of the guest be so as well, or take another pool",
                Code.REFUSED,
            )


def _unable(goal: Goal, want: VMSpec, have: Observation, facts: HostFacts) -> Iterable[Problem]:
    """All that is not possible of *want*, by what its driver, pools and template are."""
    able = facts.driver(want.driver)
    yield from _offers(want, able, facts)
    yield from _keys(want, able)
    yield from _mounts(want, able)
    yield from _cpus(want, able)
    if makes_root(goal, want, have):
        yield from _template(want, able, facts)


def _offers(want: VMSpec, able: DriverFacts, facts: HostFacts) -> Iterable[Problem]:
    """A driver takes some kinds of volumes only: no template makes it start from another."""
    for path, pool, takes in (
        *((f"volumes[{v.name}]", v.pool, able.volumes) for v in want.volumes if v is not want.root),
        (f"volumes[{ROOT}]", want.root.pool, able.roots),
        *((f"shared_volumes.{v.name}", v.pool, able.volumes) for v in want.shared_volumes),
    ):
        offers = facts.pool(pool).offers
        if takes is not None and offers is not None and offers not in takes:
            kinds = " or a ".join(sorted(takes - {Offer.NOTHING})) or "volume of no kind"
            message = f"the driver {want.driver!r} needs a {kinds}, and pool {pool!r} offers "
            yield Problem(f"{path}.pool", f"{message}{_what(offers, takes)}", Code.REFUSED)


def _what(offers: Offer, takes: Collection[Offer]) -> str:
    """What a pool offers, and what to do where that can be made into what is needed."""
    if offers is Offer.NOTHING:
        return "nothing that can hold files"
    can_hold = Offer.DIRECTORY in takes and offers in (Offer.FILE, Offer.BLOCK_DEVICE)
    return f"a {offers}{': use a pool of the type filesystem on it' if can_hold else ''}"


def _keys(want: VMSpec, able: DriverFacts) -> Iterable[Problem]:
    """A driver has keys of its own, and may have no use for one that others have."""
    if able.keys is not None:
        yield from hardware.problems(want.driver, able.keys, want.hardware)
    if able.lacks:
        bare = to_plain(VMSpec(**{name: getattr(want, name) for name in NEEDED}))
        said = to_plain(want)
        for key in sorted(able.lacks & said.keys()):
            if said[key] != bare.get(key):
                message = f"the driver {want.driver!r} has no such key: leave it out"
                yield Problem(key, message, Code.REFUSED)


def _mounts(want: VMSpec, able: DriverFacts) -> Iterable[Problem]:
    for volume in want.volumes:
        if not volume.mount and able.guests_mount is False:
            message = f"is missing: guests of the driver {want.driver!r} mount nothing themselves"
            yield Problem(f"volumes[{volume.name}].mount", message, Code.MISSING)


def _cpus(want: VMSpec, able: DriverFacts) -> Iterable[Problem]:
    cpus = want.limits.cpus
    if able.whole_cpus and cpus is not None and not cpus.is_integer():
        message = f"must be a whole number for the driver {want.driver!r}, got {cpus:g}"
        yield Problem("cpus", message, Code.REFUSED)


def _template(want: VMSpec, able: DriverFacts, facts: HostFacts) -> Iterable[Problem]:
    """A tree fills a directory, a disk image a disk that is as large as it is, or larger."""
    if facts.templates is None or want.template not in facts.templates:
        return
    kind = RootKind.DISK if want.template in facts.disks else RootKind.TREE
    is_what = f"and the template {want.template!r} is {CALLED[kind]}"
    offers, size_bytes = facts.pool(want.root.pool).offers, want.root.size_bytes
    if able.root_kind not in (None, kind):
        needs = f"the driver {want.driver!r} needs {CALLED[RootKind(able.root_kind)]}"
        yield Problem("template", f"{needs}, {is_what}", Code.REFUSED)
    elif offers is not None and not offers.takes(kind):
        message = f"the pool {want.root.pool!r} of the root offers a {offers}, {is_what}"
        yield Problem("template", message, Code.REFUSED)
    least_bytes = facts.disks.get(want.template)
    if least_bytes is not None and size_bytes is not None and size_bytes < least_bytes:
        least = f"{format_size(least_bytes)}, the size of the template {want.template!r}"
        message = f"must be at least {least}, got {format_size(size_bytes)}"
        yield Problem(f"volumes[{ROOT}].size", message, Code.REFUSED)


def _binds(want: VMSpec, facts: HostFacts) -> Iterable[Problem]:
    if facts.bind_sources is None:
        return
    for bind in want.binds:
        if not is_within(bind.source, facts.bind_sources):
            why = not_within(bind.source, facts.bind_sources)
            yield Problem(f"binds.{bind.name}.source", why, Code.REFUSED)


def is_within(path: str, tops: Iterable[str]) -> bool:
    """Whether *path* is one of *tops*, or below one; all are absolute and plain."""
    return any(path == top or path.startswith(f"{top}/") for top in tops)


def not_within(path: str, tops: Collection[str]) -> str:
    """Why *path* may not be bound if only *tops* may."""
    allowed = ", ".join(sorted(tops)) or "there is none"
    return f"{path!r} is not within what bind_sources allows ({allowed})"


def _too_small(want: VMSpec, have: Observation, facts: HostFacts) -> Iterable[Problem]:
    for volume in want.volumes:
        least_bytes = facts.pool(volume.pool).least_bytes
        is_new = have.volume(volume.pool, volume.name) is None
        if is_new and volume.size_bytes is not None and volume.size_bytes < least_bytes:
            yield Problem(
                f"volumes[{volume.name}].size",
                f"must be at least {format_size(least_bytes)} in the pool {volume.pool!r}, "
                f"got {format_size(volume.size_bytes)}",
                Code.REFUSED,
            )


def _shrinking(goal: Goal, want: VMSpec, have: Observation) -> Iterable[Problem]:
    kept = goal.target is not Target.REINITIALISED
    for volume in want.volumes:
        seen = have.volume(volume.pool, volume.name)
        if seen is None or seen.size_bytes is None or volume.size_bytes is None:
            continue
        if volume.size_bytes < seen.size_bytes and (kept or volume is not want.root):
            yield Problem(
                f"volumes[{volume.name}].size",
                f"a volume cannot shrink from {format_size(seen.size_bytes)} "
                f"to {format_size(volume.size_bytes)}",
                Code.REFUSED,
            )


def _data_loss(goal: Goal, want: VMSpec, have: Observation) -> Iterable[Problem]:
    """A volume that the spec has no more use for goes only with leave, and unlocked."""
    reinit = goal.target is Target.REINITIALISED
    if reinit and have.locked:
        yield Problem("lock", "is locked: a reinit would lose data", Code.LOCKED)
        return
    pools = {volume.name: volume.pool for volume in want.volumes}
    for seen in outdated_volumes(want, have):
        if reinit and seen.name == ROOT:
            continue
        path, old, new = (
            (f"volumes[{seen.name}].pool", seen.pool, pools[seen.name])
            if seen.pool != pools[seen.name]
            else ("template", seen.template, want.template)
        )
        if have.locked:
            message = f"cannot change from {old} to {new}: the VM is locked"
            yield Problem(path, message, Code.LOCKED)
        elif goal.data_loss is DataLoss.REFUSED:
            yield Problem(
                path,
                f"changing it from {old} to {new} loses the data on the volume {seen.name}: "
                f"{'reinit, or ' if seen.name == ROOT else ''}allow data loss",
                Code.DATA_LOSS,
            )


def _missing(goal: Goal, want: VMSpec, have: Observation) -> Iterable[Problem]:
    """A volume that is gone is not one to make: only with leave, unlocked, and while it is off."""
    if goal.target is Target.DEFINED:
        return
    never = goal.target.is_on and goal.restart is Restart.NEVER
    stays_on = have.power is not Power.STOPPED and (never or goal.target is Target.PROVISIONED)
    for each in missing_volumes(want, have):
        if have.locked:
            said = not_found(each, "it is not recreated because the VM is locked")
            yield Problem(*said, Code.LOCKED)
        elif goal.data_loss is DataLoss.REFUSED:
            said = not_found(each, "allow data loss to recreate it, without its data")
            yield Problem(*said, Code.DATA_LOSS)
        elif stays_on:
            said = not_found(each, "it is not recreated while the VM is on")
            yield Problem(*said, Code.REFUSED)


def missing_volumes(want: VMSpec, have: Observation) -> tuple[VolumeMissing, ...]:
    """The missing volumes with the names of volumes of *want*, in any pool."""
    return have.missing_of({volume.name for volume in want.volumes})


def _stuck(goal: Goal, want: VMSpec, have: Observation) -> Iterable[Problem]:
    """Neither what keeps a VM on, nor what leaves its power as it is, ends a stuck monitor."""
    never = goal.target.is_on and goal.restart is Restart.NEVER
    unmade = goal.target is Target.PROVISIONED and not _is_made(want, have)
    if have.power is Power.STUCK and (never or unmade):
        message = "its monitor is stuck, and repairing it would restart the VM"
        yield Problem("restart", message, Code.REFUSED)


def _is_made(want: VMSpec, have: Observation) -> bool:
    """Whether the root volume is as described, and nothing is left of an earlier spec."""
    root = have.volume(want.root.pool, ROOT)
    if root is None or root.stage is not Stage.INSTALLED:
        return False
    return root.guest == guest_digest(want) and not outdated_volumes(want, have)


def _forgotten(goal: Goal, want: VMSpec, have: Observation) -> Iterable[Problem]:
    """Addresses and volumes that a VM may still use are not given up before it is off."""
    never = goal.target.is_on and goal.restart is Restart.NEVER
    stays_on = never or goal.target in (Target.DEFINED, Target.PROVISIONED)
    if stays_on and would_forget(want, have):
        message = (
            "it is not known what the VM was started with, and a new definition would lose "
            "track of what it may still use: restart it, or power it off first"
        )
        yield Problem("restart", message, Code.REFUSED)


def without_template(
    goal: Goal, want: VMSpec, have: Observation, facts: HostFacts
) -> Iterable[Problem]:
    """A root that is to be made needs its template; one that is there does not."""
    if not makes_root(goal, want, have):
        return
    if why := unavailable(TEMPLATES, want.template, facts.unavailable):
        yield Problem("template", why, Code.UNAVAILABLE)


def makes_root(goal: Goal, want: VMSpec, have: Observation) -> bool:
    """Whether a template is to be installed on the root, now or by a later plan."""
    root = have.volume(want.root.pool, want.root.name)
    installed = root is not None and root.stage is Stage.INSTALLED
    return not installed or goal.target is Target.REINITIALISED


def without_start(goal: Goal, made: Plan, have: Observation, facts: HostFacts) -> Iterable[Problem]:
    """Nothing is made or powered off for a start that would fail on this host."""
    if goal.spec is None or not any(isinstance(step.action, Start) for step in made.steps):
        return
    no = facts.driver(goal.spec.driver).no_start
    if no is not None and not any(line.startswith(no.unless) for line in have.by_hand):
        message = f"the driver {goal.spec.driver!r} can start no VM now: {no.why}"
        yield Problem(f"{goal.name}.driver", message, Code.UNAVAILABLE)


def would_leave_behind(
    goal: Goal, want: VMSpec, have: Observation, facts: HostFacts
) -> Iterable[Problem]:
    """Nothing is made in a new place while VMs are left in the recorded one, unless data loss is
    allowed.

    Volumes that are missing, or that exist here already, are handled elsewhere.
    """
    if goal.data_loss is DataLoss.ALLOWED and goal.max_impact is Impact.DATA_LOSS:
        return
    known = {(seen.pool, seen.name) for seen in have.volumes}
    known |= {(each.pool, each.name) for each in have.missing}
    made = [v for v in want.volumes if (v.pool, v.name) not in known]
    if goal.target is Target.DEFINED:
        made = []
    paths = {f"{POOLS}.{volume.pool}": f"volumes[{volume.name}].pool" for volume in made}
    if not have.exists:
        paths[f"{DRIVERS}.{want.driver}"] = "driver"
    for moved in facts.moved:
        if moved.left and moved.what in paths:
            yield Problem(paths[moved.what], _moved_away(moved), Code.DATA_LOSS)


def _moved_away(moved: Moved) -> str:
    vms = ", ".join(moved.left)
    return (
        f"{moved.what} is now {moved.now}; it was {moved.was}, and {vms} is left there: check "
        "whether its disk is mounted, and whether its path, its type and state_dir are right; "
        f"allow data loss to go on here, and leave {vms} behind"
    )
