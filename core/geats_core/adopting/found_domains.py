"""A domain of libvirt that something else made, as it is to be adopted: its keys, and the rest.

Theory of operation
-------------------
What the keys of geats say exactly becomes keys: memory, CPUs, disks in files and on block devices,
NICs, and what else is written just so. Then the domain is written by them, and held against what is
there: whatever is there beyond it is kept (see ``kept_elements``). At last the domain is written
with all of that, and what still differs from what is there is told.
"""

from collections.abc import Collection, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from hashlib import sha256
from xml.etree.ElementTree import Element

from returns.result import Failure, Success

from geats_core.adopting.kept_elements import kept, odd_tags, rival_tags, told
from geats_core.domains.domain_devices import DomainFacts, Source
from geats_core.domains.domain_import import KINDS, bytes_of, vm_of
from geats_core.domains.domain_parts import Parts, child, read_file, value_of
from geats_core.domains.domain_xml import NOTE, domain_element, kib
from geats_core.domains.imported_devices import FORMATS, disk_path
from geats_core.domains.machine import Bus, Machine, Model
from geats_core.domains.machine_keys import read_machine
from geats_core.foreign.notes import Plain, Taken
from geats_core.reading.checked import Checked, Code, Problem, Problems
from geats_core.vm.hardware import HARDWARE
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import VMSpec

ARCH = "x86_64"
NEVER = frozenset({"name", "uuid", "memory", "currentMemory", "vcpu", "type", "disk", "interface"})
WRITES = {  # by the tags of elements: what writes them below ``hardware``
    **{"rng": "rng", "channel": "agent", "watchdog": "watchdog", "tpm": "tpm", "cpu": "cpu"},
    **{"graphics": "display", "video": "display"},
    **{"firmware": "firmware", "smm": "firmware", "boot": "boot"},
}
DROPS: Mapping[str, tuple[str, ...]] = {  # the keys that go together
    **{key: (key,) for key in WRITES.values()},
    "cpu": ("cpu", "topology"),
}
NONE_OF: Plain = {"rng": False, "agent": False, "boot": []}  # where no key is not none


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDisk:
    """A disk of the domain that becomes a volume: where it is, and in which format."""

    path: str
    format: str
    is_block: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDomain:
    """What the XML of a domain says that geats did not make.

    ``vm`` is the VM as in a pillar, but for its template and the pools of its volumes; ``disks``
    are those by name. ``keep`` are the elements that geats has no key for, and ``told`` is what
    will be otherwise from the next start on. ``sha256`` is that of the text. ``called`` is the
    domain's own name, if the VM is to have another.
    """

    name: str
    kind: str
    vm: Mapping[str, object]
    disks: Mapping[str, FoundDisk] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    sha256: str = ""
    called: str = ""


def as_running(found: FoundDomain, live: FoundDomain) -> FoundDomain:
    """The domain as it runs: what may be otherwise than it is defined, and is known for sure.

    Not what libvirt says otherwise of a domain that runs, such as the model of its CPUs, or the
    memory that its balloon has left it at the moment.
    """
    now, keys = hardware_of(live.vm), ["max_cpus", "disks", "nics"]
    is_of_another_size = _max_memory(live.vm) != _max_memory(found.vm)
    keys += ["max_memory"] * is_of_another_size
    hardware = {key: value for key, value in hardware_of(found.vm).items() if key not in keys}
    hardware |= {key: now[key] for key in keys if key in now}
    of_vm = ["cpus", "volumes", "nics", *(["memory"] * is_of_another_size)]
    vm = {**found.vm, HARDWARE: hardware, **{key: live.vm[key] for key in of_vm if key in live.vm}}
    return replace(found, vm=vm, disks=live.disks)


def _max_memory(vm: Mapping[str, object]) -> object:
    return hardware_of(vm).get("max_memory", vm.get("memory"))


def read_domain_found(
    name: str, text: str, sizes: Mapping[str, int] | None = None, called: str = ""
) -> Checked[FoundDomain]:
    """What the XML *text* of a domain says that is to be the VM *name*, or why it cannot be one.

    *sizes* are those of its disks in bytes, by their paths. *called* is as in ``FoundDomain``.
    """
    match read_file(called or name, text):
        case Success(domain) if wrong := tuple(_wrong(called or name, domain)):
            return Failure(wrong)
        case Success(domain):
            return _read(name, text, domain, sizes or {}, called)
        case Failure() as refused:
            return refused


def hardware_of(vm: Mapping[str, object]) -> Plain:
    """What a VM has below ``hardware``."""
    return _mapping(vm.get(HARDWARE))


def _mapping(raw: object) -> Plain:
    return {**raw} if isinstance(raw, dict) else {}


def volumes_of(vm: Mapping[str, object]) -> list[Plain]:
    """The volumes of a VM, as people write them."""
    found = vm.get("volumes")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def formats_of(text: str) -> tuple[tuple[str, str], ...]:
    """The path and the format of each disk of a domain that can be a volume."""
    match read_file("", text):
        case Success(domain):
            disks = map(_found_disk, _disks(domain))
            return tuple((disk.path, disk.format) for disk in disks)
        case Failure():  # which the adoption tells
            return ()


def described(found: FoundDomain, pools: Mapping[str, str], template: object) -> Plain:
    """The VM as people would describe what was found, its volumes in these *pools*, by name."""
    placed = [{**each, "pool": pools[f"{each['name']}"]} for each in volumes_of(found.vm)]
    return {**found.vm, "template": template, "volumes": placed}


def _wrong(name: str, domain: Element) -> Iterable[Problem]:
    """What no adoption can do anything about, as far as the XML tells."""
    if domain.get("type") not in KINDS:
        wrong = f"must be one of {', '.join(KINDS)}, got {domain.get('type')!r}"
        yield Problem(name, f"the type of the domain {wrong}", Code.REFUSED)
    arch = child(child(domain, "os"), "type").get("arch", ARCH)
    if arch != ARCH:
        yield Problem(f"{name}.os", f"geats runs guests of {ARCH} only, got {arch}", Code.REFUSED)
    if not _disks(domain):
        why = "it has no disk in a file or on a block device, raw or qcow2, on one of the busses"
        busses = ", ".join(Bus)
        yield Problem(f"{name}.volumes", f"{why} {busses}: none can be the root", Code.REFUSED)
    for disk in domain.findall("devices/disk"):
        at = f"{name}.volumes[{value_of(child(disk, 'target'), 'dev')}]"
        if len(child(disk, "backingStore")):
            why = "a part of it is in another file: flatten it first (virsh blockpull)"
            yield Problem(at, why, Code.REFUSED)
        if disk.find("mirror") is not None:
            yield Problem(at, "libvirt copies it now: wait, or end that job", Code.REFUSED)


def _disks(domain: Element) -> list[Element]:
    """The disks that can be volumes."""
    return [
        disk
        for disk in domain.findall("devices/disk")
        if disk.get("device", "disk") == "disk"
        and disk_path(disk)
        and value_of(child(disk, "driver"), "type") in FORMATS
        and value_of(child(disk, "target"), "bus") in [*Bus]
    ]


def _nics(domain: Element) -> list[Element]:
    """The interfaces that can be NICs."""
    return [nic for nic in domain.findall("devices/interface") if _can_be_nic(nic)]


def _can_be_nic(nic: Element) -> bool:
    source, kind, vlan = child(nic, "source"), nic.get("type"), child(nic, "vlan")
    is_known = {
        "bridge": "bridge" in source.attrib and nic.find("vlan") is None,
        "network": "network" in source.attrib and not vlan.attrib and len(vlan) <= 1,
        "direct": source.get("mode") == "bridge" and nic.find("vlan") is None,
    }.get(f"{kind}", False)
    has_model = value_of(child(nic, "model"), "type") in [*Model]
    return is_known and has_model and nic.find("virtualport") is None


def _read(
    name: str, text: str, domain: Element, sizes: Mapping[str, int], called: str
) -> Checked[FoundDomain]:
    _normalise(domain, name)
    parts = Parts(_stripped(domain), Taken(name))
    vm, _ = vm_of(parts, name, sizes)
    names = [f"{each['name']}" for each in volumes_of(vm)]
    disks = dict(zip(names, map(_found_disk, _disks(domain)), strict=True))
    wrong = [Problem(f"{name}.{at}", why, Code.REFUSED) for at, why in parts.wrong]
    if len({disk.path for disk in disks.values()}) < len(disks):
        wrong.append(Problem(f"{name}.volumes", "two of its disks are one file", Code.REFUSED))
    if wrong:
        return Failure(tuple(wrong))
    made = FoundDomain(
        name=name,
        kind=domain.get("type", ""),
        vm={**vm, "hardware": _hardware(vm, domain)},
        disks=disks,
        sha256=sha256(text.encode()).hexdigest(),
        called=called,
    )
    return _written(made, domain)


def _normalise(domain: Element, name: str) -> None:
    """Let it be as libvirt writes it, under the name of the VM, and without notes of geats."""
    for named in domain.findall("name"):
        named.text = name
    for tag in ("memory", "currentMemory"):
        for memory in domain.findall(tag):
            if (size_bytes := bytes_of(memory)) is not None:
                memory.text, memory.attrib["unit"] = kib(size_bytes), "KiB"
    for metadata in domain.findall("metadata"):
        for note in metadata.findall(NOTE):
            metadata.remove(note)


def _found_disk(disk: Element) -> FoundDisk:
    form = value_of(child(disk, "driver"), "type")
    return FoundDisk(path=disk_path(disk), format=form, is_block=disk.get("type") == "block")


def _stripped(domain: Element) -> Element:
    """The domain with only those devices that keys can say; the others are kept as they are."""
    stripped = deepcopy(domain)
    stays = {*_disks(stripped), *_nics(stripped)}
    for devices in stripped.findall("devices"):
        for device in [*devices]:
            is_there = device in stays or device.tag in WRITES
            if not is_there:
                devices.remove(device)
    for backing in stripped.findall("memoryBacking"):
        stripped.remove(backing)
    return stripped


def _hardware(vm: Mapping[str, object], domain: Element) -> Plain:
    """What of it is a matter of keys: nothing is configured in the guest, and no port is added."""
    made = hardware_of(vm)
    made["disks"] = {
        name: {key: value for key, value in _mapping(each).items() if key != "iothread"}
        for name, each in _mapping(made.get("disks")).items()
    }
    most = value_of(child(domain, "vcpu"))
    if "topology" in made and most.isdecimal():
        made["max_cpus"] = int(most)
    boots = [value_of(boot, "dev") for boot in domain.findall("os/boot")]
    plain = {"hd": "disk", "network": "network"}
    made["boot"] = [plain[boot] for boot in boots] if {*boots} <= plain.keys() else []
    return {**made, "guest": "none", "hotplug_ports": 0}


def _written(found: FoundDomain, domain: Element) -> Checked[FoundDomain]:
    """Leave out the keys that would write something else than is there; then keep the rest."""
    facts = DomainFacts(
        kind=found.kind,
        sources={
            name: Source(path=disk.path, is_block=disk.is_block, format=disk.format)
            for name, disk in found.disks.items()
        },
        uuid=(domain.findtext("uuid") or "").strip(),
    )
    out: set[str] = set()
    while more := _to_leave_out(_without(found, out), domain, facts) - out:
        out |= more
    left, called = _without(found, out), found.called or found.name
    match _machine_of(left):
        case Success((spec, machine)):
            ours = domain_element(spec, machine, facts)
            if never := sorted(rival_tags(ours, domain) & NEVER):
                why = f"cannot be said by keys as it is there: {', '.join(never)}"
                return Failure((Problem(called, why, Code.REFUSED),))
            keep = tuple(kept(ours, domain))
            final = domain_element(spec, machine, facts, keep)
            return Success(replace(left, keep=keep, told=tuple(told(domain, final))))
        case Failure(wrong):
            return Failure(_refused(called, wrong))


def _to_leave_out(found: FoundDomain, domain: Element, facts: DomainFacts) -> set[str]:
    """The keys that are wrong for geats, or of which another element would be written."""
    match _machine_of(found):
        case Success((spec, machine)):
            odd = odd_tags(domain_element(spec, machine, facts), domain)
            return {WRITES[tag] for tag in odd if tag in WRITES}
        case Failure(wrong):
            return {key for key in DROPS if any(_is_of(key, each) for each in wrong)}


def _machine_of(found: FoundDomain) -> Checked[tuple[VMSpec, Machine]]:
    """The VM and its machine, wherever its volumes are, and whatever it is installed from."""
    pools = dict.fromkeys(found.disks, "default")
    match parse_vm(found.name, described(found, pools, "template")):
        case Success(spec):
            match read_machine(spec):
                case Success(machine):
                    return Success((spec, machine))
                case Failure() as refused:
                    return refused
        case Failure() as refused:
            return refused


def _without(found: FoundDomain, keys: Collection[str]) -> FoundDomain:
    """The same without these keys below ``hardware``, which say nothing of an element then."""
    there = hardware_of(found.vm)
    dropped = {each for key in keys for each in DROPS[key]}
    left = {key: value for key, value in there.items() if key not in dropped}
    none = {key: NONE_OF[key] for key in dropped & NONE_OF.keys()}
    return replace(found, vm={**found.vm, "hardware": {**left, **none}})


def _is_of(key: str, problem: Problem) -> bool:
    return any(problem.path.startswith(f"{HARDWARE}.{each}") for each in DROPS[key])


def _refused(name: str, problems: Problems) -> Problems:
    return tuple(replace(each, path=f"{name}.{each.path}") for each in problems)
