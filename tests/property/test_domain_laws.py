"""Laws of domains: what is written is found again, whatever libvirt adds; a change never hides."""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from random import Random
from xml.etree.ElementTree import Element

from hypothesis import assume, given
from hypothesis import strategies as st

from geats_core import Goal, HostFacts, Target, follow, plan
from geats_core.containers.guest_networks import Manager
from geats_core.containers.programs import Program
from geats_core.domains.domain_devices import DomainFacts, Source
from geats_core.domains.domain_import import import_libvirt
from geats_core.domains.domain_xml import domain_xml
from geats_core.domains.elements import parsed, text_of
from geats_core.domains.embedding import read_domain, seal_of
from geats_core.domains.live_devices import Doing, as_it_runs, device_steps
from geats_core.domains.machine_keys import KEYS, driver_facts, problems, read_machine
from geats_core.domains.seed import CLOUD_CONFIG, seed_files
from geats_core.planning.actions import SetDevices
from geats_core.planning.spec_changes import changes
from geats_core.reading.schemas import Schema
from geats_core.vm.hardware import read_hardware
from geats_core.vm.observation import Observation
from geats_core.vm.parse import parse_vm
from geats_core.vm.spec import Bind, Limits, Nic, VMSpec, Volume
from tests.property.strategies import specs

BY_HAND = (
    '<devices><sound model="ich9" /></devices>',
    "<title>mine</title>",
    "<features><pae /></features>",
)
more = {"cache": st.sampled_from(["none", "writeback"]), "discard": st.booleans()}
disks = st.fixed_dictionaries(
    {}, optional={"bus": st.sampled_from(["virtio", "scsi", "sata", "ide"]), **more}
) | st.fixed_dictionaries({"iothread": st.booleans()}, optional=more)
hardware: st.SearchStrategy[dict[str, object]] = st.fixed_dictionaries(
    {},
    optional={
        "max_memory": st.just("8GiB"),
        "max_cpus": st.just(4),
        "cpu": st.sampled_from(["host-model", "EPYC"]),
        "machine": st.sampled_from(["q35", "pc", "pc-q35-7.2"]),
        "firmware": st.sampled_from(["bios", "uefi", "uefi-secure"]),
        "tpm": st.booleans(),
        "display": st.sampled_from(["none", "vnc", "spice"]),
        "disks": st.fixed_dictionaries({"root": disks}),
        "cdrom": st.just("/srv/x.iso"),
        "watchdog": st.sampled_from(["none", "reset"]),
        "rng": st.booleans(),
        "hotplug_ports": st.integers(0, 3),
        "agent": st.booleans(),
        "ssh_keys": st.lists(st.sampled_from(["ssh-ed25519 A", "'\"\\$(reboot)"]), max_size=2),
        "user_data": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    },
)


def fitting(keys: Mapping[str, object]) -> Mapping[str, object]:
    """The same with a machine that has the bus of the root."""
    match keys:
        case {"disks": {"root": {"bus": "ide"}}}:
            return {**keys, "machine": "pc"}
        case _:
            return keys


def shared(bind: Bind) -> Bind:
    """The same as virtiofs can do it."""
    return replace(bind, read_only=False, recursive=True, optional=False, file=False)


def plugged(nic: Nic) -> Nic:
    """The same as a machine can have it: what else it says is below ``hardware.nics``."""
    own = ("name", "addresses", "gateways")
    kept = {key: getattr(nic, key) for key in own}
    return Nic(**kept, bridge=nic.bridge or "br0", mac=nic.mac or "02:00:00:00:00:01")


machines = st.builds(
    lambda spec, keys: replace(
        spec,
        limits=Limits(memory_bytes=1 << 30, cpus=2.0),
        binds=tuple(map(shared, spec.binds)),
        nics=tuple(map(plugged, spec.nics)),
        guest_network=Manager.NONE,
        hardware=read_hardware("hardware", keys).unwrap(),
        program=Program(console_log=spec.program.console_log),
    ),
    specs,
    hardware.map(fitting),
)
seeds = st.integers(0, 2**32)
FACTS = DomainFacts(
    kind="qemu",
    sources={"root": Source(path="/r"), "data": Source(path="/d")},
    seed="/s",
    console="/c",
)


def written(spec: VMSpec, *keep: str) -> str:
    """The domain of *spec*."""
    return domain_xml(spec, read_machine(spec).unwrap(), FACTS, keep)


def as_given_back(text: str, random: Random) -> str:
    """What libvirt could give back: in another order, and with more of everything."""
    domain = parsed(text)
    assert domain is not None
    for element in list(domain.iter()):
        if random.random() < 0.5:
            element.set("added", f"{random.random()}")
        if random.random() < 0.5 and not element.text:
            element.append(Element("address", bus=f"{random.random()}"))
        if not element.text:
            element.text, children = "\n  ", list(element)
            random.shuffle(children)
            element[:] = children
    devices = domain.find("devices")
    assert devices is not None
    devices.append(Element("controller", type="pci", model="dmi-to-pci-bridge"))
    devices.append(Element("audio", id="1"))
    domain.append(Element("clock", offset="utc"))
    return text_of(domain)


@given(machines, seeds)
def test_what_is_written_embeds_in_what_comes_back(spec: VMSpec, seed: int) -> None:
    text = written(spec)
    back = as_given_back(text, Random(seed))

    seen = read_domain(back, text, seal_of(back, text))

    assert seen.as_written
    assert seen.by_hand == ()


@given(machines, seeds)
def test_whatever_is_taken_away_or_changed_is_seen(spec: VMSpec, seed: int) -> None:
    random, text = Random(seed), written(spec)
    domain = parsed(as_given_back(text, random))
    ours = parsed(text)
    assert domain is not None
    assert ours is not None
    parents = [(parent, child) for parent in domain.iter() for child in parent]
    tags = {each.tag for each in ours.iter()} - {"address"}
    parent, child = random.choice([(p, c) for p, c in parents if c.tag in tags])
    before = deepcopy(child)
    if child.text and child.text.strip() and random.random() < 0.5:
        child.text += "0"
    else:
        parent.remove(child)
    # The elements of a machine are not all of ours: a port or a bridge is as good as the next.
    assume(before.get("type") != "pci")

    assert not read_domain(text_of(domain), text).as_written


@given(machines, seeds, st.sampled_from(BY_HAND))
def test_what_a_person_adds_is_by_hand_and_stays_so(spec: VMSpec, seed: int, added: str) -> None:
    text = written(spec)
    back = as_given_back(text, Random(seed))
    seal = seal_of(back, text)
    edited = parsed(back)
    kept = parsed(added)
    assert edited is not None
    assert kept is not None
    there = edited.find(kept.tag)
    if there is None:
        edited.append(kept)
    else:
        there.extend(kept)

    seen = read_domain(text_of(edited), text, seal)
    assert (seen.as_written, seen.by_hand) == (True, (added,))

    again = as_given_back(written(spec, added), Random(seed))
    seen = read_domain(again, text, seal_of(again, text, [added]))
    assert seen.as_written
    assert len(seen.by_hand) == 1


@given(machines)
def test_a_seed_is_a_function_of_the_spec_and_every_reader_takes_it(spec: VMSpec) -> None:
    machine = read_machine(spec).unwrap()
    files = seed_files(spec, machine, "qemu")

    assert files == seed_files(replace(spec), machine, "qemu")
    assert all(text.isascii() for text in files.values())
    network = json.loads(files["network-config"])
    assert [*network["ethernets"]] == [nic.name for nic in spec.nics]
    user = json.loads(files["user-data"].removeprefix(CLOUD_CONFIG))
    assert user.items() >= machine.user_data.items() or user.keys() >= machine.user_data.keys()


@given(specs, st.dictionaries(st.sampled_from(sorted(KEYS)), st.integers() | st.text() | st.none()))
def test_reading_a_machine_never_raises(spec: VMSpec, raw: Schema) -> None:
    spec = replace(spec, hardware=read_hardware("hardware", raw).unwrap())

    assert all(each.path and each.message for each in problems(spec))


def imported(text: str, name: str) -> VMSpec:
    """The spec that an import makes of a domain in which nothing is wrong."""
    made = import_libvirt({"web.xml": text})
    assert made.problems == ()
    vms = made.geats["vms"]
    assert isinstance(vms, dict)
    return parse_vm(name, vms[name]).unwrap()


def without_note_and_ports(text: str) -> str:
    """A domain without the digest of its spec, and its ports, of which not all are in use."""
    domain = parsed(text)
    assert domain is not None
    domain.remove(next(domain.iterfind("metadata")))
    devices = next(domain.iterfind("devices"))
    for port in devices.findall("controller[@type='pci']"):
        devices.remove(port)
    return text_of(domain)


@given(machines, seeds)
def test_what_is_written_is_imported_as_the_same_keys(spec: VMSpec, seed: int) -> None:
    text = written(replace(spec, binds=()))  # which are not imported
    wanted = without_note_and_ports(text)

    assert without_note_and_ports(written(imported(text, spec.name))) == wanted

    # What libvirt gives back is in another order: disks and NICs are then others by their names.
    back = imported(as_given_back(text, Random(seed)), spec.name)
    assert {volume.name for volume in back.volumes} == {volume.name for volume in spec.volumes}
    assert {(nic.mac, nic.bridge) for nic in back.nics} == {
        (nic.mac, nic.bridge) for nic in spec.nics
    }
    assert back.limits == spec.limits


odd_words = st.sampled_from(
    ["", "1", "0", "-1", "9" * 20, "file", "qemu", "raw", "canary", "\u2028"]
)
odd_tags = st.sampled_from(
    [
        *("domain", "name", "memory", "vcpu", "os", "type", "boot", "cpu", "topology", "loader"),
        *("devices", "disk", "driver", "source", "target", "serial", "interface", "mac", "rng"),
        *("channel", "tpm", "backend", "graphics", "hostdev", "watchdog", "readonly", "address"),
    ]
)
odd_attributes = st.dictionaries(
    st.sampled_from(["type", "device", "dev", "bus", "order", "unit", "file", "name", "sockets"]),
    odd_words,
    max_size=3,
)


@st.composite
def odd_elements(draw: st.DrawFn, depth: int = 4) -> Element:
    """Elements of domains, anywhere."""
    element = Element(draw(odd_tags), draw(odd_attributes))
    element.text = draw(odd_words)
    if depth:
        element.extend(draw(st.lists(odd_elements(depth=depth - 1), max_size=3)))
    return element


@given(st.lists(odd_elements(), max_size=4), st.lists(odd_elements(), max_size=4))
def test_each_element_of_any_domain_leaves_a_note(
    tops: list[Element], devices: list[Element]
) -> None:
    domain = Element("domain", {"type": "kvm"})
    domain.extend(tops)
    within = Element("devices")
    within.extend(devices)
    domain.append(within)

    made = import_libvirt({"web.xml": text_of(domain)})

    told = " ".join(note.key for note in made.notes)
    for element in devices:
        empty = not (element.text or element.attrib or len(element))
        holds = element.tag in ("devices", "os", "cpu", "domain")
        assert empty or holds or element.tag in told


macs = st.sampled_from([f"02:00:00:00:00:0{at}" for at in range(1, 4)])
cards = st.fixed_dictionaries(
    {"link": st.booleans()},
    optional={key: st.integers(1, 3).map("{}KiB".format) for key in ("rate_in", "rate_out")},
)
FOREIGN = {"rate_in": "inbound", "rate_out": "outbound"}  # what virsh domiftune calls them


def with_cards(nics: Mapping[str, Mapping[str, object]]) -> VMSpec:
    """A machine with a NIC for each MAC address, which can do that."""
    named = {mac: f"eth{mac[-1]}" for mac in nics}
    keys = {"nics": {named[mac]: card for mac, card in nics.items()}}
    return VMSpec(
        name="web",
        hostname="web",
        driver="qemu",
        template="debian",
        volumes=(Volume(name="root", pool="fast", mount="/"),),
        limits=Limits(memory_bytes=1 << 30),
        nics=tuple(Nic(name=named[mac], bridge="br0", mac=mac) for mac in nics),
        hardware=read_hardware("hardware", keys).unwrap(),
    )


def by_hand(text: str, nics: Mapping[str, Mapping[str, object]]) -> str:
    """The domain that runs, after ``virsh domif-setlink`` and ``domiftune`` for each NIC."""
    domain = parsed(text)
    assert domain is not None
    for nic in domain.iterfind("devices/interface"):
        card = nics["".join(each.get("address", "") for each in nic.iterfind("mac"))]
        for tag in ("link", "bandwidth"):
            for each in nic.findall(tag):
                nic.remove(each)
        nic.append(Element("link", state="up" if card["link"] else "down"))
        if rates := FOREIGN.keys() & card.keys():
            nic.append(Element("bandwidth"))
            for key in sorted(rates):
                kib = f"{card[key]}".removesuffix("KiB")
                nic[-1].append(Element(FOREIGN[key], average=kib, burst="9"))
    return text_of(domain)


@given(st.dictionaries(macs, cards, min_size=1), st.data(), seeds)
def test_what_a_foreign_hand_did_to_nics_is_seen_and_mended_while_it_runs(
    nics: dict[str, dict[str, object]], data: st.DataObject, seed: int
) -> None:
    want, others = with_cards(nics), {mac: data.draw(cards | st.just(nics[mac])) for mac in nics}
    text = written(want)
    live = as_given_back(by_hand(text, others), Random(seed))
    seen = as_it_runs(want, text, live)

    changed = {mac for mac in nics if nics[mac] != others[mac]}
    assert changes(want, seen) == changes(want, with_cards(others))

    facts = HostFacts(drivers={"qemu": driver_facts("qemu:///system", "qemu")})
    goal, on = Goal(name="web", target=Target.RUNNING, spec=want), Observation()
    on = follow(plan(goal, on, facts).unwrap(), on).unwrap()
    mending = plan(goal, replace(on, in_effect=seen), facts).unwrap()
    assert [type(step.action) for step in mending.steps] == [SetDevices] * bool(changed)

    steps = device_steps(text, live, ())
    assert {step.doing for step in steps} <= {Doing.CHANGE}
    assert {mac for step in steps for mac in nics if mac in step.xml} >= changed
