"""The keys below ``hardware``: read, held against the rest of the spec, and what a change costs.

The same readers say as JSON Schema what each key takes, which is how the planner knows of them.
"""

import re
from collections.abc import Iterable, Mapping

from returns.result import Failure, Success

from geats_core.containers import cgroups, isolation, programs
from geats_core.domains.domain_devices import ROOM_OF_ITS_OWN
from geats_core.domains.elements import unmergeable
from geats_core.domains.flavours import FLAVOURS
from geats_core.domains.host_parts import bind_problems, numa_problems, read_host_parts
from geats_core.domains.machine import (
    EMPTY,
    LEAST_MEMORY,
    Boot,
    Bus,
    Cache,
    Card,
    Disk,
    Display,
    Firmware,
    Guest,
    Machine,
    Model,
    Topology,
    Watchdog,
    cpus,
    max_cpus,
    max_memory_bytes,
)
from geats_core.planning.costs import Cost, EntryCost, Impact
from geats_core.planning.plugin_facts import DriverFacts
from geats_core.reading import fields
from geats_core.reading.checked import Checked, Code, Problem, Problems, problem, problems_of, shown
from geats_core.reading.fields import Reader, each, of_mapping
from geats_core.reading.mappings import outlined
from geats_core.reading.schemas import any_of, taking
from geats_core.reading.sizes import format_size, parse_size
from geats_core.vm import hardware
from geats_core.vm.hardware import HARDWARE
from geats_core.vm.spec import Nic, RootKind, VMSpec

MOST_ON_IDE = 4
LONGEST_SERIAL = 20  # characters of a virtio disk: the guest sees no more


def read_machine(spec: VMSpec) -> Checked[Machine]:
    """The machine of *spec*, or everything that is wrong with it, also between its keys."""
    raw: dict[object, object] = dict(hardware.to_plain(spec.hardware).items())
    match _read(Reader(HARDWARE, raw)):
        case Success(machine):
            found = tuple(_problems(spec, machine))
            return Failure(found) if found else Success(machine)
        case Failure() as refused:
            return refused


def problems(spec: VMSpec) -> Problems:
    """Why no domain can be made of *spec*; empty if one can."""
    return problems_of(read_machine(spec))


def driver_facts(location: str, kind: str) -> DriverFacts:
    """What a driver of libvirt can do, whose VMs are at that *location*, domains of that *kind*."""
    flavour = FLAVOURS[kind]
    return DriverFacts(
        roots=flavour.takes,
        volumes=flavour.takes,
        root_kind=RootKind.DISK,
        guests_mount=True,
        whole_cpus=True,
        costs=COSTS,
        entries=ENTRIES if flavour.is_of_qemu else {},  # others know no disk by its serial
        location=location,
        keys={key: schema for key, schema in KEYS.items() if key not in flavour.lacks},
        lacks_of_nics=LACKS_OF_NICS,
        lacks=LACKS if flavour.is_of_qemu else LACKS | {"binds", "console_log"},
        at_first_start=AT_FIRST_START,
        grows_online=flavour.takes if flavour.is_of_qemu else frozenset(),
        renames=flavour.is_of_qemu,
    )


def _problems(spec: VMSpec, machine: Machine) -> Iterable[Problem]:
    yield from _memory(spec, machine)
    yield from _cpus(spec, machine)
    yield from _volumes(spec)
    most = max_cpus(spec, machine), max_memory_bytes(spec, machine)
    yield from numa_problems(machine.host.numa, *most)
    yield from bind_problems(spec.binds)
    for kind, key, named, there in (
        ("volume", "disks", machine.disks, {volume.name for volume in spec.volumes}),
        ("NIC", "nics", machine.nics, {nic.name for nic in spec.nics}),
    ):
        for name in sorted(named.keys() - there):
            yield Problem(f"{HARDWARE}.{key}.{name}", f"the VM has no such {kind}")
    for name, disk in machine.disks.items():
        if disk.iothread and disk.bus is not Bus.VIRTIO:
            wrong = f"is only for disks on the bus {Bus.VIRTIO}, and this one is on {disk.bus}"
            yield Problem(f"{HARDWARE}.disks.{name}.iothread", wrong)
    yield from _busses(spec, machine)
    for nic in spec.nics:
        yield from _connection(nic, machine.card(nic.name))
    if machine.cdrom == "" and Boot.CDROM in machine.boot:
        yield Problem(f"{HARDWARE}.boot", "names the cdrom, and there is none: give cdrom a file")
    if machine.guest is Guest.NONE and (machine.user_data or machine.ssh_keys):
        yield Problem(f"{HARDWARE}.guest", "is none, so nobody reads user_data and ssh_keys")
    said = [key for key in TOLD if getattr(spec, key)] if machine.guest is Guest.NONE else []
    if said:
        yield Problem(f"{HARDWARE}.guest", f"is none, so nobody reads {' and '.join(said)}")


def _busses(spec: VMSpec, machine: Machine) -> Iterable[Problem]:
    """What a bus cannot have, of which libvirt would complain only when the VM is defined."""
    on_ide = [each.name for each in spec.volumes if machine.disk(each.name).bus is Bus.IDE]
    if on_ide and ROOM_OF_ITS_OWN.fullmatch(machine.machine):
        wrong = f"{Bus.IDE} needs a machine of the kind pc, and this one is {machine.machine}"
        yield from (
            Problem(f"{HARDWARE}.disks.{name}.bus", f"{wrong}: take {Bus.SATA}") for name in on_ide
        )
    if len(on_ide) > MOST_ON_IDE:
        wrong = f"the bus {Bus.IDE} has room for {MOST_ON_IDE} disks, got {len(on_ide)}"
        yield Problem(f"{HARDWARE}.disks", wrong)
    for volume in spec.volumes:
        bus = machine.disk(volume.name).bus
        if volume.read_only and bus in (Bus.IDE, Bus.SATA):
            wrong = f"there are no disks on the bus {bus} that the guest cannot write to"
            yield Problem(f"volumes[{volume.name}].read_only", f"{wrong}: take {Bus.SCSI}")


def _connection(nic: Nic, card: Card) -> Iterable[Problem]:
    at = f"{HARDWARE}.nics.{nic.name}"
    ways = [way for way in (nic.bridge, card.network, card.macvtap) if way]
    if not ways:
        wrong = "is missing: a NIC has a bridge, or a network or a macvtap below hardware.nics"
        yield Problem(f"nics[{nic.name}].bridge", wrong, Code.MISSING)
    elif len(ways) > 1:
        yield Problem(at, f"is connected to more than one thing: {', '.join(ways)}")
    if card.vlan is not None and not card.network:
        wrong = "is only for a network: connect the NIC to a bridge of that VLAN, such as br0.7"
        yield Problem(f"{at}.vlan", wrong)


def _memory(spec: VMSpec, machine: Machine) -> Iterable[Problem]:
    memory_bytes = spec.limits.memory_bytes
    if memory_bytes is None:
        yield Problem("memory", "is missing: a virtual machine has some, such as 2GiB")
    elif memory_bytes < LEAST_MEMORY:
        yield Problem("memory", f"must be at least {format_size(LEAST_MEMORY)}")
    elif max_memory_bytes(spec, machine) < memory_bytes:
        most = format_size(max_memory_bytes(spec, machine))
        wrong = f"must be at least the memory, which is {format_size(memory_bytes)}, got {most}"
        yield Problem(f"{HARDWARE}.max_memory", wrong)


def _cpus(spec: VMSpec, machine: Machine) -> Iterable[Problem]:
    most, wanted = max_cpus(spec, machine), spec.limits.cpus
    if wanted is not None and not wanted.is_integer():
        yield Problem("cpus", f"must be whole for a virtual machine, got {wanted:g}")
    elif most < cpus(spec):
        wrong = f"must be at least the cpus, which are {cpus(spec)}, got {most}"
        yield Problem(f"{HARDWARE}.{'max_cpus' if machine.max_cpus else 'topology'}", wrong)
    elif machine.topology and machine.topology.cpus != most:
        wrong = f"has {machine.topology.cpus} cpus, and max_cpus is {most}: they must be equal"
        yield Problem(f"{HARDWARE}.topology", wrong)


def _volumes(spec: VMSpec) -> Iterable[Problem]:
    """The name of a volume is the serial number of its disk."""
    for volume in spec.volumes:
        if len(volume.name) > LONGEST_SERIAL:
            wrong = (
                f"its name must have at most {LONGEST_SERIAL} characters: the guest sees no more"
            )
            yield Problem(f"volumes[{volume.name}].name", wrong)


@of_mapping
def _topology(read: Reader) -> Checked[Topology]:
    return read.done(
        Topology(
            sockets=read.take("sockets", _few, 1),
            cores=read.take("cores", _few, 1),
            threads=read.take("threads", _few, 1),
        )
    )


@of_mapping
def _disk(read: Reader) -> Checked[Disk]:
    return read.done(
        Disk(
            bus=read.take("bus", _bus, Bus.VIRTIO),
            cache=read.take("cache", _cache, None),
            discard=read.take("discard", fields.boolean, True),
            iothread=read.take("iothread", fields.boolean, False),
        )
    )


@of_mapping
def _card(read: Reader) -> Checked[Card]:
    return read.done(
        Card(
            model=read.take("model", _model, Model.VIRTIO),
            queues=read.take("queues", fields.whole_number(1, 256), 1),
            link=read.take("link", fields.boolean, True),
            network=read.take("network", _network, ""),
            macvtap=read.take("macvtap", fields.interface, ""),
            rate_in=read.take("rate_in", parse_size, None),
            rate_out=read.take("rate_out", parse_size, None),
            vlan=read.take("vlan", fields.whole_number(1, 4094), None),
            mtu=read.take("mtu", fields.whole_number(68, 65535), None),
        )
    )


@taking({"type": "string", "description": "an element of libvirt's domain XML"})
def _element(path: str, raw: object) -> Checked[str]:
    if isinstance(raw, str) and not unmergeable([raw]):
        return Success(raw)
    return problem(path, "must be an element of XML as it is below <domain>, got " + shown(raw))


@taking(any_of({"const": EMPTY}, fields.bind_source.schema()))
def _medium(path: str, raw: object) -> Checked[str]:
    return Success(EMPTY) if raw == EMPTY else fields.bind_source(path, raw)


_few = fields.whole_number(1, 4096)
_bus = fields.one_of("bus", Bus)
_cache: fields.Parser[Cache | None] = fields.one_of("cache", Cache)
_network = fields.matching(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"), "a network of libvirt")
_model = fields.one_of("model", Model)
_word = fields.matching(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"), "a name of QEMU's")


def _read(read: Reader) -> Checked[Machine]:
    default = Machine()
    return read.done(
        Machine(
            max_memory_bytes=read.take("max_memory", parse_size, None),
            max_cpus=read.take("max_cpus", _few, None),
            topology=read.take("topology", _topology, None),
            cpu=read.take("cpu", _word, ""),
            machine=read.take("machine", _word, default.machine),
            firmware=read.take("firmware", fields.one_of("firmware", Firmware), Firmware.BIOS),
            tpm=read.take("tpm", fields.boolean, False),
            display=read.take("display", fields.one_of("display", Display), Display.NONE),
            disks=read.take("disks", fields.named(_disk), default.disks),
            nics=read.take("nics", fields.named(_card, fields.interface), default.nics),
            cdrom=read.take("cdrom", _medium, ""),
            boot=read.take("boot", each(fields.one_of("boot device", Boot)), default.boot),
            watchdog=read.take("watchdog", fields.one_of("action", Watchdog), Watchdog.NONE),
            rng=read.take("rng", fields.boolean, True),
            hotplug_ports=read.take("hotplug_ports", fields.whole_number(0, 64), 4),
            agent=read.take("agent", fields.boolean, True),
            guest=read.take("guest", fields.one_of("guest", Guest), Guest.CLOUD_INIT),
            user_data=read.take("user_data", fields.mapping, default.user_data),
            ssh_keys=read.take("ssh_keys", each(fields.text), ()),
            xml=read.take("xml", each(_element), ()),
            host=read_host_parts(read),
        )
    )


_KEYS = outlined(_read)["properties"]
KEYS: Mapping[str, object] = _KEYS if isinstance(_KEYS, Mapping) else {}
LACKS = frozenset(
    {"idmap", "includes", "init", "privileged", "processes", "shared_volumes", "devices", "tmpfs"}
    | {"from_image", "guest_network", "hooks", "raw"}
    | {*isolation.KEYS, *cgroups.KEYS, *programs.OF_CONTAINERS}
)
LACKS_OF_NICS: Mapping[str, str] = {
    **{key: key for key in ("link", "mtu", "vlan")},
    "parent": "macvtap",
    "rate": "rate_in and rate_out",
    **dict.fromkeys(("dhcp", "ipv6", "mode", "routes", "trunk", "type"), ""),
}
TOLD = ("timezone", "users", "ssh_keys", "minion")  # by the seed
AT_FIRST_START = frozenset(
    {f"{HARDWARE}.ssh_keys", f"{HARDWARE}.user_data", *TOLD}
)  # see ``COSTS``
LIVE_OF_CARDS = frozenset({"link", "rate_in", "rate_out", "vlan"})
COSTS: Mapping[str, Cost] = {
    "memory": Cost(rises=Impact.LIVE, falls=Impact.LIVE, most=f"{HARDWARE}.max_memory"),
    "cpus": Cost(rises=Impact.LIVE, falls=Impact.RESTART, most=f"{HARDWARE}.max_cpus"),
    f"{HARDWARE}.cdrom": Cost(rises=Impact.LIVE, falls=Impact.LIVE, if_set=True),
    # The seed has them at the next start; cloud-init takes them from it only in a new guest.
    **dict.fromkeys(sorted(AT_FIRST_START), Cost.always(Impact.NONE)),
}
FRESH_CARDS = frozenset({"model", "queues", "mtu", "network", "macvtap", *LIVE_OF_CARDS})
ENTRIES: Mapping[str, EntryCost] = {
    "nics": EntryCost(live=frozenset({"bridge"})),
    "volumes": EntryCost(busy="mount"),  # what the guest mounts by the seed is in use
    f"{HARDWARE}.nics": EntryCost(of="nics", live=LIVE_OF_CARDS, fresh=FRESH_CARDS),
    f"{HARDWARE}.disks": EntryCost(of="volumes", fresh=frozenset({"cache", "discard"})),
}
