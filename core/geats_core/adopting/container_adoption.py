"""Adoption: geats takes over a container that something else made, as it is and while it runs.

Theory of operation
-------------------
Nothing is moved, and nobody in the guest notices. The root filesystem stays where it is, and the
pool learns that it is a volume: a guest that reboots is mounted again from the path which its
monitor has in memory, and liblxc takes no link there. Only then is the old ``config`` replaced with
one from geats; from this step on, geats manages the VM. If the adoption is interrupted before it,
geats does not touch the container, and the same call adopts it; what is already done is not done
again.

The VM runs with what the old config says (``in_effect``) until it restarts. So everything that
differs from its description is pending, as after any other change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from returns.result import Failure, Success

from geats_core.deciding.losses import incomplete
from geats_core.deciding.own_ids import blocks, with_own_ids
from geats_core.deciding.planner import plan
from geats_core.foreign.lxc_container import OPTIONS, container
from geats_core.foreign.lxc_lines import (
    INCLUDE,
    ROOTFS,
    Line,
    OnHost,
    all_lines,
    included_by,
    own_lines,
    unread,
)
from geats_core.foreign.lxc_mounts import ENTRY, doubles, entry_of
from geats_core.foreign.lxc_nics import NIC, in_force
from geats_core.foreign.lxc_roots import MOUNT_IT, kind_of_root, shift_back
from geats_core.foreign.notes import Taken
from geats_core.jobs.copies import claimed
from geats_core.planning.actions import Adopt, AdoptVolume, Lock
from geats_core.planning.draft import Draft
from geats_core.planning.goal import Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.ordering import ordered
from geats_core.planning.spec_changes import changes
from geats_core.planning.steps import Plan
from geats_core.reading.checked import Checked, Code, Problem, within
from geats_core.reading.fields import bind_source
from geats_core.reading.paths import is_within
from geats_core.reading.shown_lines import shown_line
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.lxc_config import unwritable
from geats_core.vm.observation import Observation, Power, Stage
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import ROOT, VMSpec
from geats_core.vm.unseen import unreliable_parts

ASKED_FOR = "something else made it, and an adoption was asked for"
IDMAP = "idmap=container"
COPY_IT = "geats import-lxc makes a template of it instead"
NO_AUTOSTART = "it starts with the host by `geats boot` from then on, and not by lxc-autostart"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundVM:
    """What the ``config`` of a container says that geats did not make.

    ``vm`` is the VM as in a pillar, without template and volumes; ``root`` is the path of its
    root filesystem. ``keep`` are the lines that geats has no key for, ``file`` is where all this
    stands, and ``sha256`` that of the text. ``called`` is the container's own name, if the VM is
    to have another. ``told`` is what will be otherwise though no line says so. ``locked_by`` is the
    file with which the first geats locked it, if it did.
    """

    name: str
    file: str
    vm: Mapping[str, object]
    root: str
    keep: tuple[str, ...]
    sha256: str
    called: str = ""
    told: tuple[str, ...] = ()
    locked_by: str = ""

    def kept(self, want: VMSpec) -> tuple[str, ...]:
        """The lines that stay in the config of *want*.

        Not those of interfaces that it does not have, nor mounts at which it has its own.
        """
        return tuple(line for line in self.keep if not self._is_in_the_way(line, want))

    def _is_in_the_way(self, line: str, want: VMSpec) -> bool:
        key, _, value = (part.strip() for part in line.partition("="))
        if nic := NIC.fullmatch(key):
            return int(nic[1]) >= len(want.nics)
        entry = entry_of(value, (self.root,)) if key == ENTRY else None
        if entry is None:
            return False
        own = {bind.mount for bind in want.binds} | {volume.mount for volume in want.all_volumes}
        replaced = "includes" in self.vm and want.includes is None
        return entry.target in own or (replaced and doubles(entry))


@dataclass(frozen=True, slots=True, kw_only=True)
class RootSeen:
    """The path of a container's root filesystem, as it is on the host.

    ``owner`` is the user id of the directory there, None if there is none, or a link leads to
    it. ``mounted`` is a mount point that is there, or below. ``volume`` is where the pool has the
    root volume of the VM, or would make it; None if it cannot have a directory where it is.
    ``others`` are the root filesystems of other containers by name, as their configs have them.
    """

    owner: int | None
    volume: str | None
    mounted: str | None = None
    others: Mapping[str, str]


def read_found(name: str, file: str, text: str, host: OnHost | None = None) -> Checked[FoundVM]:
    """What the *text* of a container's config says, or why it cannot be that of a VM of geats.

    *host* is what it names of the host.
    """
    known = host or OnHost()
    made = container(Taken(file), name, text, known, in_place=True)
    lines = [line.pair for line in in_force(all_lines([*own_lines(text)], known.includes))]
    problems = (
        *_root_problems(file, dict(lines).get(ROOTFS, ""), made.root),
        *_include_problems(file, text, known),
        *_line_problems(file, lines, made.keep),
        *(Problem(f"{file}: {key}", why) for key, why in made.wrong),
    )
    if problems:
        return Failure(problems)
    digest = sha256(text.encode()).hexdigest()
    return Success(
        FoundVM(
            name=name,
            file=file,
            vm=made.vm,
            root=made.root,
            keep=made.keep,
            sha256=digest,
            told=tuple(why for _, why in made.told),
        )
    )


def plan_adopt(
    found: FoundVM,
    want: VMSpec,
    root: RootSeen,
    have: Observation,
    facts: HostFacts,
    others: Mapping[str, VMSpec],
) -> Checked[Plan]:
    """The steps that make the container the VM *want*, on or off as it is; or why there are none.

    ``changes`` of the plan is what *want* has otherwise than the container, and ``pending`` what of
    it waits for a restart. *others* are the VMs of the host by name.
    """
    running = as_found(found, want)
    as_it_runs = Observation(recorded=running.value_or(None))
    taken = [block for each in others.values() for block in blocks(each)]
    settled = with_own_ids(want, as_it_runs, taken, facts)
    want = settled.value_or(want)
    problems = (
        *(within(want.name, settled.failure()) if isinstance(settled, Failure) else ()),
        *_vm_problems(found, want, have),
        *_tree_problems(found, want, root, have, facts),
        *claimed(want, others),
    )
    match running:
        case Success(spec) if not problems:
            return _planned(found, want, _with_same_ids(spec, want), have, facts)
        case Success():
            return Failure(problems)
        case Failure(wrong):
            return Failure((*problems, *wrong))


def as_found(found: FoundVM, want: VMSpec) -> Checked[VMSpec]:
    """The VM as its old config has it, with the template and the root volume of *want*."""
    match parse_vm(found.name, {**found.vm, "template": want.template, "driver": want.driver}):
        case Success(spec):
            return Success(replace(spec, volumes=(want.root,)))
        case Failure(wrong):
            return Failure(
                tuple(replace(each, path=f"{found.file}: {each.path}") for each in wrong)
            )


def _with_same_ids(running: VMSpec, want: VMSpec) -> VMSpec:
    """What has the ids that are allocated for it already has them as they are written then."""
    same = running.idmap and {*running.idmap} == {*want.ids}
    return replace(running, idmap=(), own_ids=want.own_ids) if same else running


def _planned(
    found: FoundVM, want: VMSpec, running: VMSpec, have: Observation, facts: HostFacts
) -> Checked[Plan]:
    """Adopt it; the planner knows what is left to do, and what is pending."""
    draft = Draft(found.name, have)
    seen = have.volume(want.root.pool, ROOT)
    if seen is None or seen.stage is Stage.ALLOCATED:
        where = (want.root.pool, ROOT, want.root.size_bytes)
        digest = guest_digest(running)
        action = AdoptVolume(*where, found.root, want.template, digest, found.called)
        draft.add(action, "it is the root filesystem of the container")
    adopt = Adopt(want, running, found.kept(want), found.sha256, found.called)
    draft.add(adopt, f"{ASKED_FOR}{_told(found, running)}")
    if found.locked_by:
        draft.add(Lock(), f"{found.locked_by} is there: it was locked before")
    return planned_on(draft, want, running, facts)


def planned_on(draft: Draft, want: VMSpec, running: VMSpec, facts: HostFacts) -> Checked[Plan]:
    """What is drafted, and what the planner has to do then, so that the VM is *want*.

    ``changes`` of the plan is what *want* has otherwise than what was *running*.
    """
    if draft.problems:
        return Failure(tuple(draft.problems))
    match plan(Goal(name=want.name, target=Target.DEFINED, spec=want), draft.state, facts):
        case Success(rest):
            steps = ordered((*draft.steps, *rest.steps))
            found_changes = changes(running, want, facts.driver(want.driver).all_costs)
            return Success(replace(rest, steps=steps, changes=found_changes))
        case Failure() as refused:
            return refused


def _told(found: FoundVM, running: VMSpec) -> str:
    """What changes without any line of it: LXC starts with the host what it has a line for."""
    told = (*([NO_AUTOSTART] if running.autostart.enabled else []), *found.told)
    return f" ({'; '.join(told)})" if told else ""


def _root_problems(file: str, said: str, root: str) -> Iterable[Problem]:
    if root and bind_source("", root).value_or("") == root:
        return
    if ":" in said and not root.startswith("/"):
        message = f"must be a directory: {kind_of_root(said)}: {MOUNT_IT}"
    else:
        message = f"must be a directory by its plain path, got {root!r}: {COPY_IT}"
    yield Problem(f"{file}: {ROOTFS}", message)


def _include_problems(file: str, text: str, host: OnHost) -> Iterable[Problem]:
    """liblxc reads no config whose includes are not there: not even the one that runs, again."""
    said = [Line(INCLUDE, each, INCLUDE) for each in included_by(text)]
    for each in unread(said, host.includes) if host.includes else ():
        yield Problem(f"{file}: {INCLUDE}", f"{each!r} is not there, or cannot be read")


def _line_problems(
    file: str, lines: Iterable[tuple[str, str]], keep: Iterable[str]
) -> Iterable[Problem]:
    if dict(lines).get("lxc.ephemeral") == "1":
        message = "would have it destroyed once it is off: take the line out"
        yield Problem(f"{file}: lxc.ephemeral", message)
    for line in unwritable(keep):
        yield Problem(file, f"cannot be kept as it is: {shown_line(line)!r}")


def cannot_become(called: str, want: VMSpec, have: Observation) -> Iterable[Problem]:
    """Why the VM *want* cannot be made of what is there, and is *called* otherwise if not empty."""
    if called and (have.foreign or {have.recorded, have.defined} - {None, want}):
        message = f"there is a VM of that name: {called!r} needs another"
        yield Problem(want.name, message, Code.REFUSED)
    elif not have.foreign and not called:
        yield Problem(want.name, "is managed by geats already", Code.REFUSED)
    elif have.power is Power.STUCK:
        yield Problem(want.name, "its monitor does not answer: end that first", Code.REFUSED)
    yield from unreliable_parts(want.name, have)
    yield from incomplete(want.name, have)


def _vm_problems(found: FoundVM, want: VMSpec, have: Observation) -> Iterable[Problem]:
    yield from cannot_become(found.called, want, have)
    if not want.privileged and any(line.startswith(OPTIONS) for line in found.keep):
        message = f"would take the place of {IDMAP}, which an unprivileged VM needs"
        yield Problem(f"{found.file}: {OPTIONS}", message)


def _tree_problems(
    found: FoundVM, want: VMSpec, root: RootSeen, have: Observation, facts: HostFacts
) -> Iterable[Problem]:
    path = f"{found.file}: {ROOTFS}"
    if root.owner is None:
        yield Problem(
            path, f"there is no directory {found.root!r}, or a link leads to it", Code.REFUSED
        )
    elif root.owner:
        message = f"its files have ids of a guest, from {root.owner} on: "
        said = found.vm.get("idmap")
        how = COPY_IT if said else shift_back(f"{root.owner}", found.root)
        yield Problem(path, f"{message}{how}", Code.REFUSED)
    if root.mounted is not None:
        yield Problem(
            path, f"{root.mounted!r} is mounted, so it could not be removed", Code.REFUSED
        )
    outside = {found.file, root.volume or found.file} - {found.root}
    if any(is_within(each, [found.root]) for each in outside):
        yield Problem(
            path, f"{found.root!r} contains more than the files of the guest", Code.REFUSED
        )
    for name, other in sorted(root.others.items()):
        layers = [part for part in other.split(":") if part.startswith("/")]
        if is_within(found.root, layers) or any(is_within(each, [found.root]) for each in layers):
            yield Problem(path, f"{found.root!r} is used by {name} as well", Code.CONFLICT)
    yield from _pool_problems(found, want, root, have, facts)


def _pool_problems(
    found: FoundVM, want: VMSpec, root: RootSeen, have: Observation, facts: HostFacts
) -> Iterable[Problem]:
    pool = want.root.pool
    path = f"{found.name}.volumes[{ROOT}].pool"
    seen = have.volume(pool, ROOT)
    if root.volume is None and pool in (facts.pools or {}):
        yield Problem(
            path, f"{pool!r} cannot have a directory where it is: a pool of the type directory can"
        )
    elif seen is not None and seen.stage is not Stage.ALLOCATED and root.volume != found.root:
        yield Problem(
            path, f"there is a volume of this VM already, at {root.volume}", Code.CONFLICT
        )
