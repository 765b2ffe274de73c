"""The domain XML of a VM, as libvirt takes it: a pure function of spec, machine and host facts.

What is written is canonical: sizes in KiB, the machine type with its version where it is known, the
format of each disk. So what libvirt gives back has all of it, and more: see ``embedding``.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b, sha256
from xml.etree.ElementTree import Element

from geats_core.domains.domain_devices import DomainFacts, pinned
from geats_core.domains.domain_devices import devices as all_devices
from geats_core.domains.elements import NAMESPACE, merge_all, of, sub, text_of
from geats_core.domains.flavours import FLAVOURS
from geats_core.domains.host_parts import memory_backing, numa_cells, numa_nodes
from geats_core.domains.machine import (
    Boot,
    Firmware,
    Machine,
    cpus,
    max_cpus,
    max_memory_bytes,
)
from geats_core.domains.plain_devices import plain_devices
from geats_core.vm.parse import to_text
from geats_core.vm.spec import VMSpec

NOTE, DIGEST = f"{{{NAMESPACE}}}vm", "spec"
BOOT_DEVICES = {Boot.DISK: "hd", Boot.CDROM: "cdrom", Boot.NETWORK: "network"}
CPU_MODES = ("host-model", "host-passthrough", "maximum")


def domain_xml(spec: VMSpec, machine: Machine, facts: DomainFacts, keep: Sequence[str] = ()) -> str:
    """The whole domain, with the elements *keep*, added by hand; none may be ``unmergeable``."""
    return text_of(domain_element(spec, machine, facts, keep))


def domain_element(
    spec: VMSpec, machine: Machine, facts: DomainFacts, keep: Sequence[str] = ()
) -> Element:
    """The same, as an element."""
    domain = Element("domain", type=facts.kind)
    domain.extend([*_identity(spec, facts), *_resources(spec, machine)])
    domain.extend([_os(machine, facts), _features(machine), *_cpu(spec, machine, facts)])
    for event in ("poweroff", "crash"):
        sub(domain, f"on_{event}", "destroy")
    sub(domain, "on_reboot", "restart")
    devices = sub(domain, "devices")
    if facts.emulator:
        sub(devices, "emulator", facts.emulator)
    of_kind = all_devices if FLAVOURS[facts.kind].is_of_qemu else plain_devices
    devices.extend(of_kind(spec, machine, facts))
    merge_all(domain, (*machine.xml, *keep))
    return domain


def spec_digest(spec: VMSpec, key: str = "") -> str:
    """By which a domain says what it was made from: the spec itself may contain secrets.

    libvirt shows it to everybody: with a *key* of the host, nobody can try what they may be.
    """
    text = to_text(spec).encode()
    made = blake2b(text, key=key.encode(), digest_size=32) if key else sha256(text)
    return made.hexdigest()


def note_xml(spec: VMSpec, key: str = "") -> str:
    """What is to be noted in a domain that runs by *spec*: libvirt adds the namespace itself."""
    return text_of(Element("vm", {DIGEST: spec_digest(spec, key)}))


def domain_uuid(name: str, kind: str, taken: int = 0) -> str:
    """A UUID that stays the same across rebuilds: version 8 of RFC 9562.

    A VM that was renamed keeps its own: so many of those of *name* may be *taken*.
    """
    again = f" {taken}" if taken else ""
    digest = sha256(f"geats {kind} {name}{again}".encode()).hexdigest()
    parts = digest[:8], digest[8:12], f"8{digest[13:16]}", f"a{digest[17:20]}", digest[20:32]
    return "-".join(parts)


def _identity(spec: VMSpec, facts: DomainFacts) -> Iterable[Element]:
    top = Element("top")
    sub(top, "name", spec.name)
    sub(top, "uuid", facts.uuid or domain_uuid(spec.name, facts.kind))
    sub(top, "metadata").append(Element(NOTE, {DIGEST: spec_digest(spec, facts.key)}))
    return top


def _resources(spec: VMSpec, machine: Machine) -> Iterable[Element]:
    top = Element("top")
    most = max_memory_bytes(spec, machine)
    sub(top, "memory", kib(most), unit="KiB")
    sub(top, "currentMemory", kib(spec.limits.memory_bytes or most), unit="KiB")
    some = {"current": f"{cpus(spec)}"} if cpus(spec) < max_cpus(spec, machine) else {}
    sub(top, "vcpu", f"{max_cpus(spec, machine)}", **some)  # libvirt leaves all out, as we do
    threads = sum(machine.disk(volume.name).iothread for volume in spec.volumes)
    if threads:
        sub(top, "iothreads", f"{threads}")
    top.extend([*memory_backing(machine.host, spec.binds), *numa_nodes(machine.host.numa)])
    return top


def kib(size_bytes: int) -> str:
    """A size in libvirt's own unit, rounded up."""
    return f"{-(-size_bytes // 1024)}"


def _os(machine: Machine, facts: DomainFacts) -> Element:
    is_uefi = machine.firmware is not Firmware.BIOS
    os = Element("os", {"firmware": "efi"} if is_uefi else {})
    board = pinned(machine.machine, facts.machine)
    sub(os, "type", "hvm", arch=facts.arch, **_board(facts.kind, board))
    if is_uefi:
        enabled = "yes" if machine.firmware is Firmware.UEFI_SECURE else "no"
        firmware = sub(os, "firmware")
        for name in ("enrolled-keys", "secure-boot"):
            sub(firmware, "feature", enabled=enabled, name=name)
    for device in machine.boot:
        sub(os, "boot", dev=BOOT_DEVICES[device])
    return os


def _board(kind: str, board: str) -> dict[str, str]:
    """Boards are of QEMU."""
    return {"machine": board} if FLAVOURS[kind].is_of_qemu else {}


def _features(machine: Machine) -> Element:
    features = of("features", Element("acpi"), Element("apic"))
    if machine.firmware is Firmware.UEFI_SECURE:
        sub(features, "smm", state="on")
    return features


def _cpu(spec: VMSpec, machine: Machine, facts: DomainFacts) -> Iterable[Element]:
    """What the host has, if it runs the guest itself; what emulates all of it has a default."""
    model = machine.cpu or ("host-model" if facts.kind == "kvm" else "")
    if not model and machine.topology is None and not machine.host.numa:
        return
    cpu = Element("cpu")
    if model in CPU_MODES:
        cpu.set("mode", model)
    elif model:
        cpu.set("mode", "custom")
        cpu.set("match", "exact")
        sub(cpu, "model", model, fallback="forbid")
    if machine.topology is not None:
        shape = machine.topology
        counts = {"sockets": shape.sockets, "cores": shape.cores, "threads": shape.threads}
        sub(cpu, "topology", **{key: f"{count}" for key, count in counts.items()})
    cpu.extend(numa_cells(machine.host.numa))
    yield cpu
