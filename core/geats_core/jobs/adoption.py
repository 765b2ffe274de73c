"""Adoption: making a container that something else made one of geats', as it is and as it runs.

Theory of operation
-------------------
Nothing is moved, and nobody in the guest notices. The root filesystem stays where it is, and the
pool learns that it is a volume: a guest that reboots is mounted again from the path which its
monitor has in memory, and liblxc takes no link there. Only then is the old ``config`` replaced by
that of geats; this one step makes the VM ours. Whatever is cut before it leaves a container that
geats does not touch, and that the same call adopts; what is done already is not done again.

What the old config says is what the VM runs with (``in_effect``) until it restarts. So all that its
description has otherwise is pending, as after any other change.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from returns.result import Failure, Success

from geats_core.foreign.legacy_notes import Note, Plain, Taken
from geats_core.foreign.lxc_import import NIC, NO_NIC, OF_GEATS, WRITTEN, container, lines_of
from geats_core.jobs.copies import claimed
from geats_core.planning.actions import Adopt, AdoptVolume
from geats_core.planning.draft import Draft
from geats_core.planning.goal import Goal, HostFacts, Plan, Target
from geats_core.planning.ordering import ordered
from geats_core.planning.planner import plan
from geats_core.planning.refusals import incomplete, is_within, unreliable_parts
from geats_core.planning.spec_changes import changes
from geats_core.reading.checked import Checked, Problem
from geats_core.reading.fields import bind_source
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.lxc_config import unwritable
from geats_core.vm.observation import Observation, Power, Stage
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import ROOT, VMSpec

ROOTFS, OPTIONS, INCLUDE = "lxc.rootfs.path", "lxc.rootfs.options", "lxc.include"
IDMAP = "idmap=container"
STANDARD_INCLUDE = re.compile(r"/usr/share/lxc/config/([a-z0-9-]+\.)?(common|userns)\.conf")
COPY_IT = "geats import-lxc makes a template of it instead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the ``config`` of a container says that geats did not make.

    ``vm`` is the VM as in a pillar, but for its template and volumes; ``root`` is the path of its
    root filesystem. ``keep`` are the lines that geats has no key for, ``file`` is where all this
    stands, and ``sha256`` that of the text.
    """

    name: str
    file: str
    vm: Mapping[str, object]
    root: str
    keep: tuple[str, ...]
    sha256: str

    def kept(self, want: VMSpec) -> tuple[str, ...]:
        """The lines that stay in the config of *want*: not those of interfaces that it has not."""
        numbers = ((line, NIC.match(line)) for line in self.keep)
        return tuple(line for line, nic in numbers if nic is None or int(nic[1]) < len(want.nics))


@dataclass(frozen=True, slots=True, kw_only=True)
class RootSeen:
    """The path of a container's root filesystem, as it is on the host.

    ``owner`` is the user id of the directory there, None where there is none, or a link leads to
    it. ``mounted`` is a mount point that is there, or below. ``volume`` is where the pool has the
    root volume of the VM, or would make it; None where it cannot have a directory where it is.
    ``others`` are the root filesystems of other containers by name, as their configs have them.
    """

    owner: int | None
    volume: str | None
    mounted: str | None = None
    others: Mapping[str, str]


def read_found(name: str, file: str, text: str, standard: str = "") -> Checked[Found]:
    """What the *text* of a container's config says, or why it cannot be that of a VM of geats.

    *standard* is the text that geats includes in every config; some tools write it out in each.
    """
    taken = Taken(file)
    own = _without(text, standard)
    vm: Plain = {**container(taken, name, own, {}, [])}
    vm.pop("template", None)
    lines = tuple(lines_of(own))
    keep = tuple(
        f"{key} = {value}"
        for (key, value), note in zip(lines, taken.notes, strict=True)
        if _stays(key, value, note)
    )
    root = root_of(text)
    problems = (*_root_problems(file, root), *_line_problems(file, lines, keep))
    if problems:
        return Failure(problems)
    digest = sha256(text.encode()).hexdigest()
    return Success(Found(name=name, file=file, vm=vm, root=root, keep=keep, sha256=digest))


def root_of(text: str) -> str:
    """What a config says of its container's root filesystem; empty where it says nothing."""
    return dict(lines_of(text)).get(ROOTFS, "").removeprefix("dir:")


def plan_adopt(
    found: Found,
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
    problems = (
        *_vm_problems(found, want, have),
        *_tree_problems(found, want, root, have, facts),
        *claimed(want, others),
    )
    match as_found(found, want):
        case Success(running) if not problems:
            return _planned(found, want, running, have, facts)
        case Success():
            return Failure(problems)
        case Failure(wrong):
            return Failure((*problems, *wrong))


def as_found(found: Found, want: VMSpec) -> Checked[VMSpec]:
    """The VM as its old config has it, with the template and the root volume of *want*."""
    match parse_vm(found.name, {**found.vm, "template": want.template, "driver": want.driver}):
        case Success(spec):
            return Success(replace(spec, volumes=(want.root,)))
        case Failure(wrong):
            return Failure(
                tuple(replace(each, path=f"{found.file}: {each.path}") for each in wrong)
            )


def _planned(
    found: Found, want: VMSpec, running: VMSpec, have: Observation, facts: HostFacts
) -> Checked[Plan]:
    """Adopt it; the planner knows what is left to do, and what is pending."""
    draft = Draft(found.name, have)
    seen = have.volume(want.root.pool, ROOT)
    if seen is None or seen.stage is Stage.ALLOCATED:
        where = (want.root.pool, ROOT, want.root.size_bytes)
        action = AdoptVolume(*where, found.root, want.template, guest_digest(running))
        draft.add(action, "it is the root filesystem of the container")
    adopt = Adopt(want, running, found.kept(want), found.sha256)
    draft.add(adopt, "something else made it, and an adoption was asked for")
    if draft.problems:
        return Failure(tuple(draft.problems))
    match plan(Goal(name=found.name, target=Target.DEFINED, spec=want), draft.state, facts):
        case Success(rest):
            steps = ordered((*draft.steps, *rest.steps))
            found_changes = changes(running, want, facts.driver(want.driver).costs)
            return Success(replace(rest, steps=steps, changes=found_changes))
        case Failure() as refused:
            return refused


def _without(text: str, standard: str) -> str:
    """The lines of *text* that are not in *standard* as well."""
    there = {*map(_same, standard.split("\n"))}
    return "\n".join(line for line in text.split("\n") if _same(line) not in there)


def _same(line: str) -> tuple[str, ...]:
    """Equal for lines that liblxc reads alike."""
    return tuple(part.strip() for part in line.split("=", 1))


def _stays(key: str, value: str, note: Note) -> bool:
    """Whether a line stays that went nowhere in the pillar: but for what geats writes itself."""
    if note.to is not None or key == ROOTFS or (key, value) == (OPTIONS, IDMAP):
        return False
    if key == INCLUDE:
        return STANDARD_INCLUDE.fullmatch(value) is None
    return key in WRITTEN or note.why not in (OF_GEATS, NO_NIC)


def _root_problems(file: str, root: str) -> Iterable[Problem]:
    if not root or bind_source("", root).value_or("") != root:
        message = f"must be a directory by its plain path, got {root!r}: {COPY_IT}"
        yield Problem(f"{file}: {ROOTFS}", message)


def _line_problems(
    file: str, lines: Iterable[tuple[str, str]], keep: Iterable[str]
) -> Iterable[Problem]:
    numbers: list[int] = []
    for key, value in lines:
        nic = NIC.fullmatch(key)
        if nic and nic[2] == "type" and value != "empty":
            numbers.append(int(nic[1]))
        if nic and nic[2] == "type" and value not in ("veth", "empty"):
            message = f"geats has NICs on bridges only (veth), got {value!r}"
            yield Problem(f"{file}: {key}", message)
    if numbers != list(range(len(numbers))):
        yield Problem(f"{file}: lxc.net", "interfaces must be numbered from 0 on, in their order")
    for line in unwritable(keep):
        yield Problem(file, f"cannot be kept as it is: {line!r}")


def _vm_problems(found: Found, want: VMSpec, have: Observation) -> Iterable[Problem]:
    if not have.foreign:
        yield Problem(found.name, "is managed by geats already")
    elif have.power is Power.STUCK:
        yield Problem(found.name, "its monitor does not answer: end that first")
    yield from unreliable_parts(found.name, have)
    yield from incomplete(found.name, have)
    if not want.privileged and any(line.startswith(OPTIONS) for line in found.keep):
        message = f"would take the place of {IDMAP}, which an unprivileged VM needs"
        yield Problem(f"{found.file}: {OPTIONS}", message)


def _tree_problems(
    found: Found, want: VMSpec, root: RootSeen, have: Observation, facts: HostFacts
) -> Iterable[Problem]:
    path = f"{found.file}: {ROOTFS}"
    if root.owner is None:
        yield Problem(path, f"there is no directory {found.root!r}, or a link leads to it")
    elif root.owner:
        yield Problem(path, f"its files have ids of a guest, from {root.owner} on: {COPY_IT}")
    if root.mounted is not None:
        yield Problem(path, f"{root.mounted!r} is mounted, so that nobody could remove it")
    outside = {found.file, root.volume or found.file} - {found.root}
    if any(is_within(each, [found.root]) for each in outside):
        yield Problem(path, f"{found.root!r} holds more than the files of the guest")
    for name, other in sorted(root.others.items()):
        layers = [part for part in other.split(":") if part.startswith("/")]
        if is_within(found.root, layers) or any(is_within(each, [found.root]) for each in layers):
            yield Problem(path, f"{found.root!r} is used by {name} as well")
    yield from _pool_problems(found, want, root, have, facts)


def _pool_problems(
    found: Found, want: VMSpec, root: RootSeen, have: Observation, facts: HostFacts
) -> Iterable[Problem]:
    pool = want.root.pool
    path = f"{found.name}.volumes[{ROOT}].pool"
    seen = have.volume(pool, ROOT)
    if root.volume is None and pool in (facts.pools or {}):
        yield Problem(
            path, f"{pool!r} cannot have a directory where it is: a pool of the type directory can"
        )
    elif seen is not None and seen.stage is not Stage.ALLOCATED and root.volume != found.root:
        yield Problem(path, f"there is a volume of this VM already, at {root.volume}")
