"""A VM that is off gets another name, and keeps all else.

Theory of operation
-------------------
First the files of the guest with its name in them are written. Then each volume is handed over to
the new name, at once, whatever it holds. Last the VM is defined under the new name, protected from
deletion if it was, and forgotten under the old one. From the first volume on, the host remembers
what it is about (``Observation.renaming``): nothing else is planned for either name until the same
renaming, asked for again, has done the rest.

The description is the operator's: as long as it has the old name, the next plan would make a new VM
of that name, and so the renaming is refused.
"""

import re
from collections.abc import Iterable, Mapping

from returns.result import Failure, Success

from geats_core.deciding.refusals import elsewhere, left_of_move
from geats_core.jobs.copies import claimed, hostname_under, not_there, not_whole
from geats_core.planning.actions import ActivateVolume, ConfigureGuest, Rename, RenameVolume
from geats_core.planning.draft import Draft
from geats_core.planning.goal import Goal, Target
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.plugin_facts import DriverFacts
from geats_core.planning.spec_changes import changes
from geats_core.planning.steps import Plan
from geats_core.reading.checked import Checked, Code, Problem, within
from geats_core.reading.shown_lines import shown_line
from geats_core.vm import hardware
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.observation import Observation, Power, Renaming, definitions
from geats_core.vm.parse import parse_vm, to_plain
from geats_core.vm.spec import VMSpec
from geats_core.vm.unseen import out_of_sight

SAME_UUID = "the guest keeps its UUID, which does not follow from its new name"
NEW_UUID = "the guest sees another UUID, made of the name: licences that are bound to it notice"
NEW_GUEST = "cloud-init takes it for a new guest: it makes new SSH host keys, and users once more"
CLOUD_INIT = "cloud-init"
GUEST = "its files in the guest have the old name"


def plan_rename(
    name: str,
    new_name: str,
    observations: Mapping[str, Observation],
    facts: HostFacts | None = None,
) -> Checked[Plan]:
    """Give the VM *name* the name *new_name*; it must be off.

    Its hostname changes if it was made of the old name; MAC addresses, volumes, snapshots, limits
    and lines by hand stay. *observations* is everything on the host, by the names of the VMs.
    Refused if anything has the new name or one too much like it, if a pool cannot rename, if other
    VMs mount its volumes, or if the configuration still describes the old name.
    """
    facts = facts or HostFacts()
    have = observations.get(name, Observation())
    there = observations.get(new_name, Observation())
    this = Renaming(name, new_name)
    goes_on = this in (have.renaming, there.renaming)
    known = have.recorded
    if goes_on:
        known = known or there.recorded or have.defined or there.defined
    problems = [
        *(_left(name, have, new_name, there) if goes_on else _in_the_way(name, have, this, there)),
        *out_of_sight(name, have, facts.unavailable),
        *_pools(name, have, facts),
        *_of_the_host(this, facts),
    ]
    if known is None:
        lost = [Problem(name, "is not defined", Code.REFUSED)] if goes_on else []
        return Failure((*problems, *lost))
    others = definitions(observations).items()
    theirs = {each: spec for each, spec in others if each not in (name, new_name)}
    match renamed(known, new_name):
        case Success(spec):
            problems += [*claimed(spec, theirs), *_mounted(name, theirs)]
            return Failure(tuple(problems)) if problems else _steps(this, spec, have, there)
        case Failure(wrong):
            return Failure((*problems, *wrong))


def renamed(spec: VMSpec, name: str) -> Checked[VMSpec]:
    """The same VM under another name, with the MAC addresses that it has."""
    said = {**to_plain(spec), "hostname": hostname_under(spec, name)}
    return parse_vm(name, said, is_recorded=True)


def notes(
    name: str,
    new_name: str,
    observations: Mapping[str, Observation],
    described: VMSpec | None,
    facts: HostFacts | None = None,
) -> tuple[str, ...]:
    """What a user should know before: what keeps the old name, is *described* otherwise, or is not
    the same to the guest.
    """
    have = observations.get(name, Observation())
    said = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")  # and not as a part of a word
    keeping = [shown_line(line) for line in have.by_hand if said.search(line)]
    lines = [f"a line by hand keeps the name {name}: {line}" for line in keeping]
    waiting = sorted(
        each
        for each, seen in observations.items()
        if seen.recorded is not None and name in seen.recorded.after
    )
    after = [f"{each} is started after {name}: describe it after {new_name}" for each in waiting]
    made = renamed(have.recorded, new_name).value_or(None) if have.recorded else None
    told = changes(made, described) if made is not None and described is not None else ()
    differs = [f"{new_name} is described otherwise, for the next plan: {each}" for each in told]
    identity = () if made is None else _identity(made, (facts or HostFacts()).driver(made.driver))
    return (*lines, *after, *differs, *identity)


def _identity(spec: VMSpec, driver: DriverFacts) -> Iterable[str]:
    """What the guest, and cloud-init in it, take the VM for."""
    if driver.guests_mount:
        yield SAME_UUID if driver.renames else NEW_UUID
    guest = hardware.to_plain(spec.hardware).get("guest", CLOUD_INIT if driver.guests_mount else "")
    if guest == CLOUD_INIT and not driver.renames:
        yield NEW_GUEST


def _steps(this: Renaming, spec: VMSpec, have: Observation, there: Observation) -> Checked[Plan]:
    draft = Draft(this.old_name, have)
    root = have.volume(spec.root.pool, spec.root.name)
    if root is not None and root.guest != guest_digest(spec):
        if not root.active:
            draft.add(ActivateVolume(root.pool, root.name), "it is not active")
        draft.add(ConfigureGuest(root.pool, root.name, spec), GUEST)
    seen = [(each.pool, each.name) for each in have.volumes]
    missing = [(each.pool, each.name) for each in have.missing]
    for pool, volume in dict.fromkeys([*seen, *missing]):
        draft.add(RenameVolume(pool, volume, this.old_name, this.new_name), "it is the VM's")
    draft.add(Rename(spec, have.by_hand or there.by_hand), "another name was asked for")
    return draft.finished()


def _in_the_way(
    name: str, have: Observation, this: Renaming, there: Observation
) -> Iterable[Problem]:
    yield from not_there(name, have)
    if this.old_name == this.new_name:
        yield Problem(name, "has that name already", Code.CONFLICT)
    elif there.exists:
        message = "there is a VM of this name, or a volume of one: give another name"
        yield Problem(this.new_name, message, Code.CONFLICT)
    if have.power not in (Power.STOPPED, Power.STUCK):
        yield Problem(name, f"is {have.power}: shut it down first", Code.REFUSED)
    if have.to_run:
        message = "an interrupted plan is to start it again: start it, or keep it off, first"
        yield Problem(name, message, Code.REFUSED)
    yield from not_whole(name, have)
    moving = (left_of_move(name, each, have) for each in have.volumes if each.is_moving)
    yield from within(name, moving)


def _left(name: str, have: Observation, new_name: str, there: Observation) -> Iterable[Problem]:
    """An interrupted renaming goes on, unless somebody started the VM with other tools."""
    for each, seen in ((name, have), (new_name, there)):
        if seen.power is not Power.STOPPED:
            yield Problem(each, f"is {seen.power}: power it off first", Code.REFUSED)


def _pools(name: str, have: Observation, facts: HostFacts) -> Iterable[Problem]:
    for seen in have.volumes:
        if seen.pool in (facts.pools or {}) and not facts.pool(seen.pool).renames:
            message = f"{seen.pool!r} cannot give a volume another name: export and import the VM"
            yield Problem(f"{name}.volumes[{seen.name}].pool", message)


def _of_the_host(this: Renaming, facts: HostFacts) -> Iterable[Problem]:
    yield from elsewhere(Goal(name=this.new_name, target=Target.DEFINED), Observation(), facts)
    if this.old_name in facts.declared:
        message = f"the configuration still has this name: write {this.new_name} there first"
        yield Problem(this.old_name, message, Code.REFUSED)


def _mounted(name: str, others: Mapping[str, VMSpec]) -> Iterable[Problem]:
    for other, spec in others.items():
        if any(each.vm == name for each in spec.shared_volumes):
            message = f"mounts a volume of {name}: take it out first, and put it in after"
            yield Problem(f"{other}.shared_volumes", message, Code.CONFLICT)
