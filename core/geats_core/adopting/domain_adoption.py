"""Adoption of a domain of libvirt, as it is and while it runs; as ``container_adoption`` does it.

Theory of operation
-------------------
Nothing is moved, and nothing restarts. The disks stay where they are, and become volumes of pools.
Then the domain is defined once more, under its UUID: as its keys say, with all that was there
beyond them. A domain that runs is not touched by that, but for a note of what it runs with. If the
adoption is interrupted before, geats does not touch the domain, and the same call adopts it.

The plan carries the checksum of the definition that it was made from: another one is refused.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from returns.result import Failure, Success

from geats_core.adopting.container_adoption import ASKED_FOR, cannot_become, planned_on
from geats_core.adopting.found_domains import (
    FoundDomain,
    as_running,
    described,
    hardware_of,
    read_domain_found,
)
from geats_core.jobs.copies import claimed
from geats_core.planning.actions import Adopt, AdoptVolume
from geats_core.planning.draft import Draft
from geats_core.planning.host_facts import HostFacts
from geats_core.planning.steps import Plan
from geats_core.reading.checked import Checked, Code, Problem, problems_of
from geats_core.reading.shown_lines import shown_line
from geats_core.vm import hardware
from geats_core.vm.guest_files import guest_digest
from geats_core.vm.observation import Observation, Stage
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import ROOT, VMSpec

NO_AUTOSTART = "it starts with the host by `geats boot` from then on, and not by libvirt"
FORGETS = "libvirt forgets the password of its screen: set it again by virsh edit"
# Keys that say what these elements did, once they are described otherwise.
INSTEAD_OF: Mapping[str, tuple[str, ...]] = {
    "cdrom": ('<devices><disk device="cdrom"',),
    "display": ("<devices><graphics", "<devices><video"),
    "firmware": ("<os><firmware", "<os><loader", "<os><nvram", "<os firmware=", "<features><smm"),
    "boot": ("<os><boot",),
    "cpu": ("<cpu",),
    **{key: (f"<devices><{key}",) for key in ("rng", "tpm", "watchdog")},
    **dict.fromkeys(("pci", "usb"), ("<devices><hostdev",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainText:
    """What libvirt says of a domain: its definition ``xml``, and ``live``, what it runs with if on.

    ``formats`` are the disks that can be volumes, their paths and formats; ``disks`` are all paths
    that it has. ``has_secret`` says whether libvirt has something of it that it tells nobody
    without being asked for secrets.
    """

    xml: str
    live: str = ""
    formats: tuple[tuple[str, str], ...] = ()
    disks: tuple[str, ...] = ()
    is_persistent: bool = True
    is_saved: bool = False
    snapshots: int = 0
    checkpoints: int = 0
    autostart: bool = False
    has_secret: bool = False


def read_domain_text(
    name: str, text: DomainText, sizes: Mapping[str, int], called: str = ""
) -> Checked[tuple[FoundDomain, FoundDomain]]:
    """What a domain is defined as, and what it runs with; or all reasons why geats cannot have it.

    *sizes* are those of disks in bytes, by their paths. *called* is as in ``FoundDomain``.
    """
    wrong = tuple(_kept_by_libvirt(called or name, text))
    defined = read_domain_found(name, text.xml, sizes, called)
    runs = read_domain_found(name, text.live, sizes, called) if text.live else defined
    match defined, runs:
        case Success(found), Success(live) if not wrong:
            told = (*([NO_AUTOSTART] if text.autostart else []), *found.told)
            told += (FORGETS,) if text.has_secret else ()
            autostart = {"autostart": True} if text.autostart else {}
            found = replace(found, vm={**found.vm, **autostart}, told=told)
            return Success((found, as_running(found, live) if text.live else found))
        case _:
            found_wrong = [each for one in (defined, runs) for each in problems_of(one)]
            return Failure(tuple(dict.fromkeys((*wrong, *found_wrong))))


def plan_adopt_domain(
    found: FoundDomain,
    live: FoundDomain,
    want: VMSpec,
    unfit: Mapping[str, str],
    have: Observation,
    facts: HostFacts,
    others: Mapping[str, VMSpec],
) -> Checked[Plan]:
    """The steps that make the domain the VM *want*, on or off as it is; or why there are none.

    *live* is what it runs with. *unfit* says of volumes, by name, why their pools cannot have the
    disk where it is. *others* are the VMs of the host by name.
    """
    problems = (
        *cannot_become(found.called, want, have),
        *_disk_problems(found, live, want, unfit),
        *claimed(want, others),
    )
    if problems:
        return Failure(problems)
    pools = {volume.name: volume.pool for volume in want.volumes}
    match parse_vm(want.name, described(live, pools, want.template)):
        case Success(running):
            return _planned(found, want, running, have, facts)
        case Failure() as refused:
            return refused


def _planned(
    found: FoundDomain, want: VMSpec, running: VMSpec, have: Observation, facts: HostFacts
) -> Checked[Plan]:
    draft = Draft(want.name, have)
    sizes = {volume.name: volume.size_bytes for volume in running.volumes}
    for name, disk in found.disks.items():
        (volume,) = (each for each in want.volumes if each.name == name)
        seen = have.volume(volume.pool, name)
        if seen is None or seen.stage is Stage.ALLOCATED:
            template = want.template if name == ROOT else ""
            digest = guest_digest(running) if name == ROOT else ""
            where = (volume.pool, name, sizes.get(name))
            action = AdoptVolume(*where, disk.path, template, digest, found.called)
            draft.add(action, "it is a disk of the domain")
    replaced = [line for line in found.keep if _is_replaced(line, found, want)]
    keep = tuple(line for line in found.keep if line not in replaced)
    told = [
        *found.told,
        *(f"{shown_line(line)}: the description takes its place" for line in replaced),
    ]
    adopt = Adopt(want, running, keep, found.sha256, found.called)
    draft.add(adopt, f"{ASKED_FOR} ({'; '.join(told)})" if told else ASKED_FOR)
    return planned_on(draft, want, running, facts)


def _is_replaced(line: str, found: FoundDomain, want: VMSpec) -> bool:
    """Whether a key of the description, which is otherwise in what was found, says it instead."""
    said, known = hardware.to_plain(want.hardware), hardware_of(found.vm)
    return any(
        key in said and said[key] != known.get(key) and line.startswith(begins)
        for key, begins in INSTEAD_OF.items()
    )


def _kept_by_libvirt(name: str, text: DomainText) -> Iterable[Problem]:
    """What libvirt has of a domain that geats would not know of, or that goes with a definition."""
    if not text.is_persistent:
        why = "is transient, so there is no definition of it: virsh define gives it one"
        yield Problem(name, why, Code.REFUSED)
    if text.is_saved:
        why = "has a saved state, which would start it as it was: start it, or virsh"
        yield Problem(name, f"{why} managedsave-remove {name}", Code.REFUSED)
    if text.snapshots:
        why = "snapshots of libvirt, which the pools of geats do not know: delete them, with"
        yield Problem(name, f"has {text.snapshots} {why} virsh snapshot-delete", Code.REFUSED)
    if text.checkpoints:
        why = "checkpoints of libvirt, by which others make backups: delete them, with"
        yield Problem(name, f"has {text.checkpoints} {why} virsh checkpoint-delete", Code.REFUSED)


def _disk_problems(
    found: FoundDomain, live: FoundDomain, want: VMSpec, unfit: Mapping[str, str]
) -> Iterable[Problem]:
    described_ = {volume.name for volume in want.volumes}
    for name, disk in {**live.disks, **found.disks}.items():
        at = f"{want.name}.volumes[{name}]"
        if name not in described_:
            why = f"the domain has the disk {disk.path}, so describe a volume of that name"
            yield Problem(at, why, Code.REFUSED)
        elif name not in found.disks or live.disks.get(name, disk) != disk:
            why = f"it runs with {disk.path}, and is defined otherwise: power it off first"
            yield Problem(at, why, Code.REFUSED)
        elif name in unfit:
            yield Problem(f"{at}.pool", unfit[name], Code.REFUSED)
