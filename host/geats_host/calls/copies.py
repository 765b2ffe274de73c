"""Copies of the VMs of a host: exports, imports and clones; and other names for them."""

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from returns.result import Failure

from geats_core.hostwide.own_ids import settled_alone
from geats_core.jobs.arrivals import HOST, Arrival, plan_accept
from geats_core.jobs.clones import plan_clone
from geats_core.jobs.copies import copied, plan_import
from geats_core.jobs.exports import plan_export
from geats_core.jobs.renames import notes, plan_rename
from geats_core.jobs.snapshots import name_at, numbered
from geats_core.planning.action_words import describe
from geats_core.planning.actions import Export, Rename
from geats_core.planning.goal import Goal, Target
from geats_core.planning.steps import Plan
from geats_core.planning.then import Then
from geats_core.plans.plan_files import SavedPlan, alone
from geats_core.reading import fields
from geats_core.reading.mappings import options
from geats_core.vm.observation import Observation, definitions
from geats_host.archives import vm_archives
from geats_host.engine.apply_plan import apply_plan
from geats_host.engine.outcomes import Applied
from geats_host.errors import HostError, Refused, accepted
from geats_host.host import Host
from geats_host.planning.facts import facts_of
from geats_host.planning.plans import check_sharing, plan_vm, saved, saved_with_others
from geats_host.planning.sources import check_sources
from geats_host.registry import Outcome
from geats_host.step_listeners import Progress, silent
from geats_host.templates.digests import sha256_of

Report = dict[str, object]
SUFFIX = ".geats.tar"


def export(host: Host, name: str, path: object = None) -> SavedPlan:
    """The plan that writes a VM to an archive at *path*: absolute, and not there yet.

    Without one, it is in ``exports`` in the host's ``state_dir``, and named for VM and time (UTC).
    """
    have = host.whole(name)
    if path is None:
        archive = free_place(vm_archives.folder_of(host.config), name, SUFFIX)
    else:
        archive = Path(accepted(fields.absolute_path("path", path)))
        check_place(archive)
    made = accepted(plan_export(name, str(archive), have, facts_of(host, [])))
    return saved(host, alone(made), {name: have})


def import_(
    host: Host,
    path: object,
    name: object = None,
    changes: Mapping[str, object] | None = None,
    sha256: object = None,
    arriving: object = None,
    *,
    to_run: bool = False,
) -> SavedPlan:
    """The plan that creates a VM from the archive at *path*, which is checked first.

    *name* is another name for it; *changes* are keys of its spec to change, and ``pools``: the pool
    of all volumes, or of each by name. *sha256* is the checksum of the whole file. If it
    is *arriving* from another host, of this name, it does not count before it is accepted (see
    ``accept``), and is started by the next plan then if it is *to_run*. Raises ``Refused`` if the
    archive is wrong, and if there is no such plan.
    """
    read = options({"path": path, "name": name, "sha256": sha256, "arriving": arriving})
    archive = Path(read.need("path", fields.absolute_path, "/"))
    given = read.take("name", fields.vm_name, "")
    digest = read.take("sha256", fields.sha256, "")
    source = read.take("arriving", fields.matching(HOST, "the name of a host"), "")
    accepted(read.done(None))
    try:
        found = vm_archives.read(archive)
        vm_archives.verify(found, digest or None)
    except HostError as error:
        raise Refused(str(error)) from None
    called = given or found.manifest.spec.name
    spec = accepted(copied(found.manifest.spec, called, changes or {}), called)
    seen = host.observe_all()
    have, facts = seen.get(called, Observation()), facts_of(host, [spec.driver])
    known = definitions(seen)
    arrival = Arrival(source, Then.ON if to_run else Then.OFF) if source else None
    spec = accepted(settled_alone(spec, seen, facts))
    made = accepted(plan_import(str(archive), found.manifest, spec, have, facts, known, arrival))
    about = {called: have} if have.exists else {}
    return saved_with_others(host, made, spec, seen, facts, about)


def accept(host: Host, name: str) -> SavedPlan:
    """The plan that lets a VM which arrived from another host count here; it is not started."""
    have = host.whole(name)
    return saved(host, alone(accepted(plan_accept(name, have))), {name: have})


def clone(
    host: Host, source: str, name: object, changes: Mapping[str, object] | None = None
) -> SavedPlan:
    """The plan that creates a VM called *name* as a copy of *source*, in the same pools.

    *changes* are keys of its spec to change; if it has addresses, they must be changed.
    """
    called = accepted(fields.vm_name("target", name))
    seen = host.observe_all()
    from_ = host.whole(source).recorded
    if from_ is None:
        raise Refused(f"{source}: is not defined")
    spec = accepted(copied(from_, called, changes or {}), called)
    facts = facts_of(host, [spec.driver])
    spec = accepted(settled_alone(spec, seen, facts))
    made = accepted(plan_clone(source, spec, seen, facts, host.config.policy))
    check_sharing(Goal(name=called, target=Target.DEFINED, spec=spec), seen, made.plans)
    about = {each: seen[each] for each in (source, called) if each in seen}
    return saved(host, made, about)


def rename(host: Host, name: object, new_name: object) -> SavedPlan:
    """The plan that gives a VM which is off another name, with all that it has.

    Asked for again, it finishes what an interruption left; and there is nothing to do once it is
    done.
    """
    old = accepted(fields.vm_name("name", name))
    new = accepted(fields.vm_name("new_name", new_name))
    seen = host.observe_all()
    if _was_renamed(host, old, new, seen):
        return saved(host, alone(Plan(name=new)), {new: seen[new]})
    have = host.known(old)
    if new in host.config.gone:
        raise Refused(f"{new}: the configuration has it under gone")
    drivers = [spec.driver for spec in (have.recorded, have.defined) if spec]
    facts = facts_of(host, drivers)
    made = accepted(plan_rename(old, new, seen, facts))
    check_sources(host, made.steps, seen)
    about = {each: seen[each] for each in (old, new) if each in seen}
    both = replace(alone(made), plans=(made, Plan(name=new)))
    return saved(host, both, about, notes(old, new, seen, host.declared(new), facts))


def _was_renamed(host: Host, old: str, new: str, seen: Mapping[str, Observation]) -> bool:
    """Whether the VM *new* is what *old* was: that name ended with this renaming.

    A power failure can have taken the last DONE. What is half done is known by both names.
    """
    spec = seen[new].recorded if new in seen else None
    if spec is None or old in seen or old in host.config.vms:
        return False
    last = [
        (each.action, each.outcome is not Outcome.FAILED) for each in host.registry.journal(old, 1)
    ]
    return last == [(describe(Rename(spec), old), True)]


def written(planned: SavedPlan) -> Report:
    """What was exported: the archive's ``path``, its ``sha256``, and its size in ``bytes``."""
    return written_to(archive_of(planned))


def written_to(path: Path) -> Report:
    """The same of any file that was written."""
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from None
    return {"path": f"{path}", "sha256": sha256_of(f"{path}"), "bytes": size_bytes}


def archive_of(planned: SavedPlan) -> Path:
    """Where the archive will be that a plan of ``export`` writes."""
    return next(
        Path(step.action.archive) for step in planned.plan.steps if isinstance(step.action, Export)
    )


def apply_export(host: Host, planned: SavedPlan, progress: Progress = silent) -> Applied:
    """Carry out an export; if no path was given, make the folder for it first."""
    return apply_to_file(host, planned, archive_of(planned), progress)


def apply_to_file(
    host: Host, planned: SavedPlan, file: Path, progress: Progress = silent
) -> Applied:
    """Carry out a plan that writes *file*; make the folder for it first."""
    folder = file.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"{folder}: {error.strerror}") from None
    return apply_plan(host, planned, progress)


def apply_copy(host: Host, planned: SavedPlan, progress: Progress = silent) -> Applied:
    """Carry an import or a clone out; what fails is taken away, as far as that can be done."""
    applied = apply_plan(host, planned, progress)
    match applied:
        case Failure(interrupted):
            left = _not_taken_away(host, planned.of_vm.name, progress)
            first, *others = interrupted.failed
            told = replace(first, error=f"{first.error} (what was made of it stays: {left})")
            return Failure(replace(interrupted, failed=(told, *others))) if left else applied
        case _:
            return applied


def _not_taken_away(host: Host, name: str, progress: Progress) -> str:
    """Take away what was made of the VM; or say why not."""
    gone = Goal(name=name, target=Target.DEPROVISIONED)
    try:
        match apply_plan(host, plan_vm(host, gone), progress):
            case Failure(interrupted):
                return "; ".join(each.error for each in interrupted.failed)
            case _:
                return ""
    except (HostError, Refused) as error:
        return f"{error}"


def free_place(folder: Path, name: str, suffix: str) -> Path:
    """Named for VM and time; and numbered, if another has that name: a clock is set back."""
    stem = f"{name}-{name_at(int(time.time()))}"
    places = (folder / f"{each}{suffix}" for each in numbered(stem))
    return next(place for place in places if not os.path.lexists(place))


def check_place(archive: Path) -> None:
    """Raises ``Refused`` if no file can be made there."""
    problems = []
    if not archive.parent.is_dir():
        problems.append(f"path: there is no directory {str(archive.parent)!r}")
    if archive.exists() or archive.is_symlink():
        problems.append(f"path: there is something at {str(archive)!r} already")
    if problems:
        raise Refused(*problems)
