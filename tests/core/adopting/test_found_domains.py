"""A domain that something else made: what becomes keys, what is kept, and what is told."""

from pathlib import Path
from xml.etree.ElementTree import Element

import pytest

from geats_core.adopting.found_domains import (
    FoundDomain,
    as_running,
    described,
    formats_of,
    read_domain_found,
)
from geats_core.adopting.kept_elements import LOST, told
from geats_core.domains.domain_devices import DomainFacts, Source
from geats_core.domains.domain_xml import domain_xml
from geats_core.domains.elements import parsed, text_of
from geats_core.domains.embedding import embeds
from geats_core.domains.machine_keys import read_machine
from geats_core.vm.parse import parse_vm
from tests.core.domains.test_domain_import import DISK, WINDOWS, small

UUID = "<uuid>027b22c9-a1bf-446a-b4af-9411a09008f8</uuid>"
READ_BACK = Path(__file__).parents[1] / "domains/read_back.xml"  # by libvirt 9.0, of QEMU 7.2
NIC = "<mac address='52:54:00:00:00:01'/><source bridge='b'/><model type='virtio'/>"


def found(text: str, name: str = "web") -> FoundDomain:
    return read_domain_found(name, text).unwrap()


def written(domain: FoundDomain, uuid: str = "") -> str:
    """What geats writes of it, with all that is kept."""
    pools = dict.fromkeys(domain.disks, "default")
    spec = parse_vm(domain.name, described(domain, pools, "image")).unwrap()
    sources = {
        name: Source(path=disk.path, is_block=disk.is_block, format=disk.format)
        for name, disk in domain.disks.items()
    }
    facts = DomainFacts(kind=domain.kind, sources=sources, uuid=uuid)
    return domain_xml(spec, read_machine(spec).unwrap(), facts, domain.keep)


def is_in(text: str, of: str) -> bool:
    """Whether all of one domain is in another."""
    one, other = parsed(text), parsed(of)
    assert one is not None
    assert other is not None
    return embeds(one, other)


def refused(text: str) -> list[str]:
    return [f"{each}" for each in read_domain_found("web", text).failure()]


def test_what_libvirt_gave_back_is_written_again_as_it_was() -> None:
    text = READ_BACK.read_text()
    assert "vm" not in "".join(found(text, "kvone").keep)  # what an older geats noted
    text = text[: text.index("<metadata")] + text[text.index("</metadata>") + 11 :]
    domain = found(text, "kvone")
    assert domain.told == ()
    again = written(domain, "027b22c9-a1bf-546a-b4af-9411a09008f8")
    assert is_in(text, again)
    ours = again[: again.index("<metadata")] + again[again.index("</metadata>") + 11 :]
    assert is_in(ours, text)
    assert domain.vm == {
        "driver": "qemu",
        **{"memory": "256MiB", "cpus": 1, "template": "kvone-root"},
        "volumes": [{"name": "root"}],
        "nics": [{"name": "eth0", "bridge": "kvbr0", "mac": "02:00:00:00:00:01"}],
        "hardware": {
            **{"max_memory": "512MiB", "max_cpus": 4, "machine": "pc-q35-7.2", "cpu": "maximum"},
            **{"boot": ["disk"], "rng": True, "agent": True, "guest": "none", "hotplug_ports": 0},
            "disks": {"root": {"bus": "virtio", "discard": True}},
            "nics": {"eth0": {"model": "virtio"}},
        },
    }


def test_what_no_key_says_is_kept_and_what_is_added_is_told() -> None:
    domain = found(WINDOWS, "office")
    assert is_in(WINDOWS.replace("GiB'>8", "KiB'>8388608"), written(domain, UUID[6:-7]))
    assert [each.partition(" ")[0] for each in domain.told] == [
        "devices/disk[vda]/serial",
        "devices/disk[vdc]/serial",
        "devices/interface[52:54:00:aa:bb:cc]/target",
        "devices/controller[virtio-serial]",
        "devices/serial",
        "devices/console",
    ]
    assert all("is added at the next start" in each for each in domain.told)
    assert '<clock instead="" offset="localtime" />' in domain.keep
    assert '<on_crash instead="">preserve</on_crash>' in domain.keep
    assert "cdrom" not in domain.vm["hardware"]  # type: ignore[operator]
    assert formats_of(WINDOWS)[0] == ("/dev/vg/data", "raw")
    assert formats_of("<x/>") == ()


def test_a_value_that_no_element_of_geats_can_have_is_told_as_lost() -> None:
    nic = f"<interface type='bridge'>{NIC}<driver name='qemu' queues='4'/></interface>"
    domain = found(small(devices=DISK + nic))
    assert domain.vm["nics"] == [{"name": "eth0", "bridge": "b", "mac": "52:54:00:00:00:01"}]
    assert [each for each in domain.told if "lost" in each] == [
        "devices/interface[52:54:00:00:00:01]/driver@name is lost, or another one, from the next "
        "start on"
    ]
    named = f"<interface type='bridge'>{NIC}<driver name='vhost' queues='4'/></interface>"
    assert [each for each in found(small(devices=DISK + named)).told if "lost" in each] == []


@pytest.mark.parametrize(
    "nic",
    [
        f"<interface type='user'>{NIC}</interface>",
        f"<interface type='bridge'>{NIC.replace('virtio', 'ne2k')}</interface>",
        f"<interface type='bridge'>{NIC}<virtualport type='openvswitch'/></interface>",
        f"<interface type='bridge'>{NIC}<vlan><tag id='1'/></vlan></interface>",
        f"<interface type='direct'>{NIC}</interface>",
        "<interface type='network'><source network='n'/><model type='virtio'/>"
        "<vlan trunk='yes'><tag id='1'/></vlan></interface>",
        "<disk type='network' device='disk'><source protocol='rbd'/></disk>",
        "<disk type='file' device='floppy'><source file='/f'/></disk>",
        "<hostdev mode='subsystem' type='pci'><source><address bus='6'/></source></hostdev>",
    ],
)
def test_a_device_that_keys_cannot_say_is_kept_whole(nic: str) -> None:
    domain = found(small(devices=DISK + nic))
    element = parsed(nic)
    assert element is not None
    assert sum(each.startswith(f"<devices><{element.tag}") for each in domain.keep) == 1
    assert is_in(f"<devices>{nic}</devices>", text_of(_devices(written(domain))))


@pytest.mark.parametrize(("bus", "target"), [("ide", "hda"), ("sata", "sda"), ("scsi", "sda")])
def test_a_disk_on_another_bus_is_a_volume_on_it_as_it_is(bus: str, target: str) -> None:
    own = (
        DISK.replace("virtio", bus).replace("vda", target).replace("'file'", "'file' device='disk'")
    )
    address = "<address type='drive' controller='0' bus='1' target='0' unit='0'/>"
    cdrom = "<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>"
    text = small(
        "<os><type arch='x86_64' machine='pc'>hvm</type></os>",
        own.replace("</d", address + "</d") + cdrom,
    )
    domain = found(text)
    assert domain.vm["hardware"]["disks"]["root"]["bus"] == bus  # type: ignore[index]
    of_disks = [each for each in domain.told if "disk" in each]
    assert of_disks == [f"devices/disk[{target}]/serial is added at the next start"]
    assert is_in(text, written(domain))


def _devices(text: str) -> Element:
    top = parsed(text)
    found = None if top is None else top.find("devices")
    assert found is not None
    return found


def test_a_text_that_is_another_one_is_told() -> None:
    disk = (
        "<domain><devices><disk><source file='/a'/><serial>{0}</serial></disk></devices></domain>"
    )
    old, new = (parsed(disk.format(serial)) for serial in "ab")
    assert old is not None
    assert new is not None
    assert [*told(old, new)] == [f"devices/disk/serial {LOST}"]


def test_memory_in_huge_pages_is_kept_as_it_is() -> None:
    pages = "<memoryBacking><hugepages /></memoryBacking>"
    assert pages in found(small(pages)).keep


def test_cpus_that_keys_cannot_say_are_kept_whole() -> None:
    cpu = "<cpu mode='custom' match='exact'><model fallback='allow'>EPYC</model></cpu>"
    domain = found(small(f"<vcpu>2</vcpu>{cpu}").replace("'qemu'", "'kvm'"))
    assert '<cpu instead="" match="exact" mode="custom"><model fallback="allow">' in "".join(
        domain.keep
    )
    assert written(domain).count("<cpu") == 1
    odd = found(small("<cpu><topology sockets='2' cores='1' threads='1'/></cpu><vcpu>2</vcpu>"))
    assert odd.vm["hardware"]["max_cpus"] == 2  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<x/>", "must be a <domain>"),
        (small().replace("'qemu'", "'xen'"), "the type of the domain must be one of kvm, qemu"),
        (small("<os><type arch='aarch64'>hvm</type></os>"), "guests of x86_64 only"),
        (small(devices=""), "it has no disk in a file"),
        (small(devices=DISK.replace("virtio", "usb")), "it has no disk in a file"),
        (small(devices=DISK + DISK.replace("vda", "vdb")), "two of its disks are one file"),
        (
            small(devices=DISK.replace("</disk>", "<backingStore><source/></backingStore></disk>")),
            "virsh blockpull",
        ),
        (small(devices=DISK.replace("</disk>", "<mirror/></disk>")), "copies it now"),
        (small(memory="<memory>x</memory>"), "web.memory: is missing"),
        (small("<vcpu>x</vcpu>"), "cannot be said by keys as it is there: vcpu"),
        (small("<cpu><topology sockets='x'/></cpu>"), "must be sockets, cores and threads"),
    ],
)
def test_a_domain_that_cannot_be_a_vm_is_refused(text: str, why: str) -> None:
    assert any(why in each for each in refused(text))


def test_a_key_that_is_wrong_for_geats_is_left_to_what_is_kept() -> None:
    domain = found(small("<cpu mode='custom' match='exact'><model>odd/name</model></cpu>"))
    assert "cpu" not in domain.vm["hardware"]  # type: ignore[operator]
    assert "odd/name" in written(domain)


def test_what_it_runs_with_is_known_but_for_what_libvirt_makes_of_it() -> None:
    defined = found(small("<vcpu>1</vcpu>", memory="<memory unit='MiB'>64</memory>"))
    balloon = "<memory unit='MiB'>64</memory><currentMemory unit='MiB'>32</currentMemory>"
    runs = as_running(defined, found(small("<vcpu>2</vcpu>", memory=balloon)))
    assert (runs.vm["memory"], runs.vm["cpus"]) == ("64MiB", 2)
    smaller = as_running(defined, found(small(memory=balloon.replace("64", "48"))))
    assert smaller.vm["memory"] == "32MiB"
    assert smaller.vm["hardware"]["max_memory"] == "48MiB"  # type: ignore[index]
